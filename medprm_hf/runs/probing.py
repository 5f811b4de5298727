"""What a backend can do, found out with tiny real requests through the same path that a run takes.

    probe("openai:tiny?base_url=http://127.0.0.1:8000/v1")
    → Probed(answers=True, serves=("tiny",), images=True, n=True, logprobs=False, continuation=True, …)

At most six requests of a few tokens are sent: plain, image, n = 3, log-probabilities, a prefix, a JSON schema. What a
server refuses is named with what it said, and so is what it silently leaves aside; None means that it could not be
asked.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from medprm_hf.backends.money.tally import money
from medprm_hf.backends.open import identity_of, open_backend
from medprm_hf.backends.protocol import Backend, Completion, Failure, Message, Reply, Request, Sampling
from medprm_hf.errors import MedPRMError

ASKED = ("openai", "gemini")
"""Backends that ask a server: probed with two attempts and half a minute a request."""
_OF_BOTH = ("base_url", "api_key_env", "thinking", "logprobs", "context", "max_image_bytes")
"""Options that mean the same with `batch=1` and without."""
TOKENS = 16
SCHEMA = {
    "type": "object",
    "properties": {"side": {"type": "string", "enum": ["left", "right"]}},
    "required": ["side"],
    "additionalProperties": False,
}


@dataclass
class Probed:
    """What was found out about one backend."""

    spec: str
    identity: str = ""
    answers: bool = False
    problem: str | None = None
    """Why it does not answer."""
    serves: tuple[str, ...] = ()
    """Models that it lists, where it lists any."""
    owner: str | None = None
    """What kind of server it says it is."""
    context: int | None = None
    """Tokens of prompt and answer at most."""
    images: bool | None = None
    n: bool | None = None
    """Several answers in one call; without it each is asked for by itself."""
    logprobs: bool | None = None
    continuation: str | None = None
    """native: continues an assistant's message itself; prompt: is asked to in the prompt."""
    response_format: bool | None = None
    """Holds answers to a JSON schema."""
    seconds: float | None = None
    """Of the plain request."""
    price: str = "unknown"
    """USD per 1,000,000 tokens in and out, local, or unknown."""
    refused: dict[str, str] = field(default_factory=dict)
    """What it said to what it refused."""
    learnt: tuple[str, ...] = ()
    """What a run will do without, in words."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def probe(spec: str) -> Probed:
    """Asks one backend; never raises for what it says."""
    found = Probed(spec)
    try:
        backend = open_backend(_patient(spec))
        found.identity = identity_of(backend)[0]
        found.price = _price(backend)
        started = time.perf_counter()
        first = _ask(backend, _PLAIN)
        found.seconds = round(time.perf_counter() - started, 3)
    except MedPRMError as error:
        found.problem = str(error)
        return found
    failed = _failure(first)
    if failed is not None and failed.kind == "not_phantom":  # nothing is asked over a network: it is there
        found.answers, found.learnt = True, ("simulated: it judges questions of the phantom world, from their truth",)
        return found
    if failed is not None:
        found.problem = f"{failed.kind}: {failed.message}"
        return found
    found.answers = True
    _tell(found, backend, ("models", "serves"), ("owner", "owner"), ("context", "context"))
    for name, request in _requests():
        _try(found, backend, name, request)
    found.learnt = tuple(getattr(getattr(backend, "abilities", None), "learnt", ()))
    return found


def _try(found: Probed, backend: Backend, name: str, request: Request) -> None:
    """One ability: it is there when the request is answered with what it asked for."""
    try:
        reply = _ask(backend, request)
    except MedPRMError as error:
        found.refused[name] = str(error)
        setattr(found, name, None if name == "continuation" else False)
        return
    failed = _failure(reply)
    said = f"{failed.kind}: {failed.message}" if failed else _lacks(name, reply, backend)
    if said:
        found.refused[name] = said
    if name == "continuation":
        found.continuation = None if failed else reply.continuation
    else:
        setattr(found, name, not said)


def _lacks(name: str, reply: Reply, backend: Backend) -> str:
    """What an answered request was answered without; empty where it has all that it asked for."""
    needs = {"response_format": "schema"}.get(name, name)
    learnt = getattr(getattr(backend, "abilities", None), needs, None) is False
    if name == "n" and (learnt or len(reply.completions) < _asked_for(name)):
        return f"one answer a call, whatever n is ({len(reply.completions)} of {_asked_for(name)} came, one by one)"
    if name == "logprobs" and not all(place.logprobs or place.top_logprobs for place in reply.completions):
        return "answers without log-probabilities"
    if name == "response_format" and (learnt or not _fits(reply)):
        return "answers outside the JSON schema"
    if name == "continuation" and reply.continuation == "prompt":
        return "does not continue a message itself; it is asked to in the prompt"
    return ""


def _asked_for(name: str) -> int:
    """How many answers that the request for an ability asks for."""
    return 3 if name == "n" else 1


def _fits(reply: Reply) -> bool:
    """Whether each answer is the object that the schema asks for, as far as it was written."""
    for place in reply.completions:
        text = "".join(place.text.split())
        whole = {'{"side":"left"}', '{"side":"right"}'}
        if not (text in whole or (place.finish_reason == "length" and any(one.startswith(text) for one in whole))):
            return False
    return True


def _ask(backend: Backend, request: Request) -> Reply:
    return backend.complete([request])[0]


def _failure(reply: Reply) -> Failure | None:
    if any(isinstance(place, Completion) for place in reply.places):
        return None
    return next((place for place in reply.places if isinstance(place, Failure)), Failure("empty", "no answer"))


def _tell(found: Probed, backend: Backend, *names: tuple[str, str]) -> None:
    """What the backend knows of its server without being asked."""
    able = getattr(backend, "abilities", None)
    for theirs, ours in names:
        if (value := getattr(able, theirs, None)) is not None:
            setattr(found, ours, value or None if ours == "owner" else value)


def _patient(spec: str) -> str:
    """The spec of a server with two attempts and half a minute, where it says nothing else."""
    if spec.partition(":")[0] not in ASKED:
        return spec
    target, _, options = spec.partition("?")
    if "batch=1" in options.split("&"):  # asked directly: a batch would answer tomorrow
        kept = [option for option in options.split("&") if option.partition("=")[0] in _OF_BOTH]
        spec = f"{target}?{'&'.join(kept)}" if kept else target
    extra = [option for option in ("attempts=2", "timeout=30") if f"{option.split('=')[0]}=" not in spec]
    return f"{spec}{'&' if '?' in spec else '?'}{'&'.join(extra)}" if extra else spec


def _price(backend: Backend) -> str:
    from medprm_hf.backends.books import books

    tariff = books().meter.prices.tariff(*identity_of(backend))
    if tariff is None:
        return "unknown"
    return "local" if tariff.local else f"{money(tariff.input)} in, {money(tariff.output)} out"


def _user(text: str, *images: bytes) -> tuple[Message, ...]:
    return (Message("user", text, images),)


_SAMPLING = Sampling(temperature=0.7, max_tokens=TOKENS)
_PLAIN = Request(_user("Answer with one word: on which side is the liver?"), sampling=_SAMPLING, key="doctor/plain")


def _requests() -> Iterator[tuple[str, Request]]:
    yield "images", replace(_PLAIN, messages=_user("What colour is this?", _picture()), key="doctor/images")
    yield "n", replace(_PLAIN, n=_asked_for("n"), key="doctor/n")
    yield "logprobs", replace(_PLAIN, logprobs=2, key="doctor/logprobs")
    yield "continuation", replace(_PLAIN, prefix="The liver lies on the", key="doctor/continuation")
    yield "response_format", replace(_PLAIN, schema=SCHEMA, key="doctor/schema")  # the prompt asks for no JSON


@cache
def _picture() -> bytes:
    """A small grey image."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (112, 112), (128, 128, 128)).save(buffer, "PNG")
    return buffer.getvalue()
