"""How the Space's own routes refuse: every error as {"error": {"kind", "message"}}, never a traceback.

routes = APIRouter(prefix="/score/api", route_class=Careful)
raise Refusal(429, "too_often", "60 solutions a minute …", wait=12.5)     # with a Retry-After header
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from medprm_hf.errors import BackendError, ConfigError, DataError, ImageError, MedPRMError
from medprm_hf.ids import content_hash

GONE = 499
"""Status, for the access log alone, of a request whose sender went away (as nginx counts them)."""
_log = logging.getLogger(__name__)


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, kind: str, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.status, self.kind, self.wait = status, kind, wait


class Busy(BackendError):
    """Too many requests wait for the model."""


class Careful(APIRoute):
    """A route whose errors are answers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with what it raises turned into answers."""
        handler = super().get_route_handler()

        async def careful(request: Request) -> Response:
            try:
                return await handler(request)
            except (MedPRMError, Refusal) as error:
                return refused(error)
            except ClientDisconnect:  # a page that was closed while it sent: nobody reads what is answered
                return Response(status_code=GONE)
            except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
                name = content_hash(repr(error), length=8)
                _log.exception("%s failed (%s)", request.url.path, name)
                return _error(500, "failed", f"{type(error).__name__}; the server's log names it {name}", None)

        return careful


_STATUS = (
    (Busy, 503, "busy"), (ImageError, 400, "image"), (DataError, 400, "request"),
    (BackendError, 502, "backend"), (ConfigError, 503, "model"),
)  # fmt: skip


def refused(error: MedPRMError | Refusal) -> JSONResponse:
    """An error as the page reads it."""
    if isinstance(error, Refusal):
        headers = {"retry-after": str(math.ceil(error.wait))} if error.wait else None
        return _error(error.status, error.kind, str(error), headers)
    for kind, status, name in _STATUS:
        if isinstance(error, kind):
            return _error(status, name, str(error), None)
    return _error(500, "failed", str(error), None)


def _error(status: int, kind: str, message: str, headers: dict[str, str] | None) -> JSONResponse:
    return JSONResponse({"error": {"kind": kind, "message": message}}, status, headers)


async def json_body(request: Request) -> Any:
    """The body as JSON; DataError where it is none."""
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise DataError("the body is no JSON") from None


def address_of(request: Any) -> str | None:
    """Where a request comes from."""
    return request.client.host if request.client else None
