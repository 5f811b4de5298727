"""The scoring service: a process reward model over HTTP, in the shape that VisualPRM-Medical-PRM (VMP) calls.

    GET  /              what this is: model, routes, limits
    GET  /health        {"status": "ok", "model": …}
    POST /score         one candidate  ->  {"score", "confidence", "reason", "step_scores", …}
    POST /score/batch   {"requests": [one, …]}  ->  {"responses": [{…} or {"error": …}, …]}, in order

Request (VMP's keys; `image`, base64 or a data URL, and steps as plain strings are ours):

    {"question": "Mass?", "options": ["Yes", "No"], "retrieval_context": "…", "image": "data:image/png;base64,…",
     "candidate": {"final_answer_index": 0, "final_answer_letter": "A",
                   "steps": [{"title": "Look", "text": "A nodule."}]},
     "meta": {"dataset": "DemoVQA", "case_type": "Radiology", "modality": "CT"}}

`score` is the response score, 0..1 (an advantage model's expectation is mapped there); the caller takes the highest.
`confidence` is how far the score is from a coin's, 2·|score - 0.5|, times the share of steps that could be scored. A
candidate of which nothing is known is an error (422), never a score of 0. Requests that arrive together are scored
together, so candidates of one question share its prefix. Images are taken as bytes only: nothing is fetched or opened.

Every answer says `X-Intended-Use: research, not for clinical use`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from medprm_hf.errors import MedPRMError
from medprm_hf.scoring.asked import row_of
from medprm_hf.scoring.files import ScoresRows
from medprm_hf.scoring.results import StepScores

INTENDED = "research, not for clinical use"
REMEMBERED = 4
"""Questions whose prefix is kept: VMP sends the candidates of a question one after the other."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What one request may hold."""

    body: int = 32_000_000
    """Bytes of a request."""
    batch: int = 256
    """Candidates of a batch."""
    steps: int = 256
    """Steps of a candidate."""
    text: int = 200_000
    """Letters of all texts of a candidate together."""
    waiting: int = 1024
    """Candidates that wait to be scored; beyond, 503."""
    together: int = 64
    """Candidates that are scored at once."""


class Refused(ValueError):
    """A request that cannot be read."""


class Service:
    """One scorer behind a queue; only its own thread asks the scorer."""

    def __init__(self, scorer: ScoresRows, limits: Limits | None = None) -> None:
        self.scorer = scorer
        self.limits = limits or Limits()
        if hasattr(scorer, "remember"):
            scorer.remember = max(scorer.remember, REMEMBERED)
        self._queue: asyncio.Queue[tuple[dict[str, Any], asyncio.Future[Any]]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "scoring")
        self._worker: asyncio.Task[None] | None = None

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=self.limits.body, middlewares=[_careful])
        app.add_routes([
            web.get("/", self.about),
            web.get("/health", self.health),
            web.post("/score", self.one),
            web.post("/score/batch", self.batch),
        ])  # fmt: skip
        app.cleanup_ctx.append(self._run)
        return app

    async def _run(self, app: web.Application) -> Any:
        self._worker = asyncio.create_task(self._work())
        yield
        self._worker.cancel()
        with suppress(asyncio.CancelledError):
            await self._worker
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        """Scores what has gathered, again and again."""
        loop = asyncio.get_running_loop()
        while True:
            held = [await self._queue.get()]
            while not self._queue.empty() and len(held) < self.limits.together:
                held.append(self._queue.get_nowait())
            waiting = [(row, future) for row, future in held if not future.cancelled()]
            try:
                found = await loop.run_in_executor(self._thread, self._scored, [row for row, _ in waiting])
            except Exception as error:
                _log.exception("scoring failed")
                found = [error] * len(waiting)
            for (_, future), one in zip(waiting, found, strict=True):
                if not future.done():
                    future.set_result(one)

    def _scored(self, rows: list[dict[str, Any]]) -> list[Any]:
        """(scores, what was wrong) of each row."""
        scores = self.scorer.score_rows(list(rows))
        return [(one, self.scorer.messages.get(place)) for place, one in enumerate(scores)]

    # --- routes ------------------------------------------------------------------------------------------------

    async def about(self, request: web.Request) -> web.Response:
        """What this is."""
        routes = {"POST /score": "one candidate", "POST /score/batch": "several", "GET /health": "whether it answers"}
        said = {"service": "medprm-hf step scores", "intended_use": INTENDED, "model": self.scorer.name}
        return web.json_response({**said, "routes": routes, "limits": vars(self.limits)})

    async def health(self, request: web.Request) -> web.Response:
        """Whether it answers."""
        return web.json_response({"status": "ok", "model": self.scorer.name})

    async def one(self, request: web.Request) -> web.Response:
        """One candidate."""
        body = await _json(request)
        found = await self._answer(body)
        return web.json_response(found, status=found.pop("status", 200))

    async def batch(self, request: web.Request) -> web.Response:
        """Several candidates; each gets its answer or its error."""
        body = await _json(request)
        asked = body.get("requests") if isinstance(body, dict) else None
        if not isinstance(asked, list):
            raise Refused('a batch is {"requests": [one, …]}')
        if len(asked) > self.limits.batch:
            raise Refused(f"{len(asked)} requests in one batch; {self.limits.batch} at most: send several batches")
        found = await asyncio.gather(*(self._answer(one) for one in asked))
        for one in found:
            one.pop("status", None)
        return web.json_response({"responses": found})

    async def _answer(self, body: Any) -> dict[str, Any]:
        """The answer to one candidate, with `status` where it is an error."""
        try:
            row = read_request(body, self.limits)
        except Refused as error:
            return {"error": str(error), "status": 400}
        if self._queue.qsize() >= self.limits.waiting:
            return {"error": f"{self.limits.waiting} candidates are waiting: try again later", "status": 503}
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        await self._queue.put((row, future))
        found = await future
        if isinstance(found, BaseException):
            said = str(found) if isinstance(found, MedPRMError) else type(found).__name__
            return {"error": f"scoring failed: {said}", "status": 500}
        scores, message = found
        return response(scores, message, signed=bool(self.scorer.settings.layout.equal))


def read_request(body: Any, limits: Limits) -> dict[str, Any]:
    """A row of the canonical table from a request; Refused says what is wrong with it."""
    if not isinstance(body, dict) or not isinstance(body.get("candidate"), dict):
        raise Refused('a request is {"question": …, "candidate": {"steps": […]}, …}')
    question = body.get("question")
    if not isinstance(question, str) or not question.strip():
        raise Refused("question must be a text")
    steps = _steps(body["candidate"].get("steps"), limits)
    options = body.get("options") or []
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise Refused("options must be a list of texts")
    evidence = _passages(body.get("retrieval_context"))
    letters = sum(map(len, [question, *steps, *options, *evidence]))
    if letters > limits.text:
        raise Refused(f"{letters} letters of text; {limits.text} at most")
    return row_of(question, steps, _image(body.get("image")), options, evidence)


def _steps(said: Any, limits: Limits) -> list[str]:
    """Steps as texts, without their titles, as models are trained; a title alone is a text."""
    if not isinstance(said, list) or not said:
        raise Refused("candidate.steps must be a list of steps, at least one")
    if len(said) > limits.steps:
        raise Refused(f"{len(said)} steps; {limits.steps} at most")
    found = []
    for number, step in enumerate(said, start=1):
        if isinstance(step, dict):
            step = step.get("text") or step.get("title")
        if not isinstance(step, str):
            raise Refused(f'step {number} must be a text or {{"title", "text"}}')
        found.append(step)
    return found


def _passages(said: Any) -> list[str]:
    """Texts of the retrieval context: a text, or a list of texts or of objects with `text`."""
    items = said if isinstance(said, list) else [said] if said else []
    texts = [item.get("text") if isinstance(item, Mapping) else item for item in items]
    if not all(isinstance(text, str) for text in texts):
        raise Refused("retrieval_context must be a text, or a list of texts or of {text}")
    return [str(text) for text in texts]


def _image(said: Any) -> bytes | None:
    if said is None or said == "":
        return None
    if not isinstance(said, str):
        raise Refused("image must be base64 or a data URL")
    if said.startswith(("http:", "https:", "file:", "/")) and "base64," not in said[:64]:
        raise Refused("image must be base64 or a data URL: this service fetches and opens nothing")
    try:
        return base64.b64decode(said.partition("base64,")[2] or said, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("image is no base64") from None


def response(scores: StepScores, message: str | None, signed: bool) -> dict[str, Any]:
    """VMP's answer, and our step scores beside it; an error (422) where there is no score."""
    said = scores.as_dict()
    if scores.score is None:
        reason = message or next((reason for reason in scores.reasons if reason), "nothing is known")
        return {"error": f"no score: {reason}", **said, "status": 422}
    score = (scores.score + 1) / 2 if signed else scores.score
    confidence = 2 * abs(score - 0.5) * scores.known / len(scores.p_plus)
    return {**said, "score": score, "confidence": confidence, "reason": _reason(scores)}


def _reason(scores: StepScores) -> str:
    """Which step weighs most against the solution, in words."""
    known = [(value, place) for place, value in enumerate(scores.p_plus, start=1) if value is not None]
    value, place = min(known)
    unknown = len(scores.p_plus) - len(known)
    rest = f"; {unknown} of {len(scores.p_plus)} steps are not scored" if unknown else ""
    return f"{scores.aggregator} over steps; step {place} is the least likely to be right (P = {value:.2f}){rest}"


async def _json(request: web.Request) -> Any:
    try:
        return await request.json()
    except (ValueError, RecursionError):
        raise Refused("the body is no JSON") from None


@web.middleware
async def _careful(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Errors as JSON, and on every answer what it is for."""
    try:
        answer = await handler(request)
    except Refused as error:
        answer = web.json_response({"error": str(error)}, status=400)
    except web.HTTPException as error:
        answer = web.json_response({"error": error.reason}, status=error.status)
    answer.headers["X-Intended-Use"] = INTENDED
    return answer


def run(scorer: ScoresRows, host: str, port: int) -> None:
    """Serves until it is stopped."""
    print(f"scoring with {scorer.name} on http://{host}:{port} ({INTENDED}); stop with Ctrl-C", flush=True)
    web.run_app(Service(scorer).app(), host=host, port=port, print=None)
