"""A server whose answers are a function of the request, however often it is asked, and whose manners are bad.

    python -m tests.backends.steady_server --log server.jsonl --latency 0.1      prints its port

Each draw's text names conversation, seed and number of the choice, so that no two are alike. By hash of its body a
request meets one of `FAULTS` when it first comes, and with `--stubborn` for some of them each time. The log has a line
for each arrival, and one for each response before its first byte is sent. `POST /reset` forgets who was met before.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from aiohttp import web

FAULTS = ("429", "500", "hang", "cut", "broken", "empty", "fewer", "length", "policy")
KINDS = {"429": "http_429", "500": "http_500", "hang": "timeout", "cut": "connection", "broken": "broken_json"} | {
    "empty": "no_choices",
    "policy": "content_filter",
}
"""What a fault is called when it never ends; `fewer` and `length` end as answers."""


def digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def texts(body: dict[str, Any]) -> list[str]:
    """What the model says to a body: a solution, or the rest of one."""
    said = []
    for choice in range(body.get("n", 1)):
        mark = digest(body["messages"], body.get("seed"), choice)[:20]
        last = f"Step 9: It follows {mark}.\nAnswer: {'ABC'[int(mark[:4], 16) % 3]}"
        said.append(f"\n{last}" if begun(body) else f"Step 1: I see {mark}.\nStep 2: So {mark[::-1]}.\n{last}")
    return said


def begun(body: dict[str, Any]) -> bool:
    """Whether the rest of an answer is asked for."""
    return "already been begun" in json.dumps(body["messages"][-1])


@dataclass
class Manners:
    """One server's log, its delays, and how bad it is."""

    log: Path
    latency: float
    hang: float
    stubborn: bool
    without: tuple[str, ...]

    def __post_init__(self) -> None:
        self.met: set[str] = set()

    def fault(self, name: str) -> str | None:
        """Of half of all requests the fault they meet; every eighth of these, if stubborn, meets it each time."""
        number = int(name[:8], 16)
        fault = FAULTS[number % len(FAULTS)] if number // 9 % 2 else None
        always = self.stubborn and number // 18 % 4 == 0
        if fault is None or fault in self.without:
            return None
        if fault in ("fewer", "length") or always:
            return fault
        if name in self.met or fault == "policy":
            return None
        self.met.add(name)
        return fault

    def write(self, **line: Any) -> None:
        with self.log.open("a") as file:
            file.write(json.dumps(line) + "\n")

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        name = digest(body)
        fault = self.fault(name)
        self.write(arrived=name, n=body.get("n", 1), continued=begun(body))
        await asyncio.sleep(self.hang if fault == "hang" else self.latency)
        said = texts(body)
        if fault == "fewer":
            said = said[: max(len(said) - 1, 2)]  # one alone would mean that it cannot give several
        bad = await self.misbehave(request, fault)
        self.write(answered=name, fault=fault if bad is not None else None, texts=[] if bad is not None else said)
        return bad if bad is not None else web.json_response(whole(said, "length" if fault == "length" else "stop"))

    async def misbehave(self, request: web.Request, fault: str | None) -> web.StreamResponse | None:
        if fault == "cut":
            broken = web.StreamResponse(headers={"Content-Length": "9999", "Content-Type": "application/json"})
            with suppress(ConnectionError):  # the client may be dead by now
                await broken.prepare(request)
                await broken.write(b'{"choices": [{"index": 0, "message": {"content": "Step 1')
            if request.transport is not None:
                request.transport.close()
            return broken
        answers: dict[str | None, tuple[int, str, dict[str, str]]] = {
            "429": (429, '{"error": {"message": "slow down"}}', {"Retry-After": "0.1"}),
            "500": (500, "<html>oops</html>", {}),
            "hang": (200, "too late", {}),
            "broken": (200, '{"choices": [{"index": 0, "mess', {}),
            "empty": (200, '{"choices": [], "usage": {"prompt_tokens": 3}}', {}),
            "policy": (400, '{"error": {"message": "no", "code": "content_policy_violation"}}', {}),
        }
        if fault not in answers:
            return None
        status, text, headers = answers[fault]
        return web.Response(status=status, text=text, headers=headers, content_type="application/json")

    async def reset(self, request: web.Request) -> web.Response:
        self.met.clear()
        self.log.write_text("")
        return web.Response()


def whole(said: list[str], finish: str) -> dict[str, Any]:
    choices = [
        {"index": i, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
        for i, text in enumerate(said)
    ]
    return {"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 5 * len(said)}}


async def main(manners: Manners) -> None:
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1/chat/completions", manners.chat)
    app.router.add_post("/reset", manners.reset)
    app.router.add_get("/v1/models", _models)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)  # type: ignore[union-attr]
    await asyncio.Event().wait()


async def _models(request: web.Request) -> web.Response:
    return web.json_response({"data": [{"id": "steady", "owned_by": "tests"}]})


@dataclass
class Steady:
    """A running server, as the tests see it."""

    url: str
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """The log so far; a line that is being written is left out."""
        there = self.log.read_text().splitlines(keepends=True) if self.log.exists() else []
        return [json.loads(line) for line in there if line.endswith("\n")]

    def reset(self) -> None:
        """Every fault is met once more, the log begins anew."""
        urlopen(Request(self.url.removesuffix("/v1") + "/reset", method="POST")).close()


@contextmanager
def steady(folder: Path, latency: float = 0.02, hang: float = 3.0, *flags: str) -> Iterator[Steady]:
    """Runs the server in a process of its own."""
    log = folder / "server.jsonl"
    command = [sys.executable, "-m", "tests.backends.steady_server", "--log", str(log)]
    command += ["--latency", str(latency), "--hang", str(hang), *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    try:
        yield Steady(f"http://127.0.0.1:{int(process.stdout.readline())}/v1", log)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--latency", type=float, default=0.02)
    parser.add_argument("--hang", type=float, default=3.0)
    parser.add_argument("--stubborn", action="store_true")
    parser.add_argument("--without", nargs="*", default=())
    given = parser.parse_args()
    asyncio.run(main(Manners(given.log, given.latency, given.hang, given.stubborn, tuple(given.without))))
