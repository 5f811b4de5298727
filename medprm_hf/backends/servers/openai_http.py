"""A client for OpenAI and for every server that speaks its chat completions (vLLM, SGLang, llama.cpp, …).

    openai:gpt-4o-mini
    openai:Qwen/Qwen2.5-VL-7B-Instruct?base_url=http://a:8000/v1,http://b:8000/v1&concurrency=64

Several endpoints of one model share the load by their free slots. What a server cannot do (n answers in one call,
log-probabilities, continuing a message, …) is learnt from its refusals and done without (`abilities.py`). Slots,
retries, journal and money are the driver's (`driver.py`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from medprm_hf.backends.books import books
from medprm_hf.backends.open import read_settings, split_target
from medprm_hf.backends.protocol import Completion, Continuation, Failure, Request
from medprm_hf.backends.servers import openai_wire as wire
from medprm_hf.backends.servers.abilities import SAYS, Abilities
from medprm_hf.backends.servers.driver import Answered, AsyncBackend
from medprm_hf.backends.servers.fitting import OPENAI_LIMITS, Fitter
from medprm_hf.backends.servers.http_client import JsonClient
from medprm_hf.backends.servers.http_errors import NotFound, Refusal, Retryable, pause
from medprm_hf.backends.servers.lanes import Lane
from medprm_hf.backends.servers.limits import Limits
from medprm_hf.backends.servers.probe import probe
from medprm_hf.errors import BackendError, ConfigError
from medprm_hf.registry import near

OPENAI = "https://api.openai.com/v1"
CONTINUERS = ("vllm", "sglang")
"""Servers (`owned_by` in their list of models) that continue a final message themselves."""
PROBE_ATTEMPTS = 3
LISTING_SECONDS = 10.0
"""Seconds that a server may take to list its models; the run goes on without."""


@dataclass(frozen=True)
class OpenAISettings:
    """Options of a spec."""

    base_url: str = OPENAI
    """One endpoint, or several with commas (or |) between them."""
    concurrency: int = 32
    """Requests in flight at most, per endpoint."""
    rpm: float = 0.0
    """Requests per minute at most, per endpoint; 0: no limit known. What the server's headers say is obeyed anyway."""
    tpm: float = 0.0
    """Tokens per minute at most, per endpoint, prompt and answers together."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; a server of one's own may need none."""
    timeout: float = 120.0
    """Seconds that one attempt may take."""
    attempts: int = 6
    """Times a request is sent before it counts as failed."""
    backoff: float = 0.5
    """Seconds before the second attempt; doubles with each."""
    give_up: int = 20
    """Failed requests in a row, with none answered, that end the run; 0: never."""
    continuation: str = "auto"
    """native, prompt, or auto: native where the server is known to continue (vLLM, SGLang), else prompt."""
    logprobs: int = 0
    """1 asks for the log-probability of each token."""
    seeds: int = 1
    """0 sends no seed, for servers that cannot take one (vLLM on a CPU: only with --no-enable-chunked-prefill)."""
    context: int = 0
    """Tokens of prompt and answer at most; 0: what the server or the table says."""
    max_image_bytes: int = 0
    """Bytes of one image at most: larger ones are sent smaller; 0: what the table says of OpenAI."""


class _Call(NamedTuple):
    """A call as it is sent."""

    body: dict[str, Any]
    pieces: list[bytes]
    """The body as JSON, images in their places."""
    continuation: Continuation
    logprobs: bool
    """Whether they were wanted, by request or settings."""
    notes: tuple[str, ...]
    """What was changed so that it can be sent."""


class OpenAIBackend(AsyncBackend):
    """One model of one or several servers."""

    def __init__(self, model: str, settings: OpenAISettings | None = None) -> None:
        own = self._settings = settings or OpenAISettings()
        if own.continuation not in ("auto", "native", "prompt"):
            raise ConfigError(f"continuation={own.continuation!r}: there is auto, native, prompt")
        lanes = [Lane(urlsplit(url).netloc, url, own.concurrency, Limits(own.rpm, own.tpm)) for url in _urls(own)]
        super().__init__(model, f"openai:{model}", lanes, own.attempts, own.backoff, own.give_up)
        if own.logprobs:
            self.recorded_as += "?logprobs=1"  # answers recorded without them would lack them
        self.local = all(books().meter.prices.is_local(lane.url) for lane in lanes)
        self.abilities = Abilities(context=own.context or None, seed=None if own.seeds else False)
        self._official = any(lane.url.startswith(OPENAI) for lane in lanes)
        self._fitter = Fitter(model, OPENAI_LIMITS if self._official else None, own.max_image_bytes)
        self._client: JsonClient | None = None
        self._short = 0
        if own.continuation != "auto":
            self.abilities.continuation = own.continuation == "native"

    @classmethod
    def from_spec(cls, options: str) -> OpenAIBackend:
        """`MODEL?base_url=…&concurrency=…`."""
        model, given = split_target(options)
        return cls(model, read_settings(OpenAISettings, given, "openai"))

    def probe(self) -> Abilities:
        """Finds out what the server can do, with some ten short calls; nothing is journaled or booked.

        Raises AuthError, ConfigError, or BackendError where the server does not answer.
        """
        return self._loop().run(self._probe())

    async def _probe(self) -> Abilities:
        await self._ready()
        client, lane = self._client, self._all_lanes[0]
        assert client is not None
        if self._official:  # one's own servers were asked when the connections were opened
            await self._list_models()

        async def ask(body: dict[str, Any]) -> dict[str, Any]:
            for attempt in range(1, PROBE_ATTEMPTS):
                try:
                    return await client.send("POST", lane, "/chat/completions", wire.pieces(body, ()))
                except Retryable as error:
                    await asyncio.sleep(pause(attempt, error.wait, self._settings.backoff))
            return await client.send("POST", lane, "/chat/completions", wire.pieces(body, ()))

        try:
            return await probe(ask, self.model, self.abilities)
        except NotFound as error:
            raise await self._not_found(error, lane) from None
        except Refusal as error:
            raise BackendError(error.message, error.kind) from None
        except Retryable as error:
            raise BackendError(error.message, error.kind) from None

    async def _open(self) -> None:
        own = self._settings
        self._client = JsonClient(self._all_lanes, own.api_key_env, own.timeout, self._official)
        if not self._official:
            await self._list_models()

    async def _shut(self) -> None:
        if self._client is not None:
            await self._client.close()
        self._client = None

    def _prepared(self, request: Request, places: list[int]) -> _Call:
        fitted, notes = self._fitter.fit(request, self.abilities.context)
        images = [image for message in fitted.messages for image in message.images]
        continuation = self._continuation(request)
        logprobs = bool(self._settings.logprobs or request.logprobs)
        body = wire.payload(fitted, self.model, places, continuation, self.abilities, logprobs)
        return _Call(body, wire.pieces(body, images), continuation, logprobs, notes)

    async def _ask(self, request: Request, places: list[int], lane: Lane, prepared: _Call) -> tuple[_Call, bytes]:
        assert self._client is not None
        while True:
            try:
                return prepared, await self._client.post(lane, "/chat/completions", prepared.pieces)
            except NotFound as error:
                raise await self._not_found(error, lane) from None
            except Refusal as error:
                fixed = {"continue_final_message"} if self._settings.continuation == "native" else set()
                if not self.abilities.learn(error.message, {name for name in prepared.body if name not in fixed}):
                    raise
                prepared = self._prepared(request, places)

    def _read(self, request: Request, places: list[int], lane: Lane, found: tuple[_Call, bytes]) -> Answered:
        assert self._client is not None
        call, said = found
        body = self._client.parse(said, lane)
        try:
            answers, used = wire.read_choices(body, request), wire.usage(body)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Retryable("broken_json", f"{lane.name} broke the protocol: {error!r}") from None
        if not answers:
            raise Retryable("no_choices", f"{lane.name} answered without choices")
        self._count(len(answers), call.body.get("n", 1))
        notes = (*call.notes, *self._left_out(request, call.logprobs, answers))
        return Answered(answers, used.prompt, used.cached, used.completion, call.continuation, notes)

    def _count(self, given: int, asked: int) -> None:
        """A server that leaves n aside gives one answer whatever is asked: twice, and each is asked for by itself."""
        if asked > 1:
            self._short = self._short + 1 if given == 1 else 0
            if self._short >= 2:
                self.abilities.lacks("n")
        if self.abilities.n is False:
            self.at_once = 1

    def _left_out(self, request: Request, logprobs: bool, answers: Sequence[Completion | Failure]) -> tuple[str, ...]:
        """Notes on what was asked for and not given."""
        found = []
        if request.schema is not None and self.abilities.schema is False:
            found.append(SAYS["schema"])
        given = [one.logprobs is not None for one in answers if isinstance(one, Completion)]
        if logprobs and given and not any(given):
            found.append(SAYS["logprobs"])
        return tuple(found)

    def _continuation(self, request: Request) -> Continuation:
        if not request.prefix:
            return "none"
        return "native" if self.abilities.continuation else "prompt"

    async def _list_models(self) -> None:
        """What a server of one's own says of its models; one that does not say is asked all the same."""
        items = []
        for lane in self._all_lanes:
            items += await self._models_of(lane)
        able, own = self.abilities, [item for item in items if item.get("id") == self.model]
        able.models = tuple(dict.fromkeys(str(item.get("id")) for item in items))
        able.owner = str((own or items or [{}])[0].get("owned_by") or "")
        lengths = [length for item in own if isinstance(length := item.get("max_model_len"), int)]
        able.context = able.context or (min(lengths) if lengths else None)
        if able.continuation is None and items:
            able.continuation = any(item.get("owned_by") in CONTINUERS for item in items)

    async def _models_of(self, lane: Lane) -> list[dict[str, object]]:
        assert self._client is not None
        try:
            listed = (await self._client.send("GET", lane, "/models", timeout=LISTING_SECONDS)).get("data")
        except (Retryable, Refusal, NotFound, ConfigError, BackendError):
            return []
        return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []

    async def _not_found(self, error: NotFound, lane: Lane) -> Exception:
        """The error for an unknown model: names near it that the server has."""
        names = [str(item.get("id")) for item in await self._models_of(lane)]
        if not names or self.model in names:
            return ConfigError(f"{error.message}; check base_url and the model's name")
        return ConfigError(f"{lane.name} has no model {self.model!r}{near(self.model, names)}")


def _urls(settings: OpenAISettings) -> list[str]:
    """The endpoints of a spec; ConfigError for what is no URL."""
    urls = [url.strip().rstrip("/") for url in re.split(r"[,|]", settings.base_url) if url.strip()]
    for url in urls:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise ConfigError(f"base_url={url!r} is no URL: write http://HOST:PORT/v1, several with commas between")
    if not urls:
        raise ConfigError("base_url is empty: leave it out for OpenAI, or write http://HOST:PORT/v1")
    return list(dict.fromkeys(urls))
