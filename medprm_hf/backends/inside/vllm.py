"""vLLM in this process: the offline `LLM`, with automatic prefix caching, for a machine whose GPU is yours alone.

    vllm:Qwen/Qwen2.5-VL-7B-Instruct
    vllm:PATH?dtype=bfloat16&context=8192&images=2&tensor_parallel=2

The n samples of a request are one request of vLLM's: prompt, image and prefix are computed once. A prefix is continued
natively, by the checkpoint's own chat template. The same request with the same seed is drawn alike, as far as vLLM
promises that (float32, or a batch that is the same). With a server (`vllm serve`, then `openai:…?base_url=`) several
processes can share one GPU; this one needs no port.
"""

from __future__ import annotations

import base64
import gc
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from medprm_hf.backends.inside.chat import open_image
from medprm_hf.backends.journals.journaled import marks_of
from medprm_hf.backends.open import read_settings, split_target
from medprm_hf.backends.protocol import Completion, Failure, Message, Reply, Request, Usage
from medprm_hf.errors import BackendError, ConfigError, ImageError

CPU_TOKENS = 8192
"""Tokens of a prefill on a CPU, where it may not come in pieces: seeded requests end it ("CPU Generator does not use
offset", vLLM 0.32)."""
_CONTEXT = re.compile(r"(context|model)[ _]length|max_model_len|too long|longer than", re.IGNORECASE)


@dataclass(frozen=True)
class VllmSettings:
    """Options of a spec; what is 0 is left to vLLM."""

    dtype: str = "auto"
    """float32, bfloat16, float16; auto: the checkpoint's own."""
    context: int = 0
    """Tokens of prompt and answer at most: less needs less memory."""
    images: int = 0
    """Images of one request at most."""
    memory: float = 0.0
    """Share of the GPU's memory that vLLM takes, 0 to 1."""
    tensor_parallel: int = 1
    """GPUs that one copy of the model is spread over."""
    sequences: int = 0
    """Samples that are drawn at once."""
    eager: int = 0
    """1 captures no CUDA graphs: starts sooner, runs slower."""
    logprobs: int = 0
    """1 gives the log-probability of each token."""


class VllmBackend:
    """A checkpoint that vLLM has loaded into this process; it is read when first asked."""

    journaled = True
    """`open_backend` gives it the run's journal (`journaled.py`)."""
    local = True

    def __init__(self, checkpoint: str, settings: VllmSettings | None = None) -> None:
        self.checkpoint = checkpoint
        self.model = Path(checkpoint).name if Path(checkpoint).exists() else checkpoint
        self.identity = f"vllm:{self.model}"
        self.usage = Usage()
        self._settings = settings or VllmSettings()
        self._llm: Any = None
        self._busy = threading.Lock()

    @classmethod
    def from_spec(cls, options: str) -> VllmBackend:
        """`CHECKPOINT?dtype=…&context=…`; a directory or a Hub id."""
        checkpoint, given = split_target(options)
        return cls(checkpoint, read_settings(VllmSettings, given, "vllm"))

    @cached_property
    def marks(self) -> str:
        """What else tells its answers from others' in a journal."""
        own = self._settings
        marks = ({} if own.dtype == "auto" else {"dtype": own.dtype}) | ({"logprobs": "1"} if own.logprobs else {})
        return marks_of(self.checkpoint, **marks)

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply a request, in order. Raises ConfigError for a checkpoint or option that vLLM does not take."""
        with self._busy:
            self._llm = self._llm or load(self.checkpoint, self._settings)
            replies: list[Reply | None] = [None] * len(requests)
            for continued in (False, True):
                numbers = [i for i, request in enumerate(requests) if bool(request.prefix) is continued and request.n]
                for number, reply in zip(numbers, self._answer([requests[i] for i in numbers], continued), strict=True):
                    replies[number] = reply
        found = [reply or Reply(()) for reply in replies]
        for reply in found:
            self.usage.add(reply)
        return found

    def close(self) -> None:
        """Ends vLLM and gives its memory back; it is loaded again when asked again."""
        llm, self._llm = self._llm, None
        if llm is not None:
            shut = getattr(getattr(llm.llm_engine, "engine_core", None), "shutdown", None)
            if shut is not None:
                shut()
            del llm
            gc.collect()

    def _answer(self, requests: Sequence[Request], continued: bool) -> list[Reply]:
        """Replies to requests that all have a prefix, or all have none."""
        if not requests:
            return []
        try:
            outputs = self._llm.chat(
                [_turns(request) for request in requests],
                [self._params(request) for request in requests],
                use_tqdm=False,
                add_generation_prompt=not continued,
                continue_final_message=continued,
            )
        except ImageError as error:
            refused = Failure("image", str(error), attempts=0)
        except ConfigError:
            raise
        except Exception as error:
            if not isinstance(error, ValueError) and type(error).__module__ != "vllm.exceptions":
                # Of an engine that has ended: nothing more will come of it.
                raise BackendError(f"vLLM has ended: {type(error).__name__}: {str(error)[:500]}", "engine") from error
            kind = "context" if _CONTEXT.search(str(error)) else "prompt"  # refused before anything is computed
            refused = Failure(kind, str(error)[:500], attempts=0)
        else:
            return [self._reply(request, output) for request, output in zip(requests, outputs, strict=True)]
        if len(requests) == 1:
            return [Reply((refused,) * requests[0].n)]
        half = len(requests) // 2  # one of them is at fault: which one is found by halving
        return self._answer(requests[:half], continued) + self._answer(requests[half:], continued)

    def _params(self, request: Request) -> Any:
        sampling = request.sampling
        if sampling.max_tokens < 1:
            raise ConfigError(f"max_tokens={sampling.max_tokens} leaves no room for an answer: ask for 1 or more")
        drawn = sampling.temperature > 0
        given: dict[str, Any] = {"max_tokens": sampling.max_tokens, "temperature": max(sampling.temperature, 0.0)}
        if drawn:
            given |= {"n": request.n, "top_p": sampling.top_p, "seed": request.seed(0) & 0x7FFFFFFF}
        if sampling.stop:
            given["stop"] = list(sampling.stop)
        if request.logprobs or self._settings.logprobs:
            given["logprobs"] = request.logprobs
        if request.schema is not None:
            kind = import_module("vllm.sampling_params").StructuredOutputsParams
            given["structured_outputs"] = kind(json=dict(request.schema))
        return import_module("vllm").SamplingParams(**given)

    def _reply(self, request: Request, output: Any) -> Reply:
        drawn = sorted(output.outputs, key=lambda one: one.index)
        places = tuple(_read(one, request) for one in drawn)
        if request.sampling.temperature <= 0:
            places *= request.n
        return Reply(places, len(output.prompt_token_ids or ()), "native" if request.prefix else "none")


def load(checkpoint: str, settings: VllmSettings) -> Any:
    """vLLM's `LLM`. Raises ConfigError where it cannot be made."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # what is asked of medical images is nobody else's concern
    vllm = import_module("vllm")  # installed where a GPU is, rarely where types are checked

    given: dict[str, Any] = {
        "dtype": settings.dtype,
        "tensor_parallel_size": settings.tensor_parallel,
        "enforce_eager": bool(settings.eager),
        "enable_prefix_caching": True,
        "generation_config": "vllm",  # sampling is what a request says, not what a checkpoint recommends
    }
    given |= {"max_model_len": settings.context} if settings.context else {}
    given |= {"gpu_memory_utilization": settings.memory} if settings.memory else {}
    given |= {"max_num_seqs": settings.sequences} if settings.sequences else {}
    given |= {"limit_mm_per_prompt": {"image": settings.images, "video": 0}} if settings.images else {}
    if import_module("vllm.platforms").current_platform.is_cpu():
        given |= {"enable_chunked_prefill": False, "max_num_batched_tokens": max(CPU_TOKENS, settings.context)}
    try:
        return vllm.LLM(model=checkpoint, **given)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"vLLM cannot load {checkpoint!r}: {str(error)[:500]}") from error


def _turns(request: Request) -> list[dict[str, Any]]:
    turns = [{"role": message.role, "content": _content(message)} for message in request.messages]
    return [*turns, {"role": "assistant", "content": request.prefix}] if request.prefix else turns


def _content(message: Message) -> Any:
    if not message.images:
        return message.text
    pictures = []
    for image in message.images:
        open_image(image)  # a broken one is named here, by the request that holds it
        url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        pictures.append({"type": "image_url", "image_url": {"url": url}})
    return [*pictures, {"type": "text", "text": message.text}]


def _read(one: Any, request: Request) -> Completion | Failure:
    if one.finish_reason not in ("stop", "length"):
        return Failure("finish_reason", f"vLLM ended the answer with finish_reason={one.finish_reason!r}")
    tokens = list(one.token_ids)
    chosen = top = None
    if one.logprobs is not None:
        steps = list(one.logprobs)
        chosen = tuple(float(step[token].logprob) for step, token in zip(steps, tokens, strict=True))
        if request.logprobs:
            top = tuple(_candidates(step, request.logprobs) for step in steps)
    return Completion(one.text, one.finish_reason, len(tokens), chosen, top)


def _candidates(step: Any, count: int) -> dict[str, float]:
    """The likeliest tokens of a step as text; of two that look the same the likelier."""
    found: dict[str, float] = {}
    for token, entry in sorted(step.items(), key=lambda item: -item[1].logprob)[:count]:
        found.setdefault(str(token) if entry.decoded_token is None else entry.decoded_token, float(entry.logprob))
    return found
