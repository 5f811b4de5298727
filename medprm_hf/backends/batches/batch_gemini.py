"""Gemini's batch mode: requests sent inline, an operation that is looked at until it is done, answers inline too.

    gemini:gemini-2.5-flash?batch=1

POST /v1beta/models/MODEL:batchGenerateContent with a display name as label, GET /v1beta/batches/NAME, GET
/v1beta/batches (https://ai.google.dev/gemini-api/docs/batch-api). Plain HTTP: older SDKs
know it for Vertex alone. A batch sent inline holds 20 MB; what is larger goes in several.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from medprm_hf.backends.batches.batch import BatchBackend
from medprm_hf.backends.batches.batch_provider import Line, Look, Patience
from medprm_hf.backends.books import books
from medprm_hf.backends.keys import has_key
from medprm_hf.backends.open import read_settings, split_target
from medprm_hf.backends.protocol import Continuation, Failure, Request
from medprm_hf.backends.servers import gemini_wire as wire
from medprm_hf.backends.servers.abilities import Abilities
from medprm_hf.backends.servers.driver import Answered
from medprm_hf.backends.servers.fitting import GEMINI_LIMITS, Fitter
from medprm_hf.backends.servers.gemini_errors import gemini_error
from medprm_hf.backends.servers.http_client import JsonClient
from medprm_hf.backends.servers.http_errors import Refusal, Retryable
from medprm_hf.backends.servers.lanes import Lane
from medprm_hf.errors import AuthError

GEMINI = "https://generativelanguage.googleapis.com"
KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")
_TOP = ("system_instruction", "automatic_function_calling")
"""Settings that the SDK takes among the others and the API does not."""


@dataclass(frozen=True)
class GeminiBatchSettings:
    """Options of a spec with `batch=1`."""

    base_url: str = GEMINI
    api_key_env: str = ""
    """Environment variable that holds the key; empty: GEMINI_API_KEY, else GOOGLE_API_KEY."""
    timeout: float = 300.0
    """Seconds that one question to the provider may take."""
    attempts: int = 3
    """Batches that one line is sent in before it counts as failed."""
    backoff: float = 0.5
    """Seconds before the provider is asked again after an error; doubles with each."""
    wait: float = 0.0
    """Seconds that a call waits for its batches before it leaves."""
    poll: float = 30.0
    """Seconds between two looks meanwhile."""
    thinking: int = 0
    """Tokens that the model may think, beside `max_tokens`; a model that must think needs some."""
    logprobs: int = 0
    """1 asks for the log-probability of each token."""
    context: int = 0
    """Tokens of prompt and answer at most; 0: what the table says."""
    max_image_bytes: int = 0
    """Bytes of one image at most; 0: what the table says."""
    megabytes: float = 18.0
    """Size of one batch at most; Gemini takes 20 inline."""


def from_spec(options: str) -> BatchBackend:
    """`MODEL?wait=…`."""
    model, given = split_target(options)
    own = read_settings(GeminiBatchSettings, given, "gemini")
    return BatchBackend(GeminiBatches(model, own), Patience(own.wait, own.poll, own.attempts, own.backoff))


class GoogleClient(JsonClient):
    """The same connections with Google's key header and errors."""

    def _headers(self, lane: Lane) -> dict[str, str]:
        key = os.environ.get(self._key_name, "")
        if not key and self._needs_key:
            raise AuthError(f"no key for {lane.name}: set {self._key_name} in the environment or in .env", "no_key")
        return {"Content-Type": "application/json", **({"x-goog-api-key": key} if key else {})}

    def _error(self, status: int, body: str, headers: Mapping[str, str], lane: Lane) -> Exception:
        try:
            found = json.loads(body)
        except ValueError:
            found = body
        return gemini_error(status, found, headers, lane.name, self._key_name)


class GeminiBatches:
    """Batches of one model."""

    most_lines = 10_000
    at_once: int | None = 8

    def __init__(self, model: str, settings: GeminiBatchSettings) -> None:
        self._settings = settings
        url = settings.base_url.rstrip("/")
        self._lane = Lane(urlsplit(url).netloc, f"{url}/v1beta", 1)
        self.model, self.identity = model, f"gemini:{model}"
        marks = [f"thinking={settings.thinking}"] * bool(settings.thinking) + ["logprobs=1"] * bool(settings.logprobs)
        self.recorded_as = f"{self.identity}?{'&'.join(marks)}" if marks else self.identity
        self.local = books().meter.prices.is_local(url)
        self.most_bytes = int(settings.megabytes * 1e6)
        self._abilities = Abilities(continuation=False)
        self._fitter = Fitter(model, GEMINI_LIMITS, settings.max_image_bytes)
        self._client: GoogleClient | None = None

    async def open(self) -> None:
        """Opens connections."""
        official = self._lane.url.startswith(GEMINI)
        key = self._settings.api_key_env or has_key(*KEYS) or KEYS[0]
        self._client = GoogleClient([self._lane], key, self._settings.timeout, official)

    async def shut(self) -> None:
        """Closes them."""
        await self._http.close()

    def line(self, id: str, request: Request, places: Sequence[int]) -> tuple[bytes, tuple[str, ...]]:
        """A request with its label, as JSON."""
        own = self._settings
        fitted, notes = self._fitter.fit(request, own.context or None)
        contents, system = wire.contents_of(fitted)
        if not contents:
            raise Refusal("http_400", "the conversation has no user's turn: Gemini answers to one")
        config = wire.config_of(fitted, places, "", self._abilities, bool(own.logprobs), json_schema=True)
        config["thinking_config"] = {"thinking_budget": own.thinking}
        config["max_output_tokens"] += max(own.thinking, 0)
        body = {"contents": contents, "generationConfig": _camel({k: v for k, v in config.items() if k not in _TOP})}
        if "response_json_schema" in config:
            body["generationConfig"]["responseJsonSchema"] = config["response_json_schema"]  # its names are its own
        if system:
            body["systemInstruction"] = {"parts": [{"text": system}]}
        return json.dumps({"request": body, "metadata": {"key": id}}, default=_base64).encode(), notes

    async def submit(self, intent: str, lines: Sequence[Line]) -> str:
        """Sends all lines in one request."""
        head = {"displayName": intent, "inputConfig": {"requests": {"requests": []}}}
        before, after = json.dumps({"batch": head}).split("[]")
        joined = b",".join(line.body for line in lines)
        pieces = [before.encode() + b"[", joined, b"]" + after.encode()]
        made = await self._http.send("POST", self._lane, f"/models/{self.model}:batchGenerateContent", pieces)
        return str(made["name"])

    async def find(self, intent: str) -> str | None:
        """Looks through the list of batches."""
        page = ""
        while True:
            found = await self._http.send("GET", self._lane, f"/batches?pageSize=100{page}")
            for operation in found.get("operations") or ():
                if (operation.get("metadata") or {}).get("displayName") == intent:
                    return str(operation["name"])
            if not found.get("nextPageToken"):
                return None
            page = f"&pageToken={found['nextPageToken']}"

    async def look(self, name: str) -> Look:
        """How a batch stands."""
        operation = await self._http.send("GET", self._lane, f"/{name}")
        about = operation.get("metadata") or {}
        state = str(about.get("state", "")).removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_") or "PENDING"
        counts = about.get("batchStats") or {}
        done = int(counts.get("successfulRequestCount") or 0) + int(counts.get("failedRequestCount") or 0)
        said = f"{state.lower()}, {done} of {counts.get('requestCount', '?')} done"
        why = (operation.get("error") or {}).get("message")
        kind = {"SUCCEEDED": "", "FAILED": "batch_failed"}.get(state, state.lower())
        message = f"batch {name} {state.lower()}{f': {why}' if why else ''}"
        return Look(state in _ENDED or bool(operation.get("done")), said, kind, message)

    async def results(self, name: str) -> Mapping[str, Any]:
        """Its answers by their key."""
        operation = await self._http.send("GET", self._lane, f"/{name}")
        inline = (operation.get("response") or {}).get("inlinedResponses") or {}
        listed = inline.get("inlinedResponses", ()) if isinstance(inline, dict) else inline
        return {str((one.get("metadata") or {}).get("key")): one for one in listed}

    def read(self, result: Any, request: Request, asked: int) -> Answered | Failure:
        """The answers of a line, or why it has none."""
        if "response" not in result:
            error = result.get("error") or {}
            status = _STATUS.get(int(error.get("code") or 0), int(error.get("code") or 500))
            raised = gemini_error(status, {"error": error}, {}, self._lane.name, KEYS[0])
            if isinstance(raised, Retryable | Refusal):
                return Failure(raised.kind, raised.message)
            return Failure(getattr(raised, "kind", f"http_{status}"), str(raised))
        found = Plain(result["response"])
        try:
            answers, used = wire.read_candidates(found, request, asked), wire.used(found)
        except (AttributeError, KeyError, TypeError, ValueError) as wrong:
            return Failure("broken_json", f"a line broke the protocol: {wrong!r}")
        if not answers:
            return Failure("no_choices", "a line without candidates")
        continuation: Continuation = "prompt" if request.prefix else "none"
        return Answered(answers[:asked], used.prompt, used.cached, used.completion, continuation)

    @property
    def _http(self) -> GoogleClient:
        assert self._client is not None
        return self._client


_STATUS = {3: 400, 4: 504, 5: 404, 7: 403, 8: 429, 9: 400, 10: 409, 13: 500, 14: 503, 16: 401}
"""Codes of google.rpc.Status, which a line's error may carry, as HTTP has them."""


class Plain:
    """JSON with camelCase names, read as the SDK's types are: `found.usage_metadata`; what lacks is None."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = found

    def __getattr__(self, name: str) -> Any:
        return _plain(self._found.get(_word(name)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return Plain(value)
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _camel(value: Any) -> Any:
    return {_word(name): _camel(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def _word(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
