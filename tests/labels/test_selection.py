"""Why a solution is not exported."""

from __future__ import annotations

import pytest

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.labels.selection import (
    DROP_REASONS,
    SelectionSettings,
    contradicts_evidence,
    drop_reason,
    information,
    surplus_plus,
    surplus_right,
)

GOOD = ["Look.", "Think.", "Answer: B"]
TABLE: list[tuple[list[str], str | None, str | None, str | None]] = [
    (GOOD, "B", "+-?", None),
    (GOOD, "B", None, None),
    ([f"claim {n}" for n in range(9)], "B", "+" * 9, None),
    (GOOD[:2], "B", "++", "too_few_steps"),
    ([], "B", "", "too_few_steps"),
    ([f"claim {n}" for n in range(10)], "B", "+" * 10, "too_many_steps"),
    (["Look.", " \n", "So B."], "B", "+++", "empty_step"),
    (["Look.", "look", "So B."], "B", "+++", "repeated_step"),
    (["Size: 6 mm", "Size: >6 mm", "So B."], "B", "+++", None),
    (["...", "?!", "So B."], "B", "+++", None),
    (GOOD, None, "+++", "unreadable_answer"),
    (GOOD, "", "+++", "unreadable_answer"),
    (GOOD, "B", "???", "no_label"),
    (["", ""], None, "??", "empty_step"),
]


@pytest.mark.parametrize(("steps", "answer", "labels", "expected"), TABLE)
def test_table(steps: list[str], answer: str | None, labels: str | None, expected: str | None) -> None:
    assert drop_reason(steps, answer, None if labels is None else list(labels)) == expected


AMONG_OTHERS = {"wrong_without_minus", "enough_right", "too_many_plus", "less_informative"}


def test_every_reason_is_in_the_table() -> None:
    assert {row[3] for row in TABLE} - {None} | AMONG_OTHERS == set(DROP_REASONS)


def test_settings() -> None:
    assert drop_reason(GOOD, "B", None, SelectionSettings(min_steps=4)) == "too_few_steps"
    assert drop_reason(GOOD, "B", None, SelectionSettings(min_steps=1, max_steps=2)) == "too_many_steps"
    with pytest.raises(ConfigError, match=r"min_steps=5 and select.max_steps=4"):
        SelectionSettings(min_steps=5, max_steps=4)
    with pytest.raises(DataError, match="1 labels for 3 steps"):
        drop_reason(GOOD, "B", ["+"])


def test_wrong_answers_without_a_minus_go_where_asked() -> None:
    settings = SelectionSettings(wrong_needs_minus=True)
    steps = ["a", "b", "c"]
    assert drop_reason(steps, "B", ["+", "+", "+"], settings, is_correct=False) == "wrong_without_minus"
    assert drop_reason(steps, "B", ["+", "-", "+"], settings, is_correct=False) is None
    assert drop_reason(steps, "B", ["+", "+", "+"], settings, is_correct=True) is None
    assert drop_reason(steps, "B", ["+", "+", "+"], settings, is_correct=None) is None
    assert drop_reason(steps, "B", ["+", "+", "+"], is_correct=False) is None


def test_a_question_keeps_at_most_as_many_right_as_wrong_or_two() -> None:
    right = [True, True, True, True, False, False, False]
    assert surplus_right(["q"] * 7, right, [0.4, 0.1, 0.2, 0.3, 0, 0, 0]) == {0}
    assert surplus_right(["q"] * 3, [True, True, None], [0.5, 0.6, 0.7]) == set()
    assert surplus_right(["q", "q", "q", "r"], [True, True, True, True], [0.3, 0.1, 0.2, 0.9]) == {0}


def test_information_is_the_balanced_information_score() -> None:
    assert information(["+", "-"], [0.5, 0.0]) == pytest.approx((0.25 + 0.05) * 0.5)
    assert information(["+", "+"], [1.0, None]) == pytest.approx(0.05)
    assert information(["?", "?"], [1.0, 1.0]) == 0.0
    assert information(["-", "-"], [0.25, 0.25]) == pytest.approx(0.05 * 0.75)
    assert information(["+", "-"], None) == pytest.approx(0.3 * 0.5)


def test_plus_is_cut_to_its_share_by_whole_solutions() -> None:
    counts = [(4, 0, 0.9), (4, 0, 0.5), (2, 2, 0.99), (4, 0, 0.1)]
    cut = surplus_plus(counts, 0.8)
    left = [(p, m) for p, m, draw in counts if m or draw < cut]
    assert sum(p for p, _ in left) / sum(p + m for p, m in left) <= 0.8
    assert surplus_plus(counts, 1.0) == 1.0


def test_contradicting_evidence_is_flagged() -> None:
    assert contradicts_evidence(["+", "-"], [[], ["p1"]])
    assert not contradicts_evidence(["+", "-"], [["p1"], []])
    assert not contradicts_evidence(["-"], None)
