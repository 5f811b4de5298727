"""The door of the Space: what is too large or not wanted is refused before anything reads it.

    POST /score/api/score with 80 MB     ->  413 {"error": {"kind": "too_large", "message": "…"}}
    POST /gradio_api/upload              ->  403: nothing is uploaded to this server's disk

Every answer says what the software is for, and which addresses the page may load from: its own alone.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

INTENDED = "research, not for clinical use"
MOST_BYTES = 70_000_000
"""Bytes of a request: an image of 50 MB as base64, and texts."""
UPLOADS = ("/gradio_api/upload", "/upload")
"""Gradio's own uploads, which write to disk; our tabs send images within their requests."""
POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; "
    "frame-ancestors 'self' https://huggingface.co https://*.hf.space"
)
"""Gradio's page needs inline scripts; no other host is asked for anything."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """ASGI middleware around everything, Gradio's part included."""

    def __init__(self, app: App, most_bytes: int = MOST_BYTES) -> None:
        self.app = app
        self.most_bytes = most_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request, or passes it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"].rstrip("/") in UPLOADS:
            await refuse(send, 403, "no_uploads", "nothing is uploaded here: images travel within the request")
        else:
            await self._counted(scope, receive, send)

    async def _counted(self, scope: Message, receive: Receive, send: Send) -> None:
        """Passes the request on, unless it says or turns out to be too large."""
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if said.isdigit() and int(said) > self.most_bytes:
            await self._too_large(send)
            return
        taken, refused = 0, False

        async def count() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return message if taken <= self.most_bytes else {"type": "http.disconnect"}

        async def label(message: Message) -> None:
            nonlocal refused
            if taken > self.most_bytes:  # whatever the application makes of the cut body
                if not refused:
                    refused = True
                    await self._too_large(send)
                return
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        try:
            await self.app(scope, count, label)
        except Exception:
            if taken <= self.most_bytes:
                raise
        if taken > self.most_bytes and not refused:
            await self._too_large(send)

    async def _too_large(self, send: Send) -> None:
        await refuse(send, 413, "too_large", f"the request is over the limit of {self.most_bytes} bytes")


_HEADERS = (
    (b"x-intended-use", INTENDED.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", POLICY.encode()),
)


async def refuse(send: Send, status: int, kind: str, message: str) -> None:
    """Answers with an error of our shape."""
    body = json.dumps({"error": {"kind": kind, "message": message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close"), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
