"""Any transformers chat model in this process: image-text-to-text, or text alone.

A prompt's cache is computed once for all its samples. Qwen2.5-VL models of up to 1e9 parameters take the
fast path: a forest of token trees, in which whatever several samples, prefixes or solutions have in common
is computed once (`forest.py`, `walks.py`, `qwen_fast.py`). All others go through transformers' `generate`
(`generate.py`).

What repeats: a sample depends on its prompt and on `request.seed(place)`, not on what else is asked. The
same calls in the same order on the same machine give the same bytes. When only the batching differs, sums
are rounded in another order (about 1e-6 of a logit in float32), and a draw that falls that close to a
border between two tokens can go the other way. Identical samples (prompt, seed, sampling; at temperature 0
any seed) are computed once and delivered to each request that asks for them.

    phantom:policy    phantom:base?dtype=bfloat16    transformers:Qwen/Qwen2.5-VL-3B-Instruct?device=cuda
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medprm_hf.backends.inside.one_load import ONE_LOAD
from medprm_hf.backends.inside.orders import Conversation, Drawn, Order, Outcome, Prompt, Refused
from medprm_hf.backends.journals.journaled import marks_of
from medprm_hf.backends.open import read_settings, split_target
from medprm_hf.backends.protocol import Completion, Failure, Message, Reply, Request, Usage
from medprm_hf.errors import BackendError, ConfigError
from medprm_hf.registry import resolve

if TYPE_CHECKING:
    from medprm_hf.backends.inside.orders import Engine

DTYPES = ("auto", "float32", "bfloat16", "float16")
ENGINES = ("auto", "fast", "generate")
_CHECKPOINTS = {"phantom": "medprm_hf.phantom.model:checkpoint"}


@dataclass(frozen=True)
class TransformersSettings:
    """Options of a spec."""

    dtype: str = "auto"
    """float32, bfloat16 or float16; auto: float32 on a CPU, the checkpoint's own on a GPU."""
    device: str = "auto"
    """cpu, cuda, cuda:1, …; auto: a GPU if there is one."""
    wave: int = 64
    """Conversations computed together on the fast path; memory grows with it."""
    engine: str = "auto"
    """auto, fast or generate."""
    threads: int = 0
    """Threads on a CPU; 0: one for models of up to 1e8 parameters (their products are so small that threads only
    wait for one another: on two busy cores 2 threads took ten times as long as 1), else torch's own number."""

    def __post_init__(self) -> None:
        for name, value, known in (("dtype", self.dtype, DTYPES), ("engine", self.engine, ENGINES)):
            if value not in known:
                raise ConfigError(f"unknown {name} {value!r}: there is {', '.join(known)}")
        if self.wave < 1:
            raise ConfigError(f"wave={self.wave} computes no conversation: use 1 or more")


class TransformersBackend:
    """A checkpoint loaded into this process; it is read when first asked."""

    family = "transformers"
    journaled = True
    """`open_backend` gives it the run's journal (`journaled.py`)."""
    local = True

    def __init__(self, checkpoint: str, settings: TransformersSettings | None = None, model: str = "") -> None:
        self.model = model or (Path(checkpoint).name if Path(checkpoint).exists() else checkpoint)
        self.usage = Usage()
        self.computed = 0
        """Distinct samples computed; identical ones are delivered without computing."""
        self.checkpoint = checkpoint
        self._settings = settings or TransformersSettings()
        self._engine: Engine | None = None
        self._busy = threading.Lock()

    @classmethod
    def from_spec(cls, options: str) -> TransformersBackend:
        """`CHECKPOINT?dtype=…&device=…`; a directory or a Hub id."""
        checkpoint, given = split_target(options)
        return cls(checkpoint, read_settings(TransformersSettings, given, "transformers"))

    @property
    def identity(self) -> str:
        """`family:model`."""
        return self.model if self.model.startswith(f"{self.family}:") else f"{self.family}:{self.model}"

    @cached_property
    def marks(self) -> str:
        """What else tells its answers from others' in a journal: the checkpoint's files, a dtype that was asked for."""
        dtype = self._settings.dtype
        return marks_of(self.checkpoint, **({} if dtype == "auto" else {"dtype": dtype}))

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply a request, in order."""
        distinct = _Orders()
        orders = [distinct.of(request) for request in requests]
        with self._busy:  # callers in several threads take turns: they share the engine's buffers
            engine = self._engine = self._engine or load_engine(self.checkpoint, self._settings)
            with _threads(self._settings.threads or engine.threads):
                outcomes = self._run(engine, [order for own in orders for order in own])
        replies = [self._reply(request, own, outcomes) for request, own in zip(requests, orders, strict=True)]
        for reply in replies:
            self.usage.add(reply)
        return replies

    def close(self) -> None:
        """Gives the model's memory back; it is loaded again when asked again."""
        self._engine = None

    def _run(self, engine: Engine, orders: Sequence[Order]) -> dict[Order, tuple[Outcome, int]]:
        """Outcome and prompt tokens of every distinct order."""
        by_sampling: dict[tuple[float, float], dict[Order, None]] = {}
        for order in orders:
            by_sampling.setdefault((order.temperature, order.top_p), {})[order] = None
        found: dict[Order, tuple[Outcome, int]] = {}
        for distinct in by_sampling.values():
            outcomes = engine.run(list(distinct))
            found |= {order: (outcome, engine.prompt_tokens(order.prompt)) for order, outcome in outcomes.items()}
        self.computed += len(found)
        return found

    def _reply(self, request: Request, orders: Sequence[Order], found: dict[Order, tuple[Outcome, int]]) -> Reply:
        places = tuple(_place(found[order][0]) for order in orders)
        tokens = found[orders[0]][1] if orders else 0
        return Reply(places, tokens, "native" if request.prefix else "none")


class PhantomBackend(TransformersBackend):
    """A checkpoint of the phantom world that is shipped in the package; so small that it needs no journal."""

    family = "phantom"
    journaled = False

    @classmethod
    def from_spec(cls, options: str) -> TransformersBackend:
        """`policy` or `base`, with the options of a transformers backend."""
        name, given = split_target(options)
        path = resolve("checkpoint family", _CHECKPOINTS, "phantom")(name)
        settings = read_settings(TransformersSettings, given, "phantom")
        return cls(str(path), settings, model=f"phantom:{name}")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """`count` torch threads inside the block; 0 leaves them as they are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load_engine(checkpoint: str, settings: TransformersSettings) -> Engine:
    """Processor, model and the engine that suits it.

    Raises ConfigError when the checkpoint cannot be found or read.
    """
    import torch

    from medprm_hf.backends.inside.chat import Chat

    device = settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    dtype = _dtype(settings.dtype, device)
    try:
        processor, model = _load(checkpoint, dtype)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot load a chat model from {checkpoint!r}: {error}") from error
    return _choose(model.to(device).eval(), Chat(processor), settings)


def _dtype(name: str, device: str) -> Any:
    import torch

    if name == "auto":
        return torch.float32 if device == "cpu" else "auto"
    return getattr(torch, name)


def _load(checkpoint: str, dtype: Any) -> tuple[Any, Any]:
    import transformers
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as WITH_IMAGES,
    )

    transformers.utils.logging.disable_progress_bar()  # the run has bars of its own
    seeing = transformers.AutoConfig.from_pretrained(checkpoint).model_type in WITH_IMAGES
    reader, loader = (
        (transformers.AutoProcessor, transformers.AutoModelForImageTextToText)
        if seeing
        else (transformers.AutoTokenizer, transformers.AutoModelForCausalLM)
    )
    with ONE_LOAD:
        return reader.from_pretrained(checkpoint), loader.from_pretrained(checkpoint, dtype=dtype)


def _choose(model: Any, chat: Any, settings: TransformersSettings) -> Engine:
    from medprm_hf.backends.inside.engine import FastEngine
    from medprm_hf.backends.inside.generate import GenerateEngine
    from medprm_hf.backends.inside.qwen_fast import fits

    text = model.config.get_text_config()
    context = int(getattr(text, "max_position_embeddings", None) or 2**31)
    ends = _ends(model, chat)
    if settings.engine == "fast" and not fits(model):
        raise ConfigError(
            f"engine=fast knows Qwen2.5-VL up to 1e9 parameters, not {type(model).__name__}: leave it out"
        )
    if settings.engine != "generate" and fits(model):
        return FastEngine(model, chat, model.dtype, context, ends, settings.wave)
    return GenerateEngine(model, chat, context, ends)


def _ends(model: Any, chat: Any) -> frozenset[int]:
    """Tokens that end an answer: the generation config's, and the tokenizer's."""
    given = model.generation_config.eos_token_id
    listed = given if isinstance(given, list) else [given]
    return frozenset(token for token in (*listed, chat.tokenizer.eos_token_id) if token is not None)


class _Orders:
    """The distinct orders of one call: equal conversations, prompts and samples become one object each."""

    def __init__(self) -> None:
        self._conversations: dict[tuple[Message, ...], Conversation] = {}
        self._prompts: dict[tuple[Conversation, str], Prompt] = {}

    def of(self, request: Request) -> list[Order]:
        """One order a place; at temperature 0 all places share one."""
        sampling, prompt = request.sampling, self._prompt(request)
        if sampling.max_tokens < 1:
            raise ConfigError(f"max_tokens={sampling.max_tokens} leaves no room for an answer: ask for 1 or more")
        if sampling.temperature <= 0:
            return [Order(prompt, 0, 0.0, 1.0, sampling.max_tokens, sampling.stop)] * request.n
        rest = (sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.stop)
        return [Order(prompt, request.seed(place), *rest) for place in range(request.n)]

    def _prompt(self, request: Request) -> Prompt:
        conversation = self._conversations.setdefault(request.messages, Conversation(request.messages))
        return self._prompts.setdefault((conversation, request.prefix), Prompt(conversation, request.prefix))


def _place(outcome: Outcome) -> Completion | Failure:
    if isinstance(outcome, Drawn):
        return Completion(outcome.text, outcome.finish, outcome.tokens, outcome.logprobs)
    if isinstance(outcome, Refused):
        return Failure(outcome.kind, outcome.message, attempts=0)
    raise BackendError(f"an engine gave {type(outcome).__name__}", kind="engine")
