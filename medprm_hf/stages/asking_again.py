"""Questions whose answers must be readable: what cannot be read is asked for again, with what is wrong with it.

    taken = ask_readable(backend, requests, [read, …], retries=1)
    taken[0][0].value      what `read` made of the first answer to the first request

A request that fails is not asked again here: the backend has tried before it gave up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from medprm_hf.backends.protocol import Backend, Completion, Failure, Message, Request
from medprm_hf.stages.asking import ask

Value = TypeVar("Value")
_SHOWN = 4000  # characters of a broken answer that its author is shown again
_AGAIN = "Your answer cannot be used: {why}. Answer again, whole, with JSON only, in the form that was asked for."


@dataclass(frozen=True)
class Reading(Generic[Value]):
    """What was read of one answer."""

    value: Value
    complaint: str | None = None
    """What is wrong with the answer, for its author; null where all could be read."""
    missing: int = 0
    """How many things in it could not be read; of two answers the one that misses less is taken."""


@dataclass(frozen=True)
class Taken(Generic[Value]):
    """One place of a request, after all retries."""

    value: Value | None
    """Null where the request failed."""
    failure: Failure | None = None
    """Why it failed."""
    repaired: bool = False
    """Whether an answer to a retry was taken."""


@dataclass
class _Open(Generic[Value]):
    """A place whose answer may be asked for again."""

    at: tuple[int, int]
    answer: Completion
    reading: Reading[Value]


Read = Callable[[Completion], Reading[Value]]


def ask_readable(
    backend: Backend, requests: Sequence[Request], reads: Sequence[Read[Value]], retries: int
) -> list[list[Taken[Value]]]:
    """The n places of each request, read; `reads` holds one reader a request."""
    places: list[list[Taken[Value]]] = []
    open_: list[_Open[Value]] = []
    for i, reply in enumerate(ask(backend, requests)):
        row: list[Taken[Value]] = []
        for j, place in enumerate(reply.places):
            if isinstance(place, Failure):
                row.append(Taken(None, place))
                continue
            reading = reads[i](place)
            row.append(Taken(reading.value))
            if reading.complaint is not None:
                open_.append(_Open((i, j), place, reading))
        places.append(row)
    for turn in range(1, retries + 1):
        open_ = _once_more(backend, requests, reads, places, open_, turn) if open_ else []
    return places


def _once_more(
    backend: Backend, requests: Sequence[Request], reads: Sequence[Read[Value]], places: list[list[Taken[Value]]],
    open_: list[_Open[Value]], turn: int,
) -> list[_Open[Value]]:  # fmt: skip
    """Asks for every open place again; gives those that are still open."""
    replies = ask(backend, [_again(requests[item.at[0]], item, turn) for item in open_])
    left: list[_Open[Value]] = []
    for item, reply in zip(open_, replies, strict=True):
        (i, j), place = item.at, reply.places[0]
        if isinstance(place, Failure):  # the first answer stays
            continue
        reading = reads[i](place)
        if reading.missing < item.reading.missing or reading.complaint is None:
            places[i][j] = Taken(reading.value, repaired=True)
            item = _Open(item.at, place, reading)
        if item.reading.complaint is not None:
            left.append(item)
    return left


def _again(request: Request, item: _Open[Value], turn: int) -> Request:
    """The same question, the answer that cannot be read, and why."""
    turns = (
        Message("assistant", item.answer.text[:_SHOWN] or "(nothing)"),
        Message("user", _AGAIN.format(why=item.reading.complaint)),
    )
    key = f"{request.key}/{request.first + item.at[1]}/again{turn}"
    return replace(request, messages=(*request.messages, *turns), n=1, key=key, first=0)
