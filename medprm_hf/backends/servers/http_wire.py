"""One kept-alive HTTP/1.1 connection to a server of one's own, for plain `http://` and no proxy.

    wires = Wires("gpu-box", 8000)
    answer = await wires.post(b"POST /v1/chat/completions HTTP/1.1\\r\\n…\\r\\n\\r\\n", [b'{"model": …}'])
    answer.status, answer.headers["content-type"], answer.body

A server of one's own answers thousands of calls a second on one thread of ours, where a general client spends more time
on each than the rest of the path together (tests/benchmarks/rollout_throughput.py). This one does what such a call
needs, and no more: a body of known length, in chunks, or up to the end of the connection. TLS, proxies, redirects and
compression are aiohttp's (`http_client.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

IDLE = 15.0
"""Seconds after which an unused connection is not used again: servers close theirs sooner or later."""
LONGEST_HEAD = 65_536
"""Bytes of status line and headers at most."""
_UNTIL_END = -1


class HttpAnswer(NamedTuple):
    """A response that arrived whole."""

    status: int
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes


class ProtocolError(ConnectionError):
    """The other side does not speak HTTP, or hung up in the middle."""


class Wire(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[HttpAnswer] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._start()
        self.open = False
        """Whether another request may be sent."""
        self.idle_since = 0.0

    def _start(self) -> None:
        """Forgets the last answer."""
        self._parts: list[bytes] = []
        self._size = 0
        self._status = 0
        self._headers: dict[str, str] = {}
        self._length = 0
        self._chunks: _Chunks | None = None

    async def post(self, head: bytes, pieces: Sequence[bytes]) -> HttpAnswer:
        """Sends a request and waits for all of its answer. Raises ConnectionError where there comes none."""
        self._start()
        waiter = self._waiter = self._loop.create_future()
        try:
            first, *rest = pieces or (b"",)
            self._transport.write(head + first)
            for piece in rest:
                if self._writable is not None:
                    await self._writable
                self._transport.write(piece)
            answer: HttpAnswer = await waiter
            return answer
        except BaseException:
            self.close()  # what may still come belongs to nobody
            raise
        finally:
            self._waiter = None

    def close(self) -> None:
        """Hangs up."""
        self.open = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is ready."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer that ends with the connection is whole now; any other is lost."""
        self.open = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self._waiter is None or self._waiter.done():
            return
        if exc is None and self._status and self._length == _UNTIL_END:
            self._finish(b"".join(self._parts))
        else:
            begun = f"after {self._size} bytes of the body" if self._status else "without an answer"
            self._fail(f"{exc}" if exc else f"the server hung up {begun}")

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """It does again."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def data_received(self, data: bytes) -> None:
        """Some of an answer."""
        if self._waiter is None or self._waiter.done():
            self.close()  # nothing was asked
            return
        try:
            if not self._status:
                rest = self._read_head(data)
                if rest is None:
                    return
                data = rest
            self._read_body(data)
        except (ValueError, ProtocolError) as error:
            self._fail(f"broken HTTP: {error}"[:300])
            self.close()

    def _read_head(self, data: bytes) -> bytes | None:
        """What follows the head; None where more of it is to come."""
        if self._parts:
            data = b"".join((*self._parts, data))
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > LONGEST_HEAD:
                    raise ProtocolError("the headers do not end")
                self._parts = [data]
                return None
            status, headers, persistent = _head(data[:end])
            data = data[end + 4 :]
            if status >= 200:  # 100 Continue and the like go before the answer
                break
        self._parts, self._status, self._headers = [], status, headers
        self._length, self._chunks = _framing(status, headers)
        self.open = persistent and self._length != _UNTIL_END
        return data

    def _read_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._chunks is not None:
            if (body := self._chunks.feed(data)) is not None:
                self._finish(body)
            return
        length = self._length
        if self._size == length and not self._parts:
            self._finish(data)
            return
        self._parts.append(data)
        if length != _UNTIL_END and self._size >= length:
            if self._size > length:
                raise ProtocolError(f"{self._size} bytes of body where {length} were announced")
            self._finish(b"".join(self._parts))

    def _finish(self, body: bytes) -> None:
        assert self._waiter is not None
        if not self.open:
            self._transport.close()
        self._waiter.set_result(HttpAnswer(self._status, self._headers, body))

    def _fail(self, said: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ProtocolError(said))


class Wires:
    """Connections to one host and port; as many as there are requests at once."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[Wire] = []
        self._loop = asyncio.get_running_loop()

    async def post(self, head: bytes, pieces: Sequence[bytes]) -> HttpAnswer:
        """One request on a free connection, or on a new one."""
        wire = self._free()
        if wire is None:
            _, wire = await self._loop.create_connection(Wire, self._host, self._port, happy_eyeballs_delay=0.25)
        answer = await wire.post(head, pieces)
        if wire.open:
            wire.idle_since = self._loop.time()
            self._idle.append(wire)
        return answer

    def close(self) -> None:
        """Hangs all idle ones up."""
        while self._idle:
            self._idle.pop().close()

    def _free(self) -> Wire | None:
        """The connection that was used last, which the server is most likely to have kept."""
        while self._idle:
            wire = self._idle.pop()
            if wire.open and self._loop.time() - wire.idle_since < IDLE:
                return wire
            wire.close()
        return None


class _Chunks:
    """A body in chunks (RFC 9112, section 7.1); trailers are passed over."""

    def __init__(self) -> None:
        self._held, self._at = bytearray(), 0
        self._body: list[bytes] = []
        self._size = 0
        """Bytes of the chunk that is arriving; 0 where a line is to come that says it."""
        self._last = False

    def feed(self, data: bytes) -> bytes | None:
        """The whole body once its end has come."""
        held = self._held
        held += data
        while True:
            end = self._at + self._size if self._size else held.find(b"\r\n", self._at)
            if end < 0 or len(held) < end + 2:
                return None
            some, self._at = bytes(held[self._at : end]), end + 2
            if self._size:
                if held[end : end + 2] != b"\r\n":
                    raise ProtocolError("a chunk is longer than announced")
                self._body.append(some)
                self._size = 0
            elif not self._last:
                self._size = _number(some.partition(b";")[0], 16)
                self._last = not self._size
            elif not some:
                return b"".join(self._body)


def _head(data: bytes) -> tuple[int, dict[str, str], bool]:
    """Status, headers, and whether the connection stays open; ValueError for what is no head of HTTP/1."""
    first, *lines = data.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ProtocolError(f"it begins with {first[:60]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ProtocolError(f"a header is {line[:60]!r}")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    said = headers.get("connection", "").lower()
    return int(rest[:3]), headers, "close" not in said and (version != "HTTP/1.0" or "keep-alive" in said)


def _framing(status: int, headers: Mapping[str, str]) -> tuple[int, _Chunks | None]:
    """Length of the body and how it is read (RFC 9112, section 6.3)."""
    if status in (204, 304):
        return 0, None
    if coding := headers.get("transfer-encoding"):
        if coding.lower() != "chunked":
            raise ProtocolError(f"transfer-encoding {coding!r} was not asked for")
        return 0, _Chunks()
    length = headers.get("content-length")
    return (_UNTIL_END if length is None else _number(length.encode("latin-1"), 10)), None


def _number(said: bytes, base: int) -> int:
    """A length; ValueError for a sign or anything else that int() would take."""
    if not said.strip().isalnum():
        raise ProtocolError(f"a length is {said[:60]!r}")
    return int(said, base)
