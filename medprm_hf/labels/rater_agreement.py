"""How far several people agree: Krippendorff's alpha, Fleiss' kappa, Cohen's kappa of each pair, with intervals.

A unit is one step; its ratings are {rater: label}, raters may be missing, ? counts as missing. Labels are nominal.

    alpha = 1 - D_o / D_e      Krippendorff 2004, ch. 11: any number of raters, missing ratings allowed
    kappa = (P - P_e) / (1 - P_e)      Fleiss 1971; units of unequal numbers of raters count alike

Intervals are bootstraps over groups (questions), since the steps of a question are alike. None where nothing can be
measured: no unit with two ratings, or one label alone (then chance explains everything).

>>> round(alpha([{"ann": "+", "bob": "+"}, {"ann": "-", "bob": "-"}, {"ann": "+", "bob": "-"}]).value, 3)
0.444
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medprm_hf.labels.agreement import NEUTRAL, RIGHT, WRONG, Floats, by_group, cohen_kappa, percentiles, resample

Ratings = Sequence[Mapping[str, str]]
"""{rater: label} of each unit."""
RATED = (RIGHT, WRONG, NEUTRAL)


class Figure(NamedTuple):
    """One measure of agreement."""

    value: float | None
    """At most 1; 0 is chance. None where it cannot be measured."""
    low: float | None
    """Lower end of its 95 % interval; None where too little is there."""
    high: float | None
    n: int
    """Units with two ratings or more."""


class Pair(NamedTuple):
    """Agreement of two raters (Cohen)."""

    raters: tuple[str, str]
    value: float | None
    low: float | None
    high: float | None
    n: int
    """Units that both rated."""


def alpha(
    ratings: Ratings, groups: Sequence[Hashable] | None = None, resamples: int = 1000, seed: int = 0,
    labels: Sequence[str] = RATED,
) -> Figure:  # fmt: skip
    """Krippendorff's alpha for nominal labels, over units with two ratings or more."""
    counts = _counts(ratings, labels)
    size = len(labels)
    each = counts.sum(1)
    pairable = each >= 2
    # A unit's part of the coincidence matrix: n_c n_k / (n - 1), on the diagonal n_c (n_c - 1) / (n - 1).
    outer = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(size)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = np.where(pairable[:, None, None], outer / (each - 1)[:, None, None], 0.0)
    return _figure(parts.reshape(len(counts), size * size), pairable, _alpha, groups, resamples, seed)


def fleiss(
    ratings: Ratings, groups: Sequence[Hashable] | None = None, resamples: int = 1000, seed: int = 0,
    labels: Sequence[str] = RATED,
) -> Figure:  # fmt: skip
    """Fleiss' kappa over units with two ratings or more; the numbers of raters may differ."""
    counts = _counts(ratings, labels)
    each = counts.sum(1)
    pairable = each >= 2
    with np.errstate(invalid="ignore", divide="ignore"):
        agreed = (counts * (counts - 1)).sum(1) / (each * (each - 1))
    parts = np.column_stack([np.ones(len(counts)), np.nan_to_num(agreed), counts])
    return _figure(np.where(pairable[:, None], parts, 0.0), pairable, _fleiss, groups, resamples, seed)


def pairs(
    ratings: Ratings, groups: Sequence[Hashable] | None = None, resamples: int = 200, seed: int = 0, most: int = 50
) -> list[Pair]:
    """Cohen's kappa of the pairs of raters that share most units, at most `most` of them."""
    shared: dict[tuple[str, str], list[int]] = {}
    for number, unit in enumerate(ratings):
        for pair in combinations(sorted(rater for rater, label in unit.items() if label in RATED), 2):
            shared.setdefault(pair, []).append(number)
    found = []
    for (first, second), units in sorted(shared.items(), key=lambda entry: (-len(entry[1]), entry[0]))[:most]:
        ours, theirs = ([[ratings[number][rater]] for number in units] for rater in (first, second))
        named = [groups[number] for number in units] if groups is not None else None
        kappa = cohen_kappa(ours, theirs, named, resamples, seed)
        low, high = kappa.interval or (None, None)
        found.append(Pair((first, second), kappa.kappa, low, high, kappa.n_steps))
    return found


def _counts(ratings: Ratings, labels: Sequence[str]) -> Floats:
    """How often each unit got each label, (units, labels)."""
    place = {label: column for column, label in enumerate(labels)}
    counts = np.zeros((len(ratings), len(labels)))
    for number, unit in enumerate(ratings):
        for label in unit.values():
            if label in place:
                counts[number, place[label]] += 1
    return counts


def _figure(
    parts: Floats, pairable: NDArray[np.bool_], statistic: Callable[[Floats], Floats],
    groups: Sequence[Hashable] | None, resamples: int, seed: int,
) -> Figure:  # fmt: skip
    named = None if groups is None else [group for group, there in zip(groups, pairable, strict=True) if there]
    there = by_group(parts[pairable], named)
    n = int(pairable.sum())
    if not n:
        return Figure(None, None, None, 0)
    value = float(statistic(there.sum(0, keepdims=True))[0])
    low, high = percentiles(resample(there, statistic, resamples, seed)) or (None, None)
    return Figure(None if np.isnan(value) else value, low, high, n)


def _alpha(sums: Floats) -> Floats:
    """Alpha of coincidence matrices (n, labels ** 2); nan where one label alone was given."""
    size = int(np.sqrt(sums.shape[1]))
    matrix = sums.reshape(-1, size, size)
    each = matrix.sum(2)
    total = each.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = 1 - np.trace(matrix, axis1=1, axis2=2) / total
        chance = 1 - (each * (each - 1)).sum(1) / (total * (total - 1))
        return np.asarray(np.where(chance > 1e-12, 1 - seen / chance, np.nan))


def _fleiss(sums: Floats) -> Floats:
    """Kappa of (units, sum of agreements, ratings of each label), (n, 2 + labels)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = sums[:, 1] / sums[:, 0]
        share = sums[:, 2:] / sums[:, 2:].sum(1, keepdims=True)
        chance = (share**2).sum(1)
        return np.asarray(np.where(chance < 1 - 1e-12, (seen - chance) / (1 - chance), np.nan))
