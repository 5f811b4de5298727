"""Broken files and rows: a clear message with the row, the rest kept, exit code 1 when strict, a rejected-rows file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from medprm_hf import formats
from medprm_hf.errors import ConfigError, FormatError
from medprm_hf.formats.commands import convert, failed, validate
from tests.formats.rows import row

GOOD = json.dumps({"prompt": "Side?", "completions": ["Left."], "labels": [True]})


def found(path: Path) -> tuple[int, list[formats.Problem]]:
    problems: list[formats.Problem] = []
    return sum(1 for _ in formats.read(path, problems=problems)), problems


LINES = {
    "broken_json": ['{"prompt": "Si', "[1, 2", "nonsense"],
    "not_a_number": [GOOD.replace("true", "NaN"), GOOD.replace("true", "Infinity"), GOOD.replace("true", "-Infinity")],
    "not_an_object": ["[1]", "3", "null", '"text"'],
    "missing_key": ['{"prompt": "Side?", "labels": [true]}'],
    "uneven_steps": [GOOD.replace("[true]", "[true, false]"), GOOD.replace("[true]", "[]")],
    "steps_not_text": [GOOD.replace('["Left."]', "[3]"), GOOD.replace('["Left."]', '"Left."')],
    "unknown_label": [GOOD.replace("[true]", '["+"]'), GOOD.replace("[true]", "[2]")],
    "mixed_types": [GOOD.replace('"Side?"', "7"), GOOD.replace("[true]", "true")],
}


@pytest.mark.parametrize(("reason", "text"), [(reason, text) for reason, texts in LINES.items() for text in texts])
def test_a_bad_line_is_reported_with_its_number_and_the_rest_is_kept(reason: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f"{GOOD}\n\n{text}\n{GOOD}\n")
    count, problems = found(path)
    assert count == 2
    assert [(problem.line, problem.reason) for problem in problems] == [(3, reason)]
    report = convert(path, tmp_path / "out.jsonl", "stepwise")
    assert (report.written, report.rejected, dict(report.rejections)) == (2, 1, {reason: 1})
    (rejected,) = (tmp_path / "out.jsonl.rejected.jsonl").read_text().splitlines()
    assert json.loads(rejected)["reason"] == reason
    assert failed(report, strict=True)
    assert not failed(report, strict=False)


def test_a_line_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(f"{GOOD}\n".encode() + b'{"prompt": "\xff"}\n' + GOOD.encode())
    count, problems = found(path)
    assert (count, problems[0].line, problems[0].reason) == (2, 2, "not_utf8")


def test_an_array_is_kept_up_to_its_broken_element(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text(f"[{GOOD},\n{GOOD},\n{{'prompt'}},\n{GOOD}]")
    count, problems = found(path)
    assert (count, problems[0].line, problems[0].reason) == (2, 3, "broken_json")


@pytest.mark.parametrize("text", ["[" + GOOD, "[" + GOOD + ",", "[" + GOOD + GOOD + "]"])
def test_an_array_that_ends_too_early(text: str, tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text(text)
    count, problems = found(path)
    assert count == 1
    assert [problem.reason for problem in problems] == ["broken_json"]


def test_a_truncated_gzip_keeps_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl.gz"
    lines = [json.dumps({"prompt": f"Side {number}?", "completions": ["Left."], "labels": [True]})
             for number in range(3000)]
    whole = gzip.compress("\n".join(lines).encode())
    path.write_bytes(whole[: len(whole) // 2])
    count, problems = found(path)
    assert 0 < count < 3000
    assert [problem.reason for problem in problems] == ["truncated_gzip"]
    assert "before are kept" in problems[0].message


def test_a_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl.gz"
    whole = bytearray(gzip.compress("\n".join([GOOD] * 5000).encode()))
    whole[-6] ^= 0xFF
    path.write_bytes(bytes(whole))
    problems: list[formats.Problem] = []
    assert sum(1 for _ in formats.read(path, "stepwise", problems=problems)) > 0
    assert [problem.reason for problem in problems] == ["broken_gzip"]


@pytest.mark.parametrize("text", ["", " \n\n"])
def test_an_empty_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(text)
    with pytest.raises(FormatError, match="the file is empty"):
        formats.detect(path)
    problems: list[formats.Problem] = []
    assert list(formats.read(path, "stepwise", problems=problems)) == []
    assert [problem.reason for problem in problems] == ["empty_file"]


def test_a_directory_and_a_missing_file_raise(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is a directory"):
        list(formats.read(tmp_path, "stepwise"))
    with pytest.raises(FormatError, match="does not exist"):
        list(formats.read(tmp_path / "no.jsonl", "stepwise"))
    with pytest.raises(FormatError, match="is a directory"):
        formats.write([row()], tmp_path, "stepwise")


def test_duplicate_ids_are_left_out_by_convert_and_told_by_validate(tmp_path: Path) -> None:
    formats.write([row(), row(), row(solution_id="q1/1", solution_index=1)], tmp_path / "in.jsonl", "raw-json")
    told = validate(tmp_path / "in.jsonl")
    assert (told.rows, dict(told.reasons)) == (2, {"duplicate_id": 1})
    assert (told.problems[0].line, told.problems[0].key) == (2, "solution_id")
    report = convert(tmp_path / "in.jsonl", tmp_path / "out.json", "medprm")
    assert (report.written, report.rejected) == (2, 1)


def test_the_same_question_twice_in_a_nameless_file_is_no_duplicate(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f"{GOOD}\n{GOOD.replace('Side', 'Where')}\n{GOOD}\n")
    assert validate(path).good
    assert len({row["solution_id"] for row in formats.read(path)}) == 3


def test_unreadable_and_unwritable_rows_share_one_rejected_file(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f"{GOOD}\nnonsense\n{GOOD.replace('Left.', 'a ки')}\n")
    report = convert(path, tmp_path / "out.json", "medprm")
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "out.json.rejected.jsonl").read_text().splitlines()]
    assert sorted(reasons) == ["broken_json", "marker_in_text"]
    assert (report.rejected, report.written, report.rejected_path) == (2, 1, str(tmp_path / "out.json.rejected.jsonl"))


def test_the_rejected_file_of_an_earlier_run_goes_away(tmp_path: Path) -> None:
    formats.write([row(steps=["a ки", "b"])], tmp_path / "out.json", "medprm")
    assert (tmp_path / "out.json.rejected.jsonl").exists()
    formats.write([row()], tmp_path / "out.json", "medprm")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json"]


BAD_ROWS: dict[str, dict[str, Any]] = {
    "not_a_number": {"expected_accuracy": [float("nan"), 1.0], "labels": None},
    "uneven_steps": {"labels": ["+"]},
    "no_steps": {"steps": []},
    "steps_not_text": {"steps": ["a", 3]},
    "lone_surrogate": {"question": "a \ud800 b"},
    "bad_image": {"image": 7},
}


@pytest.mark.parametrize("reason", BAD_ROWS)
@pytest.mark.parametrize("format_id", ["steps-jsonl", "visualprm-raw", "vmp-result", "question-json"])
def test_a_bad_row_is_refused_by_name_and_its_neighbours_are_written(
    reason: str, format_id: str, tmp_path: Path
) -> None:
    own = {"question_id": "q1b"} if reason in ("lone_surrogate", "bad_image") else {}
    bad = row(solution_index=1, solution_id="q1/1", **BAD_ROWS[reason], **own)
    report = formats.write([row(), bad, row(question_id="q2")], tmp_path / "out.json", format_id)
    assert dict(report.rejections) == {reason: 1}
    assert (report.rows, report.written) == (3, 2)
    (line,) = (tmp_path / "out.json.rejected.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["row"], told["reason"], told["record"]["solution_id"]) == (2, reason, "q1/1")
    assert len(list(formats.read(tmp_path / "out.json", problems=[]))) == 2


def test_a_gold_index_outside_the_options_is_noted_and_unknown(tmp_path: Path) -> None:
    formats.write([row(answer_index=5)], tmp_path / "s.jsonl", "vmp-solutions")
    problems: list[formats.Problem] = []
    (back,) = formats.read(tmp_path / "s.jsonl", problems=problems)
    assert back["answer_index"] is None
    assert [problem.reason for problem in problems] == ["gold_out_of_range"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    formats.write([row()], path, "stepwise")
    before = path.read_bytes()

    def broken() -> Any:
        yield row()
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        formats.write(broken(), path, "stepwise")
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["out.jsonl"]


def test_unknown_names_are_answered_with_near_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean visualprm"):
        formats.write([], tmp_path / "x", "visualpmr")
    with pytest.raises(ConfigError, match="early_stop"):
        formats.write([], tmp_path / "x", "visualprm", early_stp=True)
    with pytest.raises(FormatError, match="read only"):
        formats.write([], tmp_path / "x", "prmbench")
    with pytest.raises(FormatError, match="none of the known formats"):
        (tmp_path / "y.jsonl").write_text('{"a": 1}\n')
        formats.detect(tmp_path / "y.jsonl")
    with pytest.raises(ConfigError, match="is the source itself"):
        convert(tmp_path / "y.jsonl", tmp_path / "y.jsonl", "medprm")


def test_strict_reading_raises_at_the_first_problem(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f"{GOOD}\nnonsense\n")
    with pytest.raises(FormatError, match="row 2: not JSON"):
        list(formats.read(path, strict=True))


def test_deep_nesting_is_one_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f"{GOOD}\n{'[' * 100_000}\n{GOOD}\n")
    count, problems = found(path)
    assert (count, [problem.reason for problem in problems]) == (2, ["broken_json"])


def test_a_broken_first_line_that_speaks_of_rows_loses_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f'{{"rows": 1, "prompt"\n{GOOD}\n{GOOD.replace("Side", "rows")}\n')
    count, problems = found(path)
    assert (count, [(problem.line, problem.reason) for problem in problems]) == (2, [(1, "broken_json")])


def test_a_number_that_is_none_before_the_list_is_noted(tmp_path: Path) -> None:
    formats.write([row()], tmp_path / "r.json", "vmp-result")
    path = tmp_path / "in.json"
    path.write_text((tmp_path / "r.json").read_text().replace('"input_file": null', '"input_file": NaN'))
    count, problems = found(path)
    assert (count, [(problem.key, problem.reason) for problem in problems]) == (1, [("input_file", "not_a_number")])
    path.write_text('{"prompt": "Side?",\n "completions": ["a"],\n "labels": [NaN]}')
    assert [problem.reason for problem in scan_problems(path)] == ["not_a_number"]


def scan_problems(path: Path) -> list[formats.Problem]:
    return [item for item in formats.items(path, "stepwise") if isinstance(item, formats.Problem)]


def test_solutions_that_are_no_list_are_refused_and_not_lost(tmp_path: Path) -> None:
    record = {"question_id": "q", "question": "x", "options": [], "correct_answer": "A", "related_docs": []}
    record["solutions"] = ""
    file = tmp_path / "m.json"
    file.write_text(json.dumps([record]))
    problems: list[formats.Problem] = []
    assert list(formats.read(file, "medprm", problems=problems)) == []
    assert len(problems) == 1 and not problems[0].kept
    assert "solutions is a str, a list is needed" in str(problems[0])
