"""Choosing answers, by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.evaluation.responses import at, response_figures
from medprm_hf.evaluation.table import Table, scores_of
from tests.evaluation.rows import noisy_rows, row


def answered(question: str, number: int, answer: str | None, score: float | None, **columns: Any) -> dict[str, Any]:
    right = None if answer is None else answer == "A"
    return row(question, number, "+", [score], final_answer=answer, is_correct=right, **columns)


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    found = response_figures(Table.of_rows(rows), scores_of(rows), resamples=50)
    assert found is not None
    return found


def value(found: dict[str, Any], method: str, n: int, key: str = "value") -> Any:
    entry = at(found, method, n)
    assert entry is not None
    return entry[key]


def test_best_of_n_by_hand() -> None:
    rows = [answered("q", i, a, s) for i, (a, s) in enumerate([("A", 0.9), ("B", 0.5), ("B", 0.4), ("B", 0.1)])]
    found = figures(rows)
    assert value(found, "pass@1", 1) == value(found, "best_of_min", 1) == 0.25
    assert value(found, "best_of_min", 2) == 0.5  # the best is in half of the pairs
    assert value(found, "best_of_min", 4) == 1.0
    assert value(found, "majority", 4) == 0.0
    assert value(found, "vote_min", 4) == 0.0  # 0.9 against 1.0
    assert value(found, "pass@n", 2) == 0.5 and value(found, "pass@n", 4) == 1.0
    assert value(found, "best_of_min", 4, "over_majority") == 1.0


def test_unreadable_answers_are_counted_twice() -> None:
    rows = [answered("q", 0, None, 0.9), answered("q", 1, "A", 0.5)]
    rows += [answered("r", 0, "A", 0.9), answered("r", 1, "B", 0.5)]
    found = figures(rows)
    assert found["unreadable"] == 1
    assert value(found, "best_of_mean", 2) == 0.5  # q chose what cannot be read: wrong
    assert value(found, "best_of_mean", 2, "over_readable") == 1.0
    assert value(found, "pass@1", 1) == 0.5
    assert value(found, "pass@1", 1, "over_readable") == pytest.approx(2 / 3)


def test_a_response_without_score_is_never_chosen() -> None:
    rows = [answered("q", 0, "A", None), answered("q", 1, "B", 0.0)]
    found = figures(rows)
    assert value(found, "best_of_min", 2) == 0.0
    assert value(found, "best_of_min", 1) == 0.0  # drawn alone: nothing is chosen
    assert value(found, "pass@1", 1) == 0.5


def test_questions_that_cannot_be_measured_are_left_out_and_counted() -> None:
    rows = [answered("q", 0, "A", 0.9), answered("q", 1, "B", 0.5), answered("single", 0, "A", 0.3)]
    unknown = {"answer": None, "answer_index": None}
    rows += [{**answered("x", i, "A", 0.3), **unknown, "is_correct": None} for i in range(2)]
    found = figures(rows)
    assert (found["questions"], found["single_response"], found["gold_unknown"]) == (1, 1, 1)
    nothing_read = [answered("q", i, None, 0.5) for i in range(3)]  # a file without answers is not one of wrong ones
    assert response_figures(Table.of_rows(nothing_read), scores_of(nothing_read)) is None
    alone = [answered("single", 0, "A", 0.3)]
    assert response_figures(Table.of_rows(alone), scores_of(alone)) is None


def test_each_n_says_how_many_questions_reach_it() -> None:
    rows = [answered("q", i, "A", 0.5) for i in range(4)] + [answered("r", i, "B", 0.5) for i in range(2)]
    found = figures(rows)
    assert value(found, "pass@1", 2, "questions") == 2 and value(found, "pass@1", 4, "questions") == 1


def test_open_answers_count_by_normalised_text() -> None:
    rows = [
        row("q", i, "+", [0.5], options=[], answer="Pneumonia", answer_index=None, final_answer=text, is_correct=right)
        for i, (text, right) in enumerate([("Pneumonia", True), ("pneumonia.", True), ("Oedema", False)])
    ]
    assert value(response_figures(Table.of_rows(rows), scores_of(rows)) or {}, "majority", 2) == pytest.approx(2 / 3)


def test_rightness_is_read_where_the_file_does_not_say_it() -> None:
    rows = [{**answered("q", i, a, 0.5), "is_correct": None} for i, a in enumerate(["A", "B"])]
    assert Table.of_rows(rows).right == [True, False]


@given(st.integers(0, 50), st.permutations(range(24)))
def test_figures_are_bounded_and_know_no_order(seed: int, order: list[int]) -> None:
    rows = noisy_rows(6, seed=seed)
    one = response_figures(Table.of_rows(rows), scores_of(rows), ("min",), resamples=2)
    mixed = [rows[i] for i in order]
    other = response_figures(Table.of_rows(mixed), scores_of(mixed), ("min",), resamples=2)
    assert one is not None and other is not None
    for entry in one["curve"]:
        again = at(other, entry["method"], entry["n"])
        assert again is not None and entry["value"] == pytest.approx(again["value"])
        ceiling = at(one, "pass@n", entry["n"])
        assert ceiling is not None and 0 <= entry["value"] <= ceiling["value"] + 1e-9
