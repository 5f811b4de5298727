"""Best-of-N, votes and pass@N over all subsets: against counting subsets one by one."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.errors import DataError
from medprm_hf.labels.aggregate import best_of
from medprm_hf.labels.choosing_answers import best_of_shares, pass_at, vote_shares

SCORES = st.lists(st.one_of(st.none(), st.sampled_from([0.1, 0.4, 0.4, 0.9])), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("scores", "n", "shares"),
    [
        ([0.9, 0.2, 0.5], 1, [1 / 3, 1 / 3, 1 / 3]),
        ([0.9, 0.2, 0.5], 2, [2 / 3, 0, 1 / 3]),
        ([0.9, 0.2, 0.5], 3, [1, 0, 0]),
        ([0.5, 0.5], 2, [0.5, 0.5]),
        ([None, 0.5], 1, [0, 0.5]),  # half of the draws have nothing to choose
        ([None, 0.0], 2, [0, 1]),  # a score of 0 is a score
        ([None, None], 2, [0, 0]),
    ],
)
def test_best_of_shares(scores: list[float | None], n: int, shares: list[float]) -> None:
    assert best_of_shares(scores, n) == pytest.approx(shares)


@given(SCORES, st.data())
def test_best_of_shares_is_the_mean_over_all_subsets(scores: list[float | None], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(scores)))
    expected = [0.0] * len(scores)
    subsets = list(combinations(range(len(scores)), n))
    for subset in subsets:
        first = best_of([scores[i] for i in subset])
        if first is not None:
            ties = [i for i in subset if scores[i] == scores[subset[first]]]
            for i in ties:
                expected[i] += 1 / len(ties) / len(subsets)
    assert best_of_shares(scores, n) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("right", "total", "n", "value"), [(1, 4, 2, 0.5), (0, 4, 4, 0.0), (4, 4, 1, 1.0), (3, 4, 2, 1.0), (1, 64, 64, 1)]
)
def test_pass_at(right: int, total: int, n: int, value: float) -> None:
    assert pass_at(right, total, n) == pytest.approx(value)


@pytest.mark.parametrize(
    ("answers", "weights", "n", "won"),
    [
        (["A", "B", "A"], [1, 1, 1], 3, {"A": 1, "B": 0}),
        (["A", "B", "A"], [1, 1, 1], 1, {"A": 2 / 3, "B": 1 / 3}),
        (["A", "B", "A"], [0.3, 0.7, 0.3], 3, {"A": 0, "B": 1}),
        (["A", "B", None], [1, 1, 1], 3, {"A": 0.5, "B": 0.5}),
        (["A", "B"], [None, 0.1], 2, {"B": 1}),
        (["A", "B"], [0.0, 0.0], 1, {"A": 0.5, "B": 0.5}),  # weights of 0 still are votes
        ([None, None], [1, 1], 2, {}),
        (["A", None], [1, 1], 1, {"A": 0.5}),
    ],
)
def test_vote_shares(answers: list[str | None], weights: list[float | None], n: int, won: dict[str, float]) -> None:
    assert vote_shares(answers, weights, [n])[n] == pytest.approx(won)


@given(
    st.lists(st.tuples(st.sampled_from(["A", "B", None]), st.sampled_from([0.1, 0.6, None])), min_size=2, max_size=24)
)
def test_votes_are_shares_and_know_no_order(voters: list[tuple[str | None, float | None]]) -> None:
    answers, weights = [a for a, _ in voters], [w for _, w in voters]
    sizes = range(1, len(voters) + 1)
    found = vote_shares(answers, weights, sizes)
    for n in sizes:
        assert 0 <= sum(found[n].values()) <= 1 + 1e-9
    assert vote_shares(answers[::-1], weights[::-1], sizes) == found


def test_many_responses_are_drawn_the_same_each_time() -> None:
    answers = ["A", "B"] * 16
    first = vote_shares(answers, [1.0] * 32, [8, 32])
    assert first == vote_shares(answers, [1.0] * 32, [8, 32])
    assert first[8]["A"] == pytest.approx(0.5, abs=0.1)
    assert first[32] == {"A": 0.5, "B": 0.5}


def test_n_must_fit() -> None:
    with pytest.raises(DataError, match="N=3 of 2 responses"):
        best_of_shares([0.1, 0.2], 3)
    with pytest.raises(DataError, match="2 answers and 1 weights"):
        vote_shares(["A", "B"], [1.0], [1])
