"""Routes whose errors are answers: a page that is closed while it sends is no error at all."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request

from medprm_hf.app.review_bodies import ItemBody, read_body
from medprm_hf.app.review_door import ReviewRoute
from medprm_hf.app.routing import Careful, json_body


def app() -> FastAPI:
    routes = APIRouter(route_class=Careful)
    reviewing = APIRouter(route_class=ReviewRoute)

    @routes.post("/plain")
    async def plain(request: Request) -> Any:
        return await json_body(request)

    @reviewing.post("/review")
    async def review(request: Request) -> Any:
        return (await read_body(request, ItemBody)).model_dump()

    made = FastAPI()
    made.include_router(routes)
    made.include_router(reviewing)
    return made


@pytest.mark.parametrize("path", ["/plain", "/review"])
def test_a_page_that_closes_while_it_sends_leaves_no_traceback(path: str, caplog: pytest.LogCaptureFixture) -> None:
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"40")], "http_version": "1.1",
        "scheme": "http", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "root_path": "",
    }  # fmt: skip
    waiting = [{"type": "http.request", "body": b'{"item', "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    with caplog.at_level(logging.DEBUG, "medprm_hf"):
        asyncio.run(app()(scope, receive, send))
    assert sent[0]["status"] == 499 and not waiting and not caplog.records
