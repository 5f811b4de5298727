"""Records of a file, one at a time: JSON lines, one JSON array, one object around a list (gzip or not), Parquet.

    for item in scan(Path("medprm.json.gz")):
        item.line, item.record    ->   1, {"question_id": "q1", …}

What a file is, is seen from its first characters, not from its name. Broken parts become `Problem`s; in a JSONL
file every other line is kept, in an array every element before the broken one.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from medprm_hf.errors import FormatError
from medprm_hf.formats.base import Problem
from medprm_hf.formats.exact import decoder, fast, loads
from medprm_hf.formats.parquet import parquet_files, parquet_rows

_CHUNK = 1 << 18
_FEW = 8
"""Lines decoded together: few enough that the garbage collector has nothing to look at."""
_BOM = b"\xef\xbb\xbf"
_WORD = secrets.token_hex(8)
_JOINT = f',"{_WORD}",'.encode()
_NO_SPACE = re.compile(rb"[^ \t\r\n]")
_FOLLOWS = re.compile(rb'\}\s*,\s*\{\s*"[^"\\]*"')
"""From the end of one element to the first key of the next."""
_NOTHING = object()


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
    start = _read(raw, _CHUNK)
    text = start.removeprefix(_BOM).lstrip()
    raw.seek(0)
    if not text:
        yield Problem(None, None, "empty_file", "the file is empty: there is nothing to read")
    elif text.startswith(b"[") and not _is_line(text):
        yield from _elements(_Stream(raw))
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


def _read(raw: IO[bytes], size: int) -> bytes:
    """Some bytes, at most `size`, none at the end: what a broken gzip still gives is not lost."""
    found: bytes = raw.read1(size)  # type: ignore[attr-defined]
    return found


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
            yield Item(line, number, record, head)


def _blocks(raw: IO[bytes]) -> Iterator[list[bytes]]:
    """Whole lines, some at a time."""
    parts: list[bytes] = []
    data = _read(raw, _CHUNK).removeprefix(_BOM)
    while data:
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join([*parts, lines[0]])
            parts = []
            for start in range(0, len(lines), _FEW):
                yield lines[start : start + _FEW]
        parts.append(rest)
        data = _read(raw, _CHUNK)
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


class _Stream:
    """A window on a long JSON text that gives one value at a time.

    Elements of an array mostly follow each other in one way (`}, {"id"`, or a line break and so many spaces). Where
    the next one seems to end there, it is decoded whole; if that is no JSON, or unknown, the decoder finds the end.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._data = _read(raw, _CHUNK).removeprefix(_BOM)
        self._place = 0
        self._ended = False
        self._end = 0
        """Where the last element ended; 0 once the window has moved on."""
        self._between = b""
        """What stands between two elements, with the first key of the second."""
        self._size = 1 << 12
        """Bytes of the last value that the decoder had to find the end of."""
        self.strange: list[str] = []
        self._decode = decoder(self.strange).raw_decode

    def peek(self) -> bytes:
        """The next character that is no space; empty at the end."""
        while True:
            found = self._data[self._place : self._place + 1]
            if found and not found.isspace():
                return found
            rest = _NO_SPACE.search(self._data, self._place)
            self._place = rest.start() if rest else len(self._data)
            if not rest and not self._more():
                return b""

    def take(self, wanted: bytes) -> None:
        """Steps over one character that must come next."""
        found = self.peek()
        if found != wanted:
            shown = repr(found.decode(errors="replace")) if found else "the end of the file"
            raise ValueError(f"{wanted.decode()!r} expected, {shown} found")
        self._place += 1

    def element(self) -> Any:
        """The next element of an array; raises ValueError if there is none."""
        self.peek()
        if self._end and not self._between:
            follows = _FOLLOWS.match(self._data, self._end - 1)
            self._between = follows[0] if follows else b""
        end = self._data.find(self._between, self._place) + 1 if self._between else 0
        if not end and self._between and len(self._data) - self._place < _CHUNK and self._more():
            end = self._data.find(self._between, self._place) + 1
        value = self._whole(end) if end else _NOTHING
        if value is _NOTHING:
            value = self.value()
        self._end = self._place
        return value

    def _whole(self, end: int) -> Any:
        try:
            value = fast(self._data[self._place : end])
        except ValueError:
            return _NOTHING
        self._place = end
        return value

    def value(self) -> Any:
        """The next JSON value; raises ValueError if there is none."""
        self.peek()
        size = 2 * self._size
        while True:
            data = self._data[self._place : self._place + size]
            last = self._ended and self._place + size >= len(self._data)
            text, _ = codecs.utf_8_decode(data, "strict", last)
            try:
                value, end = self._decode(text)
            except json.JSONDecodeError as error:
                if last or not _cut(error, text):
                    raise
            else:
                if last or end < len(text):
                    break
            self.strange.clear()
            size *= 2
            while len(self._data) - self._place < size and self._more():
                pass
        self._size = len(text[:end].encode())
        self._place += self._size
        return value

    def _more(self) -> bool:
        """Widens the window; false at the end of the file."""
        if self._ended:
            return False
        more = _read(self._raw, max(_CHUNK, (len(self._data) - self._place) // 2))
        self._ended = not more
        self._data = self._data[self._place :] + more
        self._place = self._end = 0
        return bool(more)


def _cut(error: json.JSONDecodeError, text: str) -> bool:
    """Whether the text is broken only because the window ends there."""
    return error.pos >= len(text) - 16 or error.msg.startswith("Unterminated string")


def _elements(stream: _Stream, head: dict[str, Any] | None = None) -> Iterator[Item | Problem]:
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
    stream = _Stream(raw)
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
