"""How the stages ask: a row's conversation with the solving model, the sampling of a spec, a reply's failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from medprm_hf.backends.books import books
from medprm_hf.backends.money.tally import Tally
from medprm_hf.backends.open import identity_of
from medprm_hf.backends.protocol import Backend, Completion, Failure, Message, Reply, Request, Sampling, Usage
from medprm_hf.backends.stopping import check_stop
from medprm_hf.imaging.load import load_image
from medprm_hf.specs import GenerateSpec, RolloutSpec
from medprm_hf.stages.base import Row, RowErrors
from medprm_hf.text.prompts import solve_prompt


def image_of(row: Row) -> tuple[bytes, ...]:
    """The row's image as PNG or JPEG bytes, or nothing for a text-only question."""
    cell = row.get("image")
    if not cell:
        return ()
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    return (_checked(data) if isinstance(data, bytes) else load_image(cell).data,)


@lru_cache(maxsize=4)
def _checked(data: bytes) -> bytes:
    """The image as it is sent. A question's many requests follow each other: it is decoded once for all of them."""
    return load_image(data).data


@lru_cache(maxsize=4)
def _turn(text: str, images: tuple[bytes, ...]) -> Message:
    """One message object for equal turns, so that what is computed of it (image hashes) is computed once."""
    return Message("user", text, images)


def solve_messages(row: Row, style: str) -> tuple[Message, ...]:
    """The conversation that asks for a solution: earlier turns of a consultation, then the question."""
    asked = solve_prompt(row["question"], row["options"] or [], row.get("clinical_context"), style)
    earlier = tuple(
        Message("assistant" if turn["role"] == "assistant" else "user", turn["text"])
        for turn in (row.get("turns") or [])
    )
    return (*earlier, _turn(asked, image_of(row)))


def sampling_of(spec: GenerateSpec | RolloutSpec) -> Sampling:
    """The sampling that a generate or rollout section asks for."""
    return Sampling(spec.temperature, spec.top_p, spec.max_tokens, seed=spec.seed)


def ask(backend: Backend, requests: Sequence[Request]) -> list[Reply]:
    """One reply a request; the hash of every image that is sent is booked, so that a run can be checked.

    Whoever does not book itself (a model in this process) is booked here, on the stage that asks.
    """
    check_stop()
    for request in requests:
        backend.usage.images.update(request.image_hashes())
    if getattr(backend, "books_itself", False):
        return backend.complete(requests)
    before = backend.usage.copy()
    replies = backend.complete(requests)
    identity, local = identity_of(backend)
    books().meter.take(identity, _asked(backend.usage, before, local))
    return replies


def ask_each(backend: Backend, requests: Iterable[Request], done: Callable[[int, Reply], None]) -> None:
    """As `ask`, but `done(number, reply)` is called for each reply as it arrives, in any order.

    A backend that asks a server takes the requests only as it gets to them, and replies are read while others are
    under way: neither all requests nor all replies are held at once.
    """
    each = getattr(backend, "complete_each", None)
    if each is not None:
        each(_booked(requests, backend), done)
        return
    for number, reply in enumerate(ask(backend, list(requests))):
        done(number, reply)


def _booked(requests: Iterable[Request], backend: Any) -> Iterator[Request]:
    for request in requests:
        if hashes := request.image_hashes():
            backend.usage.images.update(hashes)
        yield request


def _asked(usage: Usage, before: Usage, local: bool) -> Tally:
    """What was asked since `before`, as the meter books it."""
    names = ("requests", "completions", "from_journal", "prompt_tokens", "completion_tokens")
    news = {name: getattr(usage, name) - getattr(before, name) for name in names}
    return Tally(**news, local=local, failures=usage.failures - before.failures)


def answers_in(reply: Reply, errors: RowErrors) -> list[Completion]:
    """The answers that arrived; each failure is written to the row's errors with its reason."""
    for place in reply.places:
        if isinstance(place, Failure):
            errors.add(place.kind, place.message)
    return list(reply.completions)
