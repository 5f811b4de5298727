"""Targets: unknown is masked, sources differ, balance makes classes equal and says what it moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprm_hf.errors import DataError
from medprm_hf.labels.scaling import (
    best_threshold,
    calibration_error,
    fit_temperature,
    fit_temperature_to_evidence,
)
from medprm_hf.training.targets import Targets, check_classes, fit_balance, is_hard_negative, labels_of, targets_of

ROW: dict[str, Any] = {
    "steps": ["a", "b", "c", "d"],
    "labels": ["+", "-", "?", "0"],
    "label_p": [0.9, 0.2, None, 0.5],
    "review_labels": None,
    "rollout_correct": [8, 1, 0, 4],
    "rollout_total": [8, 8, 0, 8],
    "expected_accuracy": [1.0, 0.125, None, 0.5],
    "judge_labels": ["+", "+", "-", "?"],
    "is_correct": True,
}


@pytest.mark.parametrize(
    "change, loss, source, probs, weights",
    [
        ({}, "hard", "final", [[1, 0], [0, 1], [0, 0], [0, 0]], [1, 1, 0, 0]),
        ({"review_labels": ["-", "?", "+", "?"]}, "hard", "final", [[0, 1], [0, 1], [1, 0], [0, 0]], [1, 1, 1, 0]),
        ({"labels": None}, "hard", "final", [[0, 0]] * 4, [0, 0, 0, 0]),
        ({}, "hard", "judge", [[1, 0], [1, 0], [0, 1], [0, 0]], [1, 1, 1, 0]),
        ({}, "hard", "rollouts", [[1, 0], [1, 0], [0, 0], [1, 0]], [1, 1, 0, 1]),
        ({}, "hard", "advantage", [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]], [1, 1, 0, 0]),
        ({}, "soft", "final", [[0.9, 0.1], [0.2, 0.8], [0, 0], [0, 0]], [1, 1, 0, 0]),
        ({"review_labels": list("-???")}, "soft", "final", [[0, 1], [0.2, 0.8], [0, 0], [0, 0]], [1, 1, 0, 0]),
        ({}, "soft", "rollouts", [[1, 0], [0.125, 0.875], [0, 0], [0.5, 0.5]], [1, 1, 0, 1]),
        ({}, "counts", "final", [[1, 0], [0.125, 0.875], [0, 0], [0.5, 0.5]], [1, 1, 0, 1]),
    ],
)  # fmt: skip
def test_targets(change: Any, loss: Any, source: Any, probs: Any, weights: Any) -> None:
    found = targets_of({**ROW, **change}, loss, source)
    np.testing.assert_allclose(found.probs, probs)
    np.testing.assert_allclose(found.weights, weights)
    assert (found.classes == -100).sum() == (np.array(weights) == 0).sum()


def test_counts_are_kept_and_confidence_weighs() -> None:
    assert targets_of(ROW, "counts").counts.tolist() == [[8, 8], [1, 8], [0, 0], [4, 8]]
    np.testing.assert_allclose(targets_of(ROW, confidence=True).weights, [0.8, 0.6, 0, 0])
    sure = targets_of({**ROW, "review_labels": ["+", "?", "?", "?"]}, confidence=True)
    np.testing.assert_allclose(sure.weights, [1.0, 0.6, 0, 0])


def test_threshold_of_rollouts() -> None:
    assert labels_of(ROW, "rollouts", 0.125) == ["+", "-", "?", "+"]


def solution(labels: list[str]) -> Targets:
    return targets_of({"steps": labels, "labels": labels})


@given(st.lists(st.lists(st.sampled_from("+-?"), min_size=1, max_size=4), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_balance_is_one_on_average_and_says_what_it_moves(labels: list[list[str]]) -> None:
    targets = [solution(one) for one in labels]
    if not any(one.known.any() for one in targets):
        return
    balance = fit_balance(targets, "position")
    mass = sum((one.probs * balance.of(len(one.weights))).sum() for one in targets)
    assert mass == pytest.approx(sum(one.weights.sum() for one in targets))
    for (right, wrong), offset in zip(balance.weights, balance.offsets(), strict=True):
        assert offset == pytest.approx(np.log(right / wrong))


def test_balance_makes_classes_equal_at_each_position() -> None:
    targets = [solution(["+", "+"])] * 300 + [solution(["+", "-"])] * 100 + [solution(["-", "-"])] * 400
    balance = fit_balance(targets, "position")
    mass = sum(one.probs * balance.of(2) for one in targets)
    np.testing.assert_allclose(mass[:, 0], mass[:, 1], rtol=0.02)
    assert fit_balance(targets, "none").weights.tolist() == [[1.0, 1.0]]
    assert len(fit_balance(targets, "class").weights) == 1
    np.testing.assert_allclose(balance.of(4)[3], balance.weights[1])  # beyond the last position, that one holds


def test_evidence_is_what_label_p_says_beyond_its_prior() -> None:
    rows = [{"steps": ["a"], "labels": ["+"], "label_p": [p]} for p in (0.9, 0.9, 0.6)]
    targets = [targets_of(row, "evidence") for row in rows]
    balance = fit_balance(targets, "position")
    prior = balance.priors[0]
    assert prior == pytest.approx(3.4 / 5)
    odds = np.exp(balance.evidence(targets[2]))[0]
    assert odds == pytest.approx((0.6 / 0.4) / (prior / (1 - prior)))


@pytest.mark.parametrize(
    "labels, said",
    [
        ([["+", "+"]], "all 2 labelled steps are '\\+'.*raise train.threshold"),
        ([["-", "?"]], "all 1 labelled steps are '-'.*Lower train.threshold"),
        ([["?", "?"]], "none of 2 steps has a label"),
    ],
)
def test_one_class_is_said_with_the_remedy(labels: list[list[str]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_classes([solution(one) for one in labels])


def test_hard_negatives_answer_right_and_reason_wrong() -> None:
    assert is_hard_negative({"is_correct": True}, solution(["+", "-"]))
    assert not is_hard_negative({"is_correct": False}, solution(["+", "-"]))
    assert not is_hard_negative({"is_correct": True}, solution(["+", "?"]))


def test_temperature_and_threshold() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 4000)
    right = rng.random(4000) < 1 / (1 + np.exp(-logits))
    assert fit_temperature(3 * logits, right) == pytest.approx(3, rel=0.1)
    assert fit_temperature([1.0, 2.0], [True, True]) == 1.0
    assert best_threshold([0.1, 0.3, 0.8, 0.9], [False, False, True, True]) == pytest.approx(0.55)
    assert best_threshold([0.7, 0.7], [True, False]) >= 0  # no cut between equals
    signals = np.where(rng.random(4000) < np.where(right, 0.8, 0.2), 1.0, -1.0)
    ratios = signals * np.log(4)  # a judge who is right four times in five
    assert fit_temperature_to_evidence(3 * logits, ratios) == pytest.approx(3, rel=0.2)
    assert calibration_error(1 / (1 + np.exp(-logits)), right) < 0.03 < calibration_error(0.9 + 0 * logits, right)
    with pytest.raises(DataError, match="2 scores and 1 labels"):
        best_threshold([0.1, 0.2], [True])
