"""`AsyncBackend`: what every backend that asks a server has in common, whatever the server speaks.

It keeps the slots full, tries again what may pass, finds in the journal what was answered before, records each
response as it arrives, and books what it cost. A subclass says how one call is made:

    class Gemini(AsyncBackend):
        async def _open(self) -> None: …               # its connections, in the event loop of the driver
        async def _shut(self) -> None: …
        async def _ask(self, request: Request, places: list[int], lane: Lane, prepared: None) -> Answered: …

`complete` is an ordinary call: the event loop turns in a thread of its own, so it works in notebooks and inside async
handlers. One call asks for all n answers of a request; what arrives whole is kept, only what is missing is asked again.
At temperature 0 one answer is asked for and fills all n places.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from medprm_hf.backends.books import Books, books
from medprm_hf.backends.journals.journal import Entry, Journal
from medprm_hf.backends.journals.journal_group import GroupCommit
from medprm_hf.backends.protocol import Completion, Continuation, Failure, Reply, Request, Usage
from medprm_hf.backends.servers.crew import Crew
from medprm_hf.backends.servers.feed import Done, Feed, Job
from medprm_hf.backends.servers.http_errors import UNREACHED, Refusal, Retryable, clean, pause
from medprm_hf.backends.servers.lanes import Lane, Lanes
from medprm_hf.backends.servers.loop_thread import LoopThread
from medprm_hf.errors import BackendError, ConfigError

OWN_FAULT = frozenset({"content_filter", "context", "image"})
"""Failures that say something about one request, and nothing about the others."""

YIELDS = 2
"""Turns of the loop that an answer waits to be read: meanwhile its slot is given on, and the next call is sent."""

_starting = threading.Lock()


@contextmanager
def _only_new_garbage() -> Iterator[None]:
    """Python's collector leaves alone what was there before: a table's million cells are not walked over and over
    while requests come and go, which took an eighth of the time."""
    ours = not gc.get_freeze_count()
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()


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
    notes: tuple[str, ...] = ()
    """What was done to the request so that it could be sent."""

    def book(self, shared: Books, identity: str, *, local: bool, batch: bool = False) -> None:
        """Says to the meter what the call took, and which of its answers failed."""
        failed = [answer.kind for answer in self.answers if isinstance(answer, Failure)]
        shared.meter.book(
            identity,
            self.prompt_tokens,
            self.completion_tokens,
            completions=len(self.answers) - len(failed),
            cached_tokens=self.cached_tokens,
            batch=batch,
            local=local,
        )
        for kind in failed:
            shared.meter.fail(identity, kind)


class AsyncBackend:
    """Base of the backends that ask a server."""

    identity: str
    """`provider:model`, as journal and prices name it; no URL, no key."""
    local = False
    """Whether the server is one's own: nothing is paid per token."""
    books_itself = True
    """Each response goes to journal and meter here, as it arrives."""
    at_once: int | None = None
    """Answers that one call may ask for; None: all n of a request."""

    def __init__(
        self,
        model: str,
        identity: str,
        lanes: Sequence[Lane],
        attempts: int = 6,
        backoff: float = 0.5,
        give_up: int = 20,
    ) -> None:
        """`give_up`: failed requests in a row, none answered between, that end the run; 0: never."""
        if attempts < 1 or any(lane.slots < 1 for lane in lanes):
            raise ConfigError("concurrency and attempts are at least 1")
        self.model = model
        self.identity = identity
        self.recorded_as = identity
        """As the journal names it: the identity, and after a question mark options that change what answers hold."""
        self.usage = Usage()
        self._all_lanes = list(lanes)
        self._attempts, self._backoff, self._give_up = attempts, backoff, give_up
        self._in_vain = self._unread = 0
        self._thread: LoopThread | None = None
        self._lanes: Lanes | None = None
        self._opening: asyncio.Future[None] | None = None
        self._pen: tuple[Journal, GroupCommit] | None = None

    def _prepared(self, request: Request, places: list[int]) -> Any:
        """What of a call can be made before a slot is free; raises Refusal where nothing should be sent."""
        return None

    async def _ask(self, request: Request, places: list[int], lane: Lane, prepared: Any) -> Any:
        """One call for these places of a request; raises Retryable, Refusal, or an error that ends the run."""
        raise ConfigError(f"{type(self).__name__} does not say how it asks")

    def _read(self, request: Request, places: list[int], lane: Lane, found: Any) -> Answered:
        """What a call gave, read while the slot serves another; raises what `_ask` raises."""
        assert isinstance(found, Answered)
        return found

    async def _open(self) -> None:
        """Opens connections; called in the event loop before the first request."""

    async def _shut(self) -> None:
        """Closes them."""

    def _adapt(self, request: Request, error: Refusal) -> bool:
        """Whether something was learnt from a refusal, so that the request is worth sending again."""
        return False

    def _estimate(self, request: Request, places: int) -> float:
        """Tokens that a call may use, for limits per minute."""
        letters = len(request.prefix) + sum(len(message.text) for message in request.messages)
        return letters / 3 + places * request.sampling.max_tokens

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply a request, in order.

        Raises AuthError, BudgetError or ConfigError where no request could work, BackendError where nothing gets
        through; a request's own failure stands in its places.
        """
        replies: list[Reply | None] = [None] * len(requests)
        self.complete_each(requests, replies.__setitem__)
        return cast(list[Reply], replies)

    def complete_each(self, requests: Iterable[Request], done: Done) -> None:
        """Calls `done(number, reply)` for each request as soon as its reply is whole, in any order.

        Requests are taken from the iterable only as slots get free, so a million of them need no more memory than a
        few. `done` and the iterable run in the backend's own thread, one step at a time, while this one waits.
        """
        with _only_new_garbage():
            self._loop().run(self._complete(requests, done))

    def close(self) -> None:
        """Closes the connections and ends the thread; asked again, the backend opens new ones."""
        if self._thread is not None and self._thread.alive:
            if self._lanes is not None:
                self._thread.run(self._shut())
            self._thread.stop()
        self._thread = self._lanes = self._pen = self._opening = None

    def _loop(self) -> LoopThread:
        with _starting:
            if self._thread is None or not self._thread.alive:  # a fork carries no threads along
                self._thread = LoopThread("medprm-asking")
                self._lanes = self._pen = self._opening = None
            return self._thread

    async def _ready(self) -> Lanes:
        """The lanes, once connections are open; calls of several threads wait for the one that opens them."""
        if self._lanes is None:
            self._lanes = Lanes(self._all_lanes)
        if self._opening is None or (self._opening.done() and self._opening.exception() is not None):
            self._opening = asyncio.ensure_future(self._open())
        await asyncio.shield(self._opening)
        return self._lanes

    async def _complete(self, requests: Iterable[Request], done: Done) -> None:
        lanes, shared = await self._ready(), books()

        def booked(number: int, reply: Reply) -> None:
            self.usage.add(reply)
            done(number, reply)

        feed = Feed(requests, booked, self.identity, shared, self.recorded_as)
        # Half as many hands more than slots: a slot is never empty while an answer is being put on file.
        crew = Crew(lambda job: self._fill(job, feed, crew, shared), feed, lanes.slots * 3 // 2)
        await crew.work()

    async def _fill(self, job: Job, feed: Feed, crew: Crew, shared: Books) -> None:
        """Asks until every place of the job is filled; each call fills at least one."""
        order = job.order
        while job.places and not feed.closed:
            if self.at_once is not None and len(job.places) > self.at_once and not order.greedy:
                crew.grow(feed.split(job, self.at_once))
            asked = job.places[:1] if order.greedy else job.places
            answered = await self._try(order.request, asked, feed, crew, shared)
            if answered is None:
                return
            answers = answered.answers[:1] * len(job.places) if order.greedy else answered.answers[: len(asked)]
            if shared.journal is not None:
                # On file first: an answer that is used must not be lost.
                await self._record(job, answers, answered, shared.journal)
            order.prompt_tokens += answered.prompt_tokens
            order.continuation = answered.continuation
            order.notes = tuple(dict.fromkeys((*order.notes, *answered.notes))) if answered.notes else order.notes
            job.fill(answers)
        feed.finish(order)

    async def _record(
        self, job: Job, answers: Sequence[Completion | Failure], answered: Answered, journal: Journal
    ) -> None:
        if self._pen is None or self._pen[0] is not journal:
            self._pen = journal, GroupCommit(journal)
        order, entries, paid = job.order, {}, answered.prompt_tokens
        for place, answer in zip(job.places, answers, strict=False):
            name = order.names[place]
            if name not in entries:  # at temperature 0 all places have one name
                entry = Entry(name, self.recorded_as, order.request, place, answer, paid, answered.continuation)
                entries[name], paid = entry, 0
        await self._pen[1].record(list(entries.values()))

    async def _try(self, request: Request, places: list[int], feed: Feed, crew: Crew, shared: Books) -> Answered | None:
        """Answers to the first of `places`, or their failures once the attempts are used up; None: all is stopped."""
        attempt = 0
        while not feed.closed:
            attempt += 1
            try:
                answered = await self._attempt(request, places, shared)
            except Retryable as error:
                if attempt >= self._attempts:
                    return self._failed(error.failure(attempt), len(places), shared)
                if error.pause:
                    crew.grow(1)  # a slot is free while this request waits
                    await asyncio.sleep(pause(attempt, error.wait, self._backoff))
            except Refusal as error:
                if not self._adapt(request, error):
                    return self._failed(Failure(error.kind, error.message, attempt), len(places), shared)
            else:
                self._in_vain = 0
                answered.answers = [clean(answer) for answer in answered.answers]
                answered.book(shared, self.identity, local=self.local)
                return answered
        return None

    async def _attempt(self, request: Request, places: list[int], shared: Books) -> Answered:
        """One call on the freest lane; what it tells about the lane is heeded."""
        assert self._lanes is not None
        lanes = self._lanes
        tokens = self._estimate(request, len(places)) if any(lane.limits.counts_tokens for lane in lanes.all) else 0.0
        prepared = self._prepared(request, places)
        lane = await lanes.take(tokens)
        now = asyncio.get_running_loop().time
        try:
            try:  # the slot is given back too where the budget is spent: others wait for it to hear that
                shared.meter.check(lanes.in_flight - 1 + self._unread)
                found = await self._ask(request, places, lane, prepared)
            finally:
                lanes.give(lane)
            answered = await self._read_later(request, places, lane, found)
        except Retryable as error:
            if error.wait is not None and error.kind == "http_429":
                lane.limits.hold(now(), error.wait)
            if error.kind in UNREACHED:
                if len(lanes.all) > 1:  # the only lane cannot rest: its requests wait each for themselves
                    lane.missed(now())
                error.pause = not lanes.others_than(lane)
            else:
                lane.reached()
            raise
        lane.reached()
        lane.limits.settle(now(), tokens, answered.prompt_tokens + answered.completion_tokens)
        return answered

    async def _read_later(self, request: Request, places: list[int], lane: Lane, found: Any) -> Answered:
        """Reads an answer once the next call is on its way; until then the budget counts it as still out."""
        self._unread += 1
        try:
            for _ in range(YIELDS):
                await asyncio.sleep(0)
            return self._read(request, places, lane, found)
        finally:
            self._unread -= 1

    def _failed(self, failure: Failure, places: int, shared: Books) -> Answered:
        """Failures for so many places; BackendError where request after request fails and none gets through."""
        shared.meter.fail(self.identity, failure.kind, places)
        if failure.kind not in OWN_FAULT:
            self._in_vain += 1
            if self._give_up and self._in_vain >= self._give_up:
                count, self._in_vain = self._in_vain, 0
                raise BackendError(
                    f"nothing gets through: {count} requests to {self.identity} in a row have failed, the last with "
                    f"{failure.kind}: {failure.message}; mend that and go on with `medprm resume`, or set give_up=0",
                    failure.kind,
                )
        return Answered([failure] * places)
