"""Our own HTTP connection against a server that says byte for byte what a table holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from medprm_hf.backends.servers.http_client import JsonClient
from medprm_hf.backends.servers.http_wire import HttpAnswer, ProtocolError, Wires
from medprm_hf.backends.servers.lanes import Lane

HEAD = b"POST /v1 HTTP/1.1\r\nHost: here\r\nContent-Length: "
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
    "nothing": (b"", "without an answer"),
    "half a head": (b"HTTP/1.1 200 OK\r\nConte", "without an answer"),
    "half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + WHOLE[:4], "after 4 bytes"),
    "half of the chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS[:-9], "the body"),
    "too long": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + WHOLE, "10 bytes of body where 9"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "begins with 'SSH-2.0"),
    "no status": (b"HTTP/1.1 fine OK\r\n\r\n", "broken HTTP"),
    "no header": (b"HTTP/1.1 200 OK\r\nwhat\r\n\r\n", "a header is 'what'"),
    "length below 0": (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "a length is"),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "a length is"),
    "no chunk size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+4\r\n", "a length is"),
    "chunk too long": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n", "longer than announced"),
    "packed": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "not asked for"),
    "endless head": (b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000, "headers do not end"),
}


async def _asked(said: bytes, times: int, step: int, close: bool) -> tuple[list[HttpAnswer], int, list[bytes]]:
    """What `times` requests get from a server that says this to each, `step` bytes at a time; its connections."""
    connections, seen = 0, []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                seen.append(head + await reader.readexactly(int(head.rpartition(b":")[2])))
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
    wires = Wires("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        body = [b'{"n": ', b"1}"]
        return [await wires.post(HEAD + b"8\r\n\r\n", body) for _ in range(times)], connections, seen
    finally:
        wires.close()
        server.close()


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("kind", GOOD)
def test_an_answer_is_read_however_it_is_framed_and_cut(kind: str, step: int) -> None:
    kept = kind in KEPT_OPEN
    answers, connections, seen = asyncio.run(_asked(GOOD[kind], 3, step, close=not kept))
    assert [(one.status, one.body) for one in answers] == [(200, WHOLE)] * 3
    assert connections == (1 if kept else 3)
    assert seen == [HEAD + b'8\r\n\r\n{"n": 1}'] * 3


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_whole_answer_is_named(kind: str) -> None:
    said, name = BAD[kind]
    with pytest.raises(ProtocolError, match=name):
        asyncio.run(_asked(said, 1, 100_000, close=True))


def test_a_connection_that_is_cancelled_is_not_used_again() -> None:
    async def run() -> tuple[list[bytes], bytes]:
        waiting: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            waiting.append(await reader.readexactly(len(HEAD) + 5))
            await asyncio.sleep(0.05 if len(waiting) == 1 else 0)
            writer.write(GOOD["length"].replace(b'"b"', b'"%d"' % len(waiting)))
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        wires = Wires("127.0.0.1", server.sockets[0].getsockname()[1])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await wires.post(HEAD + b"0\r\n\r\n", [b""])
        found = await wires.post(HEAD + b"0\r\n\r\n", [b""])
        wires.close()
        server.close()
        return waiting, found.body

    waiting, body = asyncio.run(run())
    assert len(waiting) == 2
    assert body == b'{"a": "2"}'


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
