"""A server that speaks OpenAI's published API, its requests and responses checked by the SDK's own types.

    POST /v1/chat/completions      GET /v1/models

What the SDK's types do not know is refused as OpenAI does (`Unrecognized request argument`), and what the server says
is built from the SDK's response models: what satisfies it satisfies the SDK.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from openai.types.chat import ChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter, ValidationError

from tests.backends.local_app import running

Body = dict[str, Any]
Turn = Callable[[Body], "tuple[int, Body, dict[str, str]] | Body"]
CREATE: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)
FIELDS = set(CompletionCreateParamsNonStreaming.__annotations__) | {
    name for base in CompletionCreateParamsNonStreaming.__orig_bases__ for name in getattr(base, "__annotations__", ())
}


def error(status: int, message: str, code: str | None = None, **headers: str) -> tuple[int, Body, dict[str, str]]:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return status, body, {name.replace("_", "-"): value for name, value in headers.items()}


def answer(body: Body, texts: list[str] | None = None, finish: str = "stop") -> Body:
    """A response as the SDK's ChatCompletion."""
    texts = texts if texts is not None else [f"answer {i}" for i in range(body.get("n") or 1)]
    candidates = [{"token": token, "logprob": value, "bytes": None} for token, value in (("a", -0.5), ("b", -1.5))]
    listed = {"content": [candidates[0] | {"top_logprobs": candidates[: body.get("top_logprobs", 0)]}], "refusal": None}
    choices = [
        {
            "index": i,
            "finish_reason": finish,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": listed if body.get("logprobs") else None,
        }
        for i, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 9, "completion_tokens": 2 * len(texts), "total_tokens": 9 + 2 * len(texts)}
    usage["prompt_tokens_details"] = {"cached_tokens": 4}
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"]}
    found = ChatCompletion.model_validate(whole | {"choices": choices, "usage": usage}, strict=True)
    return found.model_dump(mode="json")


@dataclass
class OpenAI:
    """What tests see of it."""

    url: str = ""
    turns: Iterator[Turn] = field(default_factory=lambda: iter(()))
    seen: list[Body] = field(default_factory=list)

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.seen.append(body)
        if unknown := set(body) - FIELDS:
            return _say(error(400, f"Unrecognized request argument supplied: {', '.join(sorted(unknown))}"))
        try:
            CREATE.validate_python(body)
        except ValidationError as wrong:
            return _say(error(400, f"Invalid value: {wrong}"))
        return _say(next(self.turns, answer)(body))

    async def list(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model", "created": 1}]})


def _say(said: tuple[int, Body, dict[str, str]] | Body) -> web.Response:
    status, body, headers = said if isinstance(said, tuple) else (200, said, {})
    return web.Response(status=status, text=json.dumps(body), content_type="application/json", headers=headers)


@contextmanager
def openai_server(*turns: Turn) -> Iterator[OpenAI]:
    """Plays the turns, one a request; after them it answers properly."""
    server = OpenAI(turns=iter(turns))
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/v1/models", server.list)
    with running(app) as url:
        server.url = f"{url}/v1"
        yield server
