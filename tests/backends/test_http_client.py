"""The JSON client against a server that says byte for byte what a table holds: a whole answer, or a named failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from medprm_hf.backends.servers.http_client import JsonClient
from medprm_hf.backends.servers.http_errors import Retryable
from medprm_hf.backends.servers.lanes import Lane

WHOLE = b'{"a": "b"}'
CHUNKS = b"4;x=y\r\n" + WHOLE[:4] + b"\r\n6\r\n" + WHOLE[4:] + b"\r\n0\r\nTrailer: t\r\n\r\n"

GOOD = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + WHOLE,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "to the end": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + WHOLE,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n" + WHOLE,
    "closing": b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 10\r\n\r\n" + WHOLE,
    "no reason": b"HTTP/1.1 200\r\ncontent-LENGTH:10\r\n\r\n" + WHOLE,
    "continue first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + WHOLE,
}
KEPT_OPEN = ("length", "chunks", "no reason", "continue first")
BAD = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nConte",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + WHOLE[:4],
    "half of the chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS[:-9],
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "no status": b"HTTP/1.1 fine OK\r\n\r\n",
    "no header": b"HTTP/1.1 200 OK\r\nwhat\r\n\r\n",
    "length below 0": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "no chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+4\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000,
}


async def _asked(said: bytes, times: int, step: int, close: bool) -> tuple[list[object], int]:
    """What `times` requests get from a server that says this to each, `step` bytes at a time; its connections."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.partition(b":")[2]))
                for at in range(0, len(said), step):
                    writer.write(said[at : at + step])
                    await writer.drain()
                    await asyncio.sleep(0)
                if close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = JsonClient([lane := Lane("here", f"http://127.0.0.1:{port}/v1", 1)], "SOME_KEY", 5, False)
    try:
        return [await client.send("POST", lane, "/chat", [b'{"n": ', b"1}"]) for _ in range(times)], connections
    finally:
        await client.close()
        server.close()


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("kind", GOOD)
def test_an_answer_is_read_however_it_is_framed_and_cut(kind: str, step: int) -> None:
    kept = kind in KEPT_OPEN
    answers, connections = asyncio.run(_asked(GOOD[kind], 3, step, close=not kept))
    assert answers == [{"a": "b"}] * 3
    assert connections == (1 if kept else 3)


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_whole_answer_is_a_failure_with_a_name(kind: str) -> None:
    with pytest.raises(Retryable) as caught:
        asyncio.run(_asked(BAD[kind], 1, 100_000, close=True))
    assert caught.value.kind in ("connection", "broken_json")


def test_a_redirect_is_followed_and_a_key_on_two_lines_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiohttp import web

    from medprm_hf.errors import AuthError

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("/v2/chat")

    async def there(request: web.Request) -> web.Response:
        return web.json_response({"said": await request.json()})

    async def run() -> tuple[Sequence[object], str]:
        app = web.Application()
        app.router.add_post("/v1/chat", moved)
        app.router.add_post("/v2/chat", there)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        client = JsonClient([lane := Lane("here", f"http://127.0.0.1:{port}/v1", 1)], "SOME_KEY", 5, False)
        found = [await client.send("POST", lane, "/chat", [b'{"n": 1}']) for _ in range(2)]
        monkeypatch.setenv("SOME_KEY", "sk-first-line\r\nHost: elsewhere")
        again = JsonClient([lane], "SOME_KEY", 5, False)
        with pytest.raises(AuthError) as caught:
            await again.send("POST", lane, "/chat", [b"{}"])
        await client.close()
        await again.close()
        await runner.cleanup()
        return found, str(caught.value)

    found, said = asyncio.run(run())
    assert found == [{"said": {"n": 1}}] * 2
    assert "sk-first" not in said
