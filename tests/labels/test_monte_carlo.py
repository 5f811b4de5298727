"""Monte Carlo labels: figures from counts, the loop, and each estimator on scripted outcomes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.labels.accuracy import (
    advantage_labels,
    chance,
    corrected,
    expected_accuracy,
    fill_after_first_wrong,
    improvement,
    interval,
    value_labels,
)
from medprm_hf.labels.monte_carlo import ESTIMATORS, Pairs, Problem, State, make_estimator, open_pairs, run


def tape(rates, seed=0):
    """draw() for success rates (n, S); nan always fails to answer."""
    rng = np.random.default_rng(seed)
    rates = np.asarray(rates, float)

    def draw(rows, steps):
        rate = rates[rows, steps]
        return [None if np.isnan(r) else bool(luck < r) for r, luck in zip(rate, rng.random(len(rate)), strict=True)]

    return draw


def text(labels):
    return ["".join(row) for row in labels]


def test_unsampled_is_not_zero():
    assert np.array_equal(expected_accuracy([16, 9, 0, 0], [16, 16, 16, 0]), [1, 9 / 16, 0, np.nan], equal_nan=True)
    assert text([value_labels([16, 9, 0, 0], [16, 16, 16, 0])]) == ["++-?"]
    low, high = interval([0, 8, 16, 0], [16, 16, 16, 0])
    assert low[0] == 0 and high[2] == 1 and np.isnan([low[3], high[3]]).all()
    assert 0.27 < low[1] < 0.29 and 0.71 < high[1] < 0.73


@pytest.mark.parametrize(("tau", "labels"), [(0.0, "++++-"), (1 / 16, "+++--"), (2 / 16, "++---"), (0.5, "+----")])
def test_a_threshold_is_strict_at_a_count(tau, labels):
    assert text([value_labels([16, 8, 2, 1, 0], [16] * 5, tau)]) == [labels]


def test_chance_is_taken_out():
    assert np.array_equal(chance([4, 2, 0, 1]), [0.25, 0.5, np.nan, np.nan], equal_nan=True)
    assert np.allclose(corrected([1.0, 0.25, 0.1], 0.25), [1, 0, -0.2])
    assert corrected(0.6, np.nan) == pytest.approx(0.6)
    assert text([value_labels([5, 4, 3], [16, 16, 16], 0.0, 0.25)]) == ["+--"]


def test_guessing_makes_every_step_plus():
    """The reason for all of this: P(mc > 0) after 16 guesses among four options is 0.990."""
    assert 1 - 0.75**16 == pytest.approx(0.990, abs=5e-4)
    assert 1 - 0.5**16 == pytest.approx(0.99998, abs=1e-5)


def test_advantage_labels_and_their_probability():
    labels, p = advantage_labels([[8, 12, 12, 2, 0]], [[16, 16, 16, 16, 0]])
    assert text(labels) == ["?+0-?"]
    assert np.isnan(p[0, [0, 4]]).all() and p[0, 1] > 0.9 and p[0, 2] == pytest.approx(0.5, abs=0.01)
    assert text(advantage_labels([[8, 10, 2]], [[16, 16, 16]], band=0.2)[0]) == ["?0-"]
    assert text(advantage_labels([[8, 10, 2]], [[16, 16, 16]], confidence=0.9)[0]) == ["?0-"]


def test_improvement_agrees_with_sampling():
    rng = np.random.default_rng(0)
    x, y = rng.beta(7.5, 9.5, 200_000), rng.beta(3.5, 5.5, 200_000)
    assert improvement([[3, 7]], [[8, 16]])[0, 1] == pytest.approx((x > y).mean(), abs=0.005)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=8))
def test_intervals_hold_the_mean(pairs):
    correct, total = np.array([min(p) for p in pairs]), np.array([max(p) for p in pairs])
    low, high = interval(correct, total)
    mean, known = expected_accuracy(correct, total), total > 0
    assert (low[known] <= mean[known]).all() and (mean[known] <= high[known]).all()
    assert np.isnan(low[~known]).all()


def test_after_the_first_wrong_step_all_is_wrong():
    labels = np.array([list("+-?+?"), list("++???")])
    assert text(fill_after_first_wrong(labels, [4, 5])) == ["+---?", "++???"]


def test_problem_reads_plain_lists():
    problem = Problem.of([3, 2], ["b", "b"], [True, None], [None, 0.25])
    assert problem.question.tolist() == [0, 0] and problem.own_answer_right.tolist() == [1, -1]
    assert problem.mask.tolist() == [[True] * 3, [True, True, False]] and np.isnan(problem.chance[0])
    with pytest.raises(DataError, match="2 solutions, but 1 questions"):
        Problem.of([3, 2], [0])
    with pytest.raises(DataError, match="solution 1 has 0 steps"):
        Problem.of([3, 0])


def test_fixed_stops_early_and_leaves_the_rest_unknown():
    problem = Problem.of([4, 3])
    outcome = run(make_estimator("fixed", k=8), problem, tape([[1, 1, 0, 1], [1, 1, 1, 0]]))
    assert text(outcome.decision.labels) == ["++-?", "+++?"]
    assert outcome.state.total.tolist() == [[8, 8, 8, 0], [8, 8, 8, 0]]
    assert np.isnan(outcome.decision.mean[0, 3]) and outcome.rounds.tolist() == [3, 3]
    everything = run(make_estimator("fixed", k=8, early_stop=False), problem, tape([[1, 1, 0, 1], [1, 1, 1, 0]]))
    assert text(everything.decision.labels) == ["++-+", "+++?"] and everything.state.rounds == 1


def test_fixed_advantage_and_corrected():
    problem = Problem.of([3], chance=[0.25])
    outcome = run(make_estimator("fixed", k=8, rule="advantage", early_stop=False), problem, tape([[0, 1, 1]]))
    assert text(outcome.decision.labels) == ["?+0"]
    state = State(np.array([[8, 4, 3]]), np.full((1, 3), 16), np.zeros((1, 3), int))
    assert text(make_estimator("fixed", corrected=True).decide(problem, state).labels) == ["+--"]


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_every_estimator_finds_a_clear_error(name):
    problem = Problem.of([6, 5, 6], [0, 0, 1], [False, True, None])
    rates = [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0], [0] * 6]
    outcome = run(make_estimator(name), problem, tape(rates))
    assert text(fill_after_first_wrong(outcome.decision.labels, problem.num_steps)) == ["+++---", "+++++?", "------"]
    assert (outcome.state.total <= 16 * 3).all()


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_rollouts_that_never_answer_end_as_unknown(name):
    problem = Problem.of([3, 3])
    outcome = run(make_estimator(name), problem, tape(np.full((2, 3), np.nan)), max_missing=3)
    assert text(outcome.decision.labels) == ["???", "???"]
    assert outcome.state.total.sum() == 0 and np.isnan(outcome.decision.mean).all()


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_a_silent_prefix_does_not_stop_the_others(name):
    rates = [[1, np.nan, 1, 0, 0]]
    outcome = run(make_estimator(name), Problem.of([5]), tape(rates), max_missing=2)
    labels = text(fill_after_first_wrong(outcome.decision.labels, [5]))[0]
    assert labels[0] == "+" and labels[2:] == "+--" and labels[1] in "+?"
    assert outcome.state.missing[0, 1] >= 2 or name in ("bisect", "first_error")


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_the_same_counts_give_the_same_labels(name):
    rates = np.random.default_rng(3).random((40, 5))
    problem = Problem.of([5] * 40, np.arange(40) // 4, chance=[0.25] * 20 + [None] * 20)
    first, second = (run(make_estimator(name), problem, tape(rates, seed=5)) for _ in range(2))
    assert np.array_equal(first.decision.labels, second.decision.labels)
    assert np.array_equal(first.state.total, second.state.total) and first.state.learnt == second.state.learnt


def test_bisect_and_first_success_are_cheap():
    rates, problem = [[0.6] * 5 + [0.0] * 3], Problem.of([8])
    used = {name: run(make_estimator(name), problem, tape(rates)).state.total.sum()
            for name in ("fixed", "first_success", "bisect")}
    assert used["fixed"] == 96 and used["bisect"] == 48 and used["first_success"] < 40


def test_unread_outcomes_do_not_count():
    problem = Problem.of([1])
    state = State.empty(problem)
    state.record(Pairs.repeat([0], [0], [4]), [True, None, False, None])
    assert (state.correct[0, 0], state.total[0, 0], state.missing[0, 0]) == (1, 2, 2)
    with pytest.raises(DataError, match="2 rollouts asked, 1 outcomes came"):
        state.record(Pairs.repeat([0], [0], [2]), [True])
    assert len(open_pairs(make_estimator("fixed", k=5), problem, state).rows) == 3


@pytest.mark.parametrize(("name", "settings", "message"), [
    ("fixed", {"k": 0}, "k=0 asks for no rollout: set k to 1 or more"),
    ("fixed", {"tau": -0.1}, "tau=-0.1"),
    ("fixed", {"tau": 1.0}, "choose 0 <= tau < 1"),
    ("fixed", {"rule": "best"}, "choose value or advantage"),
    ("fixed", {"rolls": 3}, "it knows: k, tau"),
    ("sequential", {"confidence": 0.4}, "choose 0.5 < confidence < 1"),
    ("first_error", {"price": -1}, "price=-1 is negative"),
    ("first_error", {"per_round": 0}, "per_round=0"),
    ("fixt", {}, "did you mean fixed"),
])
def test_settings_that_cannot_work(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        make_estimator(name, **settings)


def test_max_missing_must_leave_one_try():
    with pytest.raises(ConfigError, match="max_missing=0"):
        State.empty(Problem.of([1]), 0)
