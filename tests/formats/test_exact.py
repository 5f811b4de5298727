"""JSON comes back exactly: what orjson would change or refuse goes through the standard library."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf import formats
from medprm_hf.formats.exact import dumps, finite, loads
from medprm_hf.formats.records import Item, Problem, scan
from tests.formats.rows import row

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_every_value_comes_back_with_its_type(value: Any) -> None:
    try:
        told = dumps(value)
    except UnicodeEncodeError:
        return
    strange: list[str] = []
    assert repr(loads(told, strange)) == repr(value)
    assert strange == []
    assert repr(loads(json.dumps(value).encode(), strange)) == repr(value)


@given(st.lists(VALUES.map(lambda value: {"x": value}), max_size=12), st.sampled_from([None, 2]), st.booleans())
def test_files_are_read_as_the_standard_library_reads_them(
    tmp_path_factory: pytest.TempPathFactory, records: list[Any], indent: int | None, ascii_: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    text = [json.dumps(record, ensure_ascii=ascii_) for record in records]
    (folder / "x.jsonl").write_text("\n".join(text), encoding="utf-8", errors="surrogatepass")
    (folder / "x.json").write_text(json.dumps(records, indent=indent), encoding="utf-8")
    for name in ("x.jsonl", "x.json"):
        found = [item.record for item in scan(folder / name) if isinstance(item, Item)]
        if name == "x.json" or not any("\ud800" <= letter <= "\udfff" for letter in "".join(text)):
            assert repr(found) == repr(records)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_numbers_that_no_float_holds_are_reported(number: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f'{{"a": 1}}\n{{"a": {number}}}\n{{"a": 2}}\n')
    found = list(scan(path))
    assert [item.reason for item in found if isinstance(item, Problem)] == ["not_a_number"]
    assert [item.line for item in found] == [1, 2, 3]


def test_broken_lines_that_would_be_whole_together_are_broken(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"a": [{}\n{}]}\n{},{}\n{"a": 1}\n')
    found = list(scan(path))
    assert [type(item) for item in found] == [Problem, Problem, Problem, Item]
    assert [item.line for item in found] == [1, 2, 3, 4]


def test_an_array_whose_steps_hold_what_stands_between_its_elements(tmp_path: Path) -> None:
    inner = {"id": 2, "parts": [{"id": 3}, {"id": 4}], "text": '}, {"id": 5}'}
    records = [{"id": 1}, inner, {"id": 6}, inner, {"id": 7}]
    for indent in (None, 1, 2):
        path = tmp_path / "in.json"
        path.write_text(json.dumps(records, indent=indent))
        assert [item.record for item in scan(path) if isinstance(item, Item)] == records


def test_long_elements_are_read_through_a_small_window(tmp_path: Path) -> None:
    records = [{"id": number, "text": "é" * size} for number, size in enumerate([10, 300_000, 5, 1_000_000, 7])]
    path = tmp_path / "in.json"
    path.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    assert [item.record for item in scan(path) if isinstance(item, Item)] == records


@pytest.mark.parametrize("column", ["expected_accuracy", "answer", "generator", "rollout_correct"])
def test_nan_in_any_column_that_is_written_is_refused_by_name(column: str, tmp_path: Path) -> None:
    nan = math.nan
    values: dict[str, Any] = {"expected_accuracy": [0.5, nan], "answer": nan, "rollout_correct": [nan, 1],
                              "generator": {"model": "m", "temperature": nan}}
    for format_id in ("raw-json", "visualprm-raw"):
        report = formats.write([row(**{column: values[column]}), row()], tmp_path / "o.jsonl", format_id)
        held = column != "generator" or format_id == "raw-json"
        assert dict(report.rejections) == ({"not_a_number": 1} if held else report.rejections)
        assert b"NaN" not in (tmp_path / "o.jsonl").read_bytes()


def test_finite_looks_into_lists_and_objects() -> None:
    assert finite([1.0, [0.5, None, 2], {"a": [{"b": 0.1}]}, "nan", [True, "x"], ()])
    lists = [1, math.inf], [0.5, None, -math.inf], ["x", math.nan], [[math.inf]]
    for bad in (math.nan, {"a": [{"b": math.nan}]}, *lists):
        assert not finite([bad])
