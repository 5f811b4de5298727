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
from typing import TYPE_CHECKING, Any

from medprm_hf.review.reviewers import COPIED
from medprm_hf.runs.dataset import cell
from medprm_hf.runs.finish import has_truth
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.quality_sample import SAMPLE_COLUMNS, agreement, in_sample
from medprm_hf.runs.report_costs import costs
from medprm_hf.runs.shards import write_json, write_text
from medprm_hf.runs.shares import Refused, Shares, labels_of
from medprm_hf.runs.targets import targets
from medprm_hf.runs.worth_reading import Worth, example
from medprm_hf.schema import Label
from medprm_hf.text.steps import split_steps

if TYPE_CHECKING:
    from medprm_hf.runs.signals import Comparison

REPORT, PAGE = "report.json", "report.html"
PRIOR_QUESTIONS = 500
"""Unseen questions on which the policy is measured and the step-index prior is fitted."""

Row = dict[str, Any]


class Facts:
    """What the report says, gathered row by row: counters, the sample, and the few solutions that are shown."""

    def __init__(self, run: Run) -> None:
        self.labels: Counter[str] = Counter()
        self.looked_at = self.copied = self.sampled = self.solutions = 0
        self.positions: list[Counter[str]] = []
        self.sample: list[Row] = []
        """What the agreement is taken from, of the solutions that experts labelled blindly."""
        self.shares, self.refused = Shares(run.recipe.report), Refused()
        self.worth = Worth(run.recipe.report.shown)
        self.truth: Comparison | None = None
        if has_truth(run):
            from medprm_hf.runs.signals import Comparison

            self.truth = Comparison(run.recipe)

    def add(self, row: Row, place: int | None) -> None:
        """One row of the run's table, and its place in the dataset."""
        self.refused.add(row)
        if row.get("solution") is None:
            return
        self.solutions += 1
        self._count(row)
        self.shares.add(row)
        self.worth.add(row, place or 0)
        if in_sample(row):
            self.sample.append({name: row.get(name) for name in SAMPLE_COLUMNS})
        if self.truth is not None:
            self.truth.add(row)

    def _count(self, row: Row) -> None:
        labels = labels_of(row)
        self.labels.update(labels)
        for i, label in enumerate(labels):
            if i == len(self.positions):
                self.positions.append(Counter())
            self.positions[i][label] += 1
        self.sampled += sum(map(bool, row.get("calibration_reviews") or []))
        for step in row.get("reviews") or row.get("calibration_reviews") or []:
            own = any(map(_own, step))
            self.looked_at += own
            self.copied += bool(step) and not own


def write_report(run: Run, facts: Facts, summary: dict[str, Any]) -> dict[str, Any]:
    """Writes both files from what was gathered of the run's rows; gives the content of report.json."""
    spec, generate = run.recipe.report, run.recipe.generate
    agreed = agreement(facts.sample, run.recipe.rollout.threshold)
    found = {**facts.shares.figures(), "refused": facts.refused.figures()}
    worth, by = facts.worth.chosen()
    report: dict[str, Any] = {
        **summary,
        "labels": {label.value: facts.labels[label.value] for label in Label},
        "reviewed_steps": facts.looked_at,
        "copied_reviews": facts.copied,
        "targets": targets(spec, agreed, found, {"min_steps": generate.min_steps, "max_steps": generate.max_steps}),
        "agreement": agreed,
        "shares": found,
        "costs": costs(summary["money"], summary["counts"]["steps"], _by_stage(run, facts)),
        "worth_reading": {
            "by": by,
            "compared": facts.worth.compared,
            "solutions": [row["solution_id"] for row, _ in worth],
        },
        "simulated": simulated(run),
        "signals": None,
        "policy": None,
        "truth": "unknown: only the phantom world knows the truth of every step",
    }
    if facts.truth is not None and facts.solutions:
        report |= _against_truth(run, facts.truth, facts.solutions)
    html = _render(run, report, facts.positions, [_with_image(run, row, place) for row, place in worth])
    write_text(run.directory / PAGE, html)
    write_json(run.directory / REPORT, report)
    return report


def _with_image(run: Run, row: Row, place: int) -> Row:
    """A row with its image, which is read again."""
    return {**row, "image": cell(run.directory / "dataset", place, "image")}


def _by_stage(run: Run, facts: Facts) -> dict[str, int]:
    """Steps that experts looked at themselves, by the stage that asked."""
    counts = {"calibrate": facts.sampled, "review": facts.looked_at - facts.sampled}
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


def _against_truth(run: Run, truth: Comparison, solutions: int) -> dict[str, Any]:
    from medprm_hf.phantom.figures import policy_figures, sample
    from medprm_hf.phantom.world import question_ids, scene_of

    started = time.perf_counter()
    spec = run.recipe.spec("generate")
    # A report spends no money: where a server wrote the solutions, the shipped policy is asked for the prior's.
    own = spec.backend.startswith("phantom:")
    backend = spec.backend if own else "phantom:policy"
    names = question_ids("test", PRIOR_QUESTIONS, run.recipe.seed)
    if truth.holds(names):  # the run itself is of the test questions
        names = question_ids("development", PRIOR_QUESTIONS, run.recipe.seed)
    scenes = [scene_of(name) for name in names]
    sampled = sample(backend, scenes, k=8, temperature=spec.temperature, top_p=spec.top_p, seed=spec.seed)
    figures = policy_figures(scenes, sampled)
    others = [
        {"question_id": name, "steps": [step.text for step in split_steps(solution)]}
        for name, group in zip(names, sampled, strict=True)
        for solution in group
    ]
    return {
        "signals": truth.table(others),
        "policy": {name: figure.value for name, figure in figures.items()} | {"questions": len(names)} if own else None,
        "policy_intervals": {name: [figure.low, figure.high] for name, figure in figures.items()} if own else None,
        "truth": f"known: {solutions} phantom solutions; prior fitted on {len(names)} other questions of {backend}",
        "measuring_seconds": round(time.perf_counter() - started, 1),
    }


def _render(run: Run, report: dict[str, Any], positions: Sequence[Counter[str]], worth: Sequence[Row]) -> str:
    from jinja2 import Environment

    folder = resources.files("medprm_hf.runs") / "templates"
    source = (folder / "report.html.j2").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    return template.render(
        report=report,
        recipe=run.recipe,
        style=(folder / "report.css").read_text(encoding="utf-8"),
        pictures=_pictures(run, report, positions),
        examples=[example(row, _truth(run, row)) for row in worth],
    )


def _pictures(run: Run, report: dict[str, Any], positions: Sequence[Counter[str]]) -> dict[str, str | None]:
    from medprm_hf.runs import pictures, pictures_quality

    spec, agreed, signals = run.recipe.report, report["agreement"] or {}, report["signals"]
    steps = report["shares"]["steps"]
    return {
        "signals": pictures.signals(signals) if signals else None,
        "recall": pictures.recall(signals) if signals else None,
        "labels": pictures.label_shares(positions) if report["counts"]["solutions"] else None,
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
