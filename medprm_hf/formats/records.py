"""Records of a file, one at a time: JSON lines, one JSON array, one object around a list (gzip or not), Parquet.

    for item in scan(Path("medprm.json.gz")):
        item.line, item.record    ->   1, {"question_id": "q1", …}

What a file is, is seen from its first characters, not from its name. Broken parts become `Problem`s; in a JSONL
file every other line is kept, in an array every element before the broken one.
"""

from __future__ import annotations

import gzip
import json
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from medprm_hf.errors import FormatError
from medprm_hf.formats.base import Problem
from medprm_hf.formats.exact import fast, loads
from medprm_hf.formats.parquet import parquet_files, parquet_rows
from medprm_hf.formats.window import BOM, Window, read_some

_FEW = 16
"""Lines decoded together: few enough that the garbage collector has nothing to look at."""
_WORD = secrets.token_hex(8)
_JOINT = f',"{_WORD}",'.encode()


@dataclass(slots=True)
class Item:
    """One record and where it stood."""

    line: int
    """Line of a JSONL file, or element of an array, from 1."""
    number: int
    """Which record it is, from 1."""
    record: Any
    head: dict[str, Any]
    """For an object around a list: the keys before the list."""
    raw: bytes = b""
    """The line that it was read from, in JSONL files."""


def scan(path: Path, inner: tuple[str, ...] = ()) -> Iterator[Item | Problem]:
    """Records and problems of a file in order; raises FormatError where there is no file to read.

    `inner` are the keys that may hold the list of records, if the file is one object.
    """
    if files := parquet_files(path):
        for number, row in enumerate(parquet_rows(files), start=1):
            yield row if isinstance(row, Problem) else Item(number, number, row, {})
        return
    if path.is_dir():
        raise FormatError(f"{path} is a directory, with no Parquet files in it or its dataset/: name one of its files")
    if not path.is_file():
        raise FormatError(f"{path} does not exist: check the path")
    place = 0
    try:
        with _opened(path) as raw:
            for item in _records(raw, inner):
                place = item.line or place
                yield item
    except EOFError:
        yield _after(place, "truncated_gzip", "the gzip file ends before its end: fetch it again")
    except (zlib.error, gzip.BadGzipFile) as error:
        yield _after(place, "broken_gzip", f"the gzip file is damaged ({error}): fetch it again")
    except UnicodeDecodeError as error:
        yield _after(place, "not_utf8", f"the file is not UTF-8 ({error.reason}): save it as UTF-8")


def _after(place: int, reason: str, message: str) -> Problem:
    kept = f"; the {place} before are kept" if place else ""
    return Problem(place + 1, None, reason, message + kept, "")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not zipped:
            yield raw
            return
        with gzip.open(raw) as unzipped:
            yield cast(IO[bytes], unzipped)


def _records(raw: IO[bytes], inner: tuple[str, ...]) -> Iterator[Item | Problem]:
    start = read_some(raw)
    text = start.removeprefix(BOM).lstrip()
    raw.seek(0)
    if not text:
        yield Problem(None, None, "empty_file", "the file is empty: there is nothing to read")
    elif text.startswith(b"[") and not _is_line(text):
        yield from _elements(Window(raw))
    elif text.startswith(b"{") and (_pretty(text) or any(b'"%s"' % key.encode() in text for key in inner)):
        yield from _inside(raw, inner, _pretty(text))
    else:
        yield from _lines(raw)


def _is_line(text: bytes) -> bool:
    """Whether `[…` is a line of its own (JSONL of arrays, which no format has) rather than one array."""
    return False if b"\n" not in text else text.split(b"\n", 1)[0].rstrip().endswith(b"]") and b"\n[" in text


def _pretty(text: bytes) -> bool:
    """Whether `{…` is spread over several lines."""
    first = text.split(b"\n", 1)[0].rstrip()
    return b"\n" in text and first.endswith((b"{", b"[", b","))


def _lines(raw: IO[bytes]) -> Iterator[Item | Problem]:
    strange: list[str] = []
    head: dict[str, Any] = {}
    line = number = 0
    for lines in _blocks(raw):
        together = _together(lines)
        for place, data in enumerate(lines):
            line += 1
            try:
                record = loads(data, strange) if together is None else together[place]
            except (ValueError, RecursionError) as error:
                if data and not data.isspace():
                    yield _broken(line, error, data.decode(errors="replace"))
                continue
            if strange:
                yield _strange(line, strange, data.decode())
                continue
            number += 1
            yield Item(line, number, record, head, data)


def _blocks(raw: IO[bytes]) -> Iterator[list[bytes]]:
    """Whole lines, some at a time."""
    parts: list[bytes] = []
    data = read_some(raw).removeprefix(BOM)
    while data:
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join([*parts, lines[0]])
            parts = []
            for start in range(0, len(lines), _FEW):
                yield lines[start : start + _FEW]
        parts.append(rest)
        data = read_some(raw)
    if any(parts):
        yield [b"".join(parts)]


def _together(lines: list[bytes]) -> list[Any] | None:
    """The values of lines that hold one each, decoded at once, which is faster; null if a line is not like that.

    A word that nobody can foresee stands between the lines, so that two broken ones never make a whole.
    """
    try:
        values: list[Any] = fast(b"[" + _JOINT.join(lines) + b"]")
    except ValueError:
        return None
    whole = len(values) == 2 * len(lines) - 1 and values[1::2].count(_WORD) == len(lines) - 1
    return values[::2] if whole else None


def _broken(line: int, error: Exception, text: str) -> Problem:
    if isinstance(error, UnicodeDecodeError):
        return Problem(line, None, "not_utf8", f"not UTF-8 ({error.reason}): save it as UTF-8", text)
    return Problem(line, None, "broken_json", f"not JSON: {error}", text)


def _strange(line: int, strange: list[str], text: str) -> Problem:
    found = ", ".join(dict.fromkeys(strange))
    strange.clear()
    return Problem(line, None, "not_a_number", f"{found}, which JSON does not know: write null", text)


def _elements(stream: Window, head: dict[str, Any] | None = None) -> Iterator[Item | Problem]:
    """Elements of an array; the stream stands at its bracket, and behind it afterwards."""
    stream.take(b"[")
    line = number = 0
    head = {} if head is None else head
    while stream.peek() != b"]":
        line += 1
        try:
            if line > 1:
                stream.take(b",")
            record = stream.element()
        except (ValueError, RecursionError) as error:
            message = f"not JSON: {error}; what follows it in the array is lost, what came before is kept"
            yield Problem(line, None, "broken_json", message, "")
            return
        if stream.strange:
            yield _strange(line, stream.strange, json.dumps(record))
            continue
        number += 1
        yield Item(line, number, record, head)
    stream.take(b"]")


def _inside(raw: IO[bytes], inner: tuple[str, ...], pretty: bool) -> Iterator[Item | Problem]:
    """Records of the list inside one object; or that object itself, if it has no such list."""
    stream = Window(raw)
    head: dict[str, Any] = {}
    found = False
    strange: list[Problem] = []
    try:
        stream.take(b"{")
        while stream.peek() != b"}":
            if head or found:
                stream.take(b",")
            key = stream.value()
            stream.take(b":")
            if key in inner and stream.peek() == b"[":
                found = True
                yield from strange
                yield from _elements(stream, head)
            else:
                head[key] = stream.value()
                if stream.strange:
                    told = f"{', '.join(stream.strange)}, which JSON does not know; read as null"
                    strange.append(Problem(None, key, "not_a_number", told))
                    stream.strange.clear()
        stream.take(b"}")
    except (ValueError, RecursionError) as error:
        if found or pretty:
            yield Problem(1, None, "broken_json", f"not JSON: {error}", "")
            return
        raw.seek(0)  # the first of many lines is broken, and speaks of such a key
        yield from _lines(raw)
        return
    if found:
        return
    if stream.peek():
        raw.seek(0)
        yield from _lines(raw)
    elif strange:
        yield Problem(1, strange[0].key, "not_a_number", strange[0].message, json.dumps(head))
    else:
        yield Item(1, 1, head, {})
