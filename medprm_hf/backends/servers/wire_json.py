"""JSON as it goes over the wire: by orjson, and by the standard library where orjson refuses.

write_json({"model": "tiny"})   →   b'{"model":"tiny"}'
"""

from __future__ import annotations

import json
from typing import Any

import orjson


def write_json(value: Any) -> bytes:
    """JSON in UTF-8; half of a surrogate pair, which a cut answer may end in, is escaped."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def read_json(data: bytes) -> Any:
    """The value, also of what only Python takes for JSON (NaN, lone surrogates); ValueError for what is none."""
    try:
        return orjson.loads(data)
    except ValueError:
        return json.loads(data)
