"""What each step is trained towards: classes, soft targets or counts, unknown steps masked, weights, balance.

    labels ["+", "-", "?"]  hard    ->  probs [[1, 0], [0, 1], [0, 0]]   weights [1, 1, 0]
    label_p [0.9, 0.2, ·]   soft    ->  probs [[.9, .1], [.2, .8], [0, 0]]
    label_p as evidence: what the signals of this step say beyond the prior of its position (below)
    8 of 8, 1 of 8, 0 of 0  counts  ->  counts [[8, 8], [1, 8], [0, 0]]  weights [1, 1, 0]

Unknown is a weight of 0, never a class. Balance: rare classes at each step position weigh more, so that an error that
is rare where it stands is learnt at all (of the phantom world's 9 % location errors plain cross-entropy finds none).
That moves every logit by a known amount, log(weight of + / weight of -); `Balance.offsets` is taken back out when
scoring.

Evidence. A posterior label_p holds the prior: where wrong steps are rare, even a judge who says - leaves it near 1,
and a model trained on it learns that such a step is never wrong. The *likelihood ratio* of the signals, odds(label_p)
/ odds of the prior, has no such pull. With `loss: evidence` the model's own belief takes the prior's place: each step
counts as right with P = sigmoid(logit of the model + log ratio), so noise averages out over like steps (expectation-
maximisation; Raykar et al. 2010, "Learning from crowds").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medprm_hf.errors import DataError
from medprm_hf.schema import Label, final_labels

Floats = NDArray[np.float64]
LabelSource = Literal["final", "rollouts", "judge", "advantage"]
Loss = Literal["hard", "soft", "counts", "evidence"]

RIGHT, WRONG, NEUTRAL, UNKNOWN = (label.value for label in Label)
_CLASSES = {RIGHT: 0, WRONG: 1, NEUTRAL: 2}
SMOOTHING = 1.0
"""Steps of each class that are imagined at each position before balance is measured."""
MAX_WEIGHT = 8.0
"""No class weighs more than this, however rare."""
SUREST = 0.98
"""No label_p counts as surer than this, as evidence."""


@dataclass(frozen=True)
class Targets:
    """Of one solution; C is 2 (+ -), or 3 with advantage labels (+ - =)."""

    probs: Floats
    """(steps, C): P(class); zeros where unknown."""
    weights: Floats
    """(steps,): 0 where unknown."""
    counts: NDArray[np.int64]
    """(steps, 2): rollouts right, rollouts read; zeros without."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which steps are trained on, (steps,)."""
        return self.weights > 0

    @property
    def classes(self) -> NDArray[np.int64]:
        """Likeliest class of each step, (steps,); -100 where unknown, as transformers write it."""
        return np.where(self.known, self.probs.argmax(1), -100)


def labels_of(row: Mapping[str, Any], source: LabelSource, threshold: float = 0.0) -> list[str]:
    """The labels that a source says, [num_steps]: + - 0 or ?."""
    n = len(row["steps"])
    if source == "judge":
        return list(row.get("judge_labels") or [UNKNOWN] * n)
    accuracy = row.get("expected_accuracy") or [None] * n
    by_value = [UNKNOWN if mc is None else RIGHT if mc > threshold else WRONG for mc in accuracy]
    if source == "rollouts":
        return by_value
    if source == "advantage":
        return by_value[:1] + [_change(before, here) for before, here in zip(accuracy, accuracy[1:], strict=False)]
    merged = row.get("labels")
    return final_labels([UNKNOWN] * n if merged is None else merged, row.get("review_labels"))


def _change(before: float | None, here: float | None) -> str:
    """Sign of the change of expected accuracy (VisualPRM, section 3.1)."""
    if before is None or here is None:
        return UNKNOWN
    return RIGHT if here > before else WRONG if here < before else NEUTRAL


def targets_of(
    row: Mapping[str, Any],
    loss: Loss = "hard",
    source: LabelSource = "final",
    threshold: float = 0.0,
    confidence: bool = False,
) -> Targets:
    """Targets of one row of the canonical table."""
    labels = labels_of(row, source, threshold)
    classes = 3 if source == "advantage" else 2
    probs = np.zeros((len(labels), classes))
    for step, label in enumerate(labels):
        if _CLASSES.get(label, classes) < classes:
            probs[step, _CLASSES[label]] = 1.0
    weights = probs.sum(1)
    counts = np.zeros((len(labels), 2), np.int64)
    if loss in ("soft", "evidence"):
        probs, weights = _soft(probs, _said(row, source))
    if loss == "counts":
        counts, probs, weights = _counted(row, len(labels))
    if confidence:
        weights = weights * _sureness(row, len(labels))
    return Targets(probs, weights, counts)


def _said(row: Mapping[str, Any], source: LabelSource) -> Sequence[float | None]:
    """P(right) that goes with a source, [num_steps]; an expert's label stands above it."""
    n = len(row["steps"])
    if source == "rollouts":
        return list(row.get("expected_accuracy") or [None] * n)
    if source == "judge":
        return list(row.get("judge_p_plus") or [None] * n)
    said = list(row.get("label_p") or [None] * n)
    for step, label in enumerate(row.get("review_labels") or []):
        if label != UNKNOWN:
            said[step] = {RIGHT: 1.0, WRONG: 0.0}.get(label)
    return said


def _soft(hard: Floats, said: Sequence[float | None]) -> tuple[Floats, Floats]:
    """P(right) of the steps that have a label, where it is said; an unlabelled step's 0.5 is no knowledge."""
    probs = hard.copy()
    for step, p in enumerate(said):
        if hard[step].any() and p is not None and not math.isnan(p):
            probs[step] = (p, 1.0 - p)
    return probs, probs.sum(1)


def _counted(row: Mapping[str, Any], n: int) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Rollout counts, their share and a weight of 1 where anything was read."""
    correct, total = row.get("rollout_correct") or [0] * n, row.get("rollout_total") or [0] * n
    counts = np.array([correct, total], np.int64).T.reshape(n, 2)
    seen = counts[:, 1] > 0
    share = np.divide(counts[:, 0], counts[:, 1], out=np.zeros(n), where=seen)
    probs = np.stack([share, 1.0 - share], 1) * seen[:, None]
    return counts, probs, seen.astype(float)


def _sureness(row: Mapping[str, Any], n: int) -> Floats:
    """|2 P(right) - 1|, (steps,): 1 for a label without a probability, or from an expert."""
    said = list(row.get("label_p") or [None] * n)
    reviewed = list(row.get("review_labels") or [UNKNOWN] * n)
    return np.array(
        [1.0 if p is None or label != UNKNOWN else abs(2 * p - 1) for p, label in zip(said, reviewed, strict=True)]
    )


@dataclass(frozen=True)
class Balance:
    """Weight of each class at each step position; beyond the last position, that one holds."""

    weights: Floats
    """(positions, C), mean 1 over the steps it was fitted on."""
    priors: Floats
    """(positions,): P(right) by position, of all positions."""

    def of(self, num_steps: int) -> Floats:
        """Class weights of the steps of one solution, (steps, C)."""
        return self.weights[np.minimum(np.arange(num_steps), len(self.weights) - 1)]

    def evidence(self, targets: Targets) -> Floats:
        """log of P(signals | right) / P(signals | wrong) of each step, (steps,); 0 where unknown."""
        n = len(targets.weights)
        p = np.clip(targets.probs[:, 0], 1 - SUREST, SUREST)
        prior = self.priors[np.minimum(np.arange(n), len(self.priors) - 1)]
        return np.where(targets.known, _logit(p) - _logit(prior), 0.0)

    def offsets(self) -> list[float]:
        """What balance adds to the logit of + against -, by position: subtract it to get probabilities back."""
        return [float(np.log(right / wrong)) for right, wrong in self.weights[:, :2]]


def fit_balance(
    targets: Sequence[Targets], how: Literal["none", "class", "position"], strength: float = 1.0
) -> Balance:
    """Balance by class, or by class and step position; `strength` 1 makes the classes equal, 0 leaves them."""
    longest = max((len(one.weights) for one in targets), default=0)
    classes = targets[0].probs.shape[1] if targets else 2
    mass = np.zeros((max(longest, 1), classes))
    for one in targets:
        mass[: len(one.weights)] += one.probs * one.weights[:, None]
    priors = (mass[:, 0] + SMOOTHING) / (mass[:, :2].sum(1) + 2 * SMOOTHING)
    if how == "none":
        return Balance(np.ones((1, classes)), priors)
    if how == "class":
        mass = mass.sum(0, keepdims=True)
    smooth = mass + SMOOTHING
    weights = (smooth.sum(1, keepdims=True) / classes / smooth) ** strength
    weights = np.clip(weights, 1 / MAX_WEIGHT, MAX_WEIGHT)
    return Balance(weights * mass.sum() / (weights * mass).sum(), priors)


def _logit(p: Floats) -> Floats:
    return np.asarray(np.log(p / (1 - p)))


def check_classes(targets: Sequence[Targets]) -> dict[str, int]:
    """How many steps of each class there are; DataError where nothing is known or all is one class."""
    found = np.concatenate([one.classes for one in targets]) if targets else np.array([], np.int64)
    counted = {name: int((found == number).sum()) for name, number in _CLASSES.items()}
    counted[UNKNOWN] = int((found == -100).sum())
    if not any(counted[name] for name in (RIGHT, WRONG, NEUTRAL)):
        raise DataError(
            f"none of {len(found)} steps has a label: run merge (or rollout, judge), or name other labels with "
            "train.labels"
        )
    if not counted[WRONG] or not counted[RIGHT]:
        only = RIGHT if counted[RIGHT] else WRONG
        raise DataError(
            f"all {counted[only]} labelled steps are {only!r}: a reward model learns nothing from one class. "
            + (
                "Keep wrong solutions (select), sample more rollouts, or raise train.threshold"
                if only == RIGHT
                else "Lower train.threshold, or let an easier model write the solutions"
            )
        )
    return counted


def is_hard_negative(row: Mapping[str, Any], targets: Targets) -> bool:
    """A solution whose answer is right although a step is wrong: what an outcome cannot tell."""
    return bool(row.get("is_correct")) and bool((targets.classes == 1).any())
