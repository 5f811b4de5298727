"""Merge policies (M7): a judge's labels and the rollouts' counts of one solution become one label a step.

Lists line up by step, [num_steps]. mc_i = correct_i / total_i is raw, and unknown where nothing was read; another
figure (corrected for chance, or the estimator's P(right)) can stand in its place.

    policy       label                                                               label_p: P(step is right)
    consensus    + where the judge says + and mc > high; - where it says - and       min(mc, cap), 1 - min(1-mc, cap);
                 mc < low; else ?, for an expert                                     0.5 (null if nothing is known)
    judge_first  the judge's where it is sure (a label, confidence high); else +     the judge's P(+), if it gives one;
                 where mc > 0.5 and - where not; unsampled: the judge's, for review  mc where the rollouts decided
    value        + where mc > threshold (tau), else - (VisualPRM, arXiv 2503.10291)  mc
    advantage    + 0 - by the sign of mc_i - mc_{i-1} (VisualPRM), 0 up to `band`,   null: a rise is no probability
                 and where P(mc_i > mc_{i-1}) or of a fall is below `certainty`;
                 the first step has nothing before it and is labelled as by value
    medprm       the judge's; everything after its first - is - (arXiv 2506.11474)   the lowest P(+) from that - on
    judge        the judge's, each step by itself                                    the judge's P(+), if it gives one
    label_model  by P(right), learnt from how signals agree and from experts         that probability, calibrated
                 (needs many solutions: `labels/label_learning.py`)

`label_method` is `policy:reason`, from a closed list (`METHODS`). `needs_review` marks what the policy is not
sure of. An expert's label wins over all of these, later (`schema.final_labels`).

    >>> merge("consensus", judge_labels=["+", "-"], judge_confidence=["high", "low"], judge_p_plus=[None, None],
    ...       rollout_correct=[8, 8], rollout_total=[8, 8]).labels
    ['+', '?']
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.labels.accuracy import improvement
from medprm_hf.registry import near
from medprm_hf.schema import Label

RIGHT, WRONG, NEUTRAL, UNKNOWN = (label.value for label in (Label.RIGHT, Label.WRONG, Label.NEUTRAL, Label.UNKNOWN))
_EPSILON = 1e-12  # 7 of 10 against 0.7 must not hang on the last bit

Pair = tuple[tuple[int, int], tuple[int, int]]
"""(correct, total) of a step and of the next."""


@dataclass(frozen=True)
class MergeSettings:
    """Thresholds of the policies; the defaults are M7's."""

    high: float = 0.7
    """Consensus: a `+` needs mc above this."""
    low: float = 0.3
    """Consensus: a `-` needs mc below this."""
    cap: float = 0.95
    """Consensus: confidence is never above this."""
    threshold: float = 0.0
    """Value (and the first step of advantage): `+` where mc is above this (tau)."""
    majority: float = 0.5
    """Judge first: `+` where mc is above this."""
    band: float = 0.0
    """Advantage: changes up to this size are neutral (VisualPRM: 0)."""
    certainty: float = 0.0
    """Advantage: a change whose direction has less posterior probability than this is neutral (VisualPRM: 0)."""
    monotone: bool = False
    """Value: an unsampled step is `-` after the first `-`, and `+` before a `+` in front of it (OmegaPRM)."""

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ConfigError(
                f"merge.low={self.low} and merge.high={self.high}: a step between them is uncertain, "
                "so use 0 <= low <= high <= 1"
            )
        for name in ("cap", "threshold", "majority", "band", "certainty"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"merge.{name}={getattr(self, name)} is a share: use 0 to 1")


@dataclass(frozen=True)
class Merged:
    """What merge says of one solution; lists are [num_steps]."""

    labels: list[str]
    """+ - 0 or ?."""
    label_p: list[float | None]
    """P(the step is right), 0..1, in the policy's own sense; None where it has none."""
    label_method: list[str]
    """`policy:reason`."""
    needs_review: list[bool]
    """Whether an expert should look."""


@dataclass(frozen=True)
class _Step:
    """Everything known of one step."""

    judge: str
    confidence: str | None
    p_plus: float | None
    mc: float | None
    mc_before: float | None
    first: bool
    counts: Pair | None = None
    """(correct, total) of the step before and of this one, where both were sampled."""


@dataclass(frozen=True)
class _Result:
    label: str
    p: float | None
    reason: str
    review: bool


@dataclass(frozen=True)
class Policy:
    """A way of merging."""

    text: str
    """What it does, in a line."""
    needs: tuple[str, ...]
    """Stages whose columns it cannot do without: rollout, judge."""
    decide: Callable[[Sequence[_Step], MergeSettings], list[_Result]] | None
    """Steps of one solution to results, [num_steps]; None for one that learns from many solutions."""


def merge(
    policy: str,
    *,
    judge_labels: Sequence[str] | None = None,
    judge_confidence: Sequence[str | None] | None = None,
    judge_p_plus: Sequence[float | None] | None = None,
    rollout_correct: Sequence[int] | None = None,
    rollout_total: Sequence[int] | None = None,
    figures: Sequence[float | None] | None = None,
    settings: MergeSettings | None = None,
) -> Merged:
    """One label per step of one solution; every list is [num_steps], None where its stage did not run.

    `figures` stand in the place of mc, None where unknown: the corrected expected accuracy, or P(right).
    Raises ConfigError for an unknown policy, DataError for lists of different lengths or impossible counts.
    """
    if policy not in POLICIES:
        raise ConfigError(f"unknown merge policy {policy!r}{near(policy, POLICIES)}")
    decide = POLICIES[policy].decide
    if decide is None:
        raise ConfigError(
            f"merge policy {policy} learns from many solutions and cannot label one alone: use the merge stage on a "
            "batch, or labels.label_learning"
        )
    steps = _steps(
        {
            "judge_labels": judge_labels,
            "judge_confidence": judge_confidence,
            "judge_p_plus": judge_p_plus,
            "rollout_correct": rollout_correct,
            "rollout_total": rollout_total,
            "figures": figures,
        }
    )
    results = decide(steps, settings or MergeSettings())
    return Merged(
        [result.label for result in results],
        [result.p for result in results],
        [f"{policy}:{result.reason}" for result in results],
        [result.review for result in results],
    )


def _steps(columns: dict[str, Sequence[object] | None]) -> list[_Step]:
    lengths = {name: len(column) for name, column in columns.items() if column is not None}
    if len(set(lengths.values())) > 1:
        raise DataError(f"lists of one solution must line up by step, but have lengths {lengths}")
    if not lengths:
        raise DataError("merge has neither judge nor rollout columns: run one of these stages first")
    n = next(iter(lengths.values()))
    judge, confidence, p_plus, correct, total, figures = (
        [None] * n if column is None else list(column) for column in columns.values()
    )
    mc = [_accuracy(c, t) for c, t in zip(correct, total, strict=True)]
    if columns["figures"] is not None:
        mc = [_float(figure) for figure in figures]
    before = [None, *mc[:-1]]
    pairs = [None, *map(_pair, correct[:-1], total[:-1], correct[1:], total[1:])]
    return [
        _Step(str(judge[i] or UNKNOWN), _str(confidence[i]), _float(p_plus[i]), mc[i], before[i], i == 0, pairs[i])
        for i in range(n)
    ]


def _pair(correct: Any, total: Any, correct_next: Any, total_next: Any) -> Pair | None:
    return ((correct, total), (correct_next, total_next)) if total and total_next else None


def _accuracy(correct: object, total: object) -> float | None:
    if not total:
        return None
    if not (isinstance(correct, int) and isinstance(total, int) and 0 <= correct <= total):
        raise DataError(f"{correct} correct of {total} rollouts: correct must be 0 to total")
    return correct / total


def _str(value: object) -> str | None:
    return None if value is None else str(value)


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


# --- the policies --------------------------------------------------------------------------------------------


def _consensus(steps: Sequence[_Step], settings: MergeSettings) -> list[_Result]:
    return [_agreed(step, settings) for step in steps]


def _agreed(step: _Step, settings: MergeSettings) -> _Result:
    mc = step.mc
    if mc is None:
        p = None if step.judge == UNKNOWN else 0.5
        return _Result(UNKNOWN, p, "unknown" if p is None else "unsampled", True)
    if step.judge in (UNKNOWN, NEUTRAL):
        return _Result(UNKNOWN, 0.5, "unjudged" if step.judge == UNKNOWN else "neutral", True)
    above, below = mc > settings.high + _EPSILON, mc < settings.low - _EPSILON
    if step.judge == RIGHT and above:
        return _Result(RIGHT, min(mc, settings.cap), "agree+", False)
    if step.judge == WRONG and below:
        return _Result(WRONG, 1 - min(1 - mc, settings.cap), "agree-", False)
    return _Result(UNKNOWN, 0.5, "disagree" if above or below else "unclear", True)


def _judge_first(steps: Sequence[_Step], settings: MergeSettings) -> list[_Result]:
    return [_judged_or_sampled(step, settings) for step in steps]


def _judged_or_sampled(step: _Step, settings: MergeSettings) -> _Result:
    # A sure judge is never overruled: its labels must not depend on whether rollouts happen to exist.
    if judge_is_sure(step.judge, step.confidence):
        return _Result(step.judge, step.p_plus, "judge", False)
    if step.mc is not None:
        right = step.mc > settings.majority + _EPSILON
        return _Result(RIGHT if right else WRONG, max(step.mc, 0.0), "rollouts", False)
    if step.judge == UNKNOWN:
        return _Result(UNKNOWN, None, "unknown", True)
    return _Result(step.judge, step.p_plus, "unsure", True)


def judge_is_sure(label: str, confidence: str | None) -> bool:
    """Whether judge_first takes the judge's word: it gave a label, and its confidence is high."""
    return label != UNKNOWN and confidence == "high"


def _value(steps: Sequence[_Step], settings: MergeSettings) -> list[_Result]:
    results = [_by_value(step, settings) for step in steps]
    return _inferred(results) if settings.monotone else results


def _inferred(results: list[_Result]) -> list[_Result]:
    """Unsampled steps from what was sampled around them; P(right) stays unknown."""
    labels = [result.label for result in results]
    first_wrong = labels.index(WRONG) if WRONG in labels else len(labels)
    filled = []
    for at, result in enumerate(results):
        label = WRONG if at > first_wrong else RIGHT if RIGHT in labels[at + 1 : first_wrong] else UNKNOWN
        known = result.label != UNKNOWN or label == UNKNOWN
        filled.append(result if known else _Result(label, None, "inferred", False))
    return filled


def _by_value(step: _Step, settings: MergeSettings) -> _Result:
    if step.mc is None:
        return _Result(UNKNOWN, None, "unsampled", True)
    right = step.mc > settings.threshold + _EPSILON
    return _Result(RIGHT if right else WRONG, max(step.mc, 0.0), "above" if right else "below", False)


def _advantage(steps: Sequence[_Step], settings: MergeSettings) -> list[_Result]:
    return [_by_rise(step, settings) for step in steps]


def _by_rise(step: _Step, settings: MergeSettings) -> _Result:
    if step.first:
        return replace(_by_value(step, settings), p=None)
    if step.mc is None or step.mc_before is None:
        return _Result(UNKNOWN, None, "unsampled", True)
    rise = step.mc - step.mc_before
    if abs(rise) <= settings.band + _EPSILON:
        return _Result(NEUTRAL, None, "level", False)
    if settings.certainty and (step.counts is None or _direction(step.counts, rise) < settings.certainty):
        return _Result(NEUTRAL, None, "uncertain", False)
    return _Result(RIGHT, None, "rise", False) if rise > 0 else _Result(WRONG, None, "fall", False)


@lru_cache(maxsize=100_000)
def _direction(counts: Pair, rise: float) -> float:
    """P(mc_i > mc_{i-1}) for a rise, of a fall for a fall, given (correct, total) before and now."""
    (correct_before, total_before), (correct, total) = counts
    up = float(improvement([[correct_before, correct]], [[total_before, total]])[0, 1])
    return up if rise > 0 else 1 - up


def _judge(steps: Sequence[_Step], settings: MergeSettings) -> list[_Result]:
    return [_as_judged(step) for step in steps]


def _as_judged(step: _Step) -> _Result:
    if step.judge == UNKNOWN:
        return _Result(UNKNOWN, None, "unjudged", True)
    return _Result(step.judge, step.p_plus, "judge", step.confidence == "low")


def _medprm(steps: Sequence[_Step], settings: MergeSettings) -> list[_Result]:
    results: list[_Result] = []
    wrong, lowest = False, None
    for step in steps:
        own = _as_judged(step)
        if wrong:
            lowest = own.p if lowest is None or (own.p is not None and own.p < lowest) else lowest
            results.append(_Result(WRONG, lowest, "after_first_wrong", False))
        else:
            wrong, lowest = own.label == WRONG, own.p
            results.append(own)
    return results


POLICIES: dict[str, Policy] = {
    "consensus": Policy("judge and rollouts must agree; the rest goes to an expert", ("rollout", "judge"), _consensus),
    "judge_first": Policy("the judge where it is sure, else the rollouts", ("judge",), _judge_first),
    "value": Policy("+ where expected accuracy is above tau (VisualPRM)", ("rollout",), _value),
    "advantage": Policy("+ 0 - by the change in expected accuracy (VisualPRM)", ("rollout",), _advantage),
    "medprm": Policy("the judge; everything after its first - is - (Med-PRM)", ("judge",), _medprm),
    "judge": Policy("the judge alone, each step by itself", ("judge",), _judge),
    "label_model": Policy("learns how far each signal can be trusted, from agreement and experts", (), None),
}
"""Every policy by its name in a recipe."""

METHODS: dict[str, tuple[str, ...]] = {
    "consensus": ("agree+", "agree-", "disagree", "unclear", "neutral", "unsampled", "unjudged", "unknown"),
    "judge_first": ("judge", "rollouts", "unsure", "unknown"),
    "value": ("above", "below", "inferred", "unsampled"),
    "advantage": ("above", "below", "rise", "level", "uncertain", "fall", "unsampled"),
    "medprm": ("judge", "after_first_wrong", "unjudged"),
    "judge": ("judge", "unjudged"),
    "label_model": ("with_judge", "against_judge", "unjudged", "unheard"),
}
"""Reasons that may stand in `label_method` behind `policy:`."""
