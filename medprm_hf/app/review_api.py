"""The routes of the review page, all JSON, under /review/api; the team's routes stand in review_team_api.py.

    GET  /me            POST /login {name}      POST /next {item?, skip?, specialty?}     POST /save {key, item_id, …}
    POST /undo          POST /finish            POST /release        POST /beat           POST /question
    GET  /image/{item}  GET  /progress

Errors are {"error": {"kind", "message"}} with 400, 401, 403, 404, 409, 413, 422 or 429. Who asks is told by the cookie
or a token (identity.py), and every route but /me and /login is for reviewers: the server refuses a visitor. In a blind
store the signals of a step are not sent before its answer (review/showing.py). Texts go out as they came in, as JSON
strings; the page writes them as text.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from medprm_hf.app.identity import Identities, Identity
from medprm_hf.app.review_bodies import (
    ItemBody,
    LoginBody,
    NextBody,
    QuestionBody,
    SaveBody,
    UndoBody,
    read_body,
)  # fmt: skip
from medprm_hf.app.review_door import Door, ReviewRoute, ReviewSettings, refusal_of
from medprm_hf.app.review_team_api import TeamRoutes
from medprm_hf.app.routing import Refusal
from medprm_hf.errors import ReviewError
from medprm_hf.hub import HubRepo
from medprm_hf.review.decisions import Judged
from medprm_hf.review.outcomes import Saved
from medprm_hf.review.progress import counts, progress
from medprm_hf.review.questions import QuestionJudged, decide_question
from medprm_hf.review.showing import moment
from medprm_hf.review.store import ReviewStore
from medprm_hf.review.sync import Every, Sync

PATH = "/review/api"
KEYS = {
    "right": "+", "wrong": "-", "neutral": "0", "next": "j", "previous": "k", "undo": "u", "note": "n", "help": "?",
    "finish": "Enter", "skip": "s", "question": "q",
}  # fmt: skip
"""Keys as the page has them at first; each person may change theirs in the browser."""


class ReviewRoutes:
    """The page's routes on one store."""

    def __init__(self, door: Door) -> None:
        self.door, self.store = door, door.store

    def add_to(self, routes: APIRouter) -> None:
        """Adds the routes to a router."""
        for name in ("me", "progress"):
            routes.add_api_route(f"/{name}", getattr(self, name), methods=["GET"])
        for name in ("login", "logout", "next", "save", "undo", "finish", "release", "beat", "question"):
            routes.add_api_route(f"/{name}", getattr(self, name), methods=["POST"])
        routes.add_api_route("/image/{item_id:path}", self.image, methods=["GET"])

    async def me(self, request: Request) -> JSONResponse:
        """Who asks, and how far they are; never refused, so that the page can show a login."""
        who = await self.door.identify(request)
        return JSONResponse(await self._me(who))

    async def _me(self, who: Identity) -> dict[str, Any]:
        return {
            "name": who.name, "role": who.role, "mode": self.door.identities.mode, "blind": self.door.blind,
            "keys": KEYS, "counts": await self.door.run(counts, self.store, who.name),
        }  # fmt: skip

    async def login(self, request: Request) -> Response:
        """Local mode: takes a typed name."""
        body = await read_body(request, LoginBody)
        response = JSONResponse({})
        try:
            who = self.door.identities.login(body.name, response)
        except ReviewError as error:
            raise refusal_of(error) from error
        told = JSONResponse(await self._me(who))
        told.raw_headers.extend(pair for pair in response.raw_headers if pair[0] == b"set-cookie")
        return told

    async def logout(self, request: Request) -> Response:
        """Local mode: forgets the name."""
        response = JSONResponse({"name": ""})
        self.door.identities.logout(response)
        return response

    async def next(self, request: Request) -> JSONResponse:
        """The item to look at, which is theirs from now on."""
        who = await self.door.who(request)
        body = await read_body(request, NextBody)
        item = await self.door.run(
            self.store.next, who.name, item=body.item, skip=body.skip, specialty=body.specialty, blind=self.door.blind
        )
        return JSONResponse({"item": item})

    async def save(self, request: Request) -> JSONResponse:
        """Stores a label; what comes back is on the disk."""
        who = await self.door.who(request)
        body = await read_body(request, SaveBody)
        box = (body.box[0], body.box[1], body.box[2], body.box[3]) if body.box else None
        judged = Judged(body.label, body.error_type, body.severity, body.note, box, body.seconds)

        def work() -> dict[str, Any]:
            saved = self.store.save(
                body.key, who.name, body.item_id, body.version, body.step, judged, blind=self.door.blind
            )
            return self._saved(saved, who)

        return JSONResponse(await self.door.run(work))

    async def undo(self, request: Request) -> JSONResponse:
        """Takes a label back."""
        who = await self.door.who(request)
        body = await read_body(request, UndoBody)
        work = lambda: self._saved(self.store.undo(body.key, who.name, body.item_id, body.step), who)  # noqa: E731
        return JSONResponse(await self.door.run(work))

    def _saved(self, saved: Saved, who: Identity) -> dict[str, Any]:
        return {
            "saved": True, "version": saved.version, "signals": saved.signals, "label": saved.label, "held": saved.held,
            "evidence": saved.evidence, "counts": counts(self.store, who.name),
        }  # fmt: skip

    async def finish(self, request: Request) -> JSONResponse:
        """They are done with the item."""
        who, body = await self.door.who(request), await read_body(request, ItemBody)
        await self.door.run(self.store.finish, who.name, body.item_id)
        return JSONResponse({"finished": True, "counts": await self.door.run(counts, self.store, who.name)})

    async def release(self, request: Request) -> JSONResponse:
        """They give the item back."""
        who, body = await self.door.who(request), await read_body(request, ItemBody)
        await self.door.run(self.store.release, who.name, body.item_id)
        return JSONResponse({"released": True})

    async def beat(self, request: Request) -> JSONResponse:
        """They are still there."""
        who, body = await self.door.who(request), await read_body(request, ItemBody)
        until = await self.door.run(self.store.beat, who.name, body.item_id)
        return JSONResponse({"held": until is not None, "lease_until": moment(until) if until else None})

    async def question(self, request: Request) -> JSONResponse:
        """Stores a verdict on the item's question."""
        who, body = await self.door.who(request), await read_body(request, QuestionBody)
        judged = QuestionJudged(body.verdict, body.answer, body.difficulty, body.feedback, body.question)
        review = await self.door.run(decide_question, self.store, body.key, who.name, body.item_id, judged)
        told = await self.door.run(counts, self.store, who.name)
        return JSONResponse({"saved": True, "question_review": review, "counts": told})

    async def image(self, request: Request, item_id: str) -> Response:
        """The item's image as it is kept."""
        await self.door.who(request)
        found = await self.door.run(self.store.image, item_id)
        if found is None:
            raise Refusal(404, "no_image", f"{item_id} has no image")
        headers = {"cache-control": "private, max-age=3600", "x-content-type-options": "nosniff"}
        return Response(found[0], media_type=found[1], headers=headers)

    async def progress(self, request: Request) -> JSONResponse:
        """How far everything is."""
        who = await self.door.who(request)
        return JSONResponse(await self.door.run(progress, self.store, who.name))


def review_router(
    store: ReviewStore, identities: Identities, settings: ReviewSettings, sync: Every | None = None
) -> APIRouter:
    """The router of the review and agree pages, to be included into the application; `sync` runs while it serves."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if sync:
            sync.start()
        yield
        if sync:
            await run_in_threadpool(sync.stop)

    door = Door(store, identities, settings)
    routes = APIRouter(prefix=PATH, route_class=ReviewRoute, lifespan=lifespan)
    ReviewRoutes(door).add_to(routes)
    TeamRoutes(door, sync).add_to(routes)
    return routes


def router(settings: Any) -> APIRouter:
    """The same from the Space's settings: opens the store they name, and syncs it to `hub_repo`."""
    store, hub = ReviewStore(settings.store), getattr(settings, "hub_repo", None)
    sync = Every(Sync(store, HubRepo(hub))) if hub else None
    return review_router(store, Identities.from_settings(settings), settings, sync)
