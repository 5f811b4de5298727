"""A window on a JSON file too large for memory: it gives one value at a time and moves on.

    window = Window(file)            # [{"id": 1}, {"id": 2}]
    window.take(b"[")
    window.element()                 ->  {"id": 1}
"""

from __future__ import annotations

import codecs
import json
import re
from typing import IO, Any

from medprm_hf.formats.exact import decoder, fast

CHUNK = 1 << 18
"""Bytes read at once."""
BOM = b"\xef\xbb\xbf"
_NO_SPACE = re.compile(rb"[^ \t\r\n]")
_FOLLOWS = re.compile(rb'\}\s*,\s*\{\s*"[^"\\]*"')
"""From the end of one element to the first key of the next."""
_NOTHING = object()


def read_some(raw: IO[bytes], size: int = CHUNK) -> bytes:
    """Some bytes, at most `size`, none at the end: what a broken gzip still gives is not lost."""
    found: bytes = raw.read1(size)  # type: ignore[attr-defined]
    return found


class Window:
    """A window on a long JSON text that gives one value at a time.

    Elements of an array mostly follow each other in one way (`}, {"id"`, or a line break and so many spaces). Where
    the next one seems to end there, it is decoded whole; if that is no JSON, or unknown, the decoder finds the end.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._data = read_some(raw).removeprefix(BOM)
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
        if not end and self._between and len(self._data) - self._place < CHUNK and self._more():
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
        more = read_some(self._raw, max(CHUNK, (len(self._data) - self._place) // 2))
        self._ended = not more
        self._data = self._data[self._place :] + more
        self._place = self._end = 0
        return bool(more)


def _cut(error: json.JSONDecodeError, text: str) -> bool:
    """Whether the text is broken only because the window ends there."""
    return error.pos >= len(text) - 16 or error.msg.startswith("Unterminated string")
