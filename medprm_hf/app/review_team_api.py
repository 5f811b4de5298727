"""The team's routes, under /review/api: where reviewers differ, how far they agree, whether a batch may go out.

GET  /disagreements                   a reviewer of a blind store sees only steps they have decided themselves
POST /adjudicate {key, item_id, step, label, note}         adjudicators
GET  /agreement?by=modality|reviewer  GET /gate?sample=&threshold=&batch=      POST /reject {key, batch, reason}
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from medprm_hf.app.review_bodies import AdjudicateBody, read_body
from medprm_hf.app.review_door import Door
from medprm_hf.review.adjudication import adjudicate, disagreements
from medprm_hf.review.progress import counts


class TeamRoutes:
    """Routes that look at everybody's decisions."""

    def __init__(self, door: Door) -> None:
        self.door, self.store = door, door.store

    def add_to(self, routes: APIRouter) -> None:
        """Adds the routes to a router."""
        for name in ("disagreements",):
            routes.add_api_route(f"/{name}", getattr(self, name), methods=["GET"])
        for name in ("adjudicate",):
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
