"""The door of the review routes: who may come in and how often; and what the store refuses becomes an answer.

door = Door(store, identities, settings)
who = await door.who(request, "adjudicator")             # Refusal 401, 403 or 429
await door.run(store.finish, who.name, "q1-s0")          # in a thread; ReviewError -> 404, 409 or 422
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from medprm_hf.app.identity import Identities, Identity, Role
from medprm_hf.app.rates import Rates
from medprm_hf.app.routing import Careful, Refusal
from medprm_hf.errors import ReviewError
from medprm_hf.review.store import ReviewStore

WRITES_PER_MINUTE = 3000
"""Requests of one person that change something; a person types a hundredth of it."""
_STATUS = {
    "unknown_item": 404, "unknown_step": 404, "held": 409, "changed": 409, "key": 409, "nothing": 409, "value": 422,
    "rights": 403, "login": 401,
}  # fmt: skip
T = TypeVar("T")


class ReviewSettings(Protocol):
    """What of the Space's settings matters here."""

    @property
    def blind(self) -> bool:
        """Whether reviewers see signals after their answer only."""


class ReviewRoute(Careful):
    """A route that turns the store's refusals into answers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, whose ReviewErrors have a status of their own."""
        handler = super().get_route_handler()

        async def reviewing(request: Request) -> Response:
            response = await handler(request)
            response.headers["cache-control"] = response.headers.get("cache-control", "no-store")
            return response

        return reviewing


def refusal_of(error: ReviewError) -> Refusal:
    """The store's refusal as an answer."""
    return Refusal(_STATUS.get(error.kind, 400), error.kind, str(error))


class Door:
    """Who may come in, and how often; shared by the page's routes and the team's."""

    def __init__(self, store: ReviewStore, identities: Identities, settings: ReviewSettings) -> None:
        self.store, self.identities = store, identities
        self.blind = bool(settings.blind) or store.settings.blind
        self._rates = Rates(WRITES_PER_MINUTE)

    async def identify(self, request: Request) -> Identity:
        """Who asks; on the Hub a token may have to be asked about, which takes a thread."""
        if self.identities.mode == "local":
            return self.identities.identify(request)
        return await run_in_threadpool(self.identities.identify, request)

    async def who(self, request: Request, role: Role = "reviewer") -> Identity:
        """Who asks; Refusal 401 or 403 unless they have the role, 429 where they ask too often."""
        found = await self.identify(request)
        if not found.name:
            raise Refusal(401, "login", "nobody is logged in: log in first")
        if not found.may(role):
            raise Refusal(
                403, "rights", f"{found.name} is {found.role}: this needs the role {role}, which an admin gives"
            )
        wait = self._rates.take(found.name) if request.method == "POST" else 0.0
        if wait:
            raise Refusal(429, "too_often", f"more than {WRITES_PER_MINUTE} requests a minute: wait {wait:.0f} s", wait)
        return found

    async def run(self, work: Callable[..., T], *args: Any, **named: Any) -> T:
        """Runs the store's work in a thread; its refusals become answers."""
        try:
            return await run_in_threadpool(work, *args, **named)
        except ReviewError as error:
            raise refusal_of(error) from error
