"""From a plain spec string to an open backend, once per process.

A spec is `NAME:TARGET?option=value&…`, so a stage holds only a string and opens what it needs in its
worker:

    phantom:policy                                       a shipped checkpoint, in this process
    transformers:Qwen/Qwen2.5-VL-7B-Instruct?dtype=bfloat16
    replay:runs/demo/journal.sqlite?model=openai:gpt-4o-mini
    openai:tiny?base_url=http://127.0.0.1:8000/v1&concurrency=32
    gemini:gemini-2.5-flash
    scripted:tests.answers:script
    simulated-judge:error=0.15

A third party adds a name through the entry-point group `medprm_hf.backend`; its class has
`from_spec(options)`, which takes what stands behind the first colon.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from importlib.util import find_spec
from typing import Any, TypeVar, cast, get_type_hints
from urllib.parse import parse_qsl, urlencode

from medprm_hf.backends.keys import load_keys
from medprm_hf.backends.money.prices import LOCAL_KINDS
from medprm_hf.backends.protocol import Backend
from medprm_hf.errors import ConfigError, MissingExtraError
from medprm_hf.registry import near, resolve

BACKENDS: Mapping[str, str] = {
    "gemini": "medprm_hf.backends.servers.gemini:GeminiBackend",
    "openai": "medprm_hf.backends.servers.openai_http:OpenAIBackend",
    "phantom": "medprm_hf.backends.inside.transformers:PhantomBackend",
    "replay": "medprm_hf.backends.journals.replay:ReplayBackend",
    "scripted": "medprm_hf.backends.scripted:ScriptedBackend",
    "rule-reader": "medprm_hf.phantom.rule_reader:RuleReader",
    "simulated-judge": "medprm_hf.phantom.simulated:SimulatedJudge",
    "transformers": "medprm_hf.backends.inside.transformers:TransformersBackend",
    "vllm": "medprm_hf.backends.inside.vllm:VllmBackend",
}

BATCHES: Mapping[str, str] = {
    "gemini": "medprm_hf.backends.batches.batch_gemini:from_spec",
    "openai": "medprm_hf.backends.batches.batch_openai:from_spec",
}
"""Backends whose provider has a batch API, which `batch=1` asks for."""

EXTRAS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "gemini": ("gemini", ("google.genai",)),
    "phantom": ("train", ("torch", "torchvision", "transformers")),
    "transformers": ("train", ("torch", "torchvision", "transformers")),
    "vllm": ("vllm", ("vllm",)),
}
"""The extra that installs what a backend imports."""

_opened: dict[str, Backend] = {}
_lock = threading.Lock()

Settings = TypeVar("Settings")


def open_backend(spec: str) -> Backend:
    """The backend that a spec names; the same object for the same spec within one process.

    Raises ConfigError for an unknown name or option, with near names, and MissingExtraError.
    """
    with _lock:
        if spec not in _opened:
            load_keys()
            _opened[spec] = _open(spec)
        return _opened[spec]


def close_backends() -> None:
    """Close every backend that this process has opened."""
    with _lock:
        while _opened:
            _opened.popitem()[1].close()


# Connections are given back while there is still a loop to close them in, not by the garbage collector.
atexit.register(close_backends)


def split_target(options: str) -> tuple[str, dict[str, str]]:
    """`name?a=1&b=2` → `("name", {"a": "1", "b": "2"})`."""
    target, _, query = options.partition("?")
    return target, dict(parse_qsl(query, keep_blank_values=True))


def read_settings(kind: type[Settings], given: Mapping[str, str], backend: str) -> Settings:
    """A dataclass of plain values from option strings; unknown names and unreadable values are refused."""
    types = get_type_hints(kind)
    known = [item.name for item in fields(cast(Any, kind)) if item.default is not MISSING]
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name not in known:
            raise ConfigError(f"backend {backend!r} has no option {name!r}{near(name, known)}")
        values[name] = _read(types[name], text, f"backend {backend!r}: option {name}")
    return kind(**values)


def _read(kind: Any, text: str, where: str) -> Any:
    readers: dict[Any, Callable[[str], Any]] = {int: int, float: float}
    try:
        return readers.get(kind, str)(text)
    except ValueError:
        raise ConfigError(f"{where}={text!r} is not {'an integer' if kind is int else 'a number'}") from None


def _open(spec: str) -> Backend:
    name, colon, options = spec.partition(":")
    if not colon:
        raise ConfigError(f"backend {spec!r} names no model: write {name}:MODEL, as in phantom:policy")
    _require(name)
    kind = resolve("backend", BACKENDS, name)
    by_batch, options = _batch_wish(name, options)
    if by_batch:
        return cast(Backend, resolve("batch backend", BATCHES, name)(options))
    options, with_journal = _journal_wish(kind, options)
    backend = cast(Backend, kind.from_spec(options))
    if not hasattr(backend, "identity"):  # a model in this process, a script, somebody else's
        setattr(backend, "identity", f"{name}:{split_target(options)[0]}")  # noqa: B010 - not in the protocol
    return _journaled(backend) if with_journal else backend


def _batch_wish(name: str, options: str) -> tuple[bool, str]:
    """Whether the provider's batch API is wanted, and the options without `batch=`."""
    target, given = split_target(options)
    if name not in BATCHES or "batch" not in given:
        return False, options
    wish = given.pop("batch")
    if wish not in ("0", "1"):
        raise ConfigError(f"batch={wish!r}: write batch=1 for half the price and answers within hours, or leave it out")
    return wish == "1", f"{target}?{urlencode(given)}" if given else target


def _journal_wish(kind: Any, options: str) -> tuple[str, bool]:
    """The options without `journal=`, and whether a backend that computes in this process is given the journal."""
    target, given = split_target(options)
    if not hasattr(kind, "journaled") or "journal" not in given:
        return options, bool(getattr(kind, "journaled", False))
    wish = given.pop("journal")
    if wish not in ("0", "1"):
        raise ConfigError(f"journal={wish!r}: write journal=1 to keep answers in the run's journal, journal=0 not to")
    return f"{target}?{urlencode(given)}" if given else target, wish == "1"


def _journaled(backend: Any) -> Backend:
    from medprm_hf.backends.journals.journaled import JournaledBackend

    return JournaledBackend(backend)


def identity_of(backend: Backend) -> tuple[str, bool]:
    """`provider:model` as journal and prices name it, and whether it is one's own: nothing is paid per token."""
    identity = str(getattr(backend, "identity", backend.model))
    return identity, bool(getattr(backend, "local", identity.partition(":")[0] in LOCAL_KINDS))


def _there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of the namespace that it lies in
        return False


def _require(name: str) -> None:
    extra, packages = EXTRAS.get(name, ("", ()))
    missing = [package.replace(".", "-") for package in packages if not _there(package)]
    if missing:
        raise MissingExtraError(f"backend {name!r}", extra, " and ".join(missing))
