"""JSON over HTTP to the lanes of a backend: one attempt, and what every way to fail is called.

    client = JsonClient(key_name="OPENAI_API_KEY", timeout=120, needs_key=False)
    found = await client.send("POST", lane, "/chat/completions", [b'{"model": …}'])
    await client.close()

The key is read from the environment when a request is sent, and is never stored, logged or shown.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from medprm_hf.backends.servers.http_body import body_of
from medprm_hf.backends.servers.http_errors import Retryable, error_of, scrub
from medprm_hf.backends.servers.lanes import Lane
from medprm_hf.backends.servers.wire_json import read_json
from medprm_hf.errors import AuthError

LOCAL = ("127.0.0.1", "localhost", "::1")


class JsonClient:
    """Connections of one backend; made and used in its event loop."""

    def __init__(self, lanes: Sequence[Lane], key_name: str, timeout: float, needs_key: bool) -> None:
        self._key_name, self._timeout, self._needs_key = key_name, timeout, needs_key
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),  # no model's server needs cookies, and looking them up takes time
            timeout=aiohttp.ClientTimeout(total=timeout),
            trust_env=not all(urlsplit(lane.url).hostname in LOCAL for lane in lanes),
        )

    async def send(
        self, method: str, lane: Lane, path: str, pieces: Sequence[bytes] = (), timeout: float | None = None
    ) -> dict[str, Any]:
        """One attempt; raises Retryable, Refusal, or an error that ends the run."""
        found = self.post(lane, path, pieces) if pieces else self.raw(method, lane, path, None, timeout)
        return self.parse(await found, lane)

    async def post(self, lane: Lane, path: str, pieces: Sequence[bytes]) -> bytes:
        """One attempt with a JSON body in pieces; gives the answer's bytes, not yet looked at."""
        return await self.raw("POST", lane, path, body_of(pieces))

    async def raw(self, method: str, lane: Lane, path: str, data: Any = None, timeout: float | None = None) -> bytes:
        """The same for a body of any kind (a form, where a file is sent); gives the answer's bytes."""
        headers = self._headers(lane)
        if isinstance(data, aiohttp.FormData):
            del headers["Content-Type"]  # the form names its own
        extra: dict[str, Any] = {} if data is None else {"data": data}
        if timeout is not None:
            extra["timeout"] = aiohttp.ClientTimeout(total=timeout)
        try:
            async with self._session.request(method, lane.url + path, headers=headers, **extra) as answer:
                body = await answer.read()
                status, said = answer.status, answer.headers
        except TimeoutError:
            seconds = self._timeout if timeout is None else timeout
            raise Retryable("timeout", f"no answer from {lane.name} in {seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Retryable("connection", f"{lane.name}: {type(error).__name__}: {self._scrub(error)}") from None
        return self._heard(lane, status, said, body)

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

    def parse(self, body: bytes, lane: Lane) -> dict[str, Any]:
        """The JSON object that was sent; raises Retryable where it is none."""
        try:
            found = read_json(body)
        except ValueError as error:  # of JSON, and of bytes that are not UTF-8
            raise Retryable("broken_json", f"{lane.name} sent broken JSON: {error}") from None
        if not isinstance(found, dict):
            raise Retryable("broken_json", f"{lane.name} sent {type(found).__name__} where an object belongs")
        return found

    def _heard(self, lane: Lane, status: int, said: Mapping[str, str], body: bytes) -> bytes:
        """The body of a good answer; what the headers say is heeded, what a bad one says is raised."""
        if "x-ratelimit-remaining-requests" in said or "x-ratelimit-remaining-tokens" in said:
            lane.limits.hear(said, asyncio.get_running_loop().time())
        if status >= 400:
            raise self._error(status, self._scrub(body.decode("utf-8", "replace")), said, lane)
        return body

    def _error(self, status: int, body: str, headers: Mapping[str, str], lane: Lane) -> Exception:
        return error_of(status, body, headers, lane.name, self._key_name)

    def _headers(self, lane: Lane) -> dict[str, str]:
        key = os.environ.get(self._key_name, "")
        if not key and self._needs_key:
            raise AuthError(f"no key for {lane.name}: set {self._key_name} in the environment or in .env", "no_key")
        if any(character in key for character in "\r\n\0"):
            raise AuthError(f"the key in {self._key_name} holds a line break: write it on one line", "no_key")
        found = {"Content-Type": "application/json"}
        return {**found, "Authorization": f"Bearer {key}"} if key else found

    def _scrub(self, said: object) -> str:
        return scrub(str(said), os.environ.get(self._key_name, ""))
