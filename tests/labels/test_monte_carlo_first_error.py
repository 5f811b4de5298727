"""The first-error model: exact where brute force can check it, honest about its confidence, able to learn."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medprm_hf.errors import DataError
from medprm_hf.labels.first_error import best_probe, groups
from medprm_hf.labels.first_error_back import LEAST, pairs, wrong_steps
from medprm_hf.labels.first_error_fit import MOST_RISE, _bounded, fit
from medprm_hf.labels.first_error_model import RATES, Counts, posterior, predict
from medprm_hf.labels.first_error_priors import LEVELS, RECOVERIES, Priors, default_priors, kernel, position_prior
from medprm_hf.labels.monte_carlo import Problem, State, make_estimator, run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from worlds import World, evaluate


def counts_of(correct, total, num_steps, question):
    return Counts(np.array(correct), np.array(total), np.array(num_steps), np.array(question))


def brute_force(counts, priors, draws=400_000):
    """P(hypothesis) of the first of two siblings by drawing levels, walks and rates from the priors, without noise."""
    rng, moves = np.random.default_rng(0), kernel(priors.trend, priors.drift)
    cumulative = moves.astype(float).cumsum(1)
    start = rng.choice(len(LEVELS), draws, p=np.array(priors.level))
    prior, evidence = position_prior(priors, counts.num_steps), []
    for row in range(2):
        level, walk = start, []
        for _ in range(counts.num_steps[row]):
            level = (rng.random(draws)[:, None] > cumulative[level]).sum(1).clip(max=len(LEVELS) - 1)
            walk.append(RATES[level])
        rate = RECOVERIES[rng.choice(len(RECOVERIES), draws, p=np.array(priors.recovery))]
        hits, total = counts.correct[row], counts.total[row]
        per_k, length = [], counts.num_steps[row]
        spans = [(k, length) for k in range(length + 1)] + [
            span for span in zip(*pairs(4), strict=True) if span[1] < length
        ]
        for k, again in spans:
            share = priors.back if k < length - 1 else 0.0
            share = 1 - share if again == length else share / (length - 1 - k)
            success = [rate if k <= j < again else walk[j] for j in range(length)]
            seen = [p ** hits[j] * (1 - p) ** (total[j] - hits[j]) for j, p in enumerate(success)]
            per_k.append(prior[row, k] * share * np.prod(seen, 0))
        evidence.append(np.array(per_k))
    every = (evidence[0] * evidence[1].sum(0)).mean(1)
    return every / every.sum()


@pytest.mark.parametrize("back", [0.0, 0.4])
def test_the_posterior_is_exact(back):
    priors = replace(default_priors(0.0), noise=1e-3, drift=0.4, back=back)
    counts = counts_of([[2, 0, 0, 3], [1, 0, 3, 0]], [[2, 2, 3, 3], [2, 0, 3, 0]], [4, 3], [0, 0])
    post, exact = posterior(counts, priors), brute_force(counts, priors)
    assert np.allclose(post.hypotheses[0], exact[: post.hypotheses.shape[1]], atol=0.01)
    assert exact[5:].sum() > 0.5 if back else exact[5:].sum() == 0
    assert post.first_wrong[1, 4] == 0 and np.allclose(post.first_wrong.sum(1), 1)
    right = 1 - exact @ wrong_steps(4, True)
    assert np.allclose(post.p_right[0], right, atol=0.01)


def test_siblings_share_strength():
    """One failure in four says little of a solution whose siblings fail as often, and much where they never do."""
    alone = counts_of([[0]], [[3]], [1], [0])
    weak = counts_of([[0], [6], [6], [6]], [[3], [20], [20], [20]], [1] * 4, [0] * 4)
    strong = counts_of([[0], [20], [20], [20]], [[3], [20], [20], [20]], [1] * 4, [0] * 4)
    p = [posterior(counts, default_priors(0.0)).p_right[0, 0] for counts in (strong, alone, weak)]
    assert p[0] < p[1] < p[2]


def test_prediction_is_a_mean_of_what_then_happens():
    """P(k) after a rollout, averaged over its outcomes, is P(k) before."""
    counts, priors = counts_of([[2, 1, 0]], [[2, 2, 1]], [3], [0]), replace(default_priors(0.0), noise=1e-3)
    for back, near in ((0.0, 2e-4), (0.3, 5e-3)):  # before k, a pair's prediction leaves out what came after j
        priors = replace(priors, back=back)
        post = posterior(counts, priors)
        mean, _ = predict(post, priors, np.array([0]), again=back > 0)
        for step in range(3):
            hit = post.hypotheses[0] * mean[0, step]
            one = np.eye(3, dtype=int)[step]
            more = counts_of(counts.correct + one, counts.total + one, [3], [0])
            assert np.allclose(posterior(more, priors).hypotheses[0], hit / hit.sum(), atol=near)


def test_hundreds_of_contradicting_rollouts_stay_finite():
    total = np.full((1, 9), 240)
    correct = np.array([[240, 0, 240, 0, 240, 0, 240, 0, 240]])
    post = posterior(Counts(correct, total, np.array([9]), np.array([0])), default_priors(0.0))
    assert np.isfinite(post.p_right).all() and np.isfinite(post.log_evidence)
    assert np.isfinite(predict(post, default_priors(0.0), np.array([0]))).all()


def test_the_best_probe_is_where_the_doubt_is():
    first_wrong = np.array([[0.0, 0.0, 0.5, 0.5]])
    step, k = np.arange(3)[:, None], np.arange(4)[None]
    mean = np.where(step < k, 0.8, 0.05).astype(np.float32)[None]
    steps, _times, rate = best_probe(first_wrong, mean, mean**2 + 1e-3, np.ones((1, 3), bool), overhead=1.0)
    assert steps[0] == 2 and rate[0] > 0
    closed = np.array([[True, True, False]])
    assert best_probe(first_wrong, mean, mean**2 + 1e-3, closed, 1.0)[2][0] == pytest.approx(0, abs=1e-6)


def test_priors_are_plain_values():
    priors = default_priors(0.25)
    again = Priors.from_dict(json.loads(json.dumps(priors.as_dict())))
    assert again == priors
    assert np.array(priors.recovery) @ RECOVERIES == pytest.approx(0.25, abs=0.03)
    with pytest.raises(DataError, match="level has 1 weights, 28 are needed"):
        Priors.from_dict({**priors.as_dict(), "level": [1.0]})


def test_learning_finds_the_error_rate_and_the_recovery():
    world = World.make("four_options", 1200, seed=1)
    problem = Problem.of(world.length, world.question, world.own_answer_right, [0.25] * 1200)
    state = State.empty(problem)
    for _ in range(6):
        where = np.flatnonzero(world.mask)
        state.record(type("P", (), {"rows": where // 9, "steps": where % 9})(), world.draw(where // 9, where % 9))
    (_, _, counts), start = next(groups(problem, state)), default_priors(0.0)
    learnt = start
    for _ in range(3):
        learnt = fit(counts, learnt, start)
    assert learnt.error_rate == pytest.approx((world.first_error < world.length).mean(), abs=0.04)
    assert np.array(learnt.recovery) @ RECOVERIES == pytest.approx(0.25, abs=0.04)


def figures_of(world, outcome):
    """The benchmark's figures; tables are as wide as the longest solution there is."""
    labels = np.zeros(world.mask.shape, bool)
    labels[:, : outcome.decision.labels.shape[1]] = outcome.decision.labels == "+"
    return evaluate(world, labels)


@pytest.fixture(scope="module")
def base():
    world = World.make("base", 800, seed=0)
    view = world.view()
    problem = Problem.of(view.length, view.question, view.own_answer_right)
    return world, problem, run(make_estimator("first_error"), problem, view.draw)


def test_few_rollouts_and_right_labels(base):
    world, _, outcome = base
    figures = figures_of(world, outcome)
    assert figures["macro_f1"] > 0.975 and figures["rollouts"] < 20 and figures["rounds"] < 7


def test_confidence_is_honest(base):
    world, _, outcome = base
    p, mask = outcome.decision.p_right, world.mask
    confidence = np.maximum(p, 1 - p)[mask]
    right = ((p > 0.5) == world.truth)[mask]
    assert right.mean() == pytest.approx(confidence.mean(), abs=0.01)
    assert right[confidence > 0.9].mean() > 0.98


def test_stored_priors_give_the_same_labels_alone(base):
    """A shard done again with what the run learnt agrees with the run, and learns nothing new."""
    world, problem, outcome = base
    again = make_estimator("first_error", priors=outcome.state.learnt).decide(problem, outcome.state)
    assert (again.labels == outcome.decision.labels)[world.mask].mean() > 0.995
    assert set(outcome.state.learnt) == {"open"} and json.dumps(outcome.state.learnt)


def test_chance_rates_are_learnt_apart():
    rng = np.random.default_rng(0)
    chance = np.array([0.25] * 40 + [0.5] * 40 + [np.nan] * 40)
    problem = Problem.of([4] * 120, np.arange(120) // 4, None, chance)
    outcome = run(make_estimator("first_error"), problem, lambda rows, steps: rng.random(len(rows)) < 0.6)
    assert set(outcome.state.learnt) == {"0.25", "0.5", "open"}


def test_where_a_later_step_recovers_it_says_so():
    """30 % of the wrong solutions are right again later: learnt from the run, and no more claimed than is true."""
    world = World.make("recovering", 800, seed=0)
    view = world.view()
    problem = Problem.of(view.length, view.question, view.own_answer_right)
    outcome = run(make_estimator("first_error"), problem, view.draw)
    assert 0.15 < outcome.state.learnt["open"]["back"] < 0.4
    assert figures_of(world, outcome)["macro_f1"] > 0.97
    p, mask = outcome.decision.p_right, world.mask
    right = ((p > 0.5) == world.truth)[mask]
    assert right.mean() == pytest.approx(np.maximum(p, 1 - p)[mask].mean(), abs=0.01)


def test_where_none_recovers_the_pairs_are_forgotten(base):
    assert base[2].state.learnt["open"]["back"] < LEAST


def test_an_answer_that_is_part_of_the_solution_is_no_draw() -> None:
    known = {"num_steps": [4, 4, 1], "own_answer_right": [False, True, True]}
    said = [make_estimator("first_error").decide(p, State.empty(p)).p_right
            for p in (Problem.of(**known), Problem.of(**known, answers_itself=True))]  # fmt: skip
    assert said[1][0, 3] == pytest.approx(0) and said[0][0, 3] > 0.2  # a wrong answer proves a wrong step
    assert said[1][1, 3] == pytest.approx(said[1][1, 2], abs=0.02) and said[1][1, 3] > said[0][1, 3]
    assert 0.5 < said[1][2, 0] <= 1


def test_recovery_far_above_guessing_is_learnt_only_in_part() -> None:
    start = np.array(default_priors(0.25).recovery)
    seen = np.zeros_like(start)
    seen[[0, -1]] = 50.0, 50.0
    bounded = _bounded(seen, tuple(start))
    assert bounded[0] == 50 and bounded[-1] == pytest.approx(MOST_RISE * start[-1] * 100) and bounded[-1] < 10
