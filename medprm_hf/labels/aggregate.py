"""From step scores to one response score, and from several responses to one answer. Pure functions.

    mean (VisualPRM, arXiv 2503.10291) · min (Med-PRM, arXiv 2506.11474) · last · product · max

    >>> aggregate([0.9, 0.2, 0.8], "min")
    0.2
    >>> best_of([0.4, None, 0.7])
    2
    >>> weighted_vote(["A", "B", "A"], [0.3, 0.7, 0.3])
    'B'

A step without a score (lost to truncation, not answered) is None and is left out; a response of which nothing is
known has no score, is never chosen, and does not vote.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.registry import near

Score = float | None

AGGREGATORS: dict[str, Callable[[list[float]], float]] = {
    "mean": lambda scores: sum(scores) / len(scores),
    "min": min,
    "last": lambda scores: scores[-1],
    "product": math.prod,
    "max": max,
}
"""By name; each takes the known step scores, (known,), of which there is at least one."""


def aggregate(scores: Sequence[Score], how: str) -> Score:
    """One score, 0..1, of step scores [num_steps]; None where nothing (for `last`: the last step) is known."""
    if how not in AGGREGATORS:
        raise ConfigError(f"unknown aggregator {how!r}{near(how, AGGREGATORS)}")
    known = [score for score in scores if score is not None and not math.isnan(score)]
    if not known or (how == "last" and (scores[-1] is None or math.isnan(scores[-1]))):
        return None
    return AGGREGATORS[how](known)


def best_of(scores: Sequence[Score]) -> int | None:
    """Index of the response with the highest score, the first of equals; None where none has one."""
    known = [(score, -place) for place, score in enumerate(scores) if score is not None]
    return -max(known)[1] if known else None


def best_of_n(answers: Sequence[str | None], scores: Sequence[Score]) -> str | None:
    """The answer of the response with the highest score (Best-of-N); None where that one has none."""
    _lined_up(answers, scores)
    place = best_of(scores)
    return None if place is None else answers[place]


def majority(answers: Sequence[str | None]) -> str | None:
    """The answer given most often, the first of equals (self-consistency); None where none was given."""
    votes = Counter(answer for answer in answers if answer is not None)
    return votes.most_common(1)[0][0] if votes else None


def weighted_vote(answers: Sequence[str | None], scores: Sequence[Score]) -> str | None:
    """The answer whose responses have the highest sum of scores, the first of equals; None where none can vote."""
    _lined_up(answers, scores)
    votes: dict[str, float] = {}
    for answer, score in zip(answers, scores, strict=True):
        if answer is not None and score is not None:
            votes[answer] = votes.get(answer, 0.0) + score
    return max(votes, key=lambda answer: votes[answer]) if votes else None


def _lined_up(answers: Sequence[str | None], scores: Sequence[Score]) -> None:
    if len(answers) != len(scores):
        raise DataError(f"{len(answers)} answers and {len(scores)} scores: each response needs both")
