"""A client for OpenAI and for every server that speaks its chat completions (vLLM, SGLang, llama.cpp, …).

    openai:gpt-4o-mini
    openai:Qwen/Qwen2.5-VL-7B-Instruct?base_url=http://127.0.0.1:8000/v1&concurrency=64

`complete` is an ordinary call: the client has an event loop in a thread of its own, so it works in notebooks and
inside async handlers. The key is read from the environment when a request is sent, and is never stored, logged or
shown. One call asks for all n answers of a request; what arrives whole is kept, only what is missing is asked
again. At temperature 0 one answer is asked for and fills all n places.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from medprm_hf.backends import openai_wire as wire
from medprm_hf.backends.http_errors import Refusal, Retryable, error_of, pause, scrub
from medprm_hf.backends.open import read_settings, split_target
from medprm_hf.backends.protocol import Completion, Continuation, Failure, Reply, Request, Usage
from medprm_hf.errors import AuthError, ConfigError
from medprm_hf.registry import near

T = TypeVar("T")

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


class OpenAIBackend:
    """One model of one server."""

    def __init__(self, model: str, settings: OpenAISettings | None = None) -> None:
        self.model = model
        self.usage = Usage()
        self._settings = settings or OpenAISettings()
        if self._settings.continuation not in ("auto", "native", "prompt"):
            raise ConfigError(f"continuation={self._settings.continuation!r}: there is auto, native, prompt")
        if self._settings.concurrency < 1 or self._settings.attempts < 1:
            raise ConfigError("concurrency and attempts are at least 1")
        self._where = urlsplit(self._settings.base_url).netloc
        self._thread: _LoopThread | None = None
        self._session: aiohttp.ClientSession | None = None
        self._slots: asyncio.Semaphore | None = None
        self._native: bool | None = {"native": True, "prompt": False}.get(self._settings.continuation)

    @classmethod
    def from_spec(cls, options: str) -> OpenAIBackend:
        """`MODEL?base_url=…&concurrency=…`."""
        model, given = split_target(options)
        return cls(model, read_settings(OpenAISettings, given, "openai"))

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply a request, in order.

        Raises AuthError, BudgetError or ConfigError where no request could work; a request's own failure stands
        in its places.
        """
        replies = self._loop().run(self._complete(requests))
        for reply in replies:
            self.usage.add(reply)
        return replies

    def close(self) -> None:
        """Closes the connections and ends the thread; asked again, the client opens new ones."""
        if self._thread is not None and self._thread.alive:
            if self._session is not None:
                self._thread.run(self._session.close())
            self._thread.stop()
        self._thread = self._session = self._slots = None

    def _loop(self) -> _LoopThread:
        if self._thread is None or not self._thread.alive:  # a fork carries no threads along
            self._thread, self._session, self._slots = _LoopThread(), None, None
        return self._thread

    async def _complete(self, requests: Sequence[Request]) -> list[Reply]:
        if self._session is None:
            self._session = self._open_session()
            self._slots = asyncio.Semaphore(self._settings.concurrency)
        if self._native is None and any(request.prefix for request in requests):
            self._native = await self._continues()
        tasks = [asyncio.ensure_future(self._answer(request)) for request in requests]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    def _open_session(self) -> aiohttp.ClientSession:
        local = urlsplit(self._settings.base_url).hostname in ("127.0.0.1", "localhost", "::1")
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._settings.concurrency),
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout),
            trust_env=not local,
        )

    async def _answer(self, request: Request) -> Reply:
        """Ask until every place holds an answer or its failure; each call fills at least one."""
        places: list[Completion | Failure] = []
        tokens = 0
        while len(places) < request.n:
            found, paid = await self._try(request, list(range(len(places), request.n)))
            places += found
            tokens += paid
        return Reply(tuple(places[: request.n]), tokens, self._continuation(request))

    async def _try(self, request: Request, places: list[int]) -> tuple[list[Completion | Failure], int]:
        """Answers to the first of `places`, perhaps not to all, or their failures; and the prompt tokens paid."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._ask(request, places)
            except Retryable as error:
                if attempt == self._settings.attempts:
                    return [error.failure(attempt)] * len(places), 0
                await asyncio.sleep(pause(attempt, error.wait, self._settings.backoff))
            except Refusal as error:
                if not self._blame_continuation(request, error):
                    return [Failure(error.kind, error.message, attempt)] * len(places), 0

    def _blame_continuation(self, request: Request, error: Refusal) -> bool:
        """A server that refuses native continuation is asked in the prompt from now on (only under auto)."""
        named = "continue_final_message" in error.message or "add_generation_prompt" in error.message
        if self._settings.continuation != "auto" or not self._native or not request.prefix or not named:
            return False
        self._native = False
        return True

    async def _ask(self, request: Request, places: list[int]) -> tuple[list[Completion | Failure], int]:
        body = wire.payload(request, self.model, places, self._continuation(request))
        if self._settings.logprobs:
            body["logprobs"] = True
        if not self._settings.seeds:
            del body["seed"]
        found = await self._send("POST", "/chat/completions", body)
        try:
            answers, paid = wire.read_choices(found, request), wire.prompt_tokens(found)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Retryable("broken_json", f"{self._where} broke the protocol: {error!r}") from None
        if not answers:
            raise Retryable("no_choices", f"{self._where} answered without choices")
        return (answers[:1] * len(places) if request.sampling.temperature <= 0 else answers), paid

    def _continuation(self, request: Request) -> Continuation:
        if not request.prefix:
            return "none"
        return "native" if self._native else "prompt"

    async def _continues(self) -> bool:
        """Whether the server says that it is one that continues a final message."""
        try:
            listed = await self._send("GET", "/models", None)
        except (Retryable, Refusal, ConfigError):
            return False
        return any(item.get("owned_by") in _CONTINUERS for item in listed.get("data") or [])

    async def _send(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """One attempt; raises Retryable, Refusal or an error that ends the run."""
        assert self._session is not None and self._slots is not None
        url = self._settings.base_url.rstrip("/") + path
        try:
            async with (
                self._slots,
                self._session.request(method, url, json=body, headers=self._headers()) as answer,
            ):
                text = await answer.text()
                status, headers = answer.status, answer.headers
        except TimeoutError:
            raise Retryable("timeout", f"no answer from {self._where} in {self._settings.timeout:g} s") from None
        except (aiohttp.ClientError, OSError, UnicodeDecodeError) as error:
            raise Retryable("connection", f"{self._where}: {type(error).__name__}: {self._scrub(error)}") from None
        if status == 404 and method == "POST":
            raise await self._not_found(text)
        if status >= 400:
            raise error_of(status, self._scrub(text), headers, self._where, self._settings.api_key_env)
        return self._parse(text)

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise Retryable("broken_json", f"{self._where} sent broken JSON: {error}") from None
        if not isinstance(found, dict):
            raise Retryable("broken_json", f"{self._where} sent {type(found).__name__} where an object belongs")
        return found

    async def _not_found(self, text: str) -> Exception:
        """The error for an unknown model: names near it that the server has."""
        try:
            listed = await self._send("GET", "/models", None)
        except (Retryable, Refusal, ConfigError):
            return error_of(404, self._scrub(text), {}, self._where, self._settings.api_key_env)
        names = [str(item.get("id")) for item in listed.get("data") or []]
        return ConfigError(f"{self._where} has no model {self.model!r}{near(self.model, names)}")

    def _headers(self) -> dict[str, str]:
        key = os.environ.get(self._settings.api_key_env, "")
        if not key and self._settings.base_url.startswith(OPENAI):
            name = self._settings.api_key_env
            raise AuthError(f"no key for {self._where}: set {name} in the environment or in .env", "no_key")
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _scrub(self, said: object) -> str:
        return scrub(str(said), os.environ.get(self._settings.api_key_env, ""))


class _LoopThread:
    """An event loop in a daemon thread; `run` waits for a coroutine from any thread but its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="medprm-http", daemon=True)
        self._owner = os.getpid()
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._owner == os.getpid() and self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C reaches this thread: requests in flight are let go
            raise

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()
