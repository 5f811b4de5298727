"""Static files that a browser asks for again each time, and mostly gets "not changed" for.

Scripts import each other by plain names, so a browser must never mix an old one with a new page.
"""

from __future__ import annotations

from typing import Any

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response


class Statics(StaticFiles):
    """StaticFiles with `Cache-Control: no-cache`: kept by the browser, checked by its ETag before use."""

    def file_response(self, *given: Any, **options: Any) -> Response:
        """One file, or 304."""
        answer = super().file_response(*given, **options)
        answer.headers["cache-control"] = "no-cache"
        return answer
