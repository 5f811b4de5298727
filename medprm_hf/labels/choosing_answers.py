"""What choosing among N responses is worth, for every N, from one set of responses: no luck of the draw. Pure.

    >>> best_of_shares([0.9, 0.2, 0.5], 2)          # which response Best-of-2 picks, over all pairs
    [0.6666666666666666, 0.0, 0.3333333333333333]
    >>> pass_at(1, 4, 2)                            # 1 of 4 is right: chance that one of two is
    0.5

Each is the mean over all subsets of N of a question's responses, drawn without replacement (as pass@k, Chen et al.
2021, arXiv 2107.03374): exactly for Best-of-N and pass@N; for votes over all subsets, or 256 drawn ones where there
are more. Equal scores and equal votes share. A response without a score is never chosen, one without an answer or
score does not vote; where nothing can be chosen the shares add up to less than 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from medprm_hf.errors import DataError

Score = float | None
SUBSETS = 256
"""Subsets drawn for a vote where there are more than these."""


def _check(n: int, responses: int) -> None:
    if not 1 <= n <= responses:
        raise DataError(f"N={n} of {responses} responses: it must lie between 1 and their number")


def best_of_shares(scores: Sequence[Score], n: int) -> list[float]:
    """How often each response is the best of N, [responses]; they add up to 1 less the chance of no score at all."""
    total = len(scores)
    _check(n, total)
    shares = [0.0] * total
    above, whole = 0, comb(total, n)
    for value in sorted({score for score in scores if score is not None}, reverse=True):
        own = [place for place, score in enumerate(scores) if score == value]
        chosen = comb(total - above, n) - comb(total - above - len(own), n)
        for place in own:
            shares[place] = chosen / whole / len(own)
        above += len(own)
    return shares


def pass_at(right: int, total: int, n: int) -> float:
    """Chance that at least one of N responses is right, where `right` of `total` are."""
    _check(n, total)
    return 1 - comb(total - right, n) / comb(total, n)


def vote_shares(
    answers: Sequence[str | None], weights: Sequence[Score], sizes: Sequence[int], seed: int = 0
) -> dict[int, dict[str, float]]:
    """By N, how often each answer wins the vote of N responses, each voting with its weight.

    The order of the responses does not matter. Weights of 1 give the majority vote (self-consistency).
    """
    if len(answers) != len(weights):
        raise DataError(f"{len(answers)} answers and {len(weights)} weights: each response needs both")
    pairs = [
        (answer, weight) if answer is not None and weight is not None else ("", None)
        for answer, weight in zip(answers, weights, strict=True)
    ]
    pairs.sort(key=lambda pair: (pair[1] is None, pair[0], pair[1] or 0.0))  # the order given must not matter
    names = sorted({answer for answer, weight in pairs if weight is not None})
    given = np.zeros((len(pairs), len(names)), bool)
    for row, (answer, weight) in enumerate(pairs):
        if weight is not None:
            given[row, names.index(answer)] = True
    votes = given * np.array([weight or 0.0 for _, weight in pairs])[:, None]
    return {n: _winners(given, votes, names, n, seed) for n in sizes}


def _winners(
    given: NDArray[np.bool_], votes: NDArray[np.float64], names: Sequence[str], n: int, seed: int
) -> dict[str, float]:
    """Shares of the subsets that each answer wins; `given` and `votes` are (responses, answers)."""
    _check(n, len(given))
    if not names:
        return {}
    drawn = _subsets(len(given), n, seed)
    # An answer that nobody in the subset gave cannot win, even where all weights are 0.
    sums = np.where(given[drawn].any(1), votes[drawn].sum(1), -np.inf)
    most = sums.max(1, keepdims=True)
    best = (sums >= most - 1e-12) & np.isfinite(most)
    wins = best / np.maximum(best.sum(1, keepdims=True), 1)
    return {name: float(share) for name, share in zip(names, wins.mean(0), strict=True)}


@lru_cache(maxsize=64)
def _subsets(total: int, n: int, seed: int) -> NDArray[np.intp]:
    """Index of each subset's responses, (subsets, n): all of them, or SUBSETS drawn ones."""
    if comb(total, n) <= SUBSETS:
        return np.array(list(combinations(range(total), n)), np.intp)
    order = np.random.default_rng(seed).random((SUBSETS, total)).argsort(1)
    return np.asarray(order[:, :n], np.intp)
