"""Google's Gemini through its own SDK (`google-genai`): native images, several candidates a call, named safety blocks.

    gemini:gemini-2.5-flash
    gemini:gemini-2.5-pro?thinking=1024&concurrency=16

The key is read from GEMINI_API_KEY, else GOOGLE_API_KEY. A prompt or an answer that Google holds back is a failure of
kind `content_filter` with the reason it gives; an empty candidate is `no_text`. What a model refuses (several
candidates, a seed, log-probabilities, no thinking, …) is learnt and done without. Slots, retries, journal and money
are the driver's (`driver.py`): the SDK's own retries are off.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from medprm_hf.backends.books import books
from medprm_hf.backends.keys import has_key
from medprm_hf.backends.open import read_settings, split_target
from medprm_hf.backends.protocol import Completion, Continuation, Failure, Request
from medprm_hf.backends.servers import gemini_wire as wire
from medprm_hf.backends.servers.abilities import SAYS, Abilities
from medprm_hf.backends.servers.driver import Answered, AsyncBackend
from medprm_hf.backends.servers.fitting import GEMINI_LIMITS, Fitter
from medprm_hf.backends.servers.gemini_errors import gemini_error
from medprm_hf.backends.servers.gemini_sdk import (
    close_client,
    error_body,
    is_connection,
    open_client,
    takes_json_schema,
)
from medprm_hf.backends.servers.http_errors import NotFound, Refusal, Retryable, scrub
from medprm_hf.backends.servers.lanes import Lane
from medprm_hf.backends.servers.limits import Limits
from medprm_hf.errors import AuthError, ConfigError
from medprm_hf.registry import near

GEMINI = "https://generativelanguage.googleapis.com"
KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
MOST_CANDIDATES = 8
"""Answers that one call may ask for."""
OWN_THINKING = 8192
"""Tokens that are added to `max_tokens` where the model decides itself how much it thinks."""
_THINKS = re.compile(r"thinking", re.IGNORECASE)
_MUST_THINK = re.compile(r"only works in thinking mode|budget 0 is invalid|cannot be disabled", re.IGNORECASE)
_NO_SYSTEM = re.compile(r"(developer|system)[ _]?instruction", re.IGNORECASE)
_MUST_THINK_NOTE = f"the model cannot do without thinking: up to {OWN_THINKING} tokens more are allowed, and paid"


@dataclass(frozen=True)
class GeminiSettings:
    """Options of a spec."""

    base_url: str = GEMINI
    """The endpoint without its version."""
    concurrency: int = 32
    """Requests in flight at most."""
    rpm: float = 0.0
    """Requests per minute at most; 0: no limit known. What the server asks for is obeyed anyway."""
    tpm: float = 0.0
    """Tokens per minute at most, prompt and answers together."""
    api_key_env: str = ""
    """Environment variable that holds the key; empty: GEMINI_API_KEY, else GOOGLE_API_KEY."""
    timeout: float = 120.0
    """Seconds that one attempt may take."""
    attempts: int = 6
    """Times a request is sent before it counts as failed."""
    backoff: float = 0.5
    """Seconds before the second attempt; doubles with each."""
    give_up: int = 20
    """Failed requests in a row, with none answered, that end the run; 0: never."""
    thinking: int = 0
    """Tokens that the model may think, beside `max_tokens`; 0: none, where it can do without; -1: as it likes."""
    logprobs: int = 0
    """1 asks for the log-probability of each token."""
    context: int = 0
    """Tokens of prompt and answer at most; 0: what the table says."""
    max_image_bytes: int = 0
    """Bytes of one image at most: larger ones are sent smaller; 0: what the table says."""


class GeminiBackend(AsyncBackend):
    """One model of the Gemini API."""

    def __init__(self, model: str, settings: GeminiSettings | None = None) -> None:
        own = self._settings = settings or GeminiSettings()
        url = own.base_url.rstrip("/")
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise ConfigError(f"base_url={url!r} is no URL: leave it out for Google, or write http://HOST:PORT")
        if own.thinking < -1:
            raise ConfigError(f"thinking={own.thinking}: write 0 for none, -1 for the model's own, or tokens")
        lane = Lane(urlsplit(url).netloc, url, own.concurrency, Limits(own.rpm, own.tpm))
        super().__init__(model, f"gemini:{model}", [lane], own.attempts, own.backoff, own.give_up)
        marks = [f"thinking={own.thinking}"] * bool(own.thinking) + ["logprobs=1"] * bool(own.logprobs)
        self.recorded_as += f"?{'&'.join(marks)}" if marks else ""
        self.local = books().meter.prices.is_local(url)
        self.abilities = Abilities(owner="google", context=own.context or None, continuation=False)
        self.at_once = MOST_CANDIDATES
        self._fitter = Fitter(model, GEMINI_LIMITS, own.max_image_bytes)
        self._thinking: int | None = own.thinking
        self._takes_system = True
        self._client: Any = None

    @classmethod
    def from_spec(cls, options: str) -> GeminiBackend:
        """`MODEL?thinking=…&concurrency=…`."""
        model, given = split_target(options)
        return cls(model, read_settings(GeminiSettings, given, "gemini"))

    @property
    def _key_name(self) -> str:
        return self._settings.api_key_env or has_key(*KEYS) or KEYS[0]

    async def _open(self) -> None:
        lane = self._all_lanes[0]
        key = os.environ.get(self._key_name, "")
        if not key and lane.url == GEMINI:
            raise AuthError(f"no key for {lane.name}: set {self._key_name} in the environment or in .env", "no_key")
        self._client = open_client(key or "none", lane.url, self._settings.timeout)

    async def _shut(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await close_client(client)

    async def _ask(self, request: Request, places: list[int], lane: Lane, prepared: None) -> Answered:
        fitted, notes = self._fitter.fit(request, self.abilities.context)
        while True:
            contents, system = wire.contents_of(fitted, self._takes_system)
            if not contents:
                raise Refusal("http_400", "the conversation has no user's turn: Gemini answers to one")
            config = self._config(fitted, places, system)
            try:
                found = await self._send(contents, config, lane)
                break
            except NotFound as error:
                raise await self._not_found(error, lane) from None
            except Refusal as error:
                if not self._learn(error.message, config):
                    raise
        asked = int(config.get("candidate_count", 1))
        answers, used = wire.read_candidates(found, request, asked), wire.used(found)
        if not answers:
            raise Retryable("no_choices", f"{lane.name} answered without candidates")
        continuation: Continuation = "prompt" if request.prefix else "none"
        notes = (*notes, *self._left_out(request, config, answers))
        return Answered(answers, used.prompt, used.cached, used.completion, continuation, notes)

    def _config(self, request: Request, places: Sequence[int], system: str) -> dict[str, Any]:
        config = wire.config_of(
            request, places, system, self.abilities, bool(self._settings.logprobs), takes_json_schema()
        )
        if self._thinking is not None:
            config["thinking_config"] = {"thinking_budget": self._thinking}
            config["max_output_tokens"] += OWN_THINKING if self._thinking < 0 else self._thinking
        return config

    async def _send(self, contents: list[dict[str, Any]], config: dict[str, Any], lane: Lane) -> Any:
        """One attempt; what goes wrong comes out as our errors, without the SDK's, which hold the key."""
        seconds = self._settings.timeout
        try:
            call = self._client.aio.models.generate_content(model=self.model, contents=contents, config=config)
            return await asyncio.wait_for(call, seconds)
        except asyncio.CancelledError:
            raise
        except TimeoutError:
            raise Retryable("timeout", f"no answer from {lane.name} in {seconds:g} s") from None
        except Exception as error:  # the SDK lets through what its transport, JSON and pydantic raise
            raise self._error_of(error, lane) from None

    def _error_of(self, error: Exception, lane: Lane) -> Exception:
        found = error_body(error)
        if found is not None:
            status, body, headers = found
            return gemini_error(status, body, headers, lane.name, self._key_name)
        said = scrub(f"{lane.name}: {type(error).__name__}: {error}"[:300], os.environ.get(self._key_name, ""))
        if is_connection(error):
            kind = "timeout" if "timeout" in type(error).__name__.lower() else "connection"
            return Retryable(kind, said)
        if isinstance(error, json.JSONDecodeError | ValueError | AttributeError | TypeError | KeyError):
            return Retryable("broken_json", f"the protocol was broken: {said}")
        return error

    def _learn(self, said: str, config: dict[str, Any]) -> bool:
        """Whether a refusal names something that was sent and can be left out; if so, it will be."""
        if "thinking_config" in config and _MUST_THINK.search(said) and self._thinking == 0:
            self._thinking = -1
            self.abilities.learnt.append(_MUST_THINK_NOTE)
            return True
        if "thinking_config" in config and _THINKS.search(said):
            self._thinking = None
            return True
        if "system_instruction" in config and _NO_SYSTEM.search(said):
            self._takes_system = False
            self.abilities.learnt.append("the model takes no system instruction: it stands before the first turn")
            return True
        sent = {
            "n": "candidate_count",
            "seed": "seed",
            "logprobs": "response_logprobs",
            "response_format": "response_mime_type",
        }
        learnt = self.abilities.learn(said, {name for name, field in sent.items() if field in config})
        if self.abilities.n is False:
            self.at_once = 1
        return learnt

    def _left_out(
        self, request: Request, config: dict[str, Any], answers: Sequence[Completion | Failure]
    ) -> tuple[str, ...]:
        """Notes on what was asked for and not given."""
        found = [SAYS["schema"]] if request.schema is not None and "response_mime_type" not in config else []
        wanted = bool(request.logprobs or self._settings.logprobs)
        given = [one.logprobs is not None for one in answers if isinstance(one, Completion)]
        if wanted and given and not any(given):
            found.append(SAYS["logprobs"])
        return (*found, _MUST_THINK_NOTE) if self._settings.thinking == 0 and self._thinking == -1 else tuple(found)

    async def _not_found(self, error: NotFound, lane: Lane) -> Exception:
        """The error for an unknown model: names near it that the server has."""
        names: list[str] = []
        try:
            async for model in await self._client.aio.models.list():
                names.append(str(model.name).removeprefix("models/"))
        except Exception as other:  # the first error is the one to be told
            del other
        if not names or self.model in names:
            return ConfigError(f"{error.message}; check base_url and the model's name")
        self.abilities.models = tuple(names)
        return ConfigError(f"{lane.name} has no model {self.model!r}{near(self.model, names)}")
