"""Scores of two benchmarks as published: where the first error stands (ProcessBench), and PRMScore (PRMBench).

    >>> first_error([0.9, 0.2, 0.8], 0.5), first_error([0.9, 0.8], 0.5), first_error([0.9, None, 0.1], 0.5)
    (1, -1, None)
    >>> error_place_f1([1, -1, 0], [1, -1, 2]).f1
    0.6666666666666666

ProcessBench (arXiv 2412.06559, section 3.3): accuracy on solutions with an error (its place exactly) and on those
without, and their harmonic mean. PRMBench (arXiv 2501.03124, section 3.3): half F1 of + and half F1 of -, pooled over
the steps of each category; where a category has no wrong step (multi_solutions) F1 of - does not exist, and the share
of its right steps found stands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medprm_hf.errors import DataError
from medprm_hf.schema import Label

Floats = NDArray[np.float64]
Score = float | None

NONE = -1
"""Place of the first error where there is none."""

CATEGORIES: dict[str, tuple[str, str]] = {
    "redundency": ("simplicity", "NR"),
    "circular": ("simplicity", "NCL"),
    "counterfactual": ("soundness", "ES"),
    "step_contradiction": ("soundness", "SC"),
    "domain_inconsistency": ("soundness", "DC"),
    "confidence": ("soundness", "CI"),
    "missing_condition": ("sensitivity", "PS"),
    "deception": ("sensitivity", "DR"),
    "multi_solutions": ("sensitivity", "MS"),
}
"""PRMBench's `classification` (as its file spells it): subject and the paper's abbreviation."""


class ErrorPlace(NamedTuple):
    """ProcessBench's figures."""

    f1: float | None
    """Harmonic mean of both accuracies; None where one kind of solution is missing."""
    with_error: float | None
    """Share of the solutions with an error whose first error was placed exactly."""
    without_error: float | None
    """Share of the solutions without one of which that was said."""
    n_with_error: int
    n_without_error: int
    unknown: int
    """Solutions whose place could not be told (a step before it has no score): they count as missed."""


def first_error(scores: Sequence[Score], threshold: float) -> int | None:
    """Place (from 0) of the first step whose score is not above the threshold, -1 for none.

    None where a step without a score comes before it: nobody knows then.
    """
    for place, score in enumerate(scores):
        if score is None:
            return None
        if score <= threshold:
            return place
    return NONE


def true_first_error(labels: Sequence[str]) -> int | None:
    """Place of the first -, -1 for none; None where ? comes before it. Neutral steps are no errors."""
    for place, label in enumerate(labels):
        if label == Label.UNKNOWN:
            return None
        if label == Label.WRONG:
            return place
    return NONE


def error_place_counts(found: Sequence[int | None], truth: Sequence[int | None]) -> Floats:
    """(solutions, 5): with an error and hit, with an error, without and hit, without, found unknown."""
    if len(found) != len(truth):
        raise DataError(f"{len(found)} places found, {len(truth)} true ones: they must line up")
    counts = np.zeros((len(truth), 5))
    for row, (ours, theirs) in enumerate(zip(found, truth, strict=True)):
        if theirs is None:
            continue
        start = 2 if theirs == NONE else 0
        counts[row, start : start + 2] = ours == theirs, 1
        counts[row, 4] = ours is None
    return counts


def error_place_statistic(counts: Floats) -> Floats:
    """F1 of summed counts (…, 5); nan where one kind of solution is missing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        hit, free = counts[..., 0] / counts[..., 1], counts[..., 2] / counts[..., 3]
        both = hit + free
        return np.where(both == 0, 0.0, 2 * hit * free / np.where(both == 0, 1.0, both))


def error_place_f1(found: Sequence[int | None], truth: Sequence[int | None]) -> ErrorPlace:
    """ProcessBench's figures of places found against true ones; solutions with an unknown truth are left out."""
    counts = error_place_counts(found, truth).sum(0)
    f1 = float(error_place_statistic(counts))
    shares = [float(counts[i] / counts[i + 1]) if counts[i + 1] else None for i in (0, 2)]
    return ErrorPlace(
        None if np.isnan(f1) else f1, shares[0], shares[1], int(counts[1]), int(counts[3]), int(counts[4])
    )


def best_error_threshold(scores: Sequence[Sequence[Score]], truth: Sequence[int | None], most: int = 200) -> float:
    """The threshold with the highest first-error F1 on development data; 0.5 where it cannot be told."""
    known: list[float] = sorted({score for row in scores for score in row if score is not None})
    if not known:
        return 0.5
    places = np.unique(np.linspace(0, len(known) - 1, most).round().astype(int))
    cuts = [0.5, *(known[int(place)] for place in places)]
    found = [error_place_f1([first_error(row, cut) for row in scores], truth).f1 for cut in cuts]
    if all(f1 is None for f1 in found):
        return 0.5
    return cuts[max(range(len(cuts)), key=lambda i: (found[i] or 0.0, -abs(cuts[i] - 0.5)))]


class PRMScore(NamedTuple):
    """PRMBench's figures of one category."""

    score: float | None
    """Half F1 of + and half F1 of -; see the file's head for categories without a wrong step."""
    f1: float | None
    """F1 of right steps."""
    negative_f1: float | None
    """F1 of wrong steps; None where there is none."""
    right_found: float | None
    """Share of the right steps that were called right."""
    wrong_found: float | None
    """Share of the wrong steps that were called wrong."""
    n_steps: int
    skipped: int
    """Steps without a score; in none of these figures."""


def prm_score(counts: Floats) -> PRMScore:
    """From summed counts of `agreement.confusion`, (6,)."""
    pp, pm, pu, mp, mm, mu = (float(value) for value in counts)
    f1 = _ratio(2 * pp, 2 * pp + pm + mp)
    negative = _ratio(2 * mm, 2 * mm + pm + mp) if mp + mm else None
    right = _ratio(pp, pp + pm)
    score = right if negative is None else None if f1 is None else (f1 + negative) / 2
    return PRMScore(score, f1, negative, right, _ratio(mm, mp + mm), int(pp + pm + mp + mm), int(pu + mu))


def prm_score_statistic(counts: Floats) -> Floats:
    """PRMScore of summed counts (n, 6), (n,); nan where there is none."""
    return np.array([np.nan if (score := prm_score(row).score) is None else score for row in counts])


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
