"""A server that speaks Gemini's published REST API: it checks requests as strictly as Google does, and plays turns.

    POST /v1beta/models/{model}:generateContent      GET /v1beta/models

Shapes follow https://ai.google.dev/api/generate-content (GenerateContentRequest, GenerateContentResponse) and the
error model of google.rpc.Status.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.backends.local_app import running

Body = dict[str, Any]
Turn = Callable[[Body], Any]
KEY = "AIzaSyTestTestTestTestTestTestTestTest0"

REQUEST = {"contents", "systemInstruction", "generationConfig", "safetySettings", "tools", "toolConfig", "model"}
GENERATION = {
    *("temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "seed", "responseLogprobs"),
    *("logprobs", "responseMimeType", "responseSchema", "responseJsonSchema", "thinkingConfig"),
}


def error(code: int, status: str, message: str, *details: Body) -> tuple[int, Body]:
    """An error response as google.rpc.Status."""
    return code, {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def reason(why: str) -> Body:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": why, "domain": "googleapis.com"}


def retry_info(delay: str) -> Body:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def quota(quota_id: str) -> Body:
    violation = {"quotaMetric": "generate_content_free_tier_requests", "quotaId": quota_id, "quotaValue": "5"}
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}


def candidate(text: str | None, index: int = 0, finish: str = "STOP", **more: Any) -> Body:
    content = {"role": "model", "parts": [{"text": text}]} if text is not None else {"role": "model"}
    return {"content": content, "finishReason": finish, "index": index, **more}


def answer(body: Body, texts: list[str] | None = None, **more: Any) -> Body:
    """A whole response with as many candidates as asked for."""
    settings = body.get("generationConfig", {})
    texts = texts if texts is not None else [f"answer {i}" for i in range(settings.get("candidateCount", 1))]
    found = [candidate(text, i) for i, text in enumerate(texts)]
    if settings.get("responseLogprobs"):
        for one in found:
            one["logprobsResult"] = {
                "chosenCandidates": [{"token": "a", "tokenId": 1, "logProbability": -0.5}],
                "topCandidates": [
                    {"candidates": [{"token": "a", "logProbability": -0.5}, {"token": "b", "logProbability": -1.5}]}
                ],
            }
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 2 * len(texts), "totalTokenCount": 9 + 2 * len(texts)}
    return {"candidates": found, "usageMetadata": usage, "modelVersion": "gemini-2.5-flash", **more}


@dataclass
class Gemini:
    """What tests see of it."""

    url: str = ""
    turns: Iterator[Turn] = field(default_factory=lambda: iter(()))
    seen: list[Body] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    models: tuple[str, ...] = ("gemini-2.5-flash", "gemini-2.5-pro")

    async def generate(self, request: web.Request) -> web.StreamResponse:
        name, _, method = request.match_info["call"].partition(":")
        body = await request.json()
        self.seen.append(body)
        self.keys.append(request.headers.get("x-goog-api-key", ""))
        if name not in self.models or method != "generateContent":
            return _json(*error(404, "NOT_FOUND", f"models/{name} is not found for API version v1beta"))
        if (wrong := _unknown(body)) is not None:
            said = f'Invalid JSON payload received. Unknown name "{wrong}": Cannot find field.'
            return _json(*error(400, "INVALID_ARGUMENT", said))
        turn = next(self.turns, answer)
        said = turn(body)
        if said == "HANG":
            await asyncio.sleep(30)
        if said == "CUT":
            assert request.transport is not None
            broken = web.StreamResponse(headers={"Content-Length": "999", "Content-Type": "application/json"})
            await broken.prepare(request)
            await broken.write(b'{"candidates": [')
            request.transport.close()
            return broken
        if isinstance(said, str):
            return web.Response(text=said, content_type="application/json")
        return _json(*said) if isinstance(said, tuple) else _json(200, said)

    async def list(self, request: web.Request) -> web.Response:
        return _json(200, {"models": [{"name": f"models/{name}"} for name in self.models]})


def _unknown(body: Body) -> str | None:
    """The first field that the API does not have, or whose value is none of its own."""
    for name in body:
        if name not in REQUEST:
            return name
    for name in body.get("generationConfig", {}):
        if name not in GENERATION:
            return name
    for content in body["contents"]:
        if content["role"] not in ("user", "model"):
            return "role"
        for part in content["parts"]:
            if "inlineData" in part:
                base64.b64decode(part["inlineData"]["data"].translate({45: 43, 95: 47}), validate=True)
            elif set(part) != {"text"}:
                return "parts"
    return None


def _json(status: int, body: Body) -> web.Response:
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")


@contextmanager
def gemini(*turns: Turn) -> Iterator[Gemini]:
    """Plays the turns, one a request; after them it answers properly."""
    server = Gemini(turns=iter(turns))
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1beta/models/{call}", server.generate)
    app.router.add_get("/v1beta/models", server.list)
    with running(app) as url:
        server.url = url
        yield server
