"""report.html and report.json: what a run made, what it cost, and (phantom world) how good its labels are.

    {"name": "demo", "counts": {…}, "drop_reasons": {…}, "stages": {…}, "exports": {…},
     "labels": {"+": 3120, "-": 1400, "0": 0, "?": 12}, "reviewed_steps": 1100, "copied_reviews": 300,
     "agreement": {…},   (runs/quality_sample.py)
     "signals": [{"signal": "rollout", "macro_f1": 0.75, "interval": [0.73, 0.77], "prior": 0.63, …}, …],
     "policy": {"pass@1": 0.56, "pass@8": 0.90, "majority@8": 0.61, "unreadable": 0.002, …}}

`signals` and `policy` are null where the truth is not known, with the reason under `truth`.
"""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from typing import Any

from medprm_hf.imaging.load import load_image
from medprm_hf.review.reviewers import COPIED
from medprm_hf.runs.finish import has_truth
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.quality_sample import agreement
from medprm_hf.runs.shards import write_json
from medprm_hf.schema import Label, final_labels
from medprm_hf.text.steps import split_steps

PRIOR_QUESTIONS = 500
"""Unseen questions on which the policy is measured and the step-index prior is fitted."""
SHOWN = 6
"""Example solutions in the report."""

Row = dict[str, Any]


def write_report(run: Run, table: Sequence[Row], summary: dict[str, Any]) -> dict[str, Any]:
    """Writes both files from the run's `solution_rows`; gives the content of report.json."""
    rows = [row for row in table if row["solution"] is not None]
    labels = [final_labels(row["labels"], row.get("review_labels")) for row in rows if row.get("labels") is not None]
    counted = Counter(label for steps in labels for label in steps)
    report: dict[str, Any] = {
        **summary,
        "labels": {label.value: counted[label.value] for label in Label},
        "reviewed_steps": sum(any(map(_own, given)) for row in rows for given in (row.get("reviews") or [])),
        "copied_reviews": sum(
            any(given) and not any(map(_own, given)) for row in rows for given in row.get("reviews") or []
        ),
        "agreement": agreement(rows, run.recipe.rollout.threshold),
        "signals": None,
        "policy": None,
        "truth": "unknown: only the phantom world knows the truth of every step",
    }
    if has_truth(run) and rows:
        report |= _against_truth(run, rows)
    write_json(run.directory / "report.json", report)
    html = _render(run, report, rows)
    (run.directory / "report.html").write_text(html, encoding="utf-8")
    return report


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


def _render(run: Run, report: dict[str, Any], rows: Sequence[Row]) -> str:
    from jinja2 import Environment

    from medprm_hf.runs import pictures

    source = (resources.files("medprm_hf.runs") / "templates" / "report.html.j2").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    signals = report["signals"] or []
    return template.render(
        report=report,
        recipe=run.recipe,
        signals_picture=pictures.signals(signals) if signals else None,
        recall_picture=pictures.recall(signals) if signals else None,
        counts_picture=pictures.label_shares(_by_position(rows)),
        examples=[_example(row, has_truth(run)) for row in _chosen(rows)],
    )


def _by_position(rows: Sequence[Row]) -> list[Counter[str]]:
    positions: list[Counter[str]] = []
    for row in rows:
        for i, label in enumerate(final_labels(row.get("labels") or [], row.get("review_labels"))):
            if i == len(positions):
                positions.append(Counter())
            positions[i][label] += 1
    return positions


def _chosen(rows: Sequence[Row]) -> list[Row]:
    """Solutions worth reading: signals disagree on most steps; one a question."""

    def doubt(row: Row) -> int:
        return sum(row.get("needs_review") or []) or sum(
            a != b for a, b in zip(row.get("judge_labels") or [], row.get("labels") or [], strict=False)
        )

    chosen: dict[str, Row] = {}
    for row in sorted(rows, key=doubt, reverse=True):
        chosen.setdefault(row["question_id"], row)
        if len(chosen) == SHOWN:
            break
    return list(chosen.values())


def _example(row: Row, known: bool) -> dict[str, Any]:
    steps = range(len(row["steps"]))
    truth = [None for _ in steps]
    if known:
        from medprm_hf.runs.signals import truth_of

        truth = truth_of(row)  # type: ignore[assignment]
    labels = final_labels(row.get("labels") or ["?" for _ in steps], row.get("review_labels"))
    correct, total = row.get("rollout_correct") or [], row.get("rollout_total") or []
    return {
        "row": row,
        "image": _data_url(row["image"]),
        "steps": [
            {
                "text": row["steps"][i],
                "label": labels[i],
                "merged": (row.get("labels") or labels)[i],
                "mc": f"{correct[i]}/{total[i]}" if i < len(total) else "not sampled",
                "judge": (row.get("judge_labels") or ["" for _ in steps])[i],
                "reviewed": bool((row.get("reviews") or [[] for _ in steps])[i]),
                "truth": truth[i],
            }
            for i in steps
        ],
    }


def _data_url(image: dict[str, Any] | None) -> str | None:
    if image is None:
        return None
    loaded = load_image(image)
    return f"data:{loaded.mime};base64,{base64.b64encode(loaded.data).decode()}"
