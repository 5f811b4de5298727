"""Servers that speak the providers' published batch APIs, and keep their batches as long as a test runs.

OpenAI: POST /v1/files, POST|GET /v1/batches, GET /v1/batches/ID, GET /v1/files/ID/content.
Gemini: POST /v1beta/models/M:batchGenerateContent, GET /v1beta/batches[/NAME].
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.backends import gemini_server as google
from tests.backends import openai_server as openai
from tests.backends.local_app import running

Body = dict[str, Any]
Say = Callable[[Body], Any]
"""What becomes of one line's body: a response body, or (status, body), or None for no answer at all."""


@dataclass
class Provider:
    """What tests see and set."""

    url: str = ""
    state: str = "in_progress"
    """Of every batch that has not ended; set it to end them."""
    say: Say = lambda body: None
    batches: dict[str, Body] = field(default_factory=dict)
    """As submitted, in order: label, lines by key, ended state and results."""
    refuse: list[tuple[int, Body]] = field(default_factory=list)
    """Errors for the next attempts to submit."""
    break_off: int = 0
    """Submissions that arrive, and whose answer is lost on the way back."""
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, label: str, lines: dict[str, Body]) -> str:
        name = f"batch_{len(self.batches)}"
        self.batches[name] = {"label": label, "lines": lines, "state": "", "results": {}}
        return name

    def end(self, state: str = "completed") -> None:
        """Ends every batch that is under way; the state of one that has ended stays."""
        for batch in self.batches.values():
            if not batch["state"]:
                batch["state"] = state
                found = {key: self.say(body) for key, body in batch["lines"].items()}
                batch["results"] = {key: said for key, said in found.items() if said is not None}

    @property
    def paid(self) -> list[str]:
        """Keys of all lines that were ever submitted."""
        return [key for batch in self.batches.values() for key in batch["lines"]]

    def broken(self, request: web.Request) -> web.Response | None:
        """What happens to this submission's answer."""
        if self.break_off:
            self.break_off -= 1
            assert request.transport is not None
            request.transport.close()
        return None


class OpenAIBatchServer(Provider):
    """OpenAI's."""

    async def upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        name = f"file-{len(self.files)}"
        self.files[name] = form["file"].file.read()  # type: ignore[union-attr]
        return web.json_response({"id": name, "object": "file", "purpose": "batch"})

    async def create(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert (body["endpoint"], body["completion_window"]) == ("/v1/chat/completions", "24h")
        if self.refuse:
            status, said = self.refuse.pop(0)
            return web.json_response(said, status=status)
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        for line in lines:
            assert set(line) == {"custom_id", "method", "url", "body"} and line["url"] == body["endpoint"]
            assert not set(line["body"]) - openai.FIELDS
            openai.CREATE.validate_python(line["body"])
        name = self.add(body["metadata"]["medprm"], {line["custom_id"]: line["body"] for line in lines})
        self.broken(request)
        return web.json_response(self.batch(name))

    def batch(self, name: str) -> Body:
        batch = self.batches[name]
        counts = {"total": len(batch["lines"]), "completed": len(batch["results"]), "failed": 0}
        found: Body = {"id": name, "object": "batch", "status": batch["state"] or self.state, "request_counts": counts}
        found["metadata"] = {"medprm": batch["label"]}
        if batch["state"]:
            found |= {"output_file_id": f"out-{name}", "error_file_id": f"err-{name}"}
        return found

    async def look(self, request: web.Request) -> web.Response:
        return web.json_response(self.batch(request.match_info["name"]))

    async def list(self, request: web.Request) -> web.Response:
        names = list(reversed(self.batches))
        after = request.query.get("after")
        rest = names[names.index(after) + 1 :] if after else names
        some = rest[:2]  # small pages, so that there are several
        return web.json_response({"data": [self.batch(name) for name in some], "has_more": len(rest) > len(some)})

    async def content(self, request: web.Request) -> web.Response:
        kind, _, name = request.match_info["file"].partition("-")
        lines = []
        for key, said in self.batches[name]["results"].items():
            status, body = said if isinstance(said, tuple) else (200, said)
            if (status == 200) == (kind == "out"):
                response = {"status_code": status, "request_id": "r", "body": body}
                lines.append(json.dumps({"id": "x", "custom_id": key, "response": response, "error": None}))
        return web.Response(text="\n".join(lines) + "\n")


class GeminiBatchServer(Provider):
    """Gemini's."""

    async def create(self, request: web.Request) -> web.Response:
        assert request.match_info["call"] == "gemini-2.5-flash:batchGenerateContent"
        if self.refuse:
            status, said = self.refuse.pop(0)
            return web.json_response(said, status=status)
        body = (await request.json())["batch"]
        lines = body["inputConfig"]["requests"]["requests"]
        for line in lines:
            assert google._unknown(line["request"]) is None, line
        name = self.add(body["displayName"], {line["metadata"]["key"]: line["request"] for line in lines})
        self.broken(request)
        return web.json_response(self.operation(name))

    def operation(self, name: str) -> Body:
        batch = self.batches[name]
        states = {"completed": "SUCCEEDED", "expired": "EXPIRED", "cancelled": "CANCELLED", "failed": "FAILED"}
        state = f"BATCH_STATE_{states.get(batch['state'], 'RUNNING')}"
        stats = {"requestCount": str(len(batch["lines"])), "successfulRequestCount": str(len(batch["results"]))}
        about = {"state": state, "displayName": batch["label"], "batchStats": stats}
        found: Body = {"name": f"batches/{name}", "metadata": about, "done": bool(batch["state"])}
        if batch["state"]:
            listed = []
            for key, said in batch["results"].items():
                one = {"error": said[1]["error"]} if isinstance(said, tuple) else {"response": said}
                listed.append({**one, "metadata": {"key": key}})
            found["response"] = {"inlinedResponses": {"inlinedResponses": listed}}
        return found

    async def look(self, request: web.Request) -> web.Response:
        return web.json_response(self.operation(request.match_info["name"]))

    async def list(self, request: web.Request) -> web.Response:
        start = int(request.query.get("pageToken", 0))
        names = list(self.batches)[start : start + 2]
        found: Body = {"operations": [self.operation(name) for name in names]}
        return web.json_response(found | ({"nextPageToken": str(start + 2)} if start + 2 < len(self.batches) else {}))


@contextmanager
def openai_batches() -> Iterator[OpenAIBatchServer]:
    server = OpenAIBatchServer(say=openai.answer)
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1/files", server.upload)
    app.router.add_post("/v1/batches", server.create)
    app.router.add_get("/v1/batches", server.list)
    app.router.add_get("/v1/batches/{name}", server.look)
    app.router.add_get("/v1/files/{file}/content", server.content)
    with running(app) as url:
        server.url = f"{url}/v1"
        yield server


@contextmanager
def gemini_batches() -> Iterator[GeminiBatchServer]:
    server = GeminiBatchServer(say=google.answer)
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1beta/models/{call}", server.create)
    app.router.add_get("/v1beta/batches", server.list)
    app.router.add_get("/v1beta/batches/{name}", server.look)
    with running(app) as url:
        server.url = url
        yield server
