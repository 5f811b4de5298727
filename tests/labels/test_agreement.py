"""Agreement figures against independent computations, and unknown kept apart from wrong."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, f1_score

from medprm_hf.errors import DataError
from medprm_hf.labels.agreement import (
    Recall,
    apply_prior,
    bootstrap,
    bootstrap_difference,
    cohen_kappa,
    error_recall,
    fit_prior,
    macro_f1,
    percentiles,
)

_STEPS = st.lists(st.tuples(st.sampled_from("+-0?"), st.sampled_from("+-0")), max_size=40)


@given(_STEPS)
def test_macro_f1_is_that_of_sklearn(steps: list[tuple[str, str]]) -> None:
    scores = macro_f1([label for label, _ in steps], [true for _, true in steps])
    judged = [(label, true) for label, true in steps if true != "0"]
    used = [(label, true) for label, true in judged if label in "+-"]
    assert (scores.n_steps, scores.skipped) == (len(used), len(judged) - len(used))
    for sign, ours in (("+", scores.f1_right), ("-", scores.f1_wrong)):
        if not any(sign in pair for pair in used):
            assert ours is None and scores.macro_f1 is None
        else:
            theirs = f1_score(
                [t for _, t in used], [p for p, _ in used], labels=[sign], average="macro", zero_division=0
            )
            assert ours == pytest.approx(theirs)


def test_silence_counts_in_one_of_the_two_figures() -> None:
    labels, truth = [["+", "-", "?", "0"]], [["+", "-", "+", "-"]]
    scores = macro_f1(labels, truth)
    assert (scores.macro_f1, scores.n_steps, scores.skipped) == (1.0, 2, 2)
    assert scores.macro_f1_all == pytest.approx(2 / 3)  # one of two found, for each sign


def test_nothing_measured_is_none() -> None:
    assert macro_f1([], []) == (None, None, None, 0, 0, None)
    assert macro_f1([["?", "?"]], [["+", "-"]])[:5] == (None, None, None, 0, 2)
    assert macro_f1([["+"]], [["+"]]).macro_f1 is None  # - was never there: its F1 does not exist
    assert macro_f1([["+"]], [["+"]]).f1_right == 1.0
    assert bootstrap([], []) is None
    assert bootstrap([["?"]], [["+"]]) is None
    assert bootstrap_difference([], [], []) is None
    assert cohen_kappa([], []) == (None, None, 0, 0)
    assert error_recall([], []) == {}
    assert percentiles(np.array([np.nan, np.nan, 1.0])) is None


@pytest.mark.parametrize("call", [macro_f1, error_recall, cohen_kappa])
def test_lists_that_do_not_line_up_are_refused(call: object) -> None:
    with pytest.raises(DataError, match="2 solutions with labels, 1 with truth"):
        call([["+"], ["+"]], [["+"]])  # type: ignore[operator]
    with pytest.raises(DataError, match="solution 0 has 2 labels and 1 true"):
        call([["+", "-"]], [["+"]])  # type: ignore[operator]
    with pytest.raises(DataError, match="1 groups for 2 solutions"):
        bootstrap([["+"], ["-"]], [["+"], ["-"]], groups=["q"])


def _noisy(
    rng: np.random.Generator, questions: int, error: float
) -> tuple[list[list[str]], list[list[str]], list[int]]:
    """Four solutions a question, six steps each; labels are the truth with flips that a question shares."""
    truth, labels, groups = [], [], []
    for question in range(questions):
        rate = error * 2 * rng.random()
        for _ in range(4):
            true = rng.random(6) < 0.7
            said = true ^ (rng.random(6) < rate)
            truth.append(["+" if t else "-" for t in true])
            labels.append(["+" if s else "-" for s in said])
            groups.append(question)
    return labels, truth, groups


def test_interval_covers_the_population_value() -> None:
    rng = np.random.default_rng(5)
    whole = macro_f1(*_noisy(rng, 8000, 0.2)[:2]).macro_f1
    assert whole is not None
    hits = 0
    for seed in range(60):
        labels, truth, groups = _noisy(np.random.default_rng(seed), 120, 0.2)
        low, high = bootstrap(labels, truth, groups, resamples=300, seed=seed + 1000) or (1.0, 0.0)
        hits += low <= whole <= high
    assert hits >= 52  # 57 expected of 60


def test_clusters_widen_the_interval_and_pairs_narrow_a_difference() -> None:
    labels, truth, groups = _noisy(np.random.default_rng(0), 200, 0.25)

    def width(interval: list[float] | None) -> float:
        assert interval is not None
        return interval[1] - interval[0]

    flat = [[label] for solution in labels for label in solution], [[t] for solution in truth for t in solution]
    assert width(bootstrap(labels, truth, groups)) > width(bootstrap(*flat))
    better = [
        [t if i == 0 else p for i, (p, t) in enumerate(zip(*pair, strict=True))]
        for pair in zip(labels, truth, strict=True)
    ]
    difference = bootstrap_difference(better, labels, truth, groups)
    assert difference is not None and difference[0] > 0 and width(difference) < width(bootstrap(labels, truth, groups))
    assert bootstrap(labels, truth, groups, seed=1) == bootstrap(labels, truth, groups, seed=1)


def test_a_thousand_resamples_of_six_thousand_steps_take_less_than_a_second() -> None:
    labels, truth, groups = _noisy(np.random.default_rng(0), 250, 0.2)
    start = time.process_time()
    bootstrap(labels, truth, groups, resamples=1000)
    assert time.process_time() - start < 1


def test_large_sets_are_resampled_in_pieces() -> None:
    n = 30_000
    labels, truth = [["+", "-"]] * n, [["+", "-"]] * (n // 2) + [["-", "-"]] * (n // 2)
    low, high = bootstrap(labels, truth, resamples=200) or (0.0, 0.0)
    exact = macro_f1(labels, truth).macro_f1
    assert exact is not None and low < exact < high and high - low < 0.02


def test_kappa_is_that_of_sklearn_and_has_an_interval() -> None:
    labels, truth, groups = _noisy(np.random.default_rng(3), 100, 0.2)
    labels[0][0], truth[1][1], labels[2][2] = "?", "0", "0"
    kappa = cohen_kappa(labels, truth, groups)
    pairs = [(a, b) for ours, theirs in zip(labels, truth, strict=True) for a, b in zip(ours, theirs, strict=True)]
    both = [(a, b) for a, b in pairs if "?" not in (a, b)]
    assert kappa.kappa == pytest.approx(cohen_kappa_score(*zip(*both, strict=True)))
    assert (kappa.n_steps, kappa.skipped) == (len(both), 1)
    assert kappa.interval is not None and kappa.interval[0] < kappa.kappa < kappa.interval[1]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("+-+-", "+-+-", 1.0), ("+-+-", "-+-+", -1.0), ("++++", "++++", None), ("++--", "+-+-", 0.0), ("?+", "+?", None)],
)
def test_kappa_by_hand(first: str, second: str, expected: float | None) -> None:
    assert cohen_kappa([first], [second]).kappa == expected


def test_error_recall_counts_silence_as_not_found() -> None:
    kinds = [["location", None, "size"], ["size", "size", ""]]
    assert error_recall([["-", "-", "?"], ["-", "+", "-"]], kinds) == {
        "location": Recall(1.0, 1, 0),
        "size": Recall(1 / 3, 3, 1),
    }


def test_prior_by_position() -> None:
    prior = fit_prior([["+", "-", "?"], ["+", "-", "0"], ["-", "+", "?", "-"], ["+", "-"]])
    assert "".join(prior.labels) == "+---"  # position 3 saw nothing and takes the label before
    assert prior.share_right == (0.75, 0.25, None, 0.0)
    assert apply_prior(prior, 6) == ["+", "-", "-", "-", "-", "-"]
    assert apply_prior(prior, 1) == ["+"] and apply_prior(prior, 0) == []
    assert apply_prior(fit_prior([]), 2) == ["?", "?"]
    assert fit_prior([["+"], ["-"]]).labels == ("+",)  # a tie is +
