"""OpenAI's Batch API: a file of requests, a batch that names it, two files of results.

    openai:gpt-4o-mini?batch=1

POST /files (JSON lines), POST /batches with a label in its metadata, GET /batches/ID until it has ended, then
GET /files/ID/content of its output and its errors (https://platform.openai.com/docs/api-reference/batch).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from medprm_hf.backends.batches.batch import BatchBackend
from medprm_hf.backends.batches.batch_provider import Line, Look, Patience
from medprm_hf.backends.books import books
from medprm_hf.backends.open import read_settings, split_target
from medprm_hf.backends.protocol import Continuation, Failure, Request
from medprm_hf.backends.servers import openai_wire as wire
from medprm_hf.backends.servers.abilities import Abilities
from medprm_hf.backends.servers.driver import Answered
from medprm_hf.backends.servers.fitting import OPENAI_LIMITS, Fitter
from medprm_hf.backends.servers.http_client import JsonClient
from medprm_hf.backends.servers.http_errors import Refusal, Retryable, error_of
from medprm_hf.backends.servers.lanes import Lane

OPENAI = "https://api.openai.com/v1"
_ENDED = ("completed", "failed", "expired", "cancelled")


@dataclass(frozen=True)
class OpenAIBatchSettings:
    """Options of a spec with `batch=1`."""

    base_url: str = OPENAI
    api_key_env: str = "OPENAI_API_KEY"
    timeout: float = 300.0
    """Seconds that one question to the provider may take; files are large."""
    attempts: int = 3
    """Batches that one line is sent in before it counts as failed."""
    backoff: float = 0.5
    """Seconds before the provider is asked again after an error; doubles with each."""
    wait: float = 0.0
    """Seconds that a call waits for its batches before it leaves."""
    poll: float = 30.0
    """Seconds between two looks meanwhile."""
    logprobs: int = 0
    """1 asks for the log-probability of each token."""
    context: int = 0
    """Tokens of prompt and answer at most; 0: what the table says."""
    max_image_bytes: int = 0
    """Bytes of one image at most; 0: what the table says."""
    lines: int = 50_000
    """Requests of one batch at most."""
    megabytes: float = 100.0
    """Size of one batch's file at most; OpenAI takes 200."""


def from_spec(options: str) -> BatchBackend:
    """`MODEL?wait=…`."""
    model, given = split_target(options)
    own = read_settings(OpenAIBatchSettings, given, "openai")
    return BatchBackend(OpenAIBatches(model, own), Patience(own.wait, own.poll, own.attempts, own.backoff))


class OpenAIBatches:
    """Batches of one model."""

    at_once: int | None = None

    def __init__(self, model: str, settings: OpenAIBatchSettings) -> None:
        self._settings = settings
        url = settings.base_url.rstrip("/")
        self._lane = Lane(urlsplit(url).netloc, url, 1)
        self.model, self.identity = model, f"openai:{model}"
        self.recorded_as = f"{self.identity}?logprobs=1" if settings.logprobs else self.identity
        self.local = books().meter.prices.is_local(url)
        self.most_lines, self.most_bytes = settings.lines, int(settings.megabytes * 1e6)
        self._abilities = Abilities(tokens_field="max_completion_tokens", continuation=False)
        self._fitter = Fitter(model, OPENAI_LIMITS, settings.max_image_bytes)
        self._client: JsonClient | None = None

    async def open(self) -> None:
        """Opens connections."""
        own = self._settings
        self._client = JsonClient([self._lane], own.api_key_env, own.timeout, self._lane.url == OPENAI)

    async def shut(self) -> None:
        """Closes them."""
        await self._http.close()

    def line(self, id: str, request: Request, places: Sequence[int]) -> tuple[bytes, tuple[str, ...]]:
        """A request as a line of the file."""
        fitted, notes = self._fitter.fit(request, self._settings.context or None)
        continuation: Continuation = "prompt" if request.prefix else "none"
        wants = bool(self._settings.logprobs or request.logprobs)
        body = wire.payload(fitted, self.model, places, continuation, self._abilities, wants)
        images = [image for message in fitted.messages for image in message.images]
        head = json.dumps({"custom_id": id, "method": "POST", "url": "/v1/chat/completions"})[:-1]
        return b"".join((head.encode(), b', "body": ', *wire.pieces(body, images), b"}\n")), notes

    async def submit(self, intent: str, lines: Sequence[Line]) -> str:
        """Uploads the file and makes the batch."""
        import aiohttp

        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        content = b"".join(line.body for line in lines)
        form.add_field("file", content, filename=f"{intent}.jsonl", content_type="application/jsonl")
        file = json.loads(await self._http.raw("POST", self._lane, "/files", form))
        body = {
            "input_file_id": file["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"medprm": intent},
        }
        made = await self._http.send("POST", self._lane, "/batches", [json.dumps(body).encode()])
        return str(made["id"])

    async def find(self, intent: str) -> str | None:
        """Looks through the list of batches, newest first."""
        after = ""
        while True:
            found = await self._http.send("GET", self._lane, f"/batches?limit=100{after}")
            listed = found.get("data") or []
            for batch in listed:
                if (batch.get("metadata") or {}).get("medprm") == intent:
                    return str(batch["id"])
            if not found.get("has_more") or not listed:
                return None
            after = f"&after={listed[-1]['id']}"

    async def look(self, name: str) -> Look:
        """How a batch stands."""
        batch = await self._http.send("GET", self._lane, f"/batches/{name}")
        counts, state = batch.get("request_counts") or {}, str(batch.get("status"))
        said = f"{state}, {counts.get('completed', 0)} of {counts.get('total', 0)} done"
        listed = (batch.get("errors") or {}).get("data") or []
        why = "; ".join(str(one.get("message")) for one in listed[:3])
        kinds = {"completed": "", "failed": "batch_failed"}
        message = f"batch {name} {state}{f': {why}' if why else ''}"
        return Look(state in _ENDED, said, kinds.get(state, state), message)

    async def results(self, name: str) -> Mapping[str, Any]:
        """Lines of its output and of its errors, by their id."""
        batch = await self._http.send("GET", self._lane, f"/batches/{name}")
        found: dict[str, Any] = {}
        for file in (batch.get("error_file_id"), batch.get("output_file_id")):
            if file:
                content = await self._http.raw("GET", self._lane, f"/files/{file}/content")
                for line in content.splitlines():
                    if line.strip():
                        one = json.loads(line)
                        found[str(one["custom_id"])] = one
        return found

    def read(self, result: Any, request: Request, asked: int) -> Answered | Failure:
        """The answers of a line, or why it has none."""
        response, error = result.get("response") or {}, result.get("error") or {}
        body, status = response.get("body") or {}, int(response.get("status_code") or 0)
        if status != 200:
            return self._failed(status, body or {"error": error})
        try:
            answers, used = wire.read_choices(body, request), wire.usage(body)
        except (AttributeError, KeyError, TypeError, ValueError) as wrong:
            return Failure("broken_json", f"a line broke the protocol: {wrong!r}")
        if not answers:
            return Failure("no_choices", "a line without choices")
        continuation: Continuation = "prompt" if request.prefix else "none"
        return Answered(answers[:asked], used.prompt, used.cached, used.completion, continuation)

    def _failed(self, status: int, body: Any) -> Failure:
        error = body.get("error") or {}
        if not status:
            code = str(error.get("code") or "lost")
            kind = {"batch_expired": "expired", "batch_cancelled": "cancelled"}.get(code, code)
            return Failure(kind, str(error.get("message") or "a line without an answer"))
        raised = error_of(status, json.dumps(body), {}, self._lane.name, self._settings.api_key_env)
        if isinstance(raised, Retryable | Refusal):
            return Failure(raised.kind, raised.message)
        return Failure(getattr(raised, "kind", f"http_{status}"), str(raised))

    @property
    def _http(self) -> JsonClient:
        assert self._client is not None
        return self._client
