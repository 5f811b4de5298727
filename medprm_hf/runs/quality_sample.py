"""What the quality-control sample says: agreement of every signal with the experts, and how calibrated label_p is.

    {"solutions": 160, "steps": 960, "judge": {"kappa": 0.68, "interval": [0.62, 0.74], …}, "rollout": {…},
     "label": {…}, "ece": 0.021}

Only solutions that the calibrate stage drew blindly count: steps that were reviewed because they are doubtful would
show less agreement than there is. The label model's labels on them are out of fold, so nothing is measured on what it
was fitted on. null without a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medprm_hf.labels.accuracy import value_labels
from medprm_hf.labels.agreement import cohen_kappa
from medprm_hf.schema import Label

BINS = 10
Row = dict[str, Any]


def agreement(rows: Sequence[Row], tau: float = 0.0) -> dict[str, Any] | None:
    """The figures of a run's solution rows; `tau` turns expected accuracy into a label (rollout.threshold)."""
    sample = [row for row in rows if set(row.get("calibration_labels") or ["?"]) != {Label.UNKNOWN.value}]
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
    return found | {"ece": _calibration_error(sample)}


def _by_rollouts(row: Row, tau: float) -> list[str] | None:
    if not row.get("rollout_correct"):
        return None
    return [str(label) for label in value_labels(row["rollout_correct"], row["rollout_total"], tau)]


def _calibration_error(sample: Sequence[Row]) -> float | None:
    """Expected calibration error of P(right) against the experts, ten bins; None where there is none."""
    pairs = [
        (p, said == Label.RIGHT)
        for row in sample
        for p, said in zip(row.get("label_p") or [], row["calibration_labels"], strict=False)
        if p is not None and said in (Label.RIGHT, Label.WRONG)
    ]
    if not pairs:
        return None
    p, right = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    return float(sum(abs(p[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in set(bins)))
