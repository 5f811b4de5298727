"""What the quality-control sample says: agreement of every signal with the experts, and how calibrated label_p is.

    {"solutions": 160, "steps": 960, "judge": {"kappa": 0.68, "interval": [0.62, 0.74], …}, "rollout": {…},
     "label": {…}, "pearson": {"label_p": {"r": 0.91, …}, …}, "ece": 0.021, "ece_interval": […], "reliability": [bins],
     "ece_by_difficulty": {"easy": {"n": 300, "ece": 0.02, "share_plus": 0.91, "mean_p": 0.9}, …}}

Only solutions that the calibrate stage drew blindly count: steps that were reviewed because they are doubtful would
show less agreement than there is. The label model's labels on them are out of fold, so nothing is measured on what it
was fitted on. null without a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from medprm_hf.labels.accuracy import value_labels
from medprm_hf.labels.agreement import cohen_kappa
from medprm_hf.labels.calibration import error_of, intervals, pearson, reliability
from medprm_hf.schema import Label

BINS = 10
SAMPLE_COLUMNS = (
    "question_id", "calibration_labels", "judge_labels", "judge_p_plus", "rollout_correct", "rollout_total",
    "expected_accuracy", "labels", "label_p", "difficulty",
)  # fmt: skip
"""What of a row is needed here."""
_LEVELS = ("easy", "medium", "hard")
Row = dict[str, Any]
Pairs = list[tuple[float, float, str]]
"""(probability, 1.0 where the expert says +, question) of steps that have both."""


def in_sample(row: Row) -> bool:
    """Whether experts labelled the solution blindly."""
    return set(row.get("calibration_labels") or ["?"]) != {Label.UNKNOWN.value}


def sample_of(rows: Sequence[Row]) -> list[Row]:
    """The solutions that experts labelled blindly."""
    return list(filter(in_sample, rows))


def agreement(rows: Sequence[Row], tau: float = 0.0) -> dict[str, Any] | None:
    """The figures of a run's solution rows; `tau` turns expected accuracy into a label (rollout.threshold)."""
    sample = sample_of(rows)
    if not sample:
        return None
    experts = [list(row["calibration_labels"]) for row in sample]
    questions = [row["question_id"] for row in sample]
    signals = {
        "judge": [row.get("judge_labels") for row in sample],
        "rollout": [_by_rollouts(row, tau) for row in sample],
        "label": [row.get("labels") for row in sample],
    }
    found: dict[str, Any] = {"solutions": len(sample), "steps": sum(map(len, experts))}
    for name, labels in signals.items():
        if all(labels):
            found[name] = cohen_kappa([list(label or ()) for label in labels], experts, questions)._asdict()
    pairs = _pairs(sample, lambda row: row.get("label_p") or [])
    found["pearson"] = {name: _pearson(_pairs(sample, read)) for name, read in _PROBABILITIES.items()}
    return found | _calibration(pairs) | {"ece_by_difficulty": _by_difficulty(sample)}


def _by_rollouts(row: Row, tau: float) -> list[str] | None:
    if not row.get("rollout_correct"):
        return None
    return [str(label) for label in value_labels(row["rollout_correct"], row["rollout_total"], tau)]


def _judged(row: Row) -> list[float | None]:
    """What the judge says as a number: its P(+), or 1 and 0 for + and -."""
    labels = row.get("judge_labels") or []
    given = row.get("judge_p_plus") or [None] * len(labels)
    plain = {Label.RIGHT.value: 1.0, Label.WRONG.value: 0.0}
    return [plain.get(label) if p is None else p for label, p in zip(labels, given, strict=True)]


_PROBABILITIES: dict[str, Callable[[Row], Sequence[float | None]]] = {
    "judge": _judged,
    "rollout": lambda row: row.get("expected_accuracy") or [],
    "label_p": lambda row: row.get("label_p") or [],
}


def _pairs(sample: Sequence[Row], read: Callable[[Row], Sequence[float | None]]) -> Pairs:
    return [
        (p, float(said == Label.RIGHT), row["question_id"])
        for row in sample
        for p, said in zip(read(row), row["calibration_labels"], strict=False)
        if p is not None and said in (Label.RIGHT, Label.WRONG)
    ]


def _pearson(pairs: Pairs) -> dict[str, Any] | None:
    """Correlation with the experts' word, over steps that both speak of; None without any."""
    if not pairs:
        return None
    p, right, groups = (list(values) for values in zip(*pairs, strict=True))
    return {"r": pearson(p, right), "interval": intervals(p, right, groups, BINS).pearson, "n_steps": len(pairs)}


def _calibration(pairs: Pairs) -> dict[str, Any]:
    """Expected calibration error of P(right) against the experts, ten bins; None where there is none."""
    if not pairs:
        return {"ece": None, "ece_interval": None, "reliability": []}
    p, right, groups = (list(values) for values in zip(*pairs, strict=True))
    bins = reliability(p, right, BINS)
    interval = intervals(p, right, groups, BINS).error
    return {"ece": error_of(bins), "ece_interval": interval, "reliability": [one._asdict() for one in bins]}


def _by_difficulty(sample: Sequence[Row]) -> dict[str, dict[str, Any]]:
    found = {}
    there = {str(row.get("difficulty") or "unknown") for row in sample}
    for name in sorted(there, key=lambda name: (_LEVELS.index(name) if name in _LEVELS else 3, name)):
        own = [row for row in sample if str(row.get("difficulty") or "unknown") == name]
        pairs = _pairs(own, _PROBABILITIES["label_p"])
        if pairs:
            mean_p, plus = (sum(pair[i] for pair in pairs) / len(pairs) for i in (0, 1))  # type: ignore[misc]
            ece = error_of(reliability([pair[0] for pair in pairs], [pair[1] for pair in pairs], BINS))
            found[name] = {"n": len(pairs), "ece": ece, "share_plus": plus, "mean_p": mean_p}
    return found
