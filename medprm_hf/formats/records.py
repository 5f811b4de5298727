"""Records of a file, one at a time: JSON lines, one JSON array, or one object around a list; gzip or not.

    for item in scan(Path("medprm.json.gz")):
        item.line, item.record    ->   1, {"question_id": "q1", …}

What a file is, is seen from its first characters, not from its name. Broken parts become `Problem`s; in a JSONL
file every other line is kept, in an array every element before the broken one.
"""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from medprm_hf.errors import FormatError
from medprm_hf.formats.base import Problem

_CHUNK = 1 << 18
_SPACE = " \t\r\n"


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
    if path.is_dir():
        raise FormatError(f"{path} is a directory: name one of its files")
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
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
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
    decode = json.JSONDecoder(parse_constant=strange.append).decode
    number = 0
    for line, data in enumerate(raw, start=1):
        if line == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        if data.isspace():
            continue
        try:
            record = decode(data.decode())
        except (ValueError, RecursionError) as error:
            yield _broken(line, error, data.decode(errors="replace"))
            continue
        if strange:
            yield _strange(line, strange, data.decode())
            continue
        number += 1
        yield Item(line, number, record, {})


def _broken(line: int, error: Exception, text: str) -> Problem:
    if isinstance(error, UnicodeDecodeError):
        return Problem(line, None, "not_utf8", f"not UTF-8 ({error.reason}): save it as UTF-8", text)
    return Problem(line, None, "broken_json", f"not JSON: {error}", text)


def _strange(line: int, strange: list[str], text: str) -> Problem:
    found = ", ".join(dict.fromkeys(strange))
    strange.clear()
    return Problem(line, None, "not_a_number", f"{found}, which JSON does not know: write null", text)


class _Stream:
    """A window on a long JSON text that gives one value at a time."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._place = 0
        self._ended = False
        self.strange: list[str] = []
        self._decode = json.JSONDecoder(parse_constant=self.strange.append).raw_decode

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self._place < len(self._text):
                if self._text[self._place] not in _SPACE:
                    return self._text[self._place]
                self._place += 1
            if not self._more():
                return ""

    def take(self, wanted: str) -> None:
        """Steps over one character that must come next."""
        found = self.peek()
        if found != wanted:
            raise ValueError(f"{wanted!r} expected, {found or 'the end of the file'!r} found")
        self._place += 1

    def value(self) -> Any:
        """The next JSON value; raises ValueError if there is none."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._place)
            except json.JSONDecodeError as error:
                self.strange.clear()
                if not self._cut(error) or not self._more():
                    raise
                continue
            if end == len(self._text) and self._more():
                self.strange.clear()
                continue
            self._place = end
            return value

    def _cut(self, error: json.JSONDecodeError) -> bool:
        """Whether the text is broken only because the window ends there."""
        return error.pos >= len(self._text) - 16 or error.msg.startswith("Unterminated string")

    def _more(self) -> bool:
        """Widens the window, by half of what it holds at least, so that long values are decoded few times."""
        if self._ended:
            return False
        left = self._text[self._place :]
        data = _read(self._raw, max(_CHUNK, len(left) // 2))
        self._ended = not data
        self._text, self._place = left + self._utf8.decode(data, final=not data), 0
        return bool(data)


def _elements(stream: _Stream, head: dict[str, Any] | None = None) -> Iterator[Item | Problem]:
    """Elements of an array; the stream stands at its bracket, and behind it afterwards."""
    stream.take("[")
    line = number = 0
    while stream.peek() != "]":
        line += 1
        try:
            if line > 1:
                stream.take(",")
            record = stream.value()
        except (ValueError, RecursionError) as error:
            message = f"not JSON: {error}; what follows it in the array is lost, what came before is kept"
            yield Problem(line, None, "broken_json", message, "")
            return
        if stream.strange:
            yield _strange(line, stream.strange, json.dumps(record))
            continue
        number += 1
        yield Item(line, number, record, head or {})
    stream.take("]")


def _inside(raw: IO[bytes], inner: tuple[str, ...], pretty: bool) -> Iterator[Item | Problem]:
    """Records of the list inside one object; or that object itself, if it has no such list."""
    stream = _Stream(raw)
    head: dict[str, Any] = {}
    found = False
    strange: list[Problem] = []
    try:
        stream.take("{")
        while stream.peek() != "}":
            if head or found:
                stream.take(",")
            key = stream.value()
            stream.take(":")
            if key in inner and stream.peek() == "[":
                found = True
                yield from strange
                yield from _elements(stream, head)
            else:
                head[key] = stream.value()
                if stream.strange:
                    told = f"{', '.join(stream.strange)}, which JSON does not know; read as null"
                    strange.append(Problem(None, key, "not_a_number", told))
                    stream.strange.clear()
        stream.take("}")
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
