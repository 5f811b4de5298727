"""A chat-completions server of fixed latency, in a process of its own, as thin as asyncio allows.

    python -m tests.benchmarks.latency_server 0.1        # seconds; prints its port

It reads no more of a request than its length and its n, and answers each after the same time with the same text, so
that what is measured beside it is the client.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

TEXT = "The nodule is solid, 7 mm, with a smooth margin.\n\nIt has not grown since the last scan.\n\nAnswer: B"
TOKENS = 32
_N = re.compile(rb'"n": ?(\d+)')
_MODELS = {"object": "list", "data": [{"id": "tiny", "owned_by": "vllm", "max_model_len": 32768}]}
TAIL = 4096
"""Bytes of a body's end in which n is looked for."""


def _response(body: object) -> bytes:
    data = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)


@lru_cache
def _answer(n: int) -> bytes:
    message = {"role": "assistant", "content": TEXT}
    choices = [{"index": i, "finish_reason": "stop", "logprobs": None, "message": message} for i in range(n)]
    usage = {"prompt_tokens": 300, "completion_tokens": TOKENS * n, "total_tokens": 300 + TOKENS * n}
    return _response({"id": "x", "object": "chat.completion", "model": "tiny", "choices": choices, "usage": usage})


class _Connection(asyncio.Protocol):
    """One keep-alive connection; a request is never sent before the last one is answered."""

    latency = 0.1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._loop = transport, asyncio.get_running_loop()
        self._tail, self._missing = b"", -1

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._tail += data
            head, end, body = self._tail.partition(b"\r\n\r\n")
            if not end:
                return
            lines = head.lower()
            if lines.startswith(b"get"):
                self._tail = b""
                self._transport.write(_response(_MODELS))
                return
            length = lines.partition(b"content-length:")[2].partition(b"\r")[0]
            self._missing, self._tail = int(length) - len(body), body
        else:
            self._missing -= len(data)
            self._tail = (self._tail + data)[-TAIL:] if len(data) < TAIL else data[-TAIL:]
        if self._missing <= 0:
            asked = _N.search(self._tail)
            self._loop.call_later(self.latency, self._transport.write, _answer(int(asked[1]) if asked else 1))
            self._tail, self._missing = b"", -1


async def _serve(latency: float) -> None:
    _Connection.latency = latency
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def latency_server(latency: float) -> Iterator[str]:
    """Its base_url while it runs in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.latency_server", str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
