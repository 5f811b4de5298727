"""Attention of many solutions to one prefix, whose keys and values are never copied (CPU).

    with one_prefix(language, cache) as shared:
        language(input_ids=ids, position_ids=…, past_key_values=shared)          # ids (B, S), right-padded

Each query attends to the prefix (all B x S queries in one unmasked product) and, causally, to its own solution; the
two parts are joined by their log-sum-exp, which is exactly the attention over both. Padding behind a solution needs no
mask: causal queries before it never see it. For models whose attention is plain (`PLAIN`); others are given an
expanded cache and a mask.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.cache_utils import DynamicLayer

NAME = "medprm_one_prefix"
PLAIN = frozenset({"llama", "qwen2", "qwen3", "qwen2_vl_text", "qwen2_5_vl_text", "qwen3_vl_text"})
"""Text configs (model_type) whose attention is softmax of scaled products over all that stands before, and no more."""

_prefix: ContextVar[list[Any]] = ContextVar("prefix")


class _Own(DynamicLayer):  # type: ignore[misc]
    """A cache layer that counts the prefix and hands back what it is given."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """The solution's own keys and values."""
        return key_states, value_states

    def get_seq_length(self) -> int:
        """Tokens of the prefix."""
        return self.length


def fits(language: Any, device: str) -> bool:
    """Whether the model's attention can be done this way here."""
    config = language.config.get_text_config()
    return device == "cpu" and config.model_type in PLAIN and config._attn_implementation == "sdpa"


@contextmanager
def one_prefix(language: Any, cache: Any) -> Iterator[Any]:
    """The cache to give to the model while its text layers attend to the one row of `cache` and to themselves."""
    config = language.config.get_text_config()
    shared = copy.copy(cache)
    shared.layers = [_Own(layer.keys.shape[-2]) for layer in cache.layers]
    token = _prefix.set(cache.layers)
    before = config._attn_implementation
    config._attn_implementation_internal = NAME
    try:
        yield shared
    finally:
        config._attn_implementation_internal = before
        _prefix.reset(token)


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, scaling: float | None = None, **_: Any
) -> tuple[Tensor, None]:
    """Queries (B, H, S, D) to the prefix and to their own solution, (B, S, H, D)."""
    layer = _prefix.get()[module.layer_idx]
    batch, heads, length, width = query.shape
    flat = query.transpose(0, 1).reshape(1, heads, batch * length, width)
    first, first_mass = _part(flat, layer.keys, layer.values, False, scaling)
    own, own_mass = _part(query, key, value, True, scaling)
    first = first.reshape(heads, batch, length, width).transpose(0, 1)
    first_mass = first_mass.reshape(heads, batch, length).transpose(0, 1)
    share = (first_mass - own_mass).sigmoid()[..., None].to(own.dtype)
    return (own + share * (first - own)).transpose(1, 2).contiguous(), None


def _part(query: Tensor, key: Tensor, value: Tensor, causal: bool, scaling: float | None) -> tuple[Tensor, Tensor]:
    """(attention (B, H, S, D), log-sum-exp of its products (B, H, S))."""
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    found, mass = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query.contiguous(), key.contiguous(), value.contiguous(), 0.0, causal, attn_mask=None, scale=scaling
    )
    return found, mass


AttentionInterface.register(NAME, attend)
