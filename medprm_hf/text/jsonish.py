"""JSON as models write it: in a fence, after a sentence, with junk behind it, or cut off in the middle.

>>> found = find_json('Sure! ```json\\n{"answer": "B"}\\n``` Hope that helps')
>>> found.value
{'answer': 'B'}
>>> [item for item, _, _ in list_items('{"steps": [{"text": "Look."}, {"te', "steps")]
[{'text': 'Look.'}]
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_DECODER = json.JSONDecoder(strict=False)  # models write raw newlines inside strings
_OPENINGS = re.compile(r"[{\[]")
_TRIES = 64  # places at which a document may begin; bounds the work on hostile text


class Found(NamedTuple):
    """One JSON document inside a text."""

    value: Any
    """What it says: a dict or a list."""
    start: int
    """Index of its first character."""
    end: int
    """Index after its last character."""


def decode_at(text: str, start: int) -> Found | None:
    """The JSON value that begins exactly at `start`, else None (also where it nests too deeply)."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return Found(value, start, end)


def find_json(text: str) -> Found | None:
    """The first dict, or list of dicts, in a text; None where there is none among the first places.

    A list of plain values (`[1]`, as in a citation) is not taken for a document.
    """
    for count, match in enumerate(_OPENINGS.finditer(text)):
        if count == _TRIES:
            return None
        found = decode_at(text, match.start())
        if found is not None and _is_document(found.value):
            return found
    return None


def _is_document(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value)
    return bool(value) and all(isinstance(item, dict) for item in value)


def list_items(text: str, *names: str) -> list[Found]:
    """The whole items of the first list called one of `names`, or of a bare list that the text begins with.

    Items are decoded one by one, so a list that was cut off still gives those that arrived whole; each carries
    its span in `text`.
    """
    start = _list_start(text, names)
    return [] if start is None else list(_items(text, start))


def _list_start(text: str, names: tuple[str, ...]) -> int | None:
    keys = "|".join(map(re.escape, names))
    named = re.search(rf'"(?:{keys})"\s{{0,20}}:\s{{0,20}}\[', text)
    if named:
        return named.end()
    bare = re.match(r"\s*(?:```[a-zA-Z]{0,10}\s*)?\[(?=\s{0,100}\{)", text)
    return bare.end() if bare else None


_GAP = re.compile(r"[\s,]*")


def _items(text: str, position: int) -> Iterator[Found]:
    while True:
        gap = _GAP.match(text, position)
        found = decode_at(text, gap.end() if gap else position)
        if found is None:
            return
        yield found
        position = found.end
