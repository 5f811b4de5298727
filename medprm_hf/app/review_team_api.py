"""The team's routes, under /review/api: where reviewers differ, how far they agree, whether a batch may go out.

GET  /disagreements                   a reviewer of a blind store sees only steps they have decided themselves
POST /adjudicate {key, item_id, step, label, note}         adjudicators
GET  /agreement?by=modality|reviewer  GET /gate?sample=&threshold=&batch=      POST /reject {key, batch, reason}
    POST /sync                            decisions to and from the Hub, now (adjudicators)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from medprm_hf.app.identity import Identity
from medprm_hf.app.review_bodies import AdjudicateBody, RejectBody, read_body
from medprm_hf.app.review_door import Door
from medprm_hf.app.routing import Refusal
from medprm_hf.errors import HubError
from medprm_hf.review.adjudication import adjudicate, disagreements
from medprm_hf.review.agreement import agreement
from medprm_hf.review.gate import RISK, gate, reject
from medprm_hf.review.progress import counts
from medprm_hf.review.sync import Every


class TeamRoutes:
    """Routes that look at everybody's decisions."""

    def __init__(self, door: Door, sync: Every | None = None) -> None:
        self.door, self.store = door, door.store
        self._sync = sync
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, tuple[Any, ...]], tuple[str, dict[str, Any]]] = {}

    def add_to(self, routes: APIRouter) -> None:
        """Adds the routes to a router."""
        for name in ("disagreements", "agreement", "gate"):
            routes.add_api_route(f"/{name}", getattr(self, name), methods=["GET"])
        for name in ("adjudicate", "reject", "sync"):
            routes.add_api_route(f"/{name}", getattr(self, name), methods=["POST"])

    async def disagreements(self, request: Request) -> JSONResponse:
        """Steps on which people differ."""
        who = await self.door.who(request)
        sees_all = who.may("adjudicator") or not self.door.blind
        found = await self.door.run(
            disagreements, self.store, answered_by=None if sees_all else who.name,
            resolved=request.query_params.get("resolved") == "1",
        )  # fmt: skip
        return JSONResponse(found)

    async def adjudicate(self, request: Request) -> JSONResponse:
        """The word that counts."""
        who = await self.door.who(request, "adjudicator")
        body = await read_body(request, AdjudicateBody)
        label = await self.door.run(
            adjudicate, self.store, body.key, who.name, body.item_id, body.step, body.label, body.note
        )
        return JSONResponse(
            {"saved": True, "label": label, "counts": await self.door.run(counts, self.store, who.name)}
        )

    async def agreement(self, request: Request) -> JSONResponse:
        """How far reviewers agree; kept until a decision comes."""
        who = await self.door.who(request)
        by = request.query_params.get("by", "modality")
        told = await self.door.run(self._known, "agreement", (by,), lambda: self._agreement(by))
        return JSONResponse(self._for(who, told))

    def _agreement(self, by: str) -> dict[str, Any]:
        return agreement(self.store, by, blind=self.door.blind)

    async def gate(self, request: Request) -> JSONResponse:
        """Whether a batch may go out."""
        who = await self.door.who(request)
        plan = (_number(request, "sample", 100.0), _number(request, "threshold", 0.05), _number(request, "risk", RISK))
        batch = request.query_params.get("batch") or None
        told = await self.door.run(self._known, "gate", (*plan, batch), lambda: self._gate(*plan, batch))
        return JSONResponse(self._for(who, told))

    def _for(self, who: Identity, told: Any) -> Any:
        """What somebody is told: a blind reviewer not on which steps machines and experts differ."""
        if who.may("adjudicator") or not self.door.blind:
            return told
        if isinstance(told, dict):
            return {name: [] if name == "examples" else self._for(who, value) for name, value in told.items()}
        return [self._for(who, value) for value in told] if isinstance(told, list) else told

    def _gate(self, sample: float, threshold: float, risk: float, batch: str | None) -> dict[str, Any]:
        return gate(self.store, int(sample), threshold, batch=batch, risk=risk, blind=self.door.blind)

    async def reject(self, request: Request) -> JSONResponse:
        """Sends a batch back whole."""
        who = await self.door.who(request, "adjudicator")
        body = await read_body(request, RejectBody)
        items = await self.door.run(reject, self.store, body.key, who.name, body.batch, body.reason)
        return JSONResponse({"rejected": True, "items": items})

    async def sync(self, request: Request) -> JSONResponse:
        """Decisions to and from the Hub, now."""
        await self.door.who(request, "adjudicator")
        if self._sync is None:
            raise Refusal(409, "no_sync", "no dataset on the Hub is set: give hub_repo (MEDPRM_HUB_REPO)")
        try:
            came, went = await self.door.run(self._sync.now)
        except HubError as error:
            raise Refusal(502, f"hub_{error.kind}", str(error)) from error
        return JSONResponse({"pulled": came._asdict(), "pushed": went})

    def _known(self, name: str, asked: tuple[Any, ...], work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What was worked out since the last decision, or works it out; one at a time, it takes a second."""
        with self._lock:
            head = self.store.head()
            if self._kept.get((name, asked), ("", {}))[0] != head:
                self._kept = {key: value for key, value in self._kept.items() if value[0] == head}
                self._kept[name, asked] = (head, work())
            return self._kept[name, asked][1]


def _number(request: Request, name: str, default: float) -> float:
    """A number of the address; Refusal 422 where it is none."""
    text = request.query_params.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        raise Refusal(422, "value", f"{name}={text[:40]!r} is no number") from None
