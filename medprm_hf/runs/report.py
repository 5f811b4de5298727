"""report.html and report.json: what a run made, how good its labels are, what they cost, target by target (M10).

    {"name": "demo", "counts": {…}, "drop_reasons": {…}, "errors": {…}, "stages": {…}, "exports": {…}, "money": {…},
     "labels": {"+": 3120, "-": 1400, "0": 0, "?": 12}, "reviewed_steps": 1100, "copied_reviews": 300,
     "targets": [{"name", "value", "interval", "target", "state", "note"}, …],   (runs/targets.py)
     "agreement": {…} or null,                                                   (runs/quality_sample.py)
     "shares": {…},                                                              (runs/shares.py)
     "costs": {…},                                                               (runs/report_costs.py)
     "worth_reading": {"by": "judge and rollouts", "compared": 1440, "solutions": ["…-s0", …]},
     "signals": [{"signal": "rollout", "macro_f1": 0.75, "interval": [0.73, 0.77], "prior": 0.63, …}, …],
     "policy": {"pass@1": 0.56, "pass@8": 0.90, "majority@8": 0.61, "unreadable": 0.002, …}}

`signals` and `policy` are null where the truth is not known, with the reason under `truth`. The page is one file that
asks nothing of any network; every text of a model or a source is escaped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from typing import Any

from medprm_hf.review.reviewers import COPIED
from medprm_hf.runs.finish import has_truth
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.quality_sample import agreement
from medprm_hf.runs.report_costs import costs
from medprm_hf.runs.shards import write_json
from medprm_hf.runs.shares import labels_of, refused, shares
from medprm_hf.runs.targets import targets
from medprm_hf.runs.worth_reading import chosen, compared, example
from medprm_hf.schema import Label
from medprm_hf.text.steps import split_steps

PRIOR_QUESTIONS = 500
"""Unseen questions on which the policy is measured and the step-index prior is fitted."""

Row = dict[str, Any]


def write_report(run: Run, table: Sequence[Row], summary: dict[str, Any]) -> dict[str, Any]:
    """Writes both files from the run's `solution_rows`; gives the content of report.json."""
    rows = [row for row in table if row["solution"] is not None]
    spec, generate = run.recipe.report, run.recipe.generate
    given = [step for row in rows for step in row.get("reviews") or row.get("calibration_reviews") or []]
    counted = Counter(label for row in rows for label in labels_of(row))
    looked_at = sum(any(map(_own, decisions)) for decisions in given)
    agreed = agreement(rows, run.recipe.rollout.threshold)
    found = {**shares(rows, spec), "refused": refused(table)}
    worth, by = chosen(rows, spec.shown)
    report: dict[str, Any] = {
        **summary,
        "labels": {label.value: counted[label.value] for label in Label},
        "reviewed_steps": looked_at,
        "copied_reviews": sum(any(step) and not any(map(_own, step)) for step in given),
        "targets": targets(spec, agreed, found, {"min_steps": generate.min_steps, "max_steps": generate.max_steps}),
        "agreement": agreed,
        "shares": found,
        "costs": costs(summary["money"], summary["counts"]["steps"], _by_stage(run, rows, looked_at)),
        "worth_reading": {
            "by": by,
            "compared": compared(rows),
            "solutions": [row["solution_id"] for row in worth],
        },
        "simulated": simulated(run),
        "signals": None,
        "policy": None,
        "truth": "unknown: only the phantom world knows the truth of every step",
    }
    if has_truth(run) and rows:
        report |= _against_truth(run, rows)
    write_json(run.directory / "report.json", report)
    html = _render(run, report, rows, worth)
    (run.directory / "report.html").write_text(html, encoding="utf-8")
    return report


def _by_stage(run: Run, rows: Sequence[Row], looked_at: int) -> dict[str, int]:
    """Steps that experts looked at themselves, by the stage that asked."""
    sampled = sum(bool(step) for row in rows for step in row.get("calibration_reviews") or [])
    counts = {"calibrate": sampled, "review": looked_at - sampled}
    return {name: n for name, n in counts.items() if name in run.recipe.stages}


def simulated(run: Run) -> list[str]:
    """What of this run is no real thing: images and questions, judge, experts."""
    recipe = run.recipe
    experts = [name for name in ("calibrate", "review") if name in recipe.stages]
    parts = {
        "images and questions": has_truth(run),
        "judge": "judge" in recipe.stages and "simulated" in str(recipe.judge.backend),
        "experts": any(getattr(recipe, name).reviewer.startswith("simulated") for name in experts),
    }
    return [name for name, is_so in parts.items() if is_so]


def _own(decision: Row) -> bool:
    """Whether an expert was asked here, and not in another solution with the same step."""
    return not (decision["note"] or "").startswith(COPIED)


def _against_truth(run: Run, rows: Sequence[Row]) -> dict[str, Any]:
    from medprm_hf.phantom.figures import policy_figures, sample
    from medprm_hf.phantom.world import question_ids, scene_of
    from medprm_hf.runs.signals import compare

    started = time.perf_counter()
    spec = run.recipe.spec("generate")
    # A report spends no money: where a server wrote the solutions, the shipped policy is asked for the prior's.
    own = spec.backend.startswith("phantom:")
    backend = spec.backend if own else "phantom:policy"
    names = question_ids("test", PRIOR_QUESTIONS, run.recipe.seed)
    scenes = [scene_of(name) for name in names]
    solutions = sample(backend, scenes, k=8, temperature=spec.temperature, top_p=spec.top_p, seed=spec.seed)
    figures = policy_figures(scenes, solutions)
    others = [
        {"question_id": name, "steps": [step.text for step in split_steps(solution)]}
        for name, group in zip(names, solutions, strict=True)
        for solution in group
    ]
    return {
        "signals": compare(rows, others, run.recipe),
        "policy": {name: figure.value for name, figure in figures.items()} | {"questions": len(names)} if own else None,
        "policy_intervals": {name: [figure.low, figure.high] for name, figure in figures.items()} if own else None,
        "truth": f"known: {len(rows)} phantom solutions; prior fitted on {len(names)} other questions of {backend}",
        "measuring_seconds": round(time.perf_counter() - started, 1),
    }


def _render(run: Run, report: dict[str, Any], rows: Sequence[Row], worth: Sequence[Row]) -> str:
    from jinja2 import Environment

    folder = resources.files("medprm_hf.runs") / "templates"
    source = (folder / "report.html.j2").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    return template.render(
        report=report,
        recipe=run.recipe,
        style=(folder / "report.css").read_text(encoding="utf-8"),
        pictures=_pictures(run, report, rows),
        examples=[example(row, _truth(run, row)) for row in worth],
    )


def _pictures(run: Run, report: dict[str, Any], rows: Sequence[Row]) -> dict[str, str | None]:
    from medprm_hf.runs import pictures, pictures_quality

    spec, agreed, signals = run.recipe.report, report["agreement"] or {}, report["signals"]
    steps = report["shares"]["steps"]
    return {
        "signals": pictures.signals(signals) if signals else None,
        "recall": pictures.recall(signals) if signals else None,
        "labels": pictures.label_shares(_by_position(rows)) if rows else None,
        "kappa": pictures_quality.kappa(agreed, spec.kappa),
        "reliability": pictures_quality.reliability(agreed.get("reliability") or []),
        "steps": pictures_quality.steps(steps, spec.steps, spec.few_steps, spec.many_steps),
        "money": pictures_quality.money(report["costs"]["compared"]) if report["costs"]["labels"] else None,
    }


def _truth(run: Run, row: Row) -> Sequence[Any] | None:
    if not has_truth(run):
        return None
    from medprm_hf.runs.signals import truth_of

    return truth_of(row)


def _by_position(rows: Sequence[Row]) -> list[Counter[str]]:
    positions: list[Counter[str]] = []
    for row in rows:
        for i, label in enumerate(labels_of(row)):
            if i == len(positions):
                positions.append(Counter())
            positions[i][label] += 1
    return positions
