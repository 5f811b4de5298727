"""A real HTTP server on 127.0.0.1 that plays a list of good and bad turns, one a request."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Body = dict[str, Any]
Turn = Callable[[Body], "web.StreamResponse | str | tuple[int, Body | str, dict[str, str]]"]


def answer(body: Body, texts: list[str] | None = None, **changes: Any) -> str:
    """A whole and proper response; by default as many choices as asked for."""
    texts = texts if texts is not None else [f"answer {i}" for i in range(body.get("n", 1))]
    choices = [
        {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": text}} | changes
        for i, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 7, "completion_tokens": 2 * len(texts)}
    return json.dumps({"choices": choices, "usage": usage})


@dataclass
class Server:
    """What the tests see of it."""

    url: str = ""
    seen: list[Body] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    most_in_flight: int = 0
    turns: Iterator[Turn] | None = None
    models: list[Body] = field(default_factory=lambda: [{"id": "tiny", "owned_by": "vllm"}])
    delay: float = 0.0
    _in_flight: int = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            body = await request.json()
            self.seen.append(body)
            self.headers.append(dict(request.headers))
            await asyncio.sleep(self.delay)
            turn = next(self.turns, None) if self.turns else None
            said = turn(body) if turn else answer(body)
            return await self._say(request, said)
        finally:
            self._in_flight -= 1

    async def _say(self, request: web.Request, said: Any) -> web.StreamResponse:
        if said == "HANG":
            await asyncio.sleep(30)
        if said == "CUT":
            broken = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
            await broken.prepare(request)
            await broken.write(b'{"choices": [')
            assert request.transport is not None
            request.transport.close()
            return broken
        if isinstance(said, tuple):
            status, body, headers = said
            text = body if isinstance(body, str) else json.dumps(body)
            return web.Response(status=status, text=text, headers=headers)
        return web.Response(text=said, content_type="application/json")

    async def list_models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": self.models})


@contextmanager
def serve(*turns: Turn, **settings: Any) -> Iterator[Server]:
    """Run the server in a thread of its own; after its turns it answers properly."""
    server = Server(turns=iter(turns), **settings)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    runner: list[web.AppRunner] = []

    async def start() -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/chat/completions", server.chat)
        app.router.add_get("/v1/models", server.list_models)
        runner.append(web.AppRunner(app, shutdown_timeout=0.1))
        await runner[0].setup()
        site = web.TCPSite(runner[0], "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        server.url = f"http://127.0.0.1:{port}/v1"
        ready.set()

    def work() -> None:
        loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner[0].cleanup())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    ready.wait(5)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
