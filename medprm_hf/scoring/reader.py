"""The forward passes: a question's prefix once, its solutions behind it, and nothing of the head but two rows.

    held = reader.prefill([prefix], [case])              image, evidence, question: keys and values, once
    reader.behind(held, [0, 0, 0], [steps, …])           three solutions of it  ->  their logits, (kept, C) each
    reader.whole([laid, …], [case, …])                   solutions that share nothing

Logits are those of the tokens + and - (and =) at the step ends alone: the output head is cut to these rows while a
model runs, so whatever a model does with its logits (scaling, soft caps) is still done by its own code.

Prefixes of different lengths are filled up on the right and masked; positions go on from each prefix's own end, for
multimodal rotary positions too. Caches that count places instead of positions (sliding windows) hold one question.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medprm_hf.scoring.layout import Case, Laid, Layout, Prefix, Steps, stacked_images

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Held:
    """Prefixes that have been read."""

    cache: Any
    """Keys and values of all layers, (N, heads, P, D)."""
    mask: Tensor
    """(N, P): 1 where a token stands."""
    after: Tensor
    """Position of the token behind each prefix, (N,)."""
    patches: Tensor | None = None
    """Two towers: patch tokens of each question's image, (N, tokens, width)."""
    seen: Tensor | None = None
    """Two towers: which questions have an image, (N,)."""


class Reader:
    """Reads logits at step ends from one model; not for several threads at once."""

    def __init__(self, model: Any, layout: Layout) -> None:
        self.model = model
        self.layout = layout
        self.towers = getattr(model.config, "model_type", "") == "medprm_two_tower"
        self.language = model.text if self.towers else model
        self.device = next(model.parameters()).device
        self.shares, self.mixes = self._cache_kind()
        self.plain = self.mixes and self._is_plain()

    def _cache_kind(self) -> tuple[bool, bool]:
        """(whether keys and values can be handed to several solutions, whether prefixes may differ in length)."""
        from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

        config = self.language.config
        if not getattr(self.language, "_supports_default_dynamic_cache", lambda: True)():
            return False, False
        kinds = {type(layer) for layer in DynamicCache(config=config).layers} or {DynamicLayer}
        return kinds <= {DynamicLayer, DynamicSlidingWindowLayer}, kinds <= {DynamicLayer}

    def _is_plain(self) -> bool:
        """Whether solutions can attend to one prefix without a copy of it each."""
        from medprm_hf.scoring.shared_attention import fits

        return fits(self.language, self.device.type)

    # --- prefixes ----------------------------------------------------------------------------------------------

    def prefill(self, prefixes: Sequence[Prefix], cases: Sequence[Case]) -> Held:
        """Reads the prefixes, (N, P), with their images."""
        import torch
        from transformers.cache_utils import DynamicCache

        ids, mask = self._padded([prefix.ids for prefix in prefixes])
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        for name in dict.fromkeys(name for prefix in prefixes for name in prefix.extras):
            rows = [prefix.extras.get(name, [0] * len(prefix.ids)) for prefix in prefixes]
            inputs[name] = self._padded(rows, 0)[0]
        inputs |= self._to_device(stacked_images([prefix.image_inputs for prefix in prefixes]))
        inner: Any = getattr(self.language, "model", None)
        if hasattr(inner, "rope_deltas"):
            inner.rope_deltas = None  # those of an earlier batch would be taken for this one's
        cache = DynamicCache(config=self.language.config)
        with torch.inference_mode(), self._narrow_head():
            self.language(**inputs, past_key_values=cache, use_cache=True)
        after = mask.sum(1)
        deltas = getattr(inner, "rope_deltas", None)
        if deltas is not None:
            after = after + deltas.to(after).reshape(-1)
        patches, seen = self._patches(cases)
        return Held(cache, mask, after, patches, seen)

    def behind(self, held: Held, questions: Sequence[int], solutions: Sequence[Steps]) -> list[list[list[float]]]:
        """Logits of each solution's step ends, (kept, C), given the number of the prefix that it stands behind."""
        import torch

        index = torch.tensor(list(questions), device=self.device)
        ids, own = self._padded([steps.ids for steps in solutions])
        offset = torch.arange(ids.shape[1], device=self.device)
        places = held.after[index][:, None] + offset
        if hasattr(getattr(self.language, "model", None), "rope_deltas"):
            places = places.expand(3, -1, -1)
        inputs = {"input_ids": ids, "position_ids": places}
        patches = None if held.patches is None else held.patches[index]
        seen = None if held.seen is None else held.seen[index]
        ends = [steps.ends for steps in solutions]
        if self.plain and len(held.mask) == 1:
            from medprm_hf.scoring.shared_attention import one_prefix

            with one_prefix(self.language, held.cache) as shared:
                return self._read({**inputs, "past_key_values": shared}, ends, patches, seen, True)
        inputs["attention_mask"] = torch.cat([held.mask[index], own], 1)
        inputs["past_key_values"] = spread(held.cache, index)
        return self._read(inputs, ends, patches, seen, True)

    def whole(self, laid: Sequence[Laid], cases: Sequence[Case]) -> list[list[list[float]]]:
        """The same for solutions that share nothing, (B, T) in one pass."""
        inputs = self._to_device(self.layout.collate(laid))
        patches, seen = self._patches(cases)
        return self._read(inputs, [one.positions for one in laid], patches, seen, False)

    # --- one pass ----------------------------------------------------------------------------------------------

    def _read(
        self, inputs: dict[str, Any], ends: Sequence[Sequence[int]], patches: Any, seen: Any, cached: bool
    ) -> list[list[list[float]]]:
        import torch

        most = max(len(one) for one in ends)
        places = torch.tensor([[*one, *([0] * (most - len(one)))] for one in ends], device=self.device)
        with torch.inference_mode():
            if self.towers:
                label_ids = self.layout.label_ids
                found = self.model.read(inputs, places, label_ids, patches, seen, use_cache=cached)
            else:
                with self._narrow_head() as columns:
                    told = self.language(**inputs, use_cache=cached).logits
                rows = torch.arange(len(places), device=self.device)[:, None]
                found = told[rows, places][..., columns]
            values = found.float().cpu().tolist()
        return [row[: len(one)] for row, one in zip(values, ends, strict=True)]

    @contextmanager
    def _narrow_head(self) -> Iterator[list[int]]:
        """The output head cut to the label tokens; gives the columns of the logits that they are then."""
        import torch
        from torch import nn

        head = self.language.get_output_embeddings()
        ids = list(self.layout.label_ids)
        if type(head) is not nn.Linear:
            yield ids
            return
        weight, bias = head.weight[ids], None if head.bias is None else head.bias[ids]
        small = nn.Linear(weight.shape[1], len(ids), bias is not None, device="meta")
        small.weight = torch.nn.Parameter(weight.detach(), requires_grad=False)
        if bias is not None:
            small.bias = torch.nn.Parameter(bias.detach(), requires_grad=False)
        self.language.set_output_embeddings(small)
        try:
            yield list(range(len(ids)))
        finally:
            self.language.set_output_embeddings(head)

    def _patches(self, cases: Sequence[Case]) -> tuple[Any, Any]:
        """Two towers: patch tokens of the images, (N, tokens, width), and which cases have one; else nothing."""
        import torch

        if not self.towers or not self.layout.settings.image or all(case.image is None for case in cases):
            return None, None
        with torch.inference_mode():
            found = [self.model.seen_patches(case.image, case.references) for case in cases]
        return torch.stack(found), torch.tensor([case.image is not None for case in cases], device=self.device)

    def _padded(self, rows: Sequence[Sequence[int]], fill: int | None = None) -> tuple[Tensor, Tensor]:
        """(values, mask), filled up on the right, (N, longest)."""
        import torch

        longest = max(len(row) for row in rows)
        value = self.layout.pad_id if fill is None else fill
        ids = torch.tensor([[*row, *([value] * (longest - len(row)))] for row in rows], device=self.device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=self.device)
        return ids, mask

    def _to_device(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """On the model's device, pictures in its dtype."""
        dtype = next(self.language.parameters()).dtype
        return {
            name: value.to(self.device, dtype) if value.is_floating_point() else value.to(self.device)
            for name, value in inputs.items()
        }


def spread(cache: Any, index: Tensor) -> Any:
    """A cache whose row b holds row index[b] of this one; the original stays as it is."""
    made = copy.copy(cache)
    made.layers = []
    for layer in cache.layers:
        own = copy.copy(layer)
        if own.is_initialized:
            one = len(own.keys) == 1  # a view will do: the first update copies it anyway
            own.keys = own.keys.expand(len(index), -1, -1, -1) if one else own.keys[index]
            own.values = own.values.expand(len(index), -1, -1, -1) if one else own.values[index]
        made.layers.append(own)
    return made
