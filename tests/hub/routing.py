"""How a request finds its answer on a local Hub: raw paths, because `refs%2Fpr%2F1` is one segment; JSON; faults.

    @route("GET", "/api/{kind}/{name}/tree/{revision}")     # {name} is org/name; {path:rest} takes all that follows
    def tree(call: Call) -> Response: ...

A fault is set by POST /_fault {"route": "commit", "status": 503, "when": "before" | "after", "times": 1}; status 0
breaks the connection. So a test can lose the answer of a commit that landed.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.hub.rights import Caller
from tests.hub.store import Repo, Store

KINDS = {"datasets": "dataset", "models": "model", "spaces": "space"}


@dataclass
class Call:
    """One request, taken apart."""

    store: Store
    who: Caller
    base: str
    """Own address."""
    method: str
    headers: Any
    query: dict[str, list[str]]
    body: bytes
    path: str
    slots: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body) if self.body.strip() not in (b"", b"null") else {}

    @property
    def kind(self) -> str:
        return KINDS[self.slots.get("kind", "models")]

    @property
    def repo(self) -> Repo:
        """The repo in the path, if the caller may see it."""
        name = self.slots["name"]
        return self.who.must_see(self.store.repos.get((self.kind, name)), name)

    def asked(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]

    def page_of(self, repo: Repo) -> str:
        """Address of a repo's page."""
        return f"{self.base}/{'' if repo.kind == 'model' else repo.kind + 's/'}{repo.name}"

    def paged(self, items: list[Any], size: int) -> JSONResponse:
        """One page, and where the next is."""
        start = int(self.asked("cursor", "0"))
        headers = {}
        if start + size < len(items):
            kept = "&".join(f"{k}={v}" for k, vs in self.query.items() for v in vs if k != "cursor")
            headers["Link"] = f'<{self.base}{self.path}?{kept}&cursor={start + size}>; rel="next"'
        return JSONResponse(items[start : start + size], headers=headers)


Handler = Callable[[Call], Response]
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []


def route(methods: str, pattern: str) -> Callable[[Handler], Handler]:
    """Takes a handler into the table."""
    shape = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}")
    shape = shape.replace("{kind}", "(?P<kind>datasets|models|spaces)").replace("{name}", "(?P<name>[^/]+/[^/]+?)")
    shape = re.sub(r"\{(\w+):rest\}", r"(?P<\1>.+)", shape)
    shape = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", shape)

    def take(handler: Handler) -> Handler:
        ROUTES.extend((method, re.compile(shape), handler) for method in methods.split())
        return handler

    return take


def find(method: str, raw: str) -> tuple[Handler, dict[str, str]] | None:
    """Handler and filled slots of a raw path."""
    for wanted, shape, handler in ROUTES:
        if wanted == method and (found := shape.fullmatch(raw)):
            return handler, {name: unquote(value) for name, value in found.groupdict().items() if value is not None}
    return None


async def call_of(request: Request, store: Store, who: Caller) -> Call:
    """The request with its whole body."""
    return Call(
        store,
        who,
        f"http://{request.headers['host']}",
        request.method,
        request.headers,
        parse_qs(request.scope["query_string"].decode(), keep_blank_values=True),
        await request.body(),
        raw_path(request),
    )


def raw_path(request: Request) -> str:
    return request.scope["raw_path"].decode().partition("?")[0]


@dataclass
class Faults:
    """Errors that a test has ordered."""

    waiting: list[dict[str, Any]] = field(default_factory=list)

    def take(self, name: str, when: str) -> int | None:
        """Status of the next fault for this handler, if one is ordered."""
        for fault in self.waiting:
            if fault["route"] == name and fault.get("when", "before") == when and fault.get("times", 1) > 0:
                fault["times"] = fault.get("times", 1) - 1
                time.sleep(fault.get("seconds", 0))
                status: int | None = fault.get("status")
                return status
        return None
