"""Calibration figures by hand, and what holds for any scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.errors import DataError
from medprm_hf.labels import calibration
from medprm_hf.labels.calibration import brier, error_of, intervals, pearson, reliability, tempered
from medprm_hf.labels.scaling import calibration_error

STEPS = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0])), min_size=1, max_size=40)


def test_reliability_by_hand() -> None:
    bins = reliability([0.1, 0.15, 0.6, 1.0], [0, 1, 1, 1], bins=2)
    assert [(one.low, one.high, one.n) for one in bins] == [(0.0, 0.5, 2), (0.5, 1.0, 2)]
    assert (bins[0].mean_score, bins[0].share_right) == (pytest.approx(0.125), 0.5)
    assert error_of(bins) == pytest.approx((0.375 * 2 + 0.2 * 2) / 4)


def test_adaptive_bins_hold_equal_counts() -> None:
    bins = reliability(np.linspace(0.9, 1.0, 100) ** 2, np.ones(100), bins=5, adaptive=True)
    assert [one.n for one in bins] == [20] * 5
    assert len(reliability([0.5] * 10, [1] * 10, adaptive=True)) == 1


def test_brier_and_pearson_by_hand() -> None:
    assert brier([0.9, 0.2], [1, 0]) == pytest.approx((0.01 + 0.04) / 2)
    assert pearson([0.0, 0.5, 1.0], [0, 0, 1]) == pytest.approx(np.sqrt(0.75))
    assert pearson([0.5, 0.5], [0, 1]) is None
    assert pearson([0.1, 0.5], [1, 1]) is None


def test_nothing_measured_is_none() -> None:
    assert error_of(reliability([], [])) is None
    assert brier([], []) is None
    assert intervals([], [], []) == (None, None, None)


@pytest.mark.parametrize(("scores", "right"), [([float("nan")], [1]), ([1.2], [1]), ([0.5], [1, 0])])
def test_unknown_scores_are_refused_not_bent(scores: list[float], right: list[float]) -> None:
    with pytest.raises(DataError):
        brier(scores, right)


def test_tempered_moves_towards_a_half_and_keeps_order() -> None:
    cooled = tempered([0.01, 0.4, 0.99], 2.0)
    assert list(np.argsort(cooled)) == [0, 1, 2]
    assert cooled[0] > 0.01 and cooled[2] < 0.99
    assert tempered([0.3], 1.0) == pytest.approx([0.3])


@given(STEPS)
def test_figures_are_bounded_and_know_no_order(steps: list[tuple[float, float]]) -> None:
    x, y = [s for s, _ in steps], [r for _, r in steps]
    for adaptive in (False, True):
        bins = reliability(x, y, adaptive=adaptive)
        assert sum(one.n for one in bins) == len(x)
        error = error_of(bins)
        assert error is not None and 0 <= error <= 1
        assert error_of(reliability(x[::-1], y[::-1], adaptive=adaptive)) == pytest.approx(error)
    assert error_of(reliability(x, y)) == pytest.approx(calibration_error(x, y))
    assert 0 <= (brier(x, y) or 0) <= 1


def test_intervals_hold_the_value_and_resample_questions() -> None:
    rng = np.random.default_rng(0)
    x = rng.random(600)
    y = (rng.random(600) < x).astype(float)
    groups = [str(i // 6) for i in range(600)]
    error, square, correlation = intervals(x, y, groups, resamples=300)
    assert square is not None and square[0] <= (brier(x, y) or 0) <= square[1]
    assert correlation is not None and correlation[0] <= (pearson(x, y) or 0) <= correlation[1]
    assert error is not None and error[1] < 0.15
    one = intervals(x, y, ["same"] * 600, resamples=50)
    assert one.brier is not None and one.brier[0] == pytest.approx(one.brier[1])


def test_statistics_equal_the_plain_figures() -> None:
    x, y = np.array([0.1, 0.7, 0.8, 0.9]), np.array([0.0, 0.0, 1.0, 1.0])
    one = intervals(x, y, ["q"] * 4, resamples=3)
    assert one.error is not None and one.error[0] == pytest.approx(calibration_error(x, y))
    assert one.brier is not None and one.brier[0] == pytest.approx(brier(x, y))
    assert one.pearson is not None and one.pearson[0] == pytest.approx(pearson(x, y))
    assert calibration.BINS == 15
