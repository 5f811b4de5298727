"""Backends that compute in this process, with a journal: what was computed before is not computed again.

    transformers:Qwen/Qwen2.5-VL-3B-Instruct              with the run's journal
    transformers:Qwen/Qwen2.5-VL-3B-Instruct?journal=0    without
    phantom:policy?journal=1                              so small that it is faster asked again; with it if wanted

`open_backend` wraps classes with an attribute `journaled`. Requests are looked up at once and what lacks is asked in
chunks; each chunk is on file before the next begins, so that a run that is killed loses one chunk at most. Draws are
numbered (`Request.first`): raising n from 4 to 16 computes draws 4 to 15.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from medprm_hf.backends.books import Books, books
from medprm_hf.backends.journals.journal import Entry, Journal, place_names
from medprm_hf.backends.protocol import Backend, Completion, Continuation, Failure, Reply, Request, Usage
from medprm_hf.backends.stopping import check_stop

CHUNK = 64
"""Distinct conversations between two commits: as many as the fast engine computes together."""
_SMALL_FILE = 64 << 20
"""Bytes up to which a checkpoint's file is read to tell it from another; larger ones go by size and time."""
_NAMED_WHOLE = ("phantom", "scripted", "simulated-judge")
"""Families whose models bear the family's name: `phantom:policy` is the model, not `policy`."""


class Computing(Backend, Protocol):
    """A backend that can say who answers, and what else changes its answers."""

    @property
    def identity(self) -> str:
        """`family:model`."""
        ...

    @property
    def marks(self) -> str:
        """What stands behind the identity in the journal, `files=…&dtype=…`; may be empty."""
        ...


@dataclass
class _Order:
    """One request, its places' names in the journal, and what is known of them."""

    request: Request
    names: list[str]
    found: dict[int, Completion | Failure] = field(default_factory=dict)
    prompt_tokens: int = 0
    continuation: Continuation = "none"
    from_journal: int = 0

    def reply(self) -> Reply:
        places = tuple(self.found[place] for place in range(self.request.n))
        return Reply(places, self.prompt_tokens, self.continuation, self.from_journal)


class JournaledBackend:
    """Looks up, asks the wrapped backend for what lacks, and records it; without a journal it only asks."""

    local = True

    def __init__(self, backend: Computing) -> None:
        self.backend = backend
        """The one that computes."""
        self.model = backend.model

    @property
    def identity(self) -> str:
        """`family:model`, as the meter names it."""
        return self.backend.identity

    @property
    def recorded_as(self) -> str:
        """As the journal names it: the identity, and after a question mark what else changes the answers."""
        marks = self.backend.marks
        return f"{self.identity}?{marks}" if marks else self.identity

    @property
    def usage(self) -> Usage:
        """The wrapped backend's: what was computed, and what the journal held."""
        return self.backend.usage

    @usage.setter
    def usage(self, usage: Usage) -> None:
        self.backend.usage = usage

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply a request, in order. Raises what the wrapped backend raises, and StoreError."""
        shared = books()
        if shared.journal is None:
            return self.backend.complete(requests)
        name = self.recorded_as
        orders = [_Order(request, place_names(name, request)) for request in requests]
        self._look_up(orders, shared.journal, shared)
        for chunk in _chunks([part for order in orders for part in _lacking(order)]):
            self._compute(chunk, shared.journal, shared)
        return [order.reply() for order in orders]

    def close(self) -> None:
        """Gives the model's memory back."""
        self.backend.close()

    def _look_up(self, orders: Sequence[_Order], journal: Journal, shared: Books) -> None:
        known = journal.recall([name for order in orders for name in order.names])
        for order in orders:
            for place, name in enumerate(order.names):
                if (held := known.get(name)) is not None:
                    order.found[place] = held.completion
                    order.continuation = held.continuation
            order.from_journal = len(order.found)
        held_in_all = sum(order.from_journal for order in orders)
        self.usage.from_journal += held_in_all
        if held_in_all:
            shared.meter.found(self.identity, held_in_all)

    def _compute(self, chunk: Sequence[tuple[_Order, range]], journal: Journal, shared: Books) -> None:
        """Journal first, then the reply: an answer that is not on file is not used."""
        check_stop()
        asked = [
            replace(order.request, n=len(places), first=order.request.first + places.start) for order, places in chunk
        ]
        replies = self.backend.complete(asked)
        entries: dict[tuple[str, bool], Entry] = {}
        for (order, places), reply in zip(chunk, replies, strict=True):
            for number, (place, outcome) in enumerate(zip(places, reply.places, strict=True)):
                tokens, name = 0 if number else reply.prompt_tokens, order.names[place]
                entry = Entry(name, self.recorded_as, order.request, place, outcome, tokens, reply.continuation)
                entries.setdefault((name, isinstance(outcome, Completion)), entry)  # at temperature 0 once
        journal.record(list(entries.values()))
        for (order, places), reply in zip(chunk, replies, strict=True):
            order.found.update(zip(places, reply.places, strict=True))
            order.prompt_tokens += reply.prompt_tokens
            order.continuation = reply.continuation
            self._book(reply, shared)

    def _book(self, reply: Reply, shared: Books) -> None:
        tokens = sum(done.tokens for done in reply.completions)
        count = len(reply.completions)
        shared.meter.book(self.identity, reply.prompt_tokens, tokens, completions=count, local=True)
        for place in reply.places:
            if isinstance(place, Failure):
                shared.meter.fail(self.identity, place.kind)


def _lacking(order: _Order) -> Iterator[tuple[_Order, range]]:
    """Runs of neighbouring places that hold nothing."""
    start = None
    for place in range(order.request.n + 1):
        lacks = place < order.request.n and place not in order.found
        if lacks and start is None:
            start = place
        if not lacks and start is not None:
            yield order, range(start, place)
            start = None


def _chunks(parts: Sequence[tuple[_Order, range]]) -> Iterator[list[tuple[_Order, range]]]:
    """Parts in order, at most CHUNK distinct conversations together."""
    chunk: list[tuple[_Order, range]] = []
    conversations: set[object] = set()
    for part in parts:
        messages = part[0].request.messages
        content = tuple((message.role, message.text, message.image_hashes) for message in messages)
        if content not in conversations and len(conversations) == CHUNK:
            yield chunk
            chunk, conversations = [], set()
        conversations.add(content)
        chunk.append(part)
    if chunk:
        yield chunk


def marks_of(checkpoint: str, **options: str) -> str:
    """Which files a checkpoint's folder holds, and the options that change its answers.

    A checkpoint of one's own may be trained on and saved in the same place: then it is another model.
    """
    path = Path(checkpoint)
    marks = {"files": folder_hash(path)} if path.is_dir() else {}
    return "&".join(f"{name}={value}" for name, value in (marks | options).items())


def model_of(identity: str) -> str:
    """The model's name as it stands in the columns `generator` and `judge`."""
    named = identity.partition("?")[0]
    family, _, model = named.partition(":")
    return named if family in _NAMED_WHOLE else model


def folder_hash(folder: Path) -> str:
    """16 hex characters that tell a checkpoint's files from others: content, or size and time of large files."""
    digest = sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        about = file.stat()
        digest.update(f"{file.relative_to(folder)}:{about.st_size}:".encode())
        digest.update(file.read_bytes() if about.st_size <= _SMALL_FILE else str(about.st_mtime_ns).encode())
    return digest.hexdigest()[:16]
