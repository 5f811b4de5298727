"""JSON by orjson where it is exact, by the standard library where orjson would change or refuse something.

    loads(b'{"id": 123456789012345678901234}', strange)   ->  the integer whole, not as a float
    loads(b'{"mc": NaN}', strange)                        ->  strange == ["NaN"]
    dumps({"text": "\\u00e9"})                             ->  b'{"text":"\\xc3\\xa9"}'

Reading, orjson turns integers beyond 64 bits into floats and refuses NaN, Infinity, 1e999 and lone surrogates;
writing, it turns NaN into null (which `finite` finds before) and refuses integers beyond 64 bits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import orjson

_DIGITS = bytes(48 if 48 <= code < 58 else 32 for code in range(256))
"""Translates every digit to 0 and everything else to a space."""
_LONG = b"0" * 20
_PLAIN = {str, int, bool, type(None)}
_NUMBERS = {float, int, bool, type(None)}


def fast(data: bytes) -> Any:
    """The JSON value where orjson reads it exactly; raises ValueError where not, and where it is no JSON."""
    # 20 digits in a row cover two neighbours among every tenth byte: most data is told by a glance at those.
    if b"00" in data[::10].translate(_DIGITS) and _LONG in data.translate(_DIGITS):
        raise ValueError("an integer beyond 64 bits")
    return orjson.loads(data)


def loads(data: bytes, strange: list[str]) -> Any:
    """The JSON value; raises ValueError or RecursionError with the standard library's message.

    Numbers that JSON does not know, or that no float can hold, are added to `strange`.
    """
    try:
        return fast(data)
    except ValueError:
        return decoder(strange).decode(data.decode())


def decoder(strange: list[str]) -> json.JSONDecoder:
    """The standard library's decoder, which takes NaN, Infinity and 1e999 and adds them to `strange`."""

    def number(text: str) -> float:
        if math.isinf(float(text)):
            strange.append(text)
        return float(text)

    return json.JSONDecoder(parse_constant=strange.append, parse_float=number)


def dumps(record: Any, indent: bool = False) -> bytes:
    """JSON in UTF-8: keys in the record's order, non-ASCII kept; with `indent`, two spaces a level.

    Numbers must be `finite`. Raises UnicodeEncodeError for a lone surrogate, TypeError for what JSON cannot hold.
    """
    try:
        return orjson.dumps(record, option=orjson.OPT_INDENT_2 if indent else None)
    except TypeError:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, indent=2 if indent else None)
        return text.encode()


def finite(values: Iterable[Any]) -> bool:
    """Whether no number in the values, or in lists and objects among them, is NaN or infinite."""
    for value in values:
        kind = type(value)
        if kind in _PLAIN:
            continue
        if kind is list or kind is tuple:
            kinds = {*map(type, value)}
            if kinds <= _PLAIN:
                continue
            if not (math.isfinite(sum(filter(None, value))) if kinds <= _NUMBERS else finite(value)):
                return False
        elif isinstance(value, float) and not math.isfinite(value):
            return False
        elif kind is dict and not finite(value.values()):
            return False
    return True
