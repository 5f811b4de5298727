"""The keys behind the list of a long object file, read from its end, so that the file need not be read twice.

    {"dataset": "Demo", "cases": [{"id": "c1", …}, …], "summary": {…}}
    keys_behind(path, {"id": "c1", …})   ->   {"summary": {…}}

Null where the end does not tell for sure: the caller then reads the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medprm_hf.formats.exact import fast

_TAIL = 1 << 16
"""Bytes of the end that are looked at; files below four times as many are not worth it."""
_CLOSES = re.compile(rb"\}\s*\](?=\s*[,}])")
"""Where a list of objects ends within an object."""
_TRIES = 64
"""Beginnings of the last record that are tried."""


def keys_behind(path: Path, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The keys behind the list whose first record is given; null if the last 64 KB do not show where it ends."""
    size = path.stat().st_size
    if size < 4 * _TAIL or not record:
        return None
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(size - _TAIL)
        data = file.read()
    if zipped:
        return None
    for close in _CLOSES.finditer(data):  # from within a record what follows is no JSON, so the first that is, is it
        rest = data[close.end() :].lstrip()
        found = _value(b"{" + rest[rest.startswith(b",") :])
        if isinstance(found, dict):
            return found if _is_record(data[: close.end() - 1], record) else None
    return None


def _is_record(data: bytes, record: Mapping[str, Any]) -> bool:
    """Whether the data end with an object of the same keys."""
    key = re.escape(next(iter(record)).encode())
    starts = [match.start() for match in re.finditer(rb'\{\s*"' + key + rb'"', data)]
    found = (_value(data[start:]) for start in reversed(starts[-_TRIES:]))
    return any(isinstance(value, dict) and list(value) == list(record) for value in found)


def _value(data: bytes) -> Any:
    """The JSON value; null if it is none, or not read exactly."""
    try:
        return fast(data)
    except ValueError:
        return None
