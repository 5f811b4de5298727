"""The feed of a call: its requests one at a time, without what the journal holds, cut into jobs of one call each.

A call may bring 100,000 requests: they are taken from their iterator only as slots get free, looked up in the journal
some at a time, and let go as soon as their reply is handed over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from medprm_hf.backends.books import Books
from medprm_hf.backends.journals.journal import place_names
from medprm_hf.backends.protocol import Completion, Continuation, Failure, Reply, Request

LOOKED_UP_AT_ONCE = 64
"""Requests that are looked up in the journal by one query."""

Done = Callable[[int, Reply], None]
"""Called with a request's number in its call, and its reply."""


@dataclass(eq=False)
class Order:
    """One request on its way."""

    number: int
    request: Request
    names: list[str] = field(default_factory=list)
    """The journal's name of each place; empty without a journal."""
    found: dict[int, Completion | Failure] = field(default_factory=dict)
    prompt_tokens: int = 0
    continuation: Continuation = "none"
    from_journal: int = 0
    notes: tuple[str, ...] = ()

    @property
    def greedy(self) -> bool:
        """At temperature 0 one answer fills all places."""
        return self.request.sampling.temperature <= 0

    def reply(self) -> Reply:
        """What came of it; every place must be filled."""
        places = tuple(self.found[place] for place in range(self.request.n))
        return Reply(places, self.prompt_tokens, self.continuation, self.from_journal, self.notes)


@dataclass(eq=False)
class Job:
    """Places of an order that one call is to fill."""

    order: Order
    places: list[int]

    def fill(self, answers: Iterable[Completion | Failure]) -> None:
        """Puts answers into the first places."""
        for place, answer in zip(self.places, answers, strict=False):
            self.order.found[place] = answer
        self.places = [place for place in self.places if place not in self.order.found]


class Feed:
    """Jobs of one call of a backend."""

    def __init__(
        self, requests: Iterable[Request], done: Done, identity: str, shared: Books, recorded_as: str = ""
    ) -> None:
        """`identity` is the meter's, `recorded_as` the journal's, where that is another."""
        self.closed = False
        """Nothing more is handed out."""
        self._orders = (Order(number, request) for number, request in enumerate(requests))
        self._done = done
        self._identity, self._recorded_as, self._shared = identity, recorded_as or identity, shared
        self._pieces: deque[Job] = deque()
        self._jobs = self._lacking()

    def next(self) -> Job | None:
        """The next job, or None where there is none (any more)."""
        if self.closed:
            return None
        return self._pieces.popleft() if self._pieces else next(self._jobs, None)

    def split(self, job: Job, at_once: int) -> int:
        """Leaves the job its first places and hands out the others as jobs of their own; gives their number."""
        rest, job.places = job.places[at_once:], job.places[:at_once]
        pieces = [Job(job.order, rest[i : i + at_once]) for i in range(0, len(rest), at_once)]
        self._pieces.extendleft(reversed(pieces))
        return len(pieces)

    def finish(self, order: Order) -> None:
        """Hands the reply over once every place is filled."""
        if len(order.found) == order.request.n:
            self._done(order.number, order.reply())

    def _lacking(self) -> Iterator[Job]:
        journal = self._shared.journal
        while some := list(islice(self._orders, LOOKED_UP_AT_ONCE if journal is not None else 1)):
            if journal is not None:
                self._look_up(some)
            for order in some:
                lacking = [place for place in range(order.request.n) if place not in order.found]
                if lacking:
                    yield Job(order, lacking)
                else:
                    self.finish(order)

    def _look_up(self, orders: list[Order]) -> None:
        assert self._shared.journal is not None
        for order in orders:
            order.names = place_names(self._recorded_as, order.request)
        known = self._shared.journal.recall([name for order in orders for name in order.names])
        if not known:
            return
        for order in orders:
            for place, name in enumerate(order.names):
                if (held := known.get(name)) is not None:
                    order.found[place] = held.completion
                    order.continuation = held.continuation
            order.from_journal = len(order.found)
            if order.from_journal:
                self._shared.meter.found(self._identity, order.from_journal)
