"""`AsyncBackend`: what every backend that asks a server has in common, whatever the server speaks.

It keeps the slots full, tries again what may pass, finds in the journal what was answered before, records each
response as it arrives, and books what it cost. A subclass says how one call is made:

    class Gemini(AsyncBackend):
        async def _open(self) -> None: …               # its connections, in the event loop of the driver
        async def _shut(self) -> None: …
        async def _ask(self, request: Request, places: list[int], lane: Lane) -> Answered: …

`complete` is an ordinary call: the event loop turns in a thread of its own, so it works in notebooks and inside async
handlers. One call asks for all n answers of a request; what arrives whole is kept, only what is missing is asked again.
At temperature 0 one answer is asked for and fills all n places.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from medprm_hf.backends.books import Books, books
from medprm_hf.backends.http_errors import Refusal, Retryable, pause
from medprm_hf.backends.journal import Entry, place_names
from medprm_hf.backends.lanes import Lane, Lanes
from medprm_hf.backends.loop_thread import LoopThread
from medprm_hf.backends.protocol import Completion, Continuation, Failure, Reply, Request, Usage

LOOKED_UP_AT_ONCE = 128
"""Requests that are looked up in the journal by one query."""


@dataclass
class Answered:
    """What one call gave."""

    answers: list[Completion | Failure]
    """To the first of the places that were asked for; at least one, perhaps not to all."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Those of the prompt tokens that the server read from its cache."""
    completion_tokens: int = 0
    """Of all answers together, those that cannot be used included."""
    continuation: Continuation = "none"


@dataclass
class _Order:
    """One request on its way."""

    request: Request
    names: list[str] = field(default_factory=list)
    """The journal's name of each place; empty without a journal."""
    found: dict[int, Completion | Failure] = field(default_factory=dict)
    prompt_tokens: int = 0
    continuation: Continuation = "none"
    from_journal: int = 0

    @property
    def lacking(self) -> list[int]:
        """Places that hold nothing yet."""
        return [place for place in range(self.request.n) if place not in self.found]

    def reply(self) -> Reply:
        places = tuple(self.found[place] for place in range(self.request.n))
        return Reply(places, self.prompt_tokens, self.continuation, self.from_journal)


class AsyncBackend:
    """Base of the backends that ask a server."""

    identity: str
    """`provider:model`, as journal and prices name it; no URL, no key."""
    local = False
    """Whether the server is one's own: nothing is paid per token."""
    books_itself = True
    """Each response is booked as it arrives (other backends are booked by whoever asks them)."""

    def __init__(
        self, model: str, identity: str, lanes: Sequence[Lane], attempts: int = 6, backoff: float = 0.5
    ) -> None:
        self.model = model
        self.identity = identity
        self.usage = Usage()
        self._lanes_of = list(lanes)
        self._attempts, self._backoff = attempts, backoff
        self._thread: LoopThread | None = None
        self._lanes: Lanes | None = None

    async def _ask(self, request: Request, places: list[int], lane: Lane) -> Answered:
        """One call for these places of a request; raises Retryable, Refusal, or an error that ends the run."""
        raise Refusal("no_way_to_ask", f"{type(self).__name__} does not say how it asks")

    async def _open(self) -> None:
        """Opens connections; called in the event loop before the first request."""

    async def _shut(self) -> None:
        """Closes them."""

    async def _before(self, requests: Sequence[Request]) -> None:
        """What must be known before these are asked."""

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply a request, in order.

        Raises AuthError, BudgetError or ConfigError where no request could work; a request's own failure stands
        in its places.
        """
        replies = self._loop().run(self._complete(requests))
        for reply in replies:
            self.usage.add(reply)
        return replies

    def close(self) -> None:
        """Closes the connections and ends the thread; asked again, the backend opens new ones."""
        if self._thread is not None and self._thread.alive:
            if self._lanes is not None:
                self._thread.run(self._shut())
            self._thread.stop()
        self._thread = self._lanes = None

    def _loop(self) -> LoopThread:
        if self._thread is None or not self._thread.alive:  # a fork carries no threads along
            self._thread, self._lanes = LoopThread("medprm-asking"), None
        return self._thread

    async def _complete(self, requests: Sequence[Request]) -> list[Reply]:
        if self._lanes is None:
            self._lanes = Lanes(self._lanes_of)
            await self._open()
        await self._before(requests)
        shared, orders = books(), [_Order(request) for request in requests]
        waiting = self._lacking(orders, shared)
        count = min(self._lanes.slots, len(orders))
        workers = [asyncio.ensure_future(self._work(waiting, shared)) for _ in range(count)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
        return [order.reply() for order in orders]

    def _lacking(self, orders: Sequence[_Order], shared: Books) -> Iterator[_Order]:
        """The orders that the journal cannot answer, looked up some at a time, just before they are needed."""
        for start in range(0, len(orders), LOOKED_UP_AT_ONCE):
            some = orders[start : start + LOOKED_UP_AT_ONCE]
            if shared.journal is not None:
                self._look_up(some, shared)
            yield from (order for order in some if order.lacking)

    def _look_up(self, orders: Sequence[_Order], shared: Books) -> None:
        assert shared.journal is not None
        for order in orders:
            order.names = place_names(self.identity, order.request)
        known = shared.journal.recall([name for order in orders for name in order.names])
        for order in orders:
            for place, name in enumerate(order.names):
                if (held := known.get(name)) is not None:
                    order.found[place] = held.completion
                    order.continuation = held.continuation
            order.from_journal = len(order.found)
            if order.from_journal:
                shared.meter.found(self.identity, order.from_journal)

    async def _work(self, waiting: Iterator[_Order], shared: Books) -> None:
        """Fills one order after the other until there are none."""
        for order in waiting:
            while places := order.lacking:
                greedy = order.request.sampling.temperature <= 0
                answered = await self._try(order.request, places[:1] if greedy else places, shared)
                self._keep(order, places, answered, shared)

    def _keep(self, order: _Order, places: list[int], answered: Answered, shared: Books) -> None:
        """Journal first, then the order: an answer that is not on file is not used."""
        greedy = order.request.sampling.temperature <= 0
        answers = answered.answers[:1] * len(places) if greedy else answered.answers[: len(places)]
        if shared.journal is not None:
            self._record(order, places, answers, answered, shared)
        for place, answer in zip(places, answers, strict=False):
            order.found[place] = answer
        order.prompt_tokens += answered.prompt_tokens
        order.continuation = answered.continuation

    def _record(
        self,
        order: _Order,
        places: list[int],
        answers: Sequence[Completion | Failure],
        answered: Answered,
        shared: Books,
    ) -> None:
        assert shared.journal is not None
        paid = [answered.prompt_tokens] + [0] * len(answers)
        names = {order.names[place]: (place, answer) for place, answer in zip(places, answers, strict=False)}
        shared.journal.record(
            [
                Entry(name, self.identity, order.request, place, answer, tokens, answered.continuation)
                for (name, (place, answer)), tokens in zip(names.items(), paid, strict=False)
            ]
        )

    async def _try(self, request: Request, places: list[int], shared: Books) -> Answered:
        """Answers to the first of `places`, or their failures once the attempts are used up."""
        attempt = 0
        while True:
            attempt += 1
            try:
                answered = await self._attempt(request, places, shared)
                break
            except Retryable as error:
                if attempt >= self._attempts:
                    return self._failed(error.failure(attempt), places, shared)
                await asyncio.sleep(pause(attempt, error.wait, self._backoff))
            except Refusal as error:
                if not self._adapt(request, error):
                    return self._failed(Failure(error.kind, error.message, attempt), places, shared)
        self._book(answered, shared)
        return answered

    async def _attempt(self, request: Request, places: list[int], shared: Books) -> Answered:
        assert self._lanes is not None
        lane = await self._lanes.take()
        try:
            shared.meter.check(self._lanes.in_flight - 1)
            return await self._ask(request, places, lane)
        finally:
            self._lanes.give(lane)

    def _adapt(self, request: Request, error: Refusal) -> bool:
        """Whether something was learnt from a refusal, so that the request is worth sending again."""
        return False

    def _book(self, answered: Answered, shared: Books) -> None:
        good = sum(isinstance(answer, Completion) for answer in answered.answers)
        shared.meter.book(
            self.identity,
            answered.prompt_tokens,
            answered.completion_tokens,
            completions=good,
            cached_tokens=answered.cached_tokens,
            local=self.local,
        )
        for answer in answered.answers:
            if isinstance(answer, Failure):
                shared.meter.fail(self.identity, answer.kind)

    def _failed(self, failure: Failure, places: list[int], shared: Books) -> Answered:
        shared.meter.fail(self.identity, failure.kind, len(places))
        return Answered([failure] * len(places))
