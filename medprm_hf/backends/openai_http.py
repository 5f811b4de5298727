"""A client for OpenAI and for every server that speaks its chat completions (vLLM, SGLang, llama.cpp, …).

    openai:gpt-4o-mini
    openai:Qwen/Qwen2.5-VL-7B-Instruct?base_url=http://127.0.0.1:8000/v1&concurrency=64

The key is read from the environment when a request is sent, and is never stored, logged or shown. Slots, retries,
journal and money are the driver's (`driver.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from medprm_hf.backends import openai_wire as wire
from medprm_hf.backends.books import books
from medprm_hf.backends.driver import Answered, AsyncBackend
from medprm_hf.backends.http_errors import Refusal, Retryable, error_of, scrub
from medprm_hf.backends.lanes import Lane
from medprm_hf.backends.open import read_settings, split_target
from medprm_hf.backends.protocol import Continuation, Request
from medprm_hf.errors import AuthError, ConfigError
from medprm_hf.registry import near

OPENAI = "https://api.openai.com/v1"
_CONTINUERS = ("vllm", "sglang")
"""Servers (`owned_by` in their list of models) that continue a final message themselves."""


@dataclass(frozen=True)
class OpenAISettings:
    """Options of a spec."""

    base_url: str = OPENAI
    concurrency: int = 32
    """Requests in flight at most."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; a server of one's own may need none."""
    timeout: float = 120.0
    """Seconds that one attempt may take."""
    attempts: int = 6
    """Times a request is sent before it counts as failed."""
    backoff: float = 0.5
    """Seconds before the second attempt; doubles with each."""
    continuation: str = "auto"
    """native, prompt, or auto: native where the server is known to continue (vLLM, SGLang), else prompt."""
    logprobs: int = 0
    """1 asks for the log-probability of each token."""
    seeds: int = 1
    """0 sends no seed, for servers that cannot take one (vLLM on a CPU: only with --no-enable-chunked-prefill)."""


class OpenAIBackend(AsyncBackend):
    """One model of one server."""

    def __init__(self, model: str, settings: OpenAISettings | None = None) -> None:
        self._settings = settings or OpenAISettings()
        if self._settings.continuation not in ("auto", "native", "prompt"):
            raise ConfigError(f"continuation={self._settings.continuation!r}: there is auto, native, prompt")
        if self._settings.concurrency < 1 or self._settings.attempts < 1:
            raise ConfigError("concurrency and attempts are at least 1")
        url = self._settings.base_url.rstrip("/")
        lanes = [Lane(urlsplit(url).netloc, url, self._settings.concurrency)]
        super().__init__(model, f"openai:{model}", lanes, self._settings.attempts, self._settings.backoff)
        self.local = books().meter.prices.is_local(url)
        self._session: aiohttp.ClientSession | None = None
        self._native: bool | None = {"native": True, "prompt": False}.get(self._settings.continuation)

    @classmethod
    def from_spec(cls, options: str) -> OpenAIBackend:
        """`MODEL?base_url=…&concurrency=…`."""
        model, given = split_target(options)
        return cls(model, read_settings(OpenAISettings, given, "openai"))

    async def _open(self) -> None:
        local = urlsplit(self._settings.base_url).hostname in ("127.0.0.1", "localhost", "::1")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout),
            trust_env=not local,
        )

    async def _shut(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _before(self, requests: Sequence[Request]) -> None:
        if self._native is None and any(request.prefix for request in requests):
            self._native = await self._continues(self._lanes_of[0])

    def _adapt(self, request: Request, error: Refusal) -> bool:
        """A server that refuses native continuation is asked in the prompt from now on (only under auto)."""
        named = "continue_final_message" in error.message or "add_generation_prompt" in error.message
        if self._settings.continuation != "auto" or not self._native or not request.prefix or not named:
            return False
        self._native = False
        return True

    async def _ask(self, request: Request, places: list[int], lane: Lane) -> Answered:
        continuation = self._continuation(request)
        body = wire.payload(request, self.model, places, continuation)
        if self._settings.logprobs:
            body["logprobs"] = True
        if not self._settings.seeds:
            del body["seed"]
        found = await self._send("POST", lane, "/chat/completions", body)
        try:
            answers, used = wire.read_choices(found, request), wire.usage(found)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Retryable("broken_json", f"{lane.name} broke the protocol: {error!r}") from None
        if not answers:
            raise Retryable("no_choices", f"{lane.name} answered without choices")
        return Answered(answers, used.prompt, used.cached, used.completion, continuation)

    def _continuation(self, request: Request) -> Continuation:
        if not request.prefix:
            return "none"
        return "native" if self._native else "prompt"

    async def _continues(self, lane: Lane) -> bool:
        """Whether the server says that it is one that continues a final message."""
        try:
            listed = await self._send("GET", lane, "/models", None)
        except (Retryable, Refusal, ConfigError):
            return False
        return any(item.get("owned_by") in _CONTINUERS for item in listed.get("data") or [])

    async def _send(self, method: str, lane: Lane, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """One attempt; raises Retryable, Refusal or an error that ends the run."""
        assert self._session is not None
        try:
            async with self._session.request(method, lane.url + path, json=body, headers=self._headers()) as answer:
                text = await answer.text()
                status, headers = answer.status, answer.headers
        except TimeoutError:
            raise Retryable("timeout", f"no answer from {lane.name} in {self._settings.timeout:g} s") from None
        except (aiohttp.ClientError, OSError, UnicodeDecodeError) as error:
            raise Retryable("connection", f"{lane.name}: {type(error).__name__}: {self._scrub(error)}") from None
        if status == 404 and method == "POST":
            raise await self._not_found(text, lane)
        if status >= 400:
            raise error_of(status, self._scrub(text), headers, lane.name, self._settings.api_key_env)
        return self._parse(text, lane)

    def _parse(self, text: str, lane: Lane) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise Retryable("broken_json", f"{lane.name} sent broken JSON: {error}") from None
        if not isinstance(found, dict):
            raise Retryable("broken_json", f"{lane.name} sent {type(found).__name__} where an object belongs")
        return found

    async def _not_found(self, text: str, lane: Lane) -> Exception:
        """The error for an unknown model: names near it that the server has."""
        try:
            listed = await self._send("GET", lane, "/models", None)
        except (Retryable, Refusal, ConfigError):
            return error_of(404, self._scrub(text), {}, lane.name, self._settings.api_key_env)
        names = [str(item.get("id")) for item in listed.get("data") or []]
        return ConfigError(f"{lane.name} has no model {self.model!r}{near(self.model, names)}")

    def _headers(self) -> dict[str, str]:
        key = os.environ.get(self._settings.api_key_env, "")
        if not key and self._settings.base_url.startswith(OPENAI):
            name = self._settings.api_key_env
            raise AuthError(f"no key for {self._lanes_of[0].name}: set {name} in the environment or in .env", "no_key")
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _scrub(self, said: object) -> str:
        return scrub(str(said), os.environ.get(self._settings.api_key_env, ""))
