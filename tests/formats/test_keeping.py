"""Whatever stands in a record comes back: values, types, further keys and the order of keys."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medprm_hf import formats
from tests.formats.rows import row, rows
from tests.formats.test_round_trips import put, records

LINES = [
    name for name in formats.FORMATS
    if formats.open_format(name).writes and formats.open_format(name).container != "object" and name != "raw-json"
]
ODD = [None, True, 0, 1, 1.0, 0.5, "", "odd", [], {}, 10**30]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a record, as the keys that lead to it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(place for key, one in inner for place in places(one, (*path, key)))]


def changed(draw: st.DrawFn, record: dict[str, Any]) -> dict[str, Any]:
    """The record with one value replaced, one key added, or the keys of one object in another order."""
    made = copy.deepcopy(record)
    *above, key = draw(st.sampled_from(places(made)))
    holder = made
    for step in above:
        holder = holder[step]
    kind = draw(st.sampled_from(["value", "key", "order"]))
    if kind == "value" or not isinstance(holder, dict):
        holder[key] = draw(st.sampled_from(ODD))
    elif kind == "key":
        holder["further"] = draw(st.sampled_from(ODD))
    else:
        holder[key] = holder.pop(key)
    return made


@pytest.mark.parametrize("format_id", LINES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_a_record_that_is_read_is_written_as_it_stood(format_id: str, data: st.DataObject) -> None:
    group = data.draw(st.just([row()]) | rows())
    with TemporaryDirectory() as folder:
        path, back = Path(folder) / "a.jsonl", Path(folder) / "b.jsonl"
        array = formats.open_format(format_id).container == "array"
        if not formats.write([{**one, "image": None} for one in group], path, format_id).records:
            return
        made = [json.loads(line) for line in records(path, format_id)]
        made[0] = data.draw(st.composite(changed)(made[0]))
        path.write_text(json.dumps(made)) if array else put(path, made)
        problems: list[formats.Problem] = []
        found = list(formats.read(path, format_id, problems=problems, images="reference"))
        if any(not problem.kept for problem in problems):
            return  # refused by name
        report = formats.write(found, back, format_id)
        if not report.rejected and not report.left_out:
            assert records(back, format_id) == records(path, format_id)
