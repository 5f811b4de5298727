"""The chat-completions protocol of OpenAI-compatible servers: requests to JSON, JSON to completions.

A prefix is continued natively (an assistant message, `add_generation_prompt=false`, `continue_final_message=true`:
vLLM and SGLang) or by asking for it in the prompt; `Reply.continuation` says which. An image is encoded once, and
its encoded bytes are shared by all bodies that carry it: a body is a list of pieces, joined only by the socket.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from medprm_hf.backends.protocol import Completion, Continuation, Failure, Message, Request
from medprm_hf.backends.servers.abilities import Abilities
from medprm_hf.backends.servers.data_urls import data_url
from medprm_hf.backends.servers.wire_json import write_json

CONTINUE_PROMPT = """\
Your answer has already been begun. Write only what follows its last character: go on from there, repeat nothing \
of it, and do not comment on it. The answer so far:
{prefix}"""

_IMAGE = f"image-{secrets.token_hex(12)}"
"""Stands for an image while the rest of a body becomes JSON; no text contains it by chance."""


def payload(
    request: Request,
    model: str,
    places: Sequence[int],
    continuation: Continuation,
    abilities: Abilities,
    logprobs: bool = False,
) -> dict[str, Any]:
    """The fields that ask for the given places of a request, as far as the server is able; images are marks yet."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": _messages(request, continuation),
        abilities.tokens_field: sampling.max_tokens,
        "temperature": sampling.temperature,
    }
    if abilities.seed is not False:
        body["seed"] = request.seed(places[0]) & 0x7FFFFFFF
    if sampling.temperature > 0:
        body["top_p"] = sampling.top_p
        if abilities.n is not False:
            body["n"] = len(places)
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if continuation == "native":
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    if (logprobs or request.logprobs) and abilities.logprobs is not False:
        body["logprobs"] = True
        if request.logprobs:
            body["top_logprobs"] = request.logprobs
    if request.schema is not None and abilities.schema is not False:
        schema = {"name": "answer", "schema": request.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def pieces(body: Mapping[str, Any], images: Sequence[bytes]) -> list[bytes]:
    """The body as JSON in pieces, the marks of its images replaced by their data URLs."""
    text = write_json(body)
    if not images:
        return [text]
    first, *rest = text.split(_IMAGE.encode())
    found = [first]
    for image, after in zip(images, rest, strict=True):
        found += (data_url(image), after)
    return found


def _messages(request: Request, continuation: Continuation) -> list[dict[str, Any]]:
    turns = [{"role": message.role, "content": _content(message)} for message in request.messages]
    if continuation == "native":
        return [*turns, {"role": "assistant", "content": request.prefix}]
    if continuation == "none":
        return turns
    *_, asked = continued(request.messages, request.prefix)
    kept = turns[:-1] if request.messages[-1].role == "user" else turns
    return [*kept, {"role": "user", "content": _content(asked)}]


def continued(messages: Sequence[Message], prefix: str) -> tuple[Message, ...]:
    """The conversation with the wish that the answer go on from a prefix, in its last user turn."""
    ask, last = CONTINUE_PROMPT.format(prefix=prefix), messages[-1]
    if last.role != "user":
        return (*messages, Message("user", ask))
    return (*messages[:-1], Message("user", f"{last.text}\n\n{ask}", last.images))


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text
    pictures = [{"type": "image_url", "image_url": {"url": _IMAGE}} for _ in message.images]
    return [*pictures, {"type": "text", "text": message.text}]


def read_choices(body: Mapping[str, Any], request: Request) -> list[Completion | Failure]:
    """The answers of a response in order of their index.

    A server counts the tokens of all answers together: without log-probabilities each gets its share by length of
    text, so that their sum is exact.
    """
    choices = sorted(body.get("choices") or [], key=lambda choice: choice.get("index") or 0)
    total = (body.get("usage") or {}).get("completion_tokens") or 0
    texts = [_text(choice) or "" for choice in choices]
    return [
        _read(choice, tokens, request)
        for choice, tokens in zip(choices, shares(total, [len(text) for text in texts]), strict=True)
    ]


class Used(NamedTuple):
    """Tokens that the server booked."""

    prompt: int
    cached: int
    """Those of the prompt that it read from its cache."""
    completion: int


def usage(body: Mapping[str, Any]) -> Used:
    """Tokens of a response; 0 where the server does not say."""
    said = body.get("usage") or {}
    cached = (said.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return Used(int(said.get("prompt_tokens") or 0), int(cached), int(said.get("completion_tokens") or 0))


def _text(choice: Mapping[str, Any]) -> str | None:
    found = (choice.get("message") or {}).get("content")
    return found if isinstance(found, str) else None


def _read(choice: Mapping[str, Any], tokens: int, request: Request) -> Completion | Failure:
    finish, text = choice.get("finish_reason"), _text(choice)
    refusal = (choice.get("message") or {}).get("refusal")
    if finish == "content_filter" or (text is None and refusal):
        return Failure("content_filter", str(refusal or "the server's content filter cut the answer"))
    if finish not in ("stop", "length"):
        return Failure("finish_reason", f"the server ended the answer with finish_reason={finish!r}")
    if text is None:
        return Failure("no_text", f"the server gave finish_reason={finish!r} and no text")
    listed = (choice.get("logprobs") or {}).get("content")
    logprobs = tuple(float(item["logprob"]) for item in listed) if listed else None
    if request.prefix and text.startswith(request.prefix):
        text = text[len(request.prefix) :]  # a model that was asked to go on often begins again
    top = _top(listed) if listed and request.logprobs else None
    return Completion(text, finish, len(logprobs) if logprobs is not None else tokens, logprobs, top)


def _top(listed: Sequence[Mapping[str, Any]]) -> tuple[dict[str, float], ...]:
    """Candidates of each token; of two that look the same (pieces of one character) the likelier."""
    found = []
    for item in listed:
        candidates: dict[str, float] = {}
        for candidate in item.get("top_logprobs") or ():
            token, value = str(candidate["token"]), float(candidate["logprob"])
            candidates[token] = max(value, candidates.get(token, value))
        found.append(candidates)
    return tuple(found)


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` split by weight into whole numbers that add up to it."""
    if len(weights) == 1:
        return [total]
    if not weights:
        return []
    size = sum(weights) or len(weights)
    borders, passed = [0], 0
    for weight in weights:
        passed += weight if sum(weights) else 1
        borders.append(round(total * passed / size))
    return [after - before for before, after in zip(borders, borders[1:], strict=False)]
