"""The text half of Qwen2.5-VL as one small forward over token trees.

It reads the weights of the loaded transformers model and gives the same logits (a test holds both to 1e-4
in float32); what it adds is the layout: the nodes of many trees in one matrix product, and attention of a
tree's new nodes over all of that tree's keys at once, masked to each node's own path. Norm weights and the
attention scale are folded into the projections.

    N nodes · c trees · R new nodes a tree · M slots · H heads on G key-value heads of size D · width E
    hidden (N, E)    keys, values: a layer (trees, G, capacity, D)    scores (c·G, R·H/G, M)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medprm_hf.backends.inside.forest import Batch, Ints

_HIDDEN = -1e30
"""Added to a score that a node must not see: its weight becomes exactly 0."""
FUSED_LIMIT = 1_000_000_000
"""Parameters up to which the fused copy of the text weights is worth its memory."""


def fits(model: Any) -> bool:
    """Whether this forward computes what `model` does: Qwen2.5-VL, full attention everywhere, not large."""
    if type(model).__name__ != "Qwen2_5_VLForConditionalGeneration":
        return False
    text = model.config.text_config
    plain = set(text.layer_types) == {"full_attention"} and text.hidden_act == "silu"
    return plain and model.num_parameters() <= FUSED_LIMIT


@dataclass
class _Layer:
    qkv: Tensor
    qkv_bias: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor


class FastQwen:
    """Weights, and the key and value buffers of the wave that is being computed."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        text = model.config.text_config
        self.heads, self.groups = text.num_attention_heads, text.num_key_value_heads
        self.size = text.hidden_size // self.heads
        self.eps = text.rms_norm_eps
        self.dtype = dtype
        language = model.model.language_model
        self.device = language.embed_tokens.weight.device
        self._rotary = language.rotary_emb
        self._embedding = language.embed_tokens.weight.detach().to(dtype)
        self._layers = [self._fuse(layer) for layer in language.layers]
        head, norm = model.lm_head.weight.detach().float(), language.norm.weight.detach().float()
        self._head = (head * norm).to(dtype)
        self.vocabulary = head.shape[0]
        self.slot_bytes = 2 * len(self._layers) * self.groups * self.size * self._head.element_size()
        """Bytes of one slot's keys and values."""
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []

    def _fuse(self, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        scale = self.size**-0.5
        before = layer.input_layernorm.weight.detach().float()
        between = layer.post_attention_layernorm.weight.detach().float()
        parts = [attention.q_proj, attention.k_proj, attention.v_proj]
        weights = [part.weight.detach().float() for part in parts]
        biases = [part.bias.detach().float() for part in parts]
        weights[0], biases[0] = weights[0] * scale, biases[0] * scale
        gate_up = torch.cat([mlp.gate_proj.weight.detach(), mlp.up_proj.weight.detach()]).float()
        return _Layer(
            (torch.cat(weights) * before).to(self.dtype),
            torch.cat(biases).to(self.dtype),
            attention.o_proj.weight.detach().to(self.dtype),
            (gate_up * between).to(self.dtype),
            mlp.down_proj.weight.detach().to(self.dtype),
        )

    def open_wave(self, trees: int, capacity: int) -> None:
        """Fresh buffers for `trees` trees."""
        shape = (trees, self.groups, capacity, self.size)
        self._keys = [torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in self._layers]
        self._values = [torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in self._layers]

    def _reserve(self, capacity: int) -> None:
        have = self._keys[0].shape[2]
        if have < capacity:
            wider = (0, 0, 0, capacity - have)
            self._keys = [functional.pad(buffer, wider) for buffer in self._keys]
            self._values = [functional.pad(buffer, wider) for buffer in self._values]

    @torch.inference_mode()
    def extend(
        self,
        batch: Batch,
        capacity: int,
        positions: Ints,
        pictures: tuple[NDArray[Any], Tensor] | None = None,
    ) -> Tensor:
        """Compute a batch of nodes, keep their keys and values, and return their last hidden states (N, E).

        positions is (3, N): time, height, width. pictures are (rows in the batch, their image features).
        """
        self._reserve(capacity)
        hidden = functional.embedding(self._tensor(batch.token), self._embedding)
        if pictures is not None:
            hidden[self._tensor(pictures[0])] = pictures[1].to(self.dtype)
        where = _Where(batch, self.device, self.dtype)
        cos, sin = self._rotary(hidden, self._tensor(positions)[:, None])
        turn = (cos[0, :, None].to(self.dtype), sin[0, :, None].to(self.dtype))
        for index, layer in enumerate(self._layers):
            hidden = hidden + self._attend(index, layer, self._norm(hidden), turn, where)
            gate, up = functional.linear(self._norm(hidden), layer.gate_up).chunk(2, dim=-1)
            hidden = hidden + functional.linear(functional.silu(gate) * up, layer.down)
        return hidden

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """(N, E) -> (N, V) in float32."""
        return functional.linear(self._norm(hidden), self._head).float()

    def _norm(self, hidden: Tensor) -> Tensor:
        return functional.rms_norm(hidden, hidden.shape[-1:], None, self.eps)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _attend(self, index: int, layer: _Layer, normed: Tensor, turn: tuple[Tensor, Tensor], where: _Where) -> Tensor:
        mixed = functional.linear(normed, layer.qkv, layer.qkv_bias).view(len(normed), -1, self.size)
        turned, value = mixed.split([self.heads + self.groups, self.groups], dim=1)
        turned = turned * turn[0] + _half_turn(turned) * turn[1]
        query, key = turned.split([self.heads, self.groups], dim=1)
        keys, values = self._keys[index], self._values[index]
        keys[where.tree, :, where.slot] = key
        values[where.tree, :, where.slot] = value
        padded = query.new_zeros(where.trees, where.rows, self.heads, self.size)
        padded[where.local, where.row] = query
        seen = (slice(where.first, where.first + where.trees), slice(None), slice(0, where.slots))
        spread = self._weigh(padded, keys[seen], values[seen], where.mask)
        return functional.linear(spread[where.local, where.row].flatten(1), layer.out)

    def _weigh(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Attention of (c, R, H, D) over (c, G, M, D); mask (c, 1, R, 1, M) is added to the scores."""
        trees, rows, each = query.shape[0], query.shape[1], self.heads // self.groups
        grouped = query.view(trees, rows, self.groups, each, self.size).transpose(1, 2)
        grouped = grouped.reshape(trees * self.groups, rows * each, self.size)
        scores = torch.bmm(grouped, keys.flatten(0, 1).transpose(1, 2))
        scores.view(trees, self.groups, rows, each, -1).add_(mask)
        spread = torch.bmm(torch.softmax(scores, dim=-1), values.flatten(0, 1))
        spread = spread.view(trees, self.groups, rows, each, self.size).transpose(1, 2)
        return spread.reshape(trees, rows, self.heads, self.size)


class _Where:
    """A batch's indices as tensors, made once for all layers."""

    def __init__(self, batch: Batch, device: torch.device, dtype: torch.dtype) -> None:
        self.tree, self.slot, self.local, self.row = (
            torch.from_numpy(values).to(device) for values in (batch.tree, batch.slot, batch.local, batch.row)
        )
        self.first, self.trees, self.rows, self.slots = batch.first, batch.trees, batch.rows, batch.slots
        sees = torch.from_numpy(batch.sees).to(device)
        hidden = torch.zeros(sees.shape, dtype=dtype, device=device).masked_fill_(~sees, _HIDDEN)
        self.mask = hidden[:, None, :, None, :]


def _half_turn(states: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)
