"""What an expert is asked first: worked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from medprm_hf.errors import ConfigError
from medprm_hf.labels.review_value import Candidate, Minutes, gain, queue


def one(labels: str, p: list[float | None], name: str = "s0", **more: Any) -> Candidate:
    """A solution with steps of its own, or those given."""
    n = len(labels)
    steps = more.pop("steps", [f"{name} {i}" for i in range(n)])
    review = more.pop("needs_review", [True] * n)
    return Candidate(more.pop("question", "q"), name, steps, list(labels), p, review, **more)


GAINS: list[tuple[str, float | None, bool, float]] = [
    ("+", 0.6, True, 0.38),
    ("-", 0.6, True, 0.58),  # a line above 1/2: the label is more likely wrong than right
    ("+", 0.99, False, 0.0),  # surer than an expert
    ("-", 0.0, False, 0.0),
    ("?", 0.9, True, 0.5),
    ("?", None, True, 0.5),
    ("+", None, True, 0.5),
    ("+", None, False, 0.0),
]


@pytest.mark.parametrize(("label", "p", "doubtful", "expected"), GAINS)
def test_gain(label: str, p: float | None, doubtful: bool, expected: float) -> None:
    assert gain(one(label, [p], needs_review=[doubtful]), 0) == pytest.approx(expected)


def test_most_per_minute_first_and_surer_than_an_expert_never() -> None:
    asks = queue([one("+-+", [0.6, 0.3, 0.995])], "value")
    assert [ask.step for ask in asks] == [0, 1]
    # 0.38 + 0.28 in 30 + 15 + 15 seconds
    assert asks[0].priority == pytest.approx(0.66, rel=1e-6)


def test_steps_of_one_solution_are_cheaper_than_of_two() -> None:
    together, apart = one("++", [0.7, 0.7], "a", question="a"), one("+", [0.65], "b", question="b")
    asks = queue([together, apart], "value", Minutes(opening=60, step=10))
    assert [ask.solution for ask in asks] == [0, 0, 1]
    assert [ask.solution for ask in queue([together, apart], "value", Minutes(opening=0, step=10))][0] == 1


def test_copies_are_asked_once_and_count_together() -> None:
    shared = [one("+", [0.8], f"s{i}", steps=["same  words"] if i else ["same words"]) for i in range(3)]
    asks = queue([*shared, one("+", [0.6], "other", steps=["other words"])], "value", Minutes(0, 60))
    assert [(ask.solution, len(ask.copies)) for ask in asks] == [(0, 3), (3, 1)]
    assert asks[0].priority == pytest.approx(3 * 0.18)
    decided = [one("+", [0.8], "s0", steps=["same words"], decided=[True]), *shared[1:]]
    assert queue(decided, "value") == []


def test_doubt_asks_what_is_marked_least_sure_first() -> None:
    candidate = one("+++?", [0.9, 0.55, 0.7, None], needs_review=[True, False, True, True])
    assert [ask.step for ask in queue([candidate], "doubt")] == [3, 2, 0]


def test_random_asks_everything_and_the_same_again() -> None:
    candidates = [one("++", [0.99, 0.01], f"s{i}", question=i) for i in range(20)]
    first = queue(candidates, "random", seed=1)
    assert len(first) == 40 and first == queue(candidates, "random", seed=1)
    assert first != queue(candidates, "random", seed=2)


def test_priorities_are_never_equal() -> None:
    asks = queue([one("++", [0.6, 0.6], f"s{i}", question=i) for i in range(50)], "value")
    assert len({ask.priority for ask in asks}) == len(asks) == 100


def test_unknown_order_is_refused_with_near_names() -> None:
    with pytest.raises(ConfigError, match="value"):
        queue([], "valeu")
    assert queue([], "value") == []
