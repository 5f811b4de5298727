"""Orders and outcomes: what a backend asks of an engine, and what comes back.

An order is one distinct sample (a prompt, a seed, a limit); an engine answers each with what it drew or
with why it refuses the prompt. `FastEngine` (engine.py) and `GenerateEngine` (generate.py) are the two
engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from medprm_hf.backends.protocol import Message

SMALL = 100_000_000
"""Parameters up to which one thread is faster than several."""


@dataclass(frozen=True, eq=False)
class Conversation:
    """One distinct conversation of a call; equal only to itself, so comparing costs nothing."""

    messages: tuple[Message, ...]

    @property
    def images(self) -> tuple[bytes, ...]:
        """Its images in order of the turns."""
        return tuple(image for message in self.messages for image in message.images)


@dataclass(frozen=True, eq=False)
class Prompt:
    """One distinct beginning: a conversation and the prefix its answer starts with."""

    conversation: Conversation
    prefix: str


@dataclass(frozen=True)
class Order:
    """One distinct sample."""

    prompt: Prompt
    seed: int
    temperature: float
    top_p: float
    limit: int
    stop: tuple[str, ...]


@dataclass(frozen=True)
class Drawn:
    """What came of an order."""

    text: str
    finish: str
    tokens: int
    logprobs: tuple[float, ...]


@dataclass(frozen=True)
class Refused:
    """A prompt that cannot be computed, and why."""

    kind: str
    message: str


Outcome = Drawn | Refused


class Engine(Protocol):
    """Runs orders that share temperature and top_p."""

    threads: int
    """CPU threads that suit its model; 0: torch's own number."""

    def run(self, orders: Sequence[Order]) -> dict[Order, Outcome]:
        """Every order's outcome."""
        ...

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Tokens of a prompt that has been run; 0 if it was refused."""
        ...


def threads_for(parameters: int, device: str) -> int:
    """One thread for a small model on a CPU, else 0 (torch's own number)."""
    return 1 if device == "cpu" and parameters <= SMALL else 0


def cut(text: str, stop: Sequence[str]) -> str:
    """The text up to the first stop string."""
    ends = [text.find(mark) for mark in stop if mark in text]
    return text[: min(ends)] if ends else text


def over_context(tokens: int, context: int) -> Refused:
    """The refusal of a prompt that leaves no room for an answer."""
    return Refused("context", f"the prompt has {tokens} tokens, the model's context {context}: shorten it")
