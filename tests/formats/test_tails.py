"""The keys behind the list of a long object file: from its end, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medprm_hf import formats
from medprm_hf.formats.tails import keys_behind

RECORD: dict[str, Any] = {"id": "c1", "steps": [{"id": "s", "text": 'ends with } ], "summary": {'}], "n": 1}
MANY = [RECORD] * 4_000
SUMMARY = {"summary": {"rows": [{"id": 1}]}, "list": [1, 2], "runtime_seconds": 3.5}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("after", [{}, SUMMARY, {"others": [{"id": "x", "steps": []}], "z": 1}])
def test_keys_behind(tmp_path: Path, after: dict[str, Any], indent: int | None) -> None:
    path = tmp_path / "long.json"
    path.write_text(json.dumps({"dataset": "Demo", "cases": MANY, **after}, indent=indent))
    assert keys_behind(path, RECORD) == after


@pytest.mark.parametrize(
    "after",
    [
        {"big": [{"id": "x"}] * 9_000, "z": 1},  # the list ends before what is looked at
        {"z": float("nan")},
        {"z": 123456789012345678901234},
    ],
)
def test_what_the_end_does_not_tell(tmp_path: Path, after: dict[str, Any]) -> None:
    path = tmp_path / "long.json"
    path.write_text(json.dumps({"dataset": "Demo", "cases": MANY, **after}))
    assert keys_behind(path, RECORD) is None


@pytest.mark.parametrize("text", ['{"dataset": "Demo"}', ""])
def test_short_files_are_read_whole(tmp_path: Path, text: str) -> None:
    path = tmp_path / "short.json"
    path.write_text(text)
    assert keys_behind(path, RECORD) is None


def test_a_long_file_comes_back_byte_for_byte(tmp_path: Path) -> None:
    """With the keys before and behind its list, whose values are not ours."""
    result = {"step": 1, "title": "Look", "text": "A nodule. " * 9, "success": 3, "total": 4, "mc_score": 0.75}
    solution = {
        "solution_index": 1,
        "sampling": None,
        "steps": [{"title": "Look", "text": "A nodule. " * 9}],
        "step_results": [{**result, "label": "+"}],
        "solution_mc_score": 0.75,
        "final_answer_correct": True,
    }
    cases = [
        {"id": f"c{n}", "question": "Mass?", "options": ["a", "b"], "gold": 1, "solutions": [solution]}
        for n in range(700)
    ]
    path, again = tmp_path / "theirs.json", tmp_path / "again.json"
    theirs = {"dataset": "Demo", "config": {"k": 4}, "cases": cases, "runtime_seconds": 3.5, "host": "one"}
    path.write_text(json.dumps(theirs))
    assert keys_behind(path, cases[0]) == {"runtime_seconds": 3.5, "host": "one"}
    formats.write(formats.read(path, "vmp-result"), again, "vmp-result")
    assert json.dumps(json.loads(again.read_text())) == json.dumps(theirs)
