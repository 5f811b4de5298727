"""The engine for every architecture that the fast forward does not know: transformers' own `generate`.

A prompt is computed once and its cache repeated for its n samples, where the cache allows it. The draws
are ours (`draws.py`): a logits processor picks each row's token by the row's own seed and rules out all
others, so a sample's text does not depend on what else is in the batch (up to float noise).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medprm_hf.backends.inside.chat import Chat, open_image
from medprm_hf.backends.inside.draws import cumulated, uniforms_of
from medprm_hf.backends.inside.orders import Drawn, Order, Outcome, Prompt, Refused, cut, over_context, threads_for
from medprm_hf.errors import ImageError

_ROWS = 64
"""Samples of one prompt that are drawn side by side."""


class Picker:
    """A logits processor that leaves each row one token: the one its own draw falls on."""

    def __init__(self, orders: Sequence[Order], prompt_length: int) -> None:
        self._seeds = np.array([order.seed for order in orders], dtype=np.uint64)
        self._temperature, self._top_p = orders[0].temperature, orders[0].top_p
        self._prompt_length = prompt_length
        self.logprobs: list[Tensor] = []
        """Of each step: (rows,) log-probability of the picked token, before temperature."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, V) scores -> 0 at the picked token, -inf elsewhere."""
        token = self._pick(scores, input_ids.shape[1] - self._prompt_length)[:, None]
        self.logprobs.append(torch.log_softmax(scores.float(), -1).gather(1, token)[:, 0].cpu())
        return torch.full_like(scores, -torch.inf).scatter_(1, token, 0.0)

    def _pick(self, scores: Tensor, step: int) -> Tensor:
        if self._temperature <= 0:
            return scores.argmax(-1)
        draws = torch.from_numpy(uniforms_of(self._seeds, step, 1)).to(scores.device)
        sums = cumulated(scores, self._temperature, self._top_p)
        return torch.searchsorted(sums, draws, right=True)[:, 0]


class GenerateEngine:
    """Runs any image-text-to-text or causal model."""

    def __init__(self, model: Any, chat: Chat, context: int, ends: frozenset[int]) -> None:
        self._model, self._chat = model, chat
        self._context, self._ends = context, ends
        self.threads = threads_for(model.num_parameters(), model.device.type)
        self._lengths: dict[Prompt, int] = {}
        pad = chat.tokenizer.pad_token_id
        self._pad = pad if pad is not None else min(ends, default=0)

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Tokens of a prompt that has been run; 0 if it was refused."""
        return self._lengths.get(prompt, 0)

    def run(self, orders: Sequence[Order]) -> dict[Order, Outcome]:
        """Every order's outcome, one prompt after the other."""
        self._lengths = {}
        groups: dict[tuple[Prompt, int, tuple[str, ...]], list[Order]] = {}
        for order in orders:
            groups.setdefault((order.prompt, order.limit, order.stop), []).append(order)
        outcomes: dict[Order, Outcome] = {}
        for group in groups.values():
            outcomes |= self._run_prompt(group)
        return outcomes

    def _run_prompt(self, orders: list[Order]) -> dict[Order, Outcome]:
        prompt = orders[0].prompt
        if prompt.conversation.images and not self._chat.sees:
            count = len(prompt.conversation.images)
            return dict.fromkeys(orders, Refused("no_images", f"{count} images for a model that only reads text"))
        try:
            inputs = self._inputs(prompt)
        except ImageError as error:
            return dict.fromkeys(orders, Refused("image", str(error)))
        length = inputs["input_ids"].shape[1]
        if length >= self._context:
            return dict.fromkeys(orders, over_context(length, self._context))
        self._lengths[prompt] = length
        outcomes: dict[Order, Outcome] = {}
        for start in range(0, len(orders), _ROWS):
            outcomes |= self._generate(inputs, orders[start : start + _ROWS])
        return outcomes

    def _inputs(self, prompt: Prompt) -> Any:
        text = self._chat.text(prompt.conversation.messages) + prompt.prefix
        images = [open_image(image) for image in prompt.conversation.images]
        if not self._chat.sees:
            inputs = self._chat.tokenizer(text, add_special_tokens=False, return_tensors="pt")
        else:
            inputs = self._chat.processor(
                text=[text], images=images or None, add_special_tokens=False, return_tensors="pt"
            )
        return inputs.to(self._model.device)

    @torch.inference_mode()
    def _generate(self, inputs: Any, orders: list[Order]) -> dict[Order, Outcome]:
        from transformers import GenerationConfig

        length, some = inputs["input_ids"].shape[1], orders[0]
        picker = Picker(orders, length)
        settings = GenerationConfig(
            max_new_tokens=min(some.limit, self._context - length),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            eos_token_id=sorted(self._ends) or None,
            pad_token_id=self._pad,
            stop_strings=list(some.stop) or None,
        )
        found = self._model.generate(
            **self._shared(inputs, len(orders)),
            generation_config=settings,
            logits_processor=[picker],
            **({"tokenizer": self._chat.tokenizer} if some.stop else {}),
        )
        before = inputs["input_ids"][0].tolist()
        logprobs = torch.stack(picker.logprobs, 1).tolist()
        rows = found[:, length:].tolist()
        places = zip(orders, rows, logprobs, strict=True)
        return {order: self._drawn(order, row, own, before) for order, row, own in places}

    def _shared(self, inputs: Any, rows: int) -> dict[str, Any]:
        """Inputs of `generate`: the prompt's cache, repeated, where it can be; else the prompt itself."""
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        ids = inputs["input_ids"]
        if rows == 1 or ids.shape[1] < 2:
            return dict(inputs)
        cache = self._model(**inputs, use_cache=True, logits_to_keep=1).past_key_values
        if not isinstance(cache, DynamicCache) or any(type(layer) is not DynamicLayer for layer in cache.layers):
            return {**inputs, "num_return_sequences": rows}
        cache.crop(-1)
        cache.batch_repeat_interleave(rows)
        mask = inputs["attention_mask"].repeat(rows, 1)
        return {"input_ids": ids.repeat(rows, 1), "attention_mask": mask, "past_key_values": cache}

    def _drawn(self, order: Order, row: list[int], logprobs: list[float], before: list[int]) -> Drawn:
        ended = next((place + 1 for place, token in enumerate(row) if token in self._ends), None)
        tokens = row[:ended]
        whole = self._chat.decode(tokens, before)
        text = cut(whole, order.stop)
        if ended is None and text != whole:
            tokens = self._to_stop(tokens, order.stop, before)
        finish = "stop" if ended is not None or text != whole else "length"
        return Drawn(text, finish, len(tokens), tuple(logprobs[: len(tokens)]))

    def _to_stop(self, tokens: list[int], stop: Sequence[str], before: list[int]) -> list[int]:
        """The tokens up to the one that completes a stop string; what follows is padding."""
        for count in range(1, len(tokens)):
            text = self._chat.decode(tokens[:count], before)
            if any(mark in text for mark in stop):
                return tokens[:count]
        return tokens
