"""A checker of pull requests that needs no GitHub: the Hub calls it, it comments. For a Space, or any small server.

    # app.py of a Space; its secrets: HF_TOKEN (may comment), WEBHOOK_SECRET (as set in the webhook's settings)
    from medprm_hf.publishing.webhook import checker_app
    app = checker_app(["org/medmm-prm"])                    # uvicorn app:app --host 0.0.0.0 --port 7860

The Hub posts {"event": {"action", "scope"}, "repo": {"type", "name"}, "discussion": {"num", "isPullRequest", …},
"updatedRefs": [{"ref", …}]} with the secret in the header `X-Webhook-Secret`. A pull request that is opened, or pushed
to, is checked once a commit; the answer comes at once, the check runs behind it. Nothing is ever merged here.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medprm_hf.errors import ConfigError, MedPRMError
from medprm_hf.hub import HubRepo
from medprm_hf.publishing.reviewing import Verdict, review_pull_request

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

MAX_BODY = 1 << 20
"""Bytes of a call; the Hub's are a few thousand."""
SECRET = "WEBHOOK_SECRET"
_log = logging.getLogger(__name__)
_REF = re.compile(r"refs/pr/(\d+)")

Review = Callable[[HubRepo, int], Verdict]


@dataclass(frozen=True)
class Asked:
    """A pull request that the Hub's call is about."""

    repo: str
    number: int


def asked_by(payload: Any, repos: Collection[str]) -> Asked | str:
    """What a call asks for, or why nothing is done; a payload of another shape is a reason too."""
    try:
        repo, event = payload["repo"], payload["event"]
        name, kind, scope, action = repo["name"], repo["type"], str(event["scope"]), event["action"]
    except (KeyError, TypeError):
        return "no event of the Hub: repo and event are missing"
    if kind != "dataset" or name not in repos:
        return "another repo"
    talk = payload.get("discussion") or {}
    if scope == "discussion" and action == "create" and talk.get("isPullRequest") is True:
        number = talk.get("num")
        return Asked(name, number) if isinstance(number, int) else "a pull request without a number"
    if scope.startswith("repo.content") and action == "update":
        refs = (
            _REF.fullmatch(str(ref.get("ref"))) for ref in payload.get("updatedRefs") or [] if isinstance(ref, dict)
        )
        number = next((int(match[1]) for match in refs if match), None)
        return Asked(name, number) if number is not None else "no pull request was pushed to"
    return "neither opened nor pushed to"


@dataclass
class Checker:
    """Answers the Hub's calls; see the module."""

    repos: frozenset[str]
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    endpoint: str | None = None
    review: Review = review_pull_request
    checked: dict[Asked, str] = field(default_factory=dict)
    """Last commit of each pull request that was looked at."""

    async def __call__(self, request: Request) -> Response:
        """401 without the secret, 413 for a huge call, 400 for no JSON; else 200 (nothing to do) or 202."""
        from starlette.background import BackgroundTask
        from starlette.responses import JSONResponse

        given = request.headers.get("x-webhook-secret", "")
        if not hmac.compare_digest(given.encode(), self.secret.encode()):
            return JSONResponse({"error": "the secret is missing or wrong"}, 401)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return JSONResponse({"error": f"more than {MAX_BODY} bytes"}, 413)
        try:
            payload = json.loads(body)
        except ValueError:
            return JSONResponse({"error": "not JSON"}, 400)
        asked = asked_by(payload, self.repos)
        if isinstance(asked, str):
            return JSONResponse({"ignored": asked})
        told = {"checking": asked.repo, "pull_request": asked.number}
        return JSONResponse(told, 202, background=BackgroundTask(self.check, asked))

    def check(self, asked: Asked) -> None:
        """Checks and comments; runs in a thread of its own. What goes wrong is logged: nobody waits for an answer."""
        repo = HubRepo(asked.repo, "dataset", self.token, self.endpoint)
        try:
            head = repo.head(f"refs/pr/{asked.number}")
            if self.checked.get(asked) == head:
                return
            verdict = self.review(repo, asked.number)
            self.checked[asked] = verdict.head
            _log.info("%s #%d: %s", asked.repo, asked.number, "passed" if verdict.passed else "failed")
        except MedPRMError as error:
            _log.error("%s #%d could not be checked: %s", asked.repo, asked.number, error)


def checker_app(
    repos: Collection[str], secret: str | None = None, *, token: str | None = None, endpoint: str | None = None,
    review: Review = review_pull_request,
) -> Starlette:  # fmt: skip
    """A small web application: POST / is the Hub's, GET / says what it does.

    Args:
        repos: Datasets that are looked after; calls about others are ignored.
        secret: As set in the webhook's settings; default WEBHOOK_SECRET of the environment. It is needed.
        token: Of an account that may comment; default the client's own (HF_TOKEN).
        endpoint: Another Hub.
        review: What is done with a pull request.

    Raises:
        ConfigError: there is no secret, or no repo.
    """
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    found = secret or os.environ.get(SECRET, "")
    if not found:
        raise ConfigError(f"the checker answers to anybody without a secret: set {SECRET}, and the same in the webhook")
    if not repos:
        raise ConfigError("the checker looks after no repo: name one, as in org/medmm-prm")
    checker = Checker(frozenset(repos), found, token, endpoint, review)

    async def home(_: Request) -> Response:
        return PlainTextResponse("Checks contributions to: " + ", ".join(sorted(repos)) + "\n")

    async def take(request: Request) -> Response:
        return await checker(request)

    return Starlette(routes=[Route("/", home, methods=["GET"]), Route("/", take, methods=["POST"])])
