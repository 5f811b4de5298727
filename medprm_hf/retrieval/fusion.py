"""Reciprocal-rank fusion: several rankings become one (Cormack, Clarke and Büttcher, SIGIR 2009).

A passage's score is the sum of weight / (c + rank) over the rankings that hold it, ranks from 1.

    >>> fuse([["a", "b"], ["b", "c"]], [1.0, 1.0], k=2)[0][0]
    'b'
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)

CONSTANT = 60.0


def fuse(
    rankings: Sequence[Sequence[Name]], weights: Sequence[float], k: int, constant: float = CONSTANT
) -> list[tuple[Name, float]]:
    """The k best names of the rankings (each best first), with their scores; equal ones as first met."""
    scores: dict[Name, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, name in enumerate(ranking, start=1):
            scores[name] = scores.get(name, 0.0) + weight / (constant + rank)
    return sorted(scores.items(), key=lambda item: -item[1])[:k]
