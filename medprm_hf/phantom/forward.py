"""One forward pass over a batch of image and solution, in the fixed shape that all phantom questions have.

The prompt is the same for every question, the image always has 64 patches and stands at the same place; so
positions and masks are constants, and the pass compiles to one graph. It reads the weights of the
transformers model and gives the same logits (a test holds it to 1e-4); only training uses it.

    images  (B, 64, 64)  brightness 0 to 1        patches (B, P=64, 64)
    tokens  (B, S)       solution, padded right   hidden  (B, T=prompt+S, D)      logits (B, S, V)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from medprm_hf.phantom import steps as text
from medprm_hf.phantom.world import OPTIONS
from medprm_hf.text.prompts import question_text

if TYPE_CHECKING:
    from medprm_hf.phantom.model import Model, Processor

IMAGE_TOKENS = 16


def prompt_ids(processor: Processor) -> list[int]:
    """The tokens of the user's turn and the opening of the assistant's, with 16 image tokens."""
    content = [{"type": "image"}, {"type": "text", "text": question_text(text.QUESTION, OPTIONS)}]
    shown = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    ids: list[int] = processor.tokenizer(shown)["input_ids"]
    place = ids.index(processor.image_token_id)
    return ids[:place] + [processor.image_token_id] * IMAGE_TOKENS + ids[place + 1 :]


def normalised(images: Tensor, processor: Processor) -> Tensor:
    """Brightness as the image processor scales it."""
    scaling = processor.image_processor
    scaled: Tensor = (images - scaling.image_mean[0]) / scaling.image_std[0]
    return scaled


def to_patches(images: Tensor) -> Tensor:
    """(B, 64, 64) -> (B, 64, 64): 8x8 patches, the four that become one token side by side."""
    blocks = images.view(-1, 4, 2, 8, 4, 2, 8).permute(0, 1, 4, 2, 5, 3, 6)
    return blocks.reshape(-1, 64, 64)


class FixedForward(nn.Module):
    """The model's own weights, applied to one fixed prompt."""

    ids: Tensor
    mask: Tensor
    cos: Tensor
    sin: Tensor
    vision_cos: Tensor
    vision_sin: Tensor

    def __init__(self, model: Model, processor: Processor, length: int) -> None:
        super().__init__()
        self.model = model
        ids = torch.tensor(prompt_ids(processor))
        self.place = int((ids == processor.image_token_id).nonzero()[0])
        self.prompt_length = len(ids)
        total = self.prompt_length + length
        mask = torch.full((total, total), float("-inf")).triu(1)
        cos, sin = _text_rotary(model, processor, ids, length)
        vision_cos, vision_sin = _vision_rotary(model)
        for name, value in {
            "ids": ids,
            "mask": mask,
            "cos": cos,
            "sin": sin,
            "vision_cos": vision_cos,
            "vision_sin": vision_sin,
        }.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, patches: Tensor, tokens: Tensor) -> Tensor:
        """Logits of each solution token given what comes before it, (B, S, V)."""
        core = self.model.model.language_model
        shown = self._embed(patches, tokens)
        for layer in core.layers:
            shown = shown + self._attend(layer.self_attn, _norm(layer.input_layernorm, shown))
            shown = shown + _gated(layer.mlp, _norm(layer.post_attention_layernorm, shown))
        shown = _norm(core.norm, shown[:, self.prompt_length - 1 : -1])
        return functional.linear(shown, core.embed_tokens.weight)

    def _embed(self, patches: Tensor, tokens: Tensor) -> Tensor:
        """Prompt, with the image in its place, then the solution: (B, T, D)."""
        table = self.model.model.language_model.embed_tokens.weight
        image = self._see(patches)
        prompt = functional.embedding(self.ids, table).expand(len(tokens), -1, -1)
        after = self.place + IMAGE_TOKENS
        parts = [prompt[:, : self.place], image, prompt[:, after:], functional.embedding(tokens, table)]
        return torch.cat([part.to(table.dtype) for part in parts], dim=1)

    def _see(self, patches: Tensor) -> Tensor:
        """Image tokens, (B, 16, D): grey images let the weights of channels and frames be summed first."""
        visual = self.model.model.visual
        kernel = visual.patch_embed.proj.weight
        shown = functional.linear(patches, kernel.sum(dim=(1, 2)).flatten(1))
        for block in visual.blocks:
            shown = shown + self._look(block.attn, _norm(block.norm1, shown))
            shown = shown + _gated(block.mlp, _norm(block.norm2, shown))
        merged = _norm(visual.merger.ln_q, shown).reshape(len(patches), IMAGE_TOKENS, -1)
        seen: Tensor = visual.merger.mlp(merged)
        return seen

    def _look(self, attention: Any, shown: Tensor) -> Tensor:
        """Full attention among the patches of an image."""
        batch, patches, width = shown.shape
        parts = attention.qkv(shown).view(batch, patches, 3, attention.num_heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        query = _rotate(query, self.vision_cos, self.vision_sin)
        key = _rotate(key, self.vision_cos, self.vision_sin)
        weights = (query @ key.transpose(-1, -2) * attention.scaling).float().softmax(-1)
        mixed = (weights.to(value.dtype) @ value).transpose(1, 2).reshape(batch, patches, width)
        out: Tensor = attention.proj(mixed)
        return out

    def _attend(self, attention: Any, shown: Tensor) -> Tensor:
        """Causal attention; the single key-value head serves all query heads in one product."""
        batch, total, width = shown.shape
        size = attention.head_dim
        query = attention.q_proj(shown).view(batch, total, -1, size).transpose(1, 2)
        key, value = attention.k_proj(shown), attention.v_proj(shown)
        query = _rotate(query, self.cos, self.sin).reshape(batch, -1, size)
        key = _rotate(key, self.cos, self.sin)
        scores = (query @ key.transpose(-1, -2) * attention.scaling).view(batch, -1, total, total)
        weights = (scores.float() + self.mask).softmax(-1).to(value.dtype)
        mixed = (weights.view(batch, -1, total) @ value).view(batch, -1, total, size)
        out: Tensor = attention.o_proj(mixed.transpose(1, 2).reshape(batch, total, width))
        return out


def _norm(module: Any, shown: Tensor) -> Tensor:
    """RMS norm in float32."""
    wide = shown.float()
    scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + module.variance_epsilon)
    normed: Tensor = module.weight * (wide * scale)
    return normed


def _gated(mlp: Any, shown: Tensor) -> Tensor:
    out: Tensor = mlp.down_proj(functional.silu(mlp.gate_proj(shown)) * mlp.up_proj(shown))
    return out


def _rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions; states (..., T, size), cos and sin (T, size)."""
    low, high = states.chunk(2, dim=-1)
    turned = states * cos + torch.cat((-high, low), dim=-1) * sin
    return turned.to(states.dtype)


def _text_rotary(model: Model, processor: Processor, ids: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """cos and sin of every position, (T, head size): three axes for image tokens, one count for text."""
    full = torch.cat([ids, ids.new_full((length,), processor.tokenizer.pad_token_id)])[None]
    positions, _ = model.model.get_rope_index(
        full,
        mm_token_type_ids=(full == processor.image_token_id).int(),
        image_grid_thw=torch.tensor([[1, 8, 8]]),
        attention_mask=torch.ones_like(full),
    )
    cos, sin = model.model.language_model.rotary_emb(torch.zeros(1), positions)
    return cos[0], sin[0]


def _vision_rotary(model: Model) -> tuple[Tensor, Tensor]:
    """cos and sin of every patch, (P, head size), in the order of `to_patches`."""
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    order = [axis.reshape(4, 2, 4, 2).permute(0, 2, 1, 3).reshape(-1).float() for axis in (rows, columns)]
    size = model.config.vision_config.hidden_size // model.config.vision_config.num_heads
    frequency = 1 / 10000.0 ** (torch.arange(0, size // 2, 2).float() / (size // 2))
    angles = torch.cat([axis[:, None] * frequency for axis in order], dim=-1)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()
