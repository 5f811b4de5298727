"""What tokens cost: a dated, sourced table (`prices.yaml`) that a file of one's own goes before.

    PriceTable().tariff("openai:gpt-4o-mini").cost(1_000_000, 0)    0.15 USD
    PriceTable().tariff("openai:no-such-model")                     None: unknown, which is not 0
    PriceTable().tariff("openai:tiny", local=True)                  LOCAL: a server of one's own, nothing a token

A model's dated snapshots (`gpt-4o-mini-2024-07-18`, `gemini-2.5-flash-001`) and `-latest` cost what the model costs.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from medprm_hf.errors import ConfigError

MILLION = 1_000_000
LOCAL_KINDS = frozenset(
    ("phantom", "transformers", "vllm", "scripted", "replay", "simulated-judge", "simulated-expert", "simulated")
)
"""Backends that run in this process: nothing is paid per token."""
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{3}|\d{4}|latest|preview(-[\d-]+)?|exp(-[\d-]+)?)$")


@dataclass(frozen=True)
class Tariff:
    """Prices of one model, USD per 1,000,000 tokens."""

    input: float
    output: float
    cached: float | None = None
    """Input that the provider reads from its cache; None: as input."""
    batch: float = 1.0
    """Factor of the provider's batch API on everything."""
    over: int | None = None
    """Input tokens of a request above which `long` holds."""
    long: Tariff | None = None
    image: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """How many tokens an image costs; empty: not known."""
    local: bool = False
    """A server of one's own, or a model in this process."""
    source: str = ""

    def cost(self, prompt_tokens: int, completion_tokens: int, *, cached_tokens: int = 0, batch: bool = False) -> float:
        """USD of one request; `cached_tokens` are part of the prompt tokens."""
        if self.long is not None and self.over is not None and prompt_tokens > self.over:
            return self.long.cost(prompt_tokens, completion_tokens, cached_tokens=cached_tokens, batch=batch)
        read = self.input if self.cached is None else self.cached
        paid = (prompt_tokens - cached_tokens) * self.input + cached_tokens * read + completion_tokens * self.output
        return paid / MILLION * (self.batch if batch else 1.0)


LOCAL = Tariff(0.0, 0.0, local=True, source="local")


class PriceTable:
    """The shipped table and, before it, a file and entries of one's own."""

    def __init__(self, file: Path | None = None, extra: Mapping[str, Any] | None = None) -> None:
        """`extra` has the shape of the file, or is `{"provider:model": {input, output}}` as a recipe writes it."""
        self.file = file
        self._extra = extra or {}
        self._known: dict[tuple[str, bool], Tariff | None] = {}

    @cached_property
    def _tables(self) -> list[Mapping[str, Any]]:
        """Tables in the order they are asked; read when first asked."""
        own = [_read_file(self.file)] if self.file else []
        given = [_as_table(self._extra)] if self._extra else []
        return [*given, *own, _shipped()]  # the shipped one last

    @property
    def date(self) -> str:
        """The day of the shipped list, or of the file where it says one."""
        return next(str(table["date"]) for table in self._tables if table.get("date"))

    def tariff(self, identity: str, local: bool = False) -> Tariff | None:
        """Prices of `provider:model`; None where they are not known.

        One's own servers are LOCAL, unless a file of one's own puts a price on them (electricity, a rented GPU).
        """
        known = (identity, local)
        if known not in self._known:
            self._known[known] = self._find(identity, local)
        return self._known[known]

    def person(self, what: str) -> float:
        """USD of one `expert_step` or one `written_question`."""
        return float(next(table["people"][what] for table in self._tables if what in table.get("people", {})))

    def is_local(self, base_url: str) -> bool:
        """Whether a server is one's own: this machine, a private address, or a host that `free_hosts` names."""
        host = urlsplit(base_url).hostname or ""
        return on_private_network(host) or any(host in table.get("free_hosts", ()) for table in self._tables)

    def provider_of(self, base_url: str) -> str | None:
        """The provider whose API a URL leads to, e.g. `openai`."""
        host = urlsplit(base_url).hostname or ""
        for table in self._tables:
            for name, provider in table.get("providers", {}).items():
                if host in provider.get("hosts", ()):
                    return str(name)
        return None

    def _find(self, identity: str, local: bool) -> Tariff | None:
        provider, _, model = identity.partition(":")
        own = local or provider in LOCAL_KINDS
        for table in self._tables[:-1] if own else self._tables:  # the shipped prices are not for one's own server
            entry = table.get("providers", {}).get(provider, {})
            models = entry.get("models", {})
            for name in (model, _SNAPSHOT.sub("", model)):
                if name in models:
                    return _tariff(models[name], self._provider(provider))
        return LOCAL if own else None

    def _provider(self, name: str) -> dict[str, Any]:
        """What is said of a provider, nearest table first."""
        merged: dict[str, Any] = {}
        for table in reversed(self._tables):
            merged |= table.get("providers", {}).get(name, {})
        return merged


def on_private_network(host: str) -> bool:
    """Whether a host name is this machine, a private address or a name without a public domain."""
    if "." not in host and ":" not in host:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.endswith((".local", ".internal", ".localhost", ".lan"))
    return address.is_private or address.is_loopback or address.is_link_local


def _tariff(entry: Mapping[str, Any], provider: Mapping[str, Any]) -> Tariff:
    long = entry.get("long")
    batch = float(provider.get("batch", 1.0))
    return Tariff(
        *_three(entry),
        batch=batch,
        over=long["over"] if long else None,
        long=Tariff(*_three(long), batch=batch) if long else None,
        image=entry.get("image", {}),
        source=str(provider.get("source", "")),
    )


def _three(entry: Mapping[str, Any]) -> tuple[float, float, float | None]:
    """Input, output and cached input."""
    cached = entry.get("cached")
    return float(entry["input"]), float(entry["output"]), None if cached is None else float(cached)


@lru_cache(maxsize=1)
def _shipped() -> Mapping[str, Any]:
    text = (resources.files("medprm_hf") / "backends" / "money" / "prices.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.safe_load(text)
    return found


def _read_file(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        raise ConfigError(f"no price file at {file}: see docs/costs.md for its shape")
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"price file {file} is not YAML: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"price file {file} holds a {type(found).__name__}, not models: see docs/costs.md")
    return _as_table(found, str(file))


def _as_table(given: Mapping[str, Any], where: str = "prices") -> Mapping[str, Any]:
    """A table from either shape; ConfigError names an entry that lacks a price."""
    sections = ("date", "checked", "providers", "free_hosts", "people")
    table: dict[str, Any] = {name: given[name] for name in sections if name in given}
    providers = {name: dict(entry) for name, entry in (table.get("providers") or {}).items()}
    for identity, entry in given.items():
        if identity not in sections:
            provider, colon, model = identity.partition(":")
            if not colon:
                raise ConfigError(f"{where}: {identity!r} is no PROVIDER:MODEL, as in openai:gpt-4o-mini")
            held = providers.setdefault(provider, {})
            held["models"] = {**held.get("models", {}), model: entry}
    for provider, entry in providers.items():
        for model, prices in entry.get("models", {}).items():
            _check(prices, f"{where}: {provider}:{model}")
    return {**table, "providers": providers}


def _check(prices: Any, where: str) -> None:
    for name in ("input", "output"):
        value = prices.get(name) if isinstance(prices, Mapping) else None
        if not isinstance(value, int | float) or value < 0:
            raise ConfigError(f"{where}: {name}={value!r} is no price: write USD per 1,000,000 tokens, 0 or more")
