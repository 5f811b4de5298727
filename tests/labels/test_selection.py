"""Why a solution is not exported."""

from __future__ import annotations

import pytest

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.labels.selection import DROP_REASONS, SelectionSettings, drop_reason

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


def test_every_reason_is_in_the_table() -> None:
    assert {row[3] for row in TABLE} - {None} == set(DROP_REASONS)


def test_settings() -> None:
    assert drop_reason(GOOD, "B", None, SelectionSettings(min_steps=4)) == "too_few_steps"
    assert drop_reason(GOOD, "B", None, SelectionSettings(min_steps=1, max_steps=2)) == "too_many_steps"
    with pytest.raises(ConfigError, match=r"min_steps=5 and select.max_steps=4"):
        SelectionSettings(min_steps=5, max_steps=4)
    with pytest.raises(DataError, match="1 labels for 3 steps"):
        drop_reason(GOOD, "B", ["+"])
