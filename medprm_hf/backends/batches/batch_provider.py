"""What a provider's batch API is to the batch backend: lines in, a name back, then a look and results.

`batch_openai.py` and `batch_gemini.py` are the two there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from medprm_hf.backends.protocol import Failure, Request
from medprm_hf.backends.servers.driver import Answered


@dataclass(frozen=True)
class Look:
    """What a provider says of a batch."""

    ended: bool
    said: str
    """Its state and counts, in words."""
    kind: str = ""
    """Why lines may have no answer: expired, cancelled, …; empty: all lines were worked on."""
    message: str = ""


@dataclass(frozen=True)
class Line:
    """One request of a batch as it is sent."""

    id: str
    body: bytes
    request: Request
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


class Provider(Protocol):
    """A batch API."""

    model: str
    identity: str
    recorded_as: str
    local: bool
    at_once: int | None
    most_lines: int
    most_bytes: int

    def line(self, id: str, request: Request, places: Sequence[int]) -> tuple[bytes, tuple[str, ...]]:
        """A request for these places as a line, and notes; raises Refusal for what does not fit."""
        ...

    async def open(self) -> None:
        """Opens connections."""
        ...

    async def shut(self) -> None:
        """Closes them."""
        ...

    async def submit(self, intent: str, lines: Sequence[Line]) -> str:
        """Sends a batch that carries the intent as its label; gives the provider's name for it."""
        ...

    async def find(self, intent: str) -> str | None:
        """The provider's name of the batch with this label, or None."""
        ...

    async def look(self, name: str) -> Look:
        """How a batch stands."""
        ...

    async def results(self, name: str) -> Mapping[str, Any]:
        """Results of an ended batch by line."""
        ...

    def read(self, result: Any, request: Request, asked: int) -> Answered | Failure:
        """The answers of a line's result."""
        ...


@dataclass(frozen=True)
class Patience:
    """How long a call waits for its batches, and how often one line is sent."""

    wait: float = 0.0
    poll: float = 30.0
    attempts: int = 3
    backoff: float = 0.5
