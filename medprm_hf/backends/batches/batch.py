"""Provider batch APIs behind the journal: half the price, answers within hours. Submit, leave, come back, collect.

    openai:gpt-4o-mini?batch=1
    gemini:gemini-2.5-flash?batch=1&wait=3600

What a call lacks is submitted, and the run stops cleanly: PendingError says what is under way. `medprm resume` collects
what has ended into the journal, submits what expired, and goes on. A batch is noted in the journal's file before it is
sent and carries that note as its label, so a process that is killed between finds it again in the provider's list: no
place is ever in two batches, and none is paid for twice.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from medprm_hf.backends.batches.batch_call import BatchCall
from medprm_hf.backends.batches.batch_notes import Batch, BatchNotes, age
from medprm_hf.backends.batches.batch_provider import Line, Patience, Provider
from medprm_hf.backends.books import Books, books
from medprm_hf.backends.journals.journal import Entry, Journal
from medprm_hf.backends.money.tally import money
from medprm_hf.backends.protocol import Completion, Failure, Reply, Request, Usage
from medprm_hf.backends.servers.http_errors import NotFound, Refusal, Retryable, clean, pause
from medprm_hf.backends.servers.loop_thread import LoopThread
from medprm_hf.errors import BackendError, BudgetError, ConfigError, PendingError

T = TypeVar("T")
TRIES = 5
"""Times that one question to the provider is sent."""


class BatchBackend:
    """One model behind its provider's batch API."""

    books_itself = True

    def __init__(self, provider: Provider, patience: Patience) -> None:
        self._provider, self._patience = provider, patience
        self.model, self.identity, self.recorded_as = provider.model, provider.identity, provider.recorded_as
        self.local = provider.local
        self.usage = Usage()
        self._busy = threading.Lock()

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply a request. Raises PendingError while some of them are under way."""
        shared = books()
        if shared.journal is None:
            raise ConfigError(f"{self.identity}: batch=1 needs a journal to come back to: a run's, or open_books")
        thread = LoopThread("medprm-batch")
        try:
            with self._busy:
                replies = thread.run(self._complete(requests, shared, shared.journal))
        finally:
            thread.stop()
        for reply in replies:
            self.usage.add(reply)
        return replies

    def close(self) -> None:
        """Nothing stays open between calls."""

    async def _complete(self, requests: Sequence[Request], shared: Books, journal: Journal) -> list[Reply]:
        notes, call = BatchNotes(journal), BatchCall(requests, self.recorded_as, journal)
        notes.settle(call.known)
        if call.known:
            shared.meter.found(self.identity, sum(order.from_journal for order in call.orders))
        if call.lacking():
            await self._provider.open()
            try:
                await self._work(call, notes, shared, journal)
            finally:
                await self._provider.shut()
        replies = [order.reply() for order in call.orders]
        notes.settle(call.failed)
        return replies

    async def _work(self, call: BatchCall, notes: BatchNotes, shared: Books, journal: Journal) -> None:
        """Collects, submits, and waits as long as it may."""
        until = time.monotonic() + self._patience.wait
        while True:
            for batch in notes.open_of(call.lacking()).values():
                await self._collect(batch, call, notes, shared, journal)
            call.look_up(journal, notes)
            under_way = notes.open_of(call.lacking())
            held = {name for intent in under_way for names in notes.lines_of(intent).values() for name in names}
            await self._submit(call, [name for name in call.lacking() if name not in held], notes, shared)
            call.look_up(journal, notes)
            if not call.lacking():
                return
            if time.monotonic() >= until:
                raise _pending(list(notes.open_of(call.lacking()).values()), self._provider)
            await asyncio.sleep(self._patience.poll)

    async def _collect(self, batch: Batch, call: BatchCall, notes: BatchNotes, shared: Books, journal: Journal) -> None:
        provider = batch.provider
        if not provider:  # the process ended between sending it and noting what the provider calls it
            found = await self._patiently(lambda: self._provider.find(batch.intent))
            if found is None:
                notes.forget(batch.intent)
                return
            provider = found
            notes.submitted(batch.intent, provider)
        look = await self._patiently(lambda: self._provider.look(provider))
        notes.said(batch.intent, look.said)
        if not look.ended:
            return
        results = await self._patiently(lambda: self._provider.results(provider))
        for line, names in notes.lines_of(batch.intent).items():
            ours = [name for name in names if name in call.places]
            if ours:  # other lines are collected by the call that asks for them
                missing = Failure(look.kind or "lost", look.message or f"{provider} holds no answer to line {line}")
                self._take(ours, results.get(line), missing, call, notes, shared, journal)

    def _take(
        self,
        names: list[str],
        result: Any,
        missing: Failure,
        call: BatchCall,
        notes: BatchNotes,
        shared: Books,
        journal: Journal,
    ) -> None:
        """Journal first, then the meter, then the notes: an answer that was paid for is not lost."""
        request = call.places[names[0]][0].request
        read = missing if result is None else self._provider.read(result, request, len(names))
        if isinstance(read, Failure):
            failures = dict.fromkeys(names, clean(read))
            journal.record([Entry(n, self.recorded_as, request, call.places[n][1], failures[n]) for n in names])
            shared.meter.fail(self.identity, read.kind, len(names))
        else:
            answers = dict(zip(names, map(clean, read.answers), strict=False))
            entries, paid = [], read.prompt_tokens
            for name, answer in answers.items():
                order, place = call.places[name]
                entries.append(Entry(name, self.recorded_as, order.request, place, answer, paid, read.continuation))
                paid = 0
            journal.record(entries)
            read.book(shared, self.identity, local=self.local, batch=True)
            notes.settle(name for name, answer in answers.items() if isinstance(answer, Completion))
            failures = {name: answer for name, answer in answers.items() if isinstance(answer, Failure)}
            left = Failure("no_choices", f"the line holds {len(answers)} of {len(names)} answers")
            failures |= dict.fromkeys([name for name in names if name not in answers], left)
        notes.fail({name: one for name, one in failures.items() if isinstance(one, Failure)}, self._patience.attempts)

    async def _submit(self, call: BatchCall, names: Sequence[str], notes: BatchNotes, shared: Books) -> None:
        lines = self._lines(call, names)
        while lines:
            piece: list[Line] = []
            size = 0
            while lines and len(piece) < self._provider.most_lines:
                if piece and size + len(lines[0].body) > self._provider.most_bytes:
                    break
                piece.append(lines.pop(0))
                size += len(piece[-1].body)
            await self._send(piece, notes, shared)

    def _lines(self, call: BatchCall, names: Sequence[str]) -> list[Line]:
        """One line a request, or several where a call may not ask for all of its places."""
        found = []
        for order, places in call.grouped(names):
            size = self._provider.at_once or len(places)
            for pieces in [places[i : i + size] for i in range(0, len(places), size)]:
                own = tuple(order.names[place] for place in pieces)
                id = own[0].replace(":", "-")
                try:
                    body, said = self._provider.line(id, order.request, pieces)
                except Refusal as error:
                    order.found.update({place: Failure(error.kind, error.message) for place in pieces})
                    continue
                order.notes = tuple(dict.fromkeys((*order.notes, *said)))
                found.append(Line(id, body, order.request, own, said))
        return found

    async def _send(self, lines: Sequence[Line], notes: BatchNotes, shared: Books) -> None:
        worst = self._worst(lines, shared)
        out = sum(batch.worst for batch in notes.under_way())
        meter = shared.meter
        meter.check()
        if meter.budget is not None and meter.spent + out + worst > meter.budget:
            raise BudgetError(
                f"{money(meter.spent)} of the budget of {money(meter.budget)} is spent, batches under way may cost "
                f"{money(out)}, and this one of {len(lines)} requests {money(worst)}: go on with a higher --budget",
                "budget",
            )
        intent = f"medprm-{secrets.token_hex(12)}"
        batch = Batch(intent, self.recorded_as, "", len(lines), worst, time.time(), "submitted")
        notes.intend(batch, {line.id: line.names for line in lines})

        async def once() -> str:
            # An attempt that broke off may have arrived all the same.
            return await self._provider.find(intent) or await self._provider.submit(intent, lines)

        try:
            notes.submitted(intent, await self._patiently(once, lambda: self._provider.submit(intent, lines)))
        except Refusal as error:
            notes.forget(intent)
            raise BackendError(f"the batch was refused: {error.message}", error.kind) from None

    def _worst(self, lines: Sequence[Line], shared: Books) -> float:
        """USD that the lines may cost at most, images at 2,000 tokens each; 0 where the price is not known."""
        tariff = shared.meter.prices.tariff(self.identity, self.local)
        if tariff is None:
            return 0.0
        total = 0.0
        for line in lines:
            request = line.request
            letters = len(request.prefix) + sum(len(message.text) for message in request.messages)
            prompt = letters // 3 + 2000 * len(request.image_hashes())
            total += tariff.cost(prompt, len(line.names) * request.sampling.max_tokens, batch=True)
        return total

    async def _patiently(self, ask: Callable[[], Awaitable[T]], first: Callable[[], Awaitable[T]] | None = None) -> T:
        """What the provider answers, tried again where it may pass; `first` is asked at the first attempt instead."""
        for attempt in range(1, TRIES + 1):
            try:
                return await (first or ask)() if attempt == 1 else await ask()
            except Retryable as error:
                if attempt == TRIES:
                    raise BackendError(f"{error.message} (asked {TRIES} times)", error.kind) from None
                await asyncio.sleep(pause(attempt, error.wait, self._patience.backoff))
            except NotFound as error:
                raise BackendError(f"{error.message}; was the batch deleted there?", "not_found") from None
        raise BackendError("no attempt was made")


def _pending(batches: Sequence[Batch], provider: Provider) -> PendingError:
    said = "; ".join(f"{batch.provider}: {batch.said}, {age(batch)}" for batch in batches[:5])
    count = sum(batch.requests for batch in batches)
    return PendingError(
        f"{len(batches)} batch(es) of {count} requests to {provider.identity} under way ({said}): come back with "
        "`medprm resume`; nothing that was submitted is paid for twice",
        "batch",
    )
