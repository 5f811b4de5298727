"""A request body in pieces for aiohttp: encoded images go from the cache to the socket without being joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter


class Pieces(payload.Payload):
    """Several pieces of bytes as one body of known length; may be sent more than once."""

    _value: Sequence[bytes]

    def __init__(self, value: Sequence[bytes], *args: Any, **kwargs: Any) -> None:
        super().__init__(value, *args, **kwargs)
        self._size = sum(map(len, value))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Writes piece after piece."""
        for piece in self._value:
            await writer.write(piece)


def body_of(pieces: Sequence[bytes]) -> bytes | Pieces:
    """What aiohttp is given: one small piece as it is."""
    return pieces[0] if len(pieces) == 1 else Pieces(pieces, content_type="application/json")
