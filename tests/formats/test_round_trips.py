"""Read, then write: every example and every real file comes back equal, key order and types included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medprm_hf import formats
from medprm_hf.formats.records import Item, scan
from tests.formats.examples import EXAMPLES, READ_ONLY, SHAPES

DATA = Path("../shared/data")


def put(path: Path, content: list[Any] | dict[str, Any]) -> Path:
    """Writes records as JSON lines (`.jsonl`) or as they are (`.json`)."""
    lines = path.suffix == ".jsonl"
    path.write_text(
        "".join(json.dumps(record) + "\n" for record in content) if lines else json.dumps(content), encoding="utf-8"
    )
    return path


def records(path: Path, format_id: str) -> list[str]:
    """Records of a file as JSON text, so that types and key order count."""
    inner = formats.open_format(format_id).inner
    found = list(scan(path, inner))
    assert all(isinstance(item, Item) for item in found), found
    return [json.dumps(item.record) for item in found if isinstance(item, Item)]


def there_and_back(source: Path, format_id: str, target: Path, **options: Any) -> formats.Report:
    rows = formats.read(source, problems=[], **options)
    return formats.write(rows, target, format_id, images="files", **options)


@pytest.mark.parametrize("format_id", EXAMPLES)
def test_examples_come_back_equal(format_id: str, tmp_path: Path) -> None:
    content = EXAMPLES[format_id]
    suffix = ".json" if isinstance(content, dict) or format_id in ("medprm", "question-json") else ".jsonl"
    source = put(tmp_path / f"in{suffix}", content)
    target = tmp_path / f"out{suffix}"
    report = there_and_back(source, format_id, target)
    assert report.rejected == 0
    assert records(target, format_id) == records(source, format_id)
    if isinstance(content, dict):
        assert json.dumps(json.loads(target.read_text())) == json.dumps(content)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_mm_prm_come_back_equal(shape: str, tmp_path: Path) -> None:
    options, content = SHAPES[shape]
    source = put(tmp_path / "in.jsonl", content)
    there_and_back(source, "mm-prm", tmp_path / "out.jsonl", **options)
    assert records(tmp_path / "out.jsonl", "mm-prm") == records(source, "mm-prm")


@pytest.mark.parametrize("format_id", {**EXAMPLES, **READ_ONLY})
def test_the_format_is_detected(format_id: str, tmp_path: Path) -> None:
    content = {**EXAMPLES, **READ_ONLY}[format_id]
    names = ["in.json"] if isinstance(content, dict) else ["in.json", "in.jsonl"]
    for name in names:
        assert formats.detect(put(tmp_path / name, content)) == format_id


@pytest.mark.parametrize("format_id", {**EXAMPLES, **READ_ONLY})
def test_raw_json_keeps_every_row(format_id: str, tmp_path: Path) -> None:
    source = put(tmp_path / "in.json", {**EXAMPLES, **READ_ONLY}[format_id])
    rows = list(formats.read(source, problems=[]))
    assert rows
    for name in ("raw.jsonl", "raw.json", "raw.jsonl.gz"):
        formats.write(rows, tmp_path / name, "raw-json")
        back = list(formats.read(tmp_path / name, problems=[]))
        assert json.dumps(back) == json.dumps(rows)


REAL = [
    ("openr_prm_samples/samples_prm800k.jsonl", "prm800k", 6),
    ("openr_prm_samples/samples_math-shepherd.jsonl", "math-shepherd", 7),
]
REAL_READ_ONLY = [
    ("openr_prm_samples/samples_math-aps.jsonl", "math-aps", 124),
    ("openr_prm_samples/samples_math-aps-tree.jsonl", "math-aps", 242),
    ("processbench/gsm8k.json", "processbench", 400),
    ("prmbench/prmbench_subset400.jsonl", "prmbench", 383),
]


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


@pytest.mark.parametrize(("name", "format_id", "count"), REAL)
def test_real_files_come_back_equal(name: str, format_id: str, count: int, tmp_path: Path) -> None:
    source = real(name)
    assert formats.detect(source) == format_id
    report = there_and_back(source, format_id, tmp_path / source.name)
    assert (report.rows, report.records, report.rejected) == (count, count, 0)
    assert records(tmp_path / source.name, format_id) == records(source, format_id)


@pytest.mark.parametrize(("name", "format_id", "count"), REAL_READ_ONLY)
def test_real_files_that_are_read_keep_their_rows_in_raw_json(
    name: str, format_id: str, count: int, tmp_path: Path
) -> None:
    source = real(name)
    assert formats.detect(source) == format_id
    rows = list(formats.read(source, problems=[]))
    assert len(rows) == count
    formats.write(rows, tmp_path / "raw.jsonl", "raw-json")
    assert list(formats.read(tmp_path / "raw.jsonl")) == rows


def test_math_aps_paths_hold_every_value_of_the_tree() -> None:
    source = real("openr_prm_samples/samples_math-aps-tree.jsonl")

    def nodes(node: dict[str, Any]) -> int:
        return 1 + sum(map(nodes, node["children"]))

    total = sum(nodes(json.loads(line)["reasoning_steps"]) - 1 for line in source.open())
    prefixes = {
        (row["question_id"], tuple(row["steps"][:depth]), row["expected_accuracy"][depth - 1])
        for row in formats.read(source)
        for depth in range(1, len(row["steps"]) + 1)
    }
    # Equal siblings (the same text sampled twice) fall together.
    assert total >= len(prefixes) > 0.4 * total


def test_prmbench_rows_past_the_last_step_are_reported_by_index() -> None:
    source = real("prmbench/prmbench_subset400.jsonl")
    problems: list[formats.Problem] = []
    rows = list(formats.read(source, problems=problems))
    lines = [json.loads(line) for line in source.open()]
    ends = [(max(record["error_steps"], default=0), len(record["modified_process"])) for record in lines]
    past = [line for line, (error, count) in enumerate(ends, start=1) if error > count]
    assert [problem.line for problem in problems] == past
    assert len(past) == 11
    assert {problem.reason for problem in problems} == {"error_step_past_end"}
    assert "[54]" in problems[0].message
    assert len(rows) + len(past) == len(lines)
    first = lines[0]
    assert [n for n, label in enumerate(rows[0]["labels"], start=1) if label == "-"] == first["error_steps"]


def test_processbench_counts_from_zero_and_leaves_what_follows_unknown() -> None:
    source = real("processbench/gsm8k.json")
    for row, record in zip(formats.read(source), json.loads(source.read_text()), strict=True):
        first = record["label"]
        expected = ["+"] * len(record["steps"]) if first < 0 else ["+"] * first + ["-"]
        assert row["labels"] == (expected + ["?"] * len(record["steps"]))[: len(record["steps"])]


@pytest.mark.parametrize("format_id", ["case-json", "stepwise", "math-aps", "prm800k"])
def test_one_object_over_many_lines_is_one_record(format_id: str, tmp_path: Path) -> None:
    record = {**EXAMPLES, **READ_ONLY}[format_id][0]  # type: ignore[index]
    path = tmp_path / "in.json"
    path.write_text(json.dumps(record, indent=2))
    assert formats.detect(path) == format_id
    assert list(formats.read(path, problems=[])) == list(
        formats.read(put(tmp_path / "in.jsonl", [record]), problems=[])
    )
