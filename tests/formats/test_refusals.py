"""Records that break their own format's rules: each refused with its reason, its neighbours kept."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from medprm_hf import formats
from tests.formats.examples import EXAMPLES, READ_ONLY
from tests.formats.test_round_trips import put

ALL: dict[str, Any] = {**EXAMPLES, **READ_ONLY}
TURN = {"from": "human", "value": "x"}
# format, path to a value, the value that breaks it, the reason
TABLE: list[tuple[str, tuple[Any, ...], Any, str]] = [
    ("visualprm-raw", ("steps_with_score",), [], "no_steps"),
    ("visualprm-raw", ("steps_with_score", 0), {"step": "x"}, "missing_key"),
    ("visualprm", ("conversations",), [TURN, TURN], "turns_do_not_alternate"),
    ("visualprm", ("conversations", 1, "value"), "Which side?", "unknown_first_turn"),
    ("visualprm", ("image",), 7, "bad_image"),
    ("visualprocessbench", ("response", "process_correctness"), [1, 0, 2], "unknown_label"),
    ("visualprocessbench", ("response", "process_correctness"), [1, 0], "uneven_steps"),
    ("medprm", ("solutions", 0, "prm_gemini_label"), [1], "uneven_steps"),
    ("medprm", ("solutions",), None, "mixed_types"),
    ("question-json", ("solutions", 0, "gemini_labels"), [1], "uneven_steps"),
    ("case-json", ("solution_steps",), [], "no_steps"),
    ("case-json", ("solution_steps", 0, "label"), "maybe", "unknown_label"),
    ("vmp-solutions", ("steps",), [], "no_steps"),
    ("vmp-solutions", ("steps", 0, "label"), "good", "unknown_label"),
    ("vmp-solutions", ("options",), [1, 2], "mixed_types"),
    ("prm800k", ("label", "steps", 0, "completions", 0, "rating"), 2, "unknown_label"),
    ("prm800k", ("label", "steps"), [], "no_steps"),
    ("prm800k", ("label", "steps", 0, "chosen_completion"), 5, "mixed_types"),
    ("math-shepherd", ("label",), "2+2? Step 1: 2+2=4. +\nStep 2: The answer is: 5 ?", "not_aligned"),
    ("math-shepherd", ("label",), "3+2? Step 1: 2+2=4. +\nStep 2: The answer is: 5 -", "not_aligned"),
    ("math-shepherd", ("label",), "2+2? Step 1: 2+2=4. +\nStep 2: The answer is: 5 - more", "not_aligned"),
    ("math-shepherd", ("input",), "2+2? Step 1: 4", "not_aligned"),
    ("mm-prm", ("conversations", 1, "value"), [0.5], "uneven_steps"),
    ("mm-prm", ("conversations", 0, "value"), "Which side?", "unknown_first_turn"),
    ("math-aps", ("reasoning_steps",), [{"solution_prefix": "Other.", "mc_value": 1.0}], "unknown_prefix"),
    ("math-aps", ("reasoning_steps",), [{"solution_prefix": "Find c.", "mc_value": 1.0}], "no_steps"),
    ("processbench", ("label",), 3, "error_step_past_end"),
    ("processbench", ("label",), -2, "error_step_past_end"),
    ("processbench", ("label",), True, "error_step_past_end"),
    ("prmbench", ("error_steps",), [0], "error_step_past_end"),
    ("prmbench", ("error_steps",), [2, 4], "error_step_past_end"),
]


@pytest.mark.parametrize(("format_id", "where", "value", "reason"), TABLE)
def test_a_record_that_breaks_the_rules(
    format_id: str, where: tuple[Any, ...], value: Any, reason: str, tmp_path: Path
) -> None:
    good = ALL[format_id][0]
    bad = copy.deepcopy(good)
    place = bad
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    path = put(tmp_path / "in.json", [good, bad, good])
    problems: list[formats.Problem] = []
    kept = list(formats.read(path, format_id, problems=problems, images="reference"))
    alone = list(formats.read(put(tmp_path / "good.json", [good]), format_id, problems=[], images="reference"))
    assert len(kept) == 2 * len(alone)
    assert [(problem.line, problem.reason) for problem in problems] == [(2, reason)]


def test_a_flat_list_of_prefixes_is_cut_into_steps(tmp_path: Path) -> None:
    prefixes = [("Q?", 0.5), ("Q?\n\nOne.", 0.75), ("Q?\n\nOne.\n\nTwo.", 1.0), ("Q?\n\nOne.\n\nOther.", 0.0),
                ("Q?\n\nOnes.", 0.25)]
    record = {"question": "Q?", "final_answer": "2", "question_id": "7", "reasoning_steps": [
        {"solution_prefix": text, "mc_value": value} for text, value in prefixes]}
    rows = list(formats.read(put(tmp_path / "in.json", [record])))
    assert [(row["steps"], row["expected_accuracy"]) for row in rows] == [
        (["One.", "Two."], [0.75, 1.0]), (["One.", "Other."], [0.75, 0.0]), (["Ones."], [0.25])]
    assert [row["solution_id"] for row in rows] == ["7/0", "7/1", "7/2"]


def test_prmbench_gives_the_original_solution_too_if_asked(tmp_path: Path) -> None:
    path = put(tmp_path / "in.jsonl", READ_ONLY["prmbench"])
    rows = list(formats.read(path, original=True))
    assert [row["labels"] for row in rows] == [["+", "-", "+"], ["+", "+", "+"]]
    assert [row["question_id"] for row in rows] == ["confidence/i1"] * 2
