"""The fast engine: waves of conversations through one forest of token trees.

Every distinct image is encoded once, every distinct prompt token once, and every sampled token once
however many samples say it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from medprm_hf.backends.inside.chat import Chat, open_image
from medprm_hf.backends.inside.forest import Ints
from medprm_hf.backends.inside.orders import (
    Conversation,
    Drawn,
    Order,
    Outcome,
    Prompt,
    Refused,
    cut,
    over_context,
    threads_for,
)
from medprm_hf.backends.inside.qwen_fast import FastQwen
from medprm_hf.backends.inside.walks import Sampler, Spread, Walk
from medprm_hf.backends.inside.wave import Picture, Tree, Wave, parts
from medprm_hf.errors import ImageError

_KEPT_FEATURES = 1 << 24
"""Numbers of image features kept for the next call (64 MB in float32)."""


class FastEngine:
    """Waves of conversations through one forest."""

    def __init__(self, model: Any, chat: Chat, dtype: torch.dtype, context: int, ends: frozenset[int], wave: int):
        self._model, self._chat, self._dtype = model, chat, dtype
        self._forward = FastQwen(model, dtype)
        self.threads = threads_for(model.num_parameters(), self._forward.device.type)
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
        groups: dict[Conversation, list[Order]] = {}
        for order in orders:
            groups.setdefault(order.prompt.conversation, []).append(order)
        self._lengths = {}
        listed = list(groups.items())
        outcomes: dict[Order, Outcome] = {}
        for start in range(0, len(listed), self._wave):
            outcomes |= self._run_wave(dict(listed[start : start + self._wave]))
        return outcomes

    def _run_wave(self, groups: dict[Conversation, list[Order]]) -> dict[Order, Outcome]:
        outcomes: dict[Order, Outcome] = {}
        broken = self._load_pictures(list(groups))
        for conversation, refusal in broken.items():
            outcomes |= dict.fromkeys(groups[conversation], refusal)
        trees = [self._tree(group, outcomes) for conversation, group in groups.items() if conversation not in broken]
        for part in parts([tree for tree in trees if tree.orders], self._forward):
            outcomes |= self._sample(part)
        return outcomes

    def _tree(self, group: Sequence[Order], outcomes: dict[Order, Outcome]) -> Tree:
        """Token ids of a conversation's prompts; those that cannot be computed are refused."""
        conversation = group[0].prompt.conversation
        pictures = [self._pictures[image] for image in conversation.images]
        counts = [int(np.prod(picture.grid)) // self._merge**2 for picture in pictures]
        text = self._chat.text(conversation.messages)
        tree = Tree(self._expand(self._chat.ids(text), counts), pictures)
        refused: dict[Prompt, Refused] = {}
        for prompt in dict.fromkeys(order.prompt for order in group):
            ids = self._expand(self._chat.ids(text + prompt.prefix), counts)
            if ids.count(self._image_token) != sum(counts):
                refused[prompt] = Refused("special_token", "the text itself contains the model's image token")
            elif len(ids) >= self._context:
                refused[prompt] = over_context(len(ids), self._context)
            else:
                tree.prompts[prompt] = ids
        self._lengths |= {prompt: len(ids) for prompt, ids in tree.prompts.items()}
        outcomes |= {order: refused[order.prompt] for order in group if order.prompt in refused}
        tree.orders = [order for order in group if order.prompt in tree.prompts]
        if tree.orders:
            tree.positions = self._positions(tree)
        return tree

    def _sample(self, trees: Sequence[Tree]) -> dict[Order, Outcome]:
        wave = Wave(self._forward, trees, self._image_token)
        temperature, top_p = trees[0].orders[0].temperature, trees[0].orders[0].top_p
        walks = {
            order: Walk(index, wave.ends[order.prompt], order.seed, self._limit(order, tree), order.stop)
            for index, tree in enumerate(trees)
            for order in tree.orders
        }

        def compute(nodes: list[int]) -> list[Spread]:
            return wave.spreads(nodes, temperature, top_p)

        decode = cache(self._decode)
        Sampler(wave.forest, compute, self._ends, decode).run(list(walks.values()))
        return {order: _drawn(walk, decode) for order, walk in walks.items()}

    def _limit(self, order: Order, tree: Tree) -> int:
        return min(order.limit, self._context - len(tree.prompts[order.prompt]))

    def _decode(self, tokens: tuple[int, ...]) -> str:
        return self._chat.decode(tokens)

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

    def _load_pictures(self, conversations: Sequence[Conversation]) -> dict[Conversation, Refused]:
        """Encode the images that are not known yet, each once; say which conversations have a broken one."""
        refused: dict[Conversation, Refused] = {}
        opened: dict[bytes, Any] = {}
        for conversation in conversations:
            try:
                for image in conversation.images:
                    if image in self._pictures:
                        self._pictures.move_to_end(image)
                    elif image not in opened:
                        opened[image] = open_image(image)
            except ImageError as error:
                refused[conversation] = Refused("image", str(error))
        self._encode(opened, len({image for conversation in conversations for image in conversation.images}))
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


def _drawn(walk: Walk, decode: Callable[[tuple[int, ...]], str]) -> Drawn:
    text = cut(decode(tuple(walk.tokens)), walk.stop)
    return Drawn(text, walk.finish, len(walk.tokens), tuple(walk.logprobs))
