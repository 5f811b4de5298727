"""What a backend is: requests in, replies out, one place per sample.

A backend never raises for one request: each of the n places of a reply holds a `Completion` or a
`Failure` with its reason, so that a failed request can never be counted as an answer. It raises only
where nothing can work at all (AuthError, ConfigError, MissingExtraError).

    reply = backend.complete([Request(messages=(user("Which side?", image=png),), n=2)])[0]
    reply.places  ->  (Completion("Left.", "stop", 3), Failure("http_500", "…"))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol

from medprm_hf.ids import bytes_hash, stable_seed

Role = Literal["system", "user", "assistant"]
Continuation = Literal["native", "prompt", "none"]
"""How a prefix was continued: by the server itself, by asking for it in the prompt, or there was none."""


@dataclass(frozen=True)
class Message:
    """One chat turn; images come before the text."""

    role: Role
    text: str
    images: tuple[bytes, ...] = ()
    """Encoded images (PNG or JPEG bytes)."""

    @cached_property
    def image_hashes(self) -> tuple[str, ...]:
        """SHA-256 of each image; computed once, for a turn is shared by many requests."""
        return tuple(bytes_hash(image) for image in self.images)


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn."""

    temperature: float = 0.7
    """0 is greedy."""
    top_p: float = 1.0
    max_tokens: int = 1024
    """New tokens at most, per completion."""
    stop: tuple[str, ...] = ()
    seed: int = 0
    """The same seed and request give the same completions wherever the backend can promise it."""


@dataclass(frozen=True)
class Request:
    """n completions of one conversation, each beginning with the same assistant prefix."""

    messages: tuple[Message, ...]
    n: int = 1
    sampling: Sampling = Sampling()
    prefix: str = ""
    """Beginning of the assistant's answer, which every completion continues; not repeated in its text."""
    key: str = ""
    """Name of the request: it seeds the draws, so equal conversations with other keys draw differently."""
    first: int = 0
    """Number of the first place: this request asks for the draws first … first + n - 1 of its key. A later request
    of the same key goes on where an earlier one ended, and a journal knows what it has of them."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the request is about (question_id, steps, …). Never sent; only *simulated* backends read it."""
    schema: Mapping[str, Any] | None = None
    """JSON schema that the answer must fit. Sent where the server can hold a model to one; where it cannot, the
    answer is what the prompt alone makes of it, and the reply's notes say so."""
    logprobs: int = 0
    """Candidates listed for each generated token, with their log-probabilities; 0: none are asked for."""

    def image_hashes(self) -> tuple[str, ...]:
        """SHA-256 of every image in order of the turns."""
        return tuple(hashed for message in self.messages for hashed in message.image_hashes)

    def seed(self, place: int) -> int:
        """Seed of one of the n places; depends on sampling seed, key and the draw's number alone."""
        return stable_seed(self.sampling.seed, self.key, self.first + place)


@dataclass(frozen=True)
class Completion:
    """One answer that arrived whole."""

    text: str
    """What the model wrote after the prefix."""
    finish_reason: str
    """`stop` (it ended) or `length` (it was cut at max_tokens)."""
    tokens: int
    """Tokens generated."""
    logprobs: tuple[float, ...] | None = None
    """Natural log-probability of each generated token, where the backend gives them."""
    top_logprobs: tuple[Mapping[str, float], ...] | None = None
    """For each generated token the likeliest candidates and their natural log-probabilities, where asked for."""


@dataclass(frozen=True)
class Failure:
    """One answer that did not arrive, and why."""

    kind: str
    """timeout, http_429, broken_json, no_choices, content_filter, …"""
    message: str
    attempts: int = 1


@dataclass(frozen=True)
class Reply:
    """The n places of one request."""

    places: tuple[Completion | Failure, ...]
    prompt_tokens: int = 0
    """Tokens of prompt and prefix that were paid for."""
    continuation: Continuation = "none"
    from_journal: int = 0
    """Places that were answered before and cost nothing now."""
    notes: tuple[str, ...] = ()
    """What was done to the request so that it could be sent: an image made smaller, a schema left out, …"""

    @property
    def completions(self) -> tuple[Completion, ...]:
        """Those places that hold an answer."""
        return tuple(place for place in self.places if isinstance(place, Completion))


@dataclass
class Usage:
    """What a backend has been asked and has given; adds up over shards and processes."""

    requests: int = 0
    completions: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    from_journal: int = 0
    """Completions that a journal held; their tokens are not in the sums above."""
    failures: Counter[str] = field(default_factory=Counter)
    """How many places failed, by kind."""
    images: Counter[str] = field(default_factory=Counter)
    """How many requests carried each image, by its SHA-256."""
    notes: Counter[str] = field(default_factory=Counter)
    """How many replies carried each note."""

    def add(self, reply: Reply) -> None:
        """Books one reply."""
        self.requests += 1
        self.prompt_tokens += reply.prompt_tokens
        if reply.notes:
            self.notes.update(reply.notes)
        for place in reply.places:
            if isinstance(place, Failure):
                self.failures[place.kind] += 1
            else:
                self.completions += 1
                self.completion_tokens += place.tokens

    def __add__(self, other: Usage) -> Usage:
        """The counts of two backends together."""
        return Usage(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def copy(self) -> Usage:
        """The counts as they are now, images left out."""
        return replace(self, failures=Counter(self.failures), images=Counter(), notes=Counter(self.notes))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a marker or a report."""
        counters = {name: dict(sorted(getattr(self, name).items())) for name in ("failures", "images", "notes")}
        return {**vars(self), **counters}


class Backend(Protocol):
    """Something that answers requests: a server, a model in this process, a script or a simulation."""

    model: str
    """Name of the model that answers, as it stands in the table's `generator` and `judge` columns."""
    usage: Usage

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply a request, in order; keeps as many in flight as it can."""
        ...

    def close(self) -> None:
        """Gives back connections and memory."""
        ...
