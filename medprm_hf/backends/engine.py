"""The fast engine: waves of conversations through one forest of token trees.

Every distinct image is encoded once, every distinct prompt token once, and every sampled token once
however many samples say it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from medprm_hf.backends.chat import Chat, open_image
from medprm_hf.backends.forest import Ints
from medprm_hf.backends.orders import Drawn, Order, Outcome, Prompt, Refused, cut, over_context
from medprm_hf.backends.protocol import Message
from medprm_hf.backends.qwen_fast import FastQwen
from medprm_hf.backends.walks import Sampler, Spread, Walk
from medprm_hf.backends.wave import Picture, Tree, Wave
from medprm_hf.errors import ImageError

_KEPT_FEATURES = 1 << 24
"""Numbers of image features kept for the next call (64 MB in float32)."""


class FastEngine:
    """Waves of conversations through one forest."""

    def __init__(
        self, model: Any, chat: Chat, dtype: torch.dtype, context: int, ends: frozenset[int], wave: int
    ):
        self._model, self._chat, self._dtype = model, chat, dtype
        self._forward = FastQwen(model, dtype)
        self._context, self._ends, self._wave = context, ends, wave
        self._pictures: OrderedDict[bytes, Picture] = OrderedDict()
        self._lengths: dict[Prompt, int] = {}
        self._image_token = int(model.config.image_token_id)
        self._merge = int(model.config.vision_config.spatial_merge_size)

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Tokens of a prompt that has been run; 0 if it was refused."""
        return self._lengths.get(prompt, 0)

    def run(self, orders: Sequence[Order]) -> dict[Order, Outcome]:
        """Every order's outcome; conversations in order of appearance, `wave` of them at a time."""
        by_conversation: dict[tuple[Message, ...], list[Order]] = {}
        for order in orders:
            by_conversation.setdefault(order.prompt.messages, []).append(order)
        self._lengths = {}
        groups = list(by_conversation.values())
        outcomes: dict[Order, Outcome] = {}
        for start in range(0, len(groups), self._wave):
            outcomes |= self._run_wave(groups[start : start + self._wave])
        return outcomes

    def _run_wave(self, groups: Sequence[list[Order]]) -> dict[Order, Outcome]:
        outcomes: dict[Order, Outcome] = {}
        refused = self._load_pictures([group[0].prompt.messages for group in groups])
        trees: list[Tree] = []
        for group in groups:
            fault = refused.get(group[0].prompt.messages)
            if fault is not None:
                outcomes |= dict.fromkeys(group, fault)
            else:
                trees.append(self._tree(group, outcomes))
        trees = [tree for tree in trees if tree.orders]
        if trees:
            outcomes |= self._sample(trees)
        return outcomes

    def _sample(self, trees: Sequence[Tree]) -> dict[Order, Outcome]:
        wave = Wave(self._forward, trees, self._image_token)
        some = trees[0].orders[0][0]
        walks: dict[Order, Walk] = {}
        for index, tree in enumerate(trees):
            for order, ids in tree.orders:
                node = wave.forest.insert(index, ids)
                limit = min(order.limit, self._context - len(ids))
                walks[order] = Walk(index, node, order.seed, limit, order.stop)
        wave.compute_prompts()

        def compute(nodes: list[int]) -> list[Spread]:
            return wave.spreads(nodes, some.temperature, some.top_p)

        Sampler(wave.forest, compute, self._ends, self._chat.decode).run(list(walks.values()))
        return {order: self._drawn(walk) for order, walk in walks.items()}

    def _drawn(self, walk: Walk) -> Drawn:
        text = cut(self._chat.decode(walk.tokens), walk.stop)
        return Drawn(text, walk.finish, len(walk.tokens), tuple(walk.logprobs))

    def _tree(self, group: Sequence[Order], outcomes: dict[Order, Outcome]) -> Tree:
        """Token ids of a conversation's orders; a prompt over the context is refused with both numbers."""
        messages = group[0].prompt.messages
        pictures = [self._pictures[image] for message in messages for image in message.images]
        counts = [int(np.prod(picture.grid)) // self._merge**2 for picture in pictures]
        text = self._chat.text(messages)
        tree = Tree(self._expand(self._chat.ids(text), counts), pictures)
        known: dict[str, list[int]] = {}
        for order in group:
            prefix = order.prompt.prefix
            if prefix not in known:
                known[prefix] = self._expand(self._chat.ids(text + prefix), counts)
            ids = known[prefix]
            if ids.count(self._image_token) != sum(counts):
                outcomes[order] = Refused("special_token", "the text itself contains the model's image token")
            elif len(ids) >= self._context:
                outcomes[order] = over_context(len(ids), self._context)
            else:
                self._lengths[order.prompt] = len(ids)
                tree.orders.append((order, ids))
        if tree.orders:
            tree.positions = self._positions(tree)
        return tree

    def _expand(self, ids: Sequence[int], counts: Sequence[int]) -> list[int]:
        """Every image token as often as its image has features."""
        left, found = iter(counts), list[int]()
        for token in ids:
            found.extend([token] * next(left, 1) if token == self._image_token else [token])
        return found

    def _positions(self, tree: Tree) -> Ints:
        """(3, P): time, height and width of the conversation's tokens, as the model numbers them."""
        ids = torch.tensor([tree.ids])
        if not tree.pictures:
            return np.broadcast_to(np.arange(len(tree.ids)), (3, len(tree.ids)))
        grids = torch.tensor([picture.grid for picture in tree.pictures])
        kinds = (ids == self._image_token).int()
        found, _ = self._model.model.get_rope_index(ids, mm_token_type_ids=kinds, image_grid_thw=grids)
        return np.asarray(found[:, 0].numpy(), dtype=np.int64)

    def _load_pictures(
        self, conversations: Sequence[tuple[Message, ...]]
    ) -> dict[tuple[Message, ...], Refused]:
        """Encode the images that are not known yet, each once; say which conversations have a broken one."""
        refused: dict[tuple[Message, ...], Refused] = {}
        opened: dict[bytes, Any] = {}
        for messages in conversations:
            for image in (image for message in messages for image in message.images):
                try:
                    if image in self._pictures:
                        self._pictures.move_to_end(image)
                    elif image not in opened:
                        opened[image] = open_image(image)
                except ImageError as error:
                    refused[messages] = Refused("image", str(error))
        in_use = len(
            {image for messages in conversations for message in messages for image in message.images}
        )
        self._encode(opened, in_use)
        return refused

    @torch.inference_mode()
    def _encode(self, opened: dict[bytes, Any], in_use: int) -> None:
        if not opened:
            return
        inputs = self._chat.processor.image_processor(images=list(opened.values()), return_tensors="pt")
        grids = inputs["image_grid_thw"]
        pixels = inputs["pixel_values"].to(self._forward.device)
        found = self._model.model.get_image_features(pixels, grids.to(self._forward.device), return_dict=True)
        for data, grid, features in zip(opened, grids.tolist(), found.pooler_output, strict=True):
            self._pictures[data] = Picture(tuple(grid), features.to(self._dtype))
        held = sum(picture.features.numel() for picture in self._pictures.values())
        while held > _KEPT_FEATURES and len(self._pictures) > in_use:
            held -= self._pictures.popitem(last=False)[1].features.numel()
