"""How far P(+) can be taken at its word: reliability, calibration errors, Brier score, correlation. Pure functions.

    >>> [round(b.share_right, 2) for b in reliability([0.1, 0.2, 0.9, 0.9], [0, 0, 1, 0], bins=2)]
    [0.0, 0.5]
    >>> round(brier([0.9, 0.2], [1, 0]), 3)
    0.025

All take flat arrays over steps, (n,): scores 0..1 and whether the step is right, 0 or 1. Bins of equal width (Guo et
al. 2017, arXiv 1706.04599) or of equal counts (adaptive, Nixon et al. 2019, arXiv 1904.01685). Intervals resample whole
questions: `groups` names each step's.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medprm_hf.errors import DataError
from medprm_hf.labels.agreement import percentiles, resample

Floats = NDArray[np.float64]
BINS = 15
_EDGE = 1e-6


class Bin(NamedTuple):
    """One bin of a reliability plot."""

    low: float
    high: float
    n: int
    mean_score: float
    share_right: float


def _pair(scores: ArrayLike, right: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(scores, float), np.asarray(right, float)
    if x.shape != y.shape or x.ndim != 1:
        raise DataError(f"scores of shape {x.shape} and labels of shape {y.shape}: give one each a step")
    if len(x) and (np.isnan(x).any() or x.min() < 0 or x.max() > 1):
        raise DataError("scores must be probabilities, 0 to 1, without unknown ones: leave those out before")
    return x, y


def _places(x: Floats, bins: int) -> NDArray[np.intp]:
    return np.minimum((x * bins).astype(np.intp), bins - 1)


def reliability(scores: ArrayLike, right: ArrayLike, bins: int = BINS, adaptive: bool = False) -> list[Bin]:
    """Bins that hold a step, in order. `adaptive`: of equal counts, so that equal scores stay together."""
    x, y = _pair(scores, right)
    if not len(x):
        return []
    if adaptive:
        edges = np.unique(np.quantile(x, np.linspace(0, 1, bins + 1)))
        place = np.searchsorted(edges[1:-1], x, side="right")
    else:
        edges, place = np.linspace(0, 1, bins + 1), _places(x, bins)
    found = []
    for each in np.unique(place):
        own = place == each
        high = float(edges[min(each + 1, len(edges) - 1)])
        found.append(Bin(float(edges[each]), high, int(own.sum()), float(x[own].mean()), float(y[own].mean())))
    return found


def error_of(bins: Sequence[Bin]) -> float | None:
    """Expected calibration error of bins, 0..1: mean gap, weighted by count; None of nothing."""
    total = sum(one.n for one in bins)
    return sum(abs(one.mean_score - one.share_right) * one.n for one in bins) / total if total else None


def brier(scores: ArrayLike, right: ArrayLike) -> float | None:
    """Mean squared distance of score and truth, 0..1; None of nothing."""
    x, y = _pair(scores, right)
    return float(((x - y) ** 2).mean()) if len(x) else None


def pearson(scores: ArrayLike, right: ArrayLike) -> float | None:
    """Correlation of score and truth, -1..1; None where either never changes."""
    x, y = _pair(scores, right)
    return None if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0 else float(np.corrcoef(x, y)[0, 1])


def tempered(scores: ArrayLike, temperature: float) -> Floats:
    """Scores whose logits are divided by the temperature."""
    return np.asarray(1 / (1 + np.exp(-logits(scores) / temperature)))


def logits(scores: ArrayLike) -> Floats:
    """log(p / (1 - p)), with p kept a millionth away from 0 and 1."""
    p = np.clip(np.asarray(scores, float), _EDGE, 1 - _EDGE)
    return np.asarray(np.log(p / (1 - p)))


class Intervals(NamedTuple):
    """[low, high] of each figure, None where it cannot be told."""

    error: list[float] | None
    brier: list[float] | None
    pearson: list[float] | None


def intervals(
    scores: ArrayLike, right: ArrayLike, groups: Sequence[Hashable], bins: int = BINS, resamples: int = 1000
) -> Intervals:
    """95 % intervals over resampled groups: of the calibration error (equal width), Brier score and correlation."""
    x, y = _pair(scores, right)
    if len(groups) != len(x):
        raise DataError(f"{len(groups)} groups for {len(x)} steps: each step needs one")
    if not len(x):
        return Intervals(None, None, None)
    names = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    own = np.array([names[group] for group in groups])
    sums = np.zeros((len(names), 3 * bins + 4))
    place = _places(x, bins)
    for offset, values in enumerate((np.ones(len(x)), x, y)):
        np.add.at(sums, (own, 3 * place + offset), values)
    for offset, values in enumerate((x * x, y * y, x * y, (x - y) ** 2)):
        np.add.at(sums, (own, np.full(len(x), 3 * bins + offset)), values)
    return Intervals(*(percentiles(resample(sums, statistic, resamples)) for statistic in (_error, _brier, _pearson)))


def _bins(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Counts, scores and truths by bin, (samples, bins)."""
    inner = sums[:, :-4].reshape(len(sums), -1, 3)
    return inner[..., 0], inner[..., 1], inner[..., 2]


def _error(sums: Floats) -> Floats:
    n, x, y = _bins(sums)
    return np.asarray(np.abs(x - y).sum(1) / n.sum(1))


def _brier(sums: Floats) -> Floats:
    return np.asarray(sums[:, -1] / _bins(sums)[0].sum(1))


def _pearson(sums: Floats) -> Floats:
    count, x, y = (part.sum(1) for part in _bins(sums))
    xx, yy, xy = sums[:, -4], sums[:, -3], sums[:, -2]
    spread = (xx - x * x / count) * (yy - y * y / count)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 1e-18, (xy - x * y / count) / np.sqrt(np.maximum(spread, 0)), np.nan)
