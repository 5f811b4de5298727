"""A Hub of one's own, for tests and rehearsals: the real protocol for unmodified clients, kept in a folder.

    python -m tests.hub.local_hub --folder /tmp/hub --port 8787
    HF_ENDPOINT=http://127.0.0.1:8787 HF_TOKEN=hf_owner HF_HUB_DISABLE_XET=1 python -c "…push_to_hub…"

Datasets, models and Spaces; roles by token (rights.py); private repos; atomic commits that check their parent (412);
large files by LFS batch and PUT; branches, tags, pull requests, comments, merges; reading at a revision and by range.
What it holds survives a restart. Left out: xet, multipart uploads, gated repos, the dataset viewer. It listens on
the loopback alone, and its tokens are no secret: it is no server for the world.
"""

from __future__ import annotations

import argparse
import socket
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.hub import routes_files, routes_repos, routes_talk  # noqa: F401 - they fill the table of routes
from tests.hub.rights import caller
from tests.hub.routing import Faults, call_of, find, raw_path
from tests.hub.store import Refused, Store


class HubApp:
    """The ASGI application over one folder."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.faults = Faults()
        self.served: list[tuple[str, str, str]] = []
        """Method, path and range of every request, for tests that count."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        response = await self._answer(Request(scope, receive))
        await (_broken(send) if response is None else response(scope, receive, send))

    async def _answer(self, request: Request) -> Response | None:
        path = raw_path(request)
        self.served.append((request.method, path, request.headers.get("range", "")))
        try:
            if path == "/_fault":
                self.faults.waiting.append(await request.json())
                return JSONResponse({})
            found = find(request.method, path)
            if found is None:
                raise Refused(404, f"no such address: {request.method} {path}")
            handler, slots = found
            call = await call_of(request, self.store, caller(request.headers.get("authorization")))
            call.slots = slots
            return await run_in_threadpool(self._carry_out, handler, call)
        except Refused as refused:
            return _refusal(refused)

    def _carry_out(self, handler: Any, call: Any) -> Response | None:
        """The handler's answer, or the fault that a test has ordered before or after it."""
        name = handler.__name__
        status = self.faults.take(name, "before")
        if status is None:
            done: Response = handler(call)
            status = self.faults.take(name, "after")
            if status is None:
                return done
        return None if status == 0 else _refusal(Refused(status, "ordered by a test"))


def _refusal(refused: Refused) -> Response:
    headers = {"X-Error-Message": refused.message} | ({"X-Error-Code": refused.code} if refused.code else {})
    return JSONResponse({"error": refused.message}, status_code=refused.status, headers=headers)


async def _broken(send: Any) -> None:
    """Begins an answer and goes away: the client sees a broken connection."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ConnectionResetError("a test wanted the connection to break")


class LocalHub:
    """The server in a thread of this process: `with LocalHub(folder) as hub: hub.url`."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.app = HubApp(folder)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.socket.listen()  # from here on callers wait instead of being refused
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        settings = uvicorn.Config(self.app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(settings)

    def __enter__(self) -> LocalHub:
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()


def main() -> None:
    """Serves a folder until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="Where its repos lie; made where it is missing.")
    parser.add_argument("--port", type=int, default=8787, help="0: any that is free.")
    chosen = parser.parse_args()
    hub = LocalHub(chosen.folder, chosen.port)
    print(f"ready at {hub.url}; tokens: hf_owner, hf_contributor, hf_reader, hf_stranger", flush=True)
    hub.server.run([hub.socket])


if __name__ == "__main__":
    main()
