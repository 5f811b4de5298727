"""A backend that answers from a script: for tests, for the README's example and for dry runs. It is no model.

    ScriptedBackend(["Left.", "Right."])                 answers in the order they are asked for
    ScriptedBackend({"q1/0": ["Left.", "Right."]})       answers by the key of the request, one a place
    ScriptedBackend(lambda request, place: "Left.")      answers by a function

An answer is a text, a `Completion` or a `Failure`. A script that has run out or lacks a key gives a
Failure of kind `script`, which names the request: an answer that nobody wrote is never made up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import islice

from medprm_hf.backends.protocol import Completion, Failure, Reply, Request, Usage
from medprm_hf.backends.stopping import check_stop
from medprm_hf.errors import ConfigError
from medprm_hf.registry import near

Answer = str | Completion | Failure
Rule = Callable[[Request, int], Answer]
Script = Iterable[Answer] | Mapping[str, Answer | Sequence[Answer]] | Rule


class ScriptedBackend:
    """Answers from a list, a mapping by request key, or a function of request and place."""

    def __init__(self, script: Script, model: str = "scripted") -> None:
        self.model = model
        self.usage = Usage()
        self.asked: list[Request] = []
        """Every request so far, in order."""
        self._answer = _rule(script)

    @classmethod
    def from_spec(cls, options: str) -> ScriptedBackend:
        """`MODULE:ATTRIBUTE`, where the attribute is a script."""
        module, _, attribute = options.partition(":")
        try:
            script = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"scripted:{options}: {error}; write scripted:MODULE:ATTRIBUTE (a list, dict or function)"
            ) from error
        return cls(script, model=f"scripted:{options}")

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply a request, in order."""
        replies = [self._reply(request) for request in requests]
        for reply in replies:
            self.usage.add(reply)
        return replies

    def close(self) -> None:
        """Nothing to give back."""

    def _reply(self, request: Request) -> Reply:
        check_stop()
        self.asked.append(request)
        places = tuple(_completion(self._answer(request, place)) for place in range(request.n))
        words = sum(len(message.text.split()) for message in request.messages) + len(request.prefix.split())
        return Reply(places, prompt_tokens=words, continuation="native" if request.prefix else "none")


def _completion(answer: Answer) -> Completion | Failure:
    """A text becomes a finished completion; its token count is its number of words."""
    return Completion(answer, "stop", len(answer.split())) if isinstance(answer, str) else answer


def _rule(script: Script) -> Rule:
    if isinstance(script, Mapping):
        return _by_key(script)
    if callable(script):
        return script
    if isinstance(script, str):
        raise ConfigError("a script is a list of answers, not one text: write [text]")
    return _in_order(iter(script))


def _in_order(answers: Iterator[Answer]) -> Rule:
    used = 0

    def answer(request: Request, place: int) -> Answer:
        nonlocal used
        for found in islice(answers, 1):
            used += 1
            return found
        return Failure("script", f"the script had {used} answers; request {request.key!r} asks for one more")

    return answer


def _by_key(table: Mapping[str, Answer | Sequence[Answer]]) -> Rule:
    def answer(request: Request, place: int) -> Answer:
        if request.key not in table:
            return Failure("script", f"the script has no answer for key {request.key!r}{near(request.key, table)}")
        found = table[request.key]
        if isinstance(found, str | Completion | Failure):
            return found
        if place < len(found):
            return found[place]
        return Failure("script", f"the script has {len(found)} answers for key {request.key!r}, place {place} has none")

    return answer
