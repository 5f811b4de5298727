"""The routes of the Score tab, all JSON.

    GET  /score/api/model             what scores, and whether it is ready
    POST /score/api/score             {question, options, solutions, image, context} -> scores (score_answer.py)
    POST /score/api/image             an image, DICOM or NIfTI file as the body -> PNG or JPEG without metadata
    GET  /score/api/examples          [{id, solutions}]         GET /score/api/examples/{id} -> the example itself
    POST /score/api/write             {question, options, image, n} -> {solutions, failed}, where a backend is set

Errors: {"error": {"kind", "message"}} with 400 (cannot be read), 413 (too large), 429 (too often), 503 (busy). Nothing
of a request is kept: not the image, not the texts, not in a log.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from medprm_hf.app import examples, score_answer
from medprm_hf.app.desk import Desk
from medprm_hf.app.rates import Rates, user_of
from medprm_hf.app.routing import Careful, Refusal, address_of, json_body
from medprm_hf.app.score_request import LIMITS, read_image, read_options, read_request, taken
from medprm_hf.app.settings import AppSettings
from medprm_hf.app.writer import Writer
from medprm_hf.errors import DataError

PATH = "/score/api"


class ScoreRoutes:
    """The Score tab's server side: one desk, one writer, one book of rates."""

    def __init__(self, settings: AppSettings, desk: Desk | None = None) -> None:
        self.settings = settings
        self.desk = desk or Desk(settings.prm, settings.device)
        self.writer = Writer(settings.writes_with) if settings.writes_with else None
        self.rates = Rates(settings.scores_per_minute)

    def router(self) -> APIRouter:
        """The routes; the model begins to load once the server answers."""

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            asyncio.get_running_loop().call_later(0.2, self.desk.warm)
            yield
            self.desk.close()

        routes = APIRouter(prefix=PATH, lifespan=lifespan, route_class=Careful)
        routes.add_api_route("/model", self.model, methods=["GET"])
        routes.add_api_route("/score", self.score, methods=["POST"])
        routes.add_api_route("/image", self.image, methods=["POST"])
        routes.add_api_route("/examples", self.listed, methods=["GET"])
        routes.add_api_route("/examples/{name}", self.example, methods=["GET"])
        routes.add_api_route("/write", self.write, methods=["POST"])
        return routes

    async def model(self) -> JSONResponse:
        """What scores, what writes, and the limits."""
        writer = self.writer.spec if self.writer else None
        return JSONResponse({**self.desk.state(), "writer": writer, "limits": vars(LIMITS)})

    async def score(self, request: Request) -> JSONResponse:
        """Scores of one question's solutions."""
        body = await json_body(request)
        return JSONResponse(await self.scored(body, user_of(request.headers, address_of(request))))

    async def scored(self, body: Any, user: str) -> dict[str, Any]:
        """The answer to a request of one user; also what `gradio_client` calls (client_api.py)."""
        asked = await asyncio.to_thread(read_request, body)
        self._book(user, len(asked.solutions))
        begun = time.monotonic()
        scores, messages, settings = await self.desk.score(asked.rows())
        told = score_answer.answer(asked, scores, settings)
        for place, message in messages.items():
            told["solutions"][place]["message"] = message
        return {**told, "model": self.settings.prm, "seconds": round(time.monotonic() - begun, 3)}

    async def image(self, request: Request) -> Response:
        """An image as it will be scored; X-Notes says what was done to it."""
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > LIMITS.image_bytes:
                raise Refusal(413, "too_large", f"the image is over the limit of {LIMITS.image_bytes} bytes")
        found, notes = await asyncio.to_thread(taken, bytes(data))
        kind = "image/jpeg" if found[:2] == b"\xff\xd8" else "image/png"
        headers = {"x-notes": json.dumps(notes), "cache-control": "no-store"}
        return Response(found, media_type=kind, headers=headers)

    async def listed(self) -> JSONResponse:
        """The examples that there are."""
        found = await asyncio.to_thread(examples.examples)
        return JSONResponse([{"id": one.id, "solutions": len(one.solutions)} for one in found])

    async def example(self, name: str) -> JSONResponse:
        """One example."""
        return JSONResponse(await asyncio.to_thread(examples.load, name))

    async def write(self, request: Request) -> JSONResponse:
        """Solutions by the configured backend."""
        if self.writer is None:
            raise Refusal(404, "no_writer", "no backend is set that writes solutions: give --writer or MEDPRM_WRITER")
        body = await json_body(request)
        question = body.get("question") if isinstance(body, dict) else None
        if not isinstance(question, str) or not question.strip() or len(question) > LIMITS.letters:
            raise DataError("there is no question: write one first")
        n = min(max(int(body.get("n") or 1), 1), LIMITS.solutions)
        self._book(user_of(request.headers, address_of(request)), n)
        image = await asyncio.to_thread(read_image, body.get("image"))
        options = read_options(body.get("options"))
        solutions, failed = await asyncio.to_thread(self.writer.write, question, options, image, n)
        return JSONResponse({"solutions": solutions, "failed": failed, "writer": self.writer.spec})

    def _book(self, user: str, count: int) -> None:
        wait = self.rates.take(user, min(count, self.rates.per_minute))
        if wait:
            message = f"{self.rates.per_minute} solutions a minute are scored for one user: wait {math.ceil(wait)} s"
            raise Refusal(429, "too_often", message, wait)
