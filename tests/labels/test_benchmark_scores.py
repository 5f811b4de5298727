"""First-error F1 and PRMScore by hand-computed tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.errors import DataError
from medprm_hf.labels.agreement import confusion
from medprm_hf.labels.benchmark_scores import (
    best_error_threshold,
    error_place_counts,
    error_place_f1,
    error_place_statistic,
    first_error,
    prm_score,
    true_first_error,
)

SCORES = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=6)


@pytest.mark.parametrize(
    ("scores", "place"),
    [
        ([0.9, 0.8], -1),
        ([0.9, 0.5, 0.1], 1),  # not above the threshold is wrong
        ([0.1], 0),
        ([None, 0.1], None),
        ([0.1, None], 0),  # what comes after the first error does not matter
        ([0.9, None], None),
        ([], -1),
    ],
)
def test_first_error(scores: list[float | None], place: int | None) -> None:
    assert first_error(scores, 0.5) == place


@pytest.mark.parametrize(
    ("labels", "place"),
    [("++", -1), ("+-?", 1), ("+?-", None), ("0+-", 2), ("", -1), ("-", 0), ("+?", None), ("00", -1)],
)
def test_true_first_error(labels: str, place: int | None) -> None:
    assert true_first_error(list(labels)) == place


def test_processbench_f1_by_hand() -> None:
    # Three with an error (one hit, one wrong place, one unknown), two without (one hit), one of unknown truth.
    found = error_place_f1([1, 2, None, -1, 0, 3], [1, 1, 0, -1, -1, None])
    assert (found.with_error, found.without_error) == (pytest.approx(1 / 3), 0.5)
    assert found.f1 == pytest.approx(2 * (1 / 3) * 0.5 / (1 / 3 + 0.5))
    assert (found.n_with_error, found.n_without_error, found.unknown) == (3, 2, 1)


def test_processbench_f1_needs_both_kinds() -> None:
    found = error_place_f1([1, 0], [1, 0])
    assert found.with_error == 1.0 and found.without_error is None and found.f1 is None
    assert error_place_f1([], []).f1 is None
    assert error_place_f1([0, 0], [1, -1]).f1 == 0.0


def test_lists_must_line_up() -> None:
    with pytest.raises(DataError, match="2 places found, 1 true"):
        error_place_f1([0, 1], [0])


def test_best_error_threshold_finds_the_gap() -> None:
    scores = [[0.9, 0.3, 0.8], [0.7, 0.75], [0.9, 0.9], [0.2, 0.9]]
    truth = [1, -1, -1, 0]
    cut = best_error_threshold(scores, truth)
    assert 0.3 <= cut < 0.7
    assert error_place_f1([first_error(row, cut) for row in scores], truth).f1 == 1.0
    assert best_error_threshold([[None]], [0]) == 0.5


@given(st.lists(st.tuples(SCORES, st.one_of(st.none(), st.integers(-1, 5))), max_size=12))
def test_error_place_is_bounded_and_knows_no_order(cases: list[tuple[list[float | None], int | None]]) -> None:
    found, truth = [first_error(scores, 0.5) for scores, _ in cases], [place for _, place in cases]
    f1 = error_place_f1(found, truth).f1
    assert f1 is None or 0 <= f1 <= 1
    again = error_place_f1(found[::-1], truth[::-1]).f1
    assert f1 == (None if again is None else pytest.approx(again))
    with np.errstate(all="ignore"):
        summed = float(error_place_statistic(error_place_counts(found, truth).sum(0)))
    assert (f1 is None) == np.isnan(summed)


@pytest.mark.parametrize(
    ("said", "truth", "score", "negative"),
    [
        ("++--", "++--", 1.0, 1.0),
        ("++++", "+++-", (6 / 7 + 0) / 2, 0.0),
        ("+-+-", "++--", 0.5, 0.5),
        ("++-", "+++", 2 / 3, None),  # no wrong step: share of right steps found
        ("?+-", "++-", 1.0, 1.0),  # unknown is skipped, not wrong
        ("--", "--", None, 1.0),  # F1 of right does not exist
    ],
)
def test_prm_score_by_hand(said: str, truth: str, score: float | None, negative: float | None) -> None:
    found = prm_score(confusion([list(said)], [list(truth)]).sum(0))
    assert found.score == (None if score is None else pytest.approx(score))
    assert found.negative_f1 == (None if negative is None else pytest.approx(negative))
    assert found.skipped == said.count("?")
