"""Expected accuracy: what counts of rollouts say of each step, with intervals, chance taken out, and labels.

Counts are arrays (n, S), row = solution, column = step: `correct` of `total` rollouts that could be read.

    correct  16  9  0        total  16 16  0        chance 0.25 (four options)
    expected_accuracy        1.00 0.56  nan         nothing sampled is not zero
    corrected                1.00 0.42  nan         (mc - chance) / (1 - chance)
    value_labels             +    +     ?           mc > tau, tau = 0 (VisualPRM, arXiv 2503.10291)
    advantage_labels         ?    -     ?           mc_i against mc_{i-1}, with a neutral band
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv

from medprm_hf.schema import Label

Floats = NDArray[np.float64]
Labels = NDArray[np.str_]

UNKNOWN, RIGHT, WRONG, NEUTRAL = (label.value for label in (Label.UNKNOWN, Label.RIGHT, Label.WRONG, Label.NEUTRAL))
QUADRATURE = (np.arange(128) + 0.5) / 128  # quantiles at which `improvement` averages


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, np.float64)


def _ratio(above: Floats, below: Floats) -> Floats:
    """above / below; nan where `below` is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = np.where(below > 0, above / below, np.nan)
    return ratio


def expected_accuracy(correct: ArrayLike, total: ArrayLike) -> Floats:
    """Expected accuracy mc = correct / total, 0..1, same shape; nan where nothing was read."""
    return _ratio(_floats(correct), _floats(total))


def interval(correct: ArrayLike, total: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Jeffreys interval of the rate behind the counts, both ends 0..1; nan where nothing was read.

    Equal-tailed under Beta(1/2, 1/2); an end is kept at 0 or 1 when no or all rollouts are correct
    (Brown, Cai, DasGupta 2001, section 4.3).
    """
    hits, count = _floats(correct), _floats(total)
    tail = (1 - level) / 2
    low = np.where(hits == 0, 0.0, betaincinv(hits + 0.5, count - hits + 0.5, tail))
    high = np.where(hits == count, 1.0, betaincinv(hits + 0.5, count - hits + 0.5, 1 - tail))
    return np.where(count > 0, low, np.nan), np.where(count > 0, high, np.nan)


def chance(num_options: ArrayLike) -> Floats:
    """Accuracy of guessing among the options, 0..1; nan for an open question (0 options)."""
    options = _floats(num_options)
    return _ratio(np.ones_like(options), np.where(options > 1, options, 0))


def corrected(accuracy: ArrayLike, baseline: ArrayLike) -> Floats:
    """(mc - baseline) / (1 - baseline): 0 is guessing, 1 is always right, below 0 is worse than guessing.

    `baseline` is `chance`, or better the accuracy of rollouts of the empty prefix; nan counts as 0 (an open
    question is not guessed). The map is linear: apply it to both ends of an interval to correct that too.
    """
    base = np.nan_to_num(_floats(baseline), nan=0.0)
    return _ratio(_floats(accuracy) - base, 1 - base)


def value_labels(correct: ArrayLike, total: ArrayLike, tau: float = 0.0, baseline: ArrayLike = np.nan) -> Labels:
    """`+` where mc (less `baseline`, see `corrected`) lies above tau, `-` where not, `?` where unsampled."""
    value = corrected(expected_accuracy(correct, total), baseline)
    # Counts are small integers: 3 of 16 against tau = 3/16 must not hang on the last bit.
    labels = np.where(value > tau + 1e-12, RIGHT, WRONG)
    return np.where(np.isnan(value), UNKNOWN, labels)


def improvement(correct: ArrayLike, total: ArrayLike) -> Floats:
    """P(mc_i > mc_{i-1}) of each step, (n, S), under Beta(1/2, 1/2) priors; nan where either is unsampled.

    The first column is nan: put the counts of the empty prefix in front to judge the first step too.
    """
    hits, count = np.atleast_2d(_floats(correct)), np.atleast_2d(_floats(total))
    result = np.full(hits.shape, np.nan)
    known = (count[:, 1:] > 0) & (count[:, :-1] > 0)
    pairs = np.stack([hits[:, 1:], count[:, 1:], hits[:, :-1], count[:, :-1]], -1)[known]
    if len(pairs):
        unique, back = np.unique(pairs, axis=0, return_inverse=True)
        result[:, 1:][known] = _p_greater(unique)[back.ravel()]
    return result


def _p_greater(pairs: Floats) -> Floats:
    """P(x > y) for rows (correct_x, total_x, correct_y, total_y): mean of F_y over the quantiles of x."""
    cx, tx, cy, ty = (pairs[:, k : k + 1] for k in range(4))
    quantiles = betaincinv(cx + 0.5, tx - cx + 0.5, QUADRATURE)
    return _floats(betainc(cy + 0.5, ty - cy + 0.5, quantiles).mean(1))


def advantage_labels(
    correct: ArrayLike, total: ArrayLike, band: float = 0.0, confidence: float | None = None
) -> tuple[Labels, Floats]:
    """Labels by mc_i - mc_{i-1}, and P(mc_i > mc_{i-1}), both (n, S); the first step is `?`.

    Without `confidence`: `+` above `band`, `-` below -`band`, else `0` (VisualPRM's advantage is band 0).
    With `confidence` (0.5..1): `+` where P(mc_i > mc_{i-1}) reaches it, `-` where 1 - P does, else `0`.
    """
    rise = np.diff(np.atleast_2d(expected_accuracy(correct, total)), axis=1, prepend=np.nan)
    probability = improvement(correct, total)
    if confidence is None:
        score, up, down = rise, rise > band + 1e-12, rise < -band - 1e-12
    else:
        score, up, down = probability, probability >= confidence, probability <= 1 - confidence
    labels = np.where(up, RIGHT, np.where(down, WRONG, NEUTRAL))
    return np.where(np.isnan(score), UNKNOWN, labels), probability


def fill_after_first_wrong(labels: Labels, num_steps: ArrayLike) -> Labels:
    """Every step after the first `-` becomes `-`: how early stop and Med-PRM read a solution."""
    inside = np.arange(labels.shape[1])[None] < np.asarray(num_steps)[:, None]
    after = np.maximum.accumulate(labels == WRONG, axis=1)
    return np.where(after & inside, WRONG, labels)


def given_wrong_answer(p_right: Floats, num_steps: ArrayLike, wrong: ArrayLike) -> Floats:
    """P(no wrong step up to j), (n, S), once more where the solution's own answer is known to be wrong (n,).

    A whole solution with a wrong answer has a wrong step somewhere: P(j) becomes (P(j) - P(last)) / (1 - P(last)),
    and 0 for the last step. For estimators that model the first wrong step, so that P never rises.
    """
    rows = np.flatnonzero(np.asarray(wrong, bool))
    last = p_right[rows, np.asarray(num_steps, np.int64)[rows] - 1][:, None]
    result = p_right.copy()
    # Where the estimator was certain of every step, only the last one is left to be wrong.
    sure = last > 1 - 1e-9
    result[rows] = np.where(sure, 1.0, (p_right[rows] - last) / (1 - last + sure))
    result[rows, np.asarray(num_steps, np.int64)[rows] - 1] = 0.0
    return np.where(np.isnan(p_right), np.nan, result.clip(0, 1))
