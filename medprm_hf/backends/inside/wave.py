"""One wave: a few dozen conversations whose trees are computed together, from prompts to last walk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medprm_hf.backends.inside.draws import cumulated
from medprm_hf.backends.inside.forest import Forest, Ints, batches
from medprm_hf.backends.inside.orders import Order, Prompt
from medprm_hf.backends.inside.qwen_fast import FastQwen
from medprm_hf.backends.inside.walks import KEPT_VOCABULARY, Spread

MOST_SCORES = 1 << 19
"""Attention cells (trees x new nodes x slots) computed at once: what fits the cache of a core."""
BUFFER_BYTES = 1 << 30
"""Keys, values and masks that one wave is expected to hold at most."""
SMALLEST_CAPACITY = 256
"""Slots a tree starts with at least."""


@dataclass
class Picture:
    """One encoded image."""

    grid: tuple[int, int, int]
    """Patches: time, height, width."""
    features: Tensor
    """(image tokens, E)"""


class Tree:
    """One conversation of a wave."""

    def __init__(self, ids: list[int], pictures: list[Picture]) -> None:
        self.ids = ids
        """Tokens of the conversation up to where the answer begins; an image has one token a feature."""
        self.pictures = pictures
        self.positions: Ints = np.zeros((3, 0), dtype=np.int64)
        """(3, len(ids)): time, height and width."""
        self.prompts: dict[Prompt, list[int]] = {}
        """Tokens of each distinct prompt, the conversation's included."""
        self.orders: list[Order] = []


def parts(trees: Sequence[Tree], forward: FastQwen) -> list[list[Tree]]:
    """Cut trees into waves whose buffers are expected to stay under `BUFFER_BYTES`; at least one tree in each."""
    found: list[list[Tree]] = []
    slots = 0
    for tree in trees:
        own = _expected_slots(tree, forward.vocabulary)
        wider = max(slots, own)
        if not found or (len(found[-1]) + 1) * wider * (wider + forward.slot_bytes) > BUFFER_BYTES:
            found.append([])
            wider = own
        found[-1].append(tree)
        slots = wider
    return found


def _expected_slots(tree: Tree, vocabulary: int) -> int:
    """Twice the longest prompt in a small world, whose samples say the same; else room for all they may say."""
    longest = max(map(len, tree.prompts.values()))
    apart = sum(order.limit for order in tree.orders) if vocabulary > KEPT_VOCABULARY else longest
    return max(SMALLEST_CAPACITY, longest + apart)


class Wave:
    """A forest with its buffers."""

    def __init__(self, forward: FastQwen, trees: Sequence[Tree], image_token: int) -> None:
        self._forward, self._trees, self._image_token = forward, trees, image_token
        longest = max(len(ids) for tree in trees for ids in tree.prompts.values())
        self.forest = Forest(len(trees), forward.vocabulary, capacity=max(SMALLEST_CAPACITY, 2 * longest))
        forward.open_wave(len(trees), self.forest.capacity)
        self._computed: dict[int, Tensor] = {}
        """Last hidden state of prompt nodes that no walk has asked for yet."""
        self.ends = {
            prompt: self.forest.insert(index, ids)
            for index, tree in enumerate(trees)
            for prompt, ids in tree.prompts.items()
        }
        """The node that each prompt ends with."""
        self._compute_prompts()

    def _compute_prompts(self) -> None:
        """Keys, values and hidden states of everything that has been inserted."""
        nodes = sorted(range(len(self.forest)), key=lambda node: (self.forest.tree[node], node))
        found = [picture.features for tree in self._trees for picture in tree.pictures]
        features, seen = torch.cat(found) if found else None, 0
        for batch in batches(self.forest, nodes, MOST_SCORES):
            pictured = np.flatnonzero(batch.token == self._image_token)
            pictures = None if features is None else (pictured, features[seen : seen + len(pictured)])
            seen += len(pictured)
            positions = self._positions(batch.tree, batch.depth)
            hidden = self._forward.extend(batch, self.forest.capacity, positions, pictures)
            starts = np.array([len(self._trees[index].ids) - 1 for index in batch.tree])
            askable = np.flatnonzero(batch.depth >= starts).tolist()
            self._computed.update((batch.nodes[row], hidden[row]) for row in askable)

    def spreads(self, nodes: list[int], temperature: float, top_p: float) -> list[Spread]:
        """The next token's distribution at each node (sorted by tree)."""
        fresh = [node for node in nodes if node not in self._computed]
        for batch in batches(self.forest, fresh, MOST_SCORES):
            positions = self._positions(batch.tree, batch.depth)
            hidden = self._forward.extend(batch, self.forest.capacity, positions)
            self._computed.update(zip(batch.nodes, hidden, strict=True))
        logits = self._forward.logits(torch.stack([self._computed.pop(node) for node in nodes]))
        return spreads_of(logits, temperature, top_p)

    def _positions(self, tree: Ints, depth: Ints) -> Ints:
        """(3, N): the conversation's own, and counted on from its last."""
        found = np.empty((3, len(tree)), dtype=np.int64)
        for index in np.unique(tree):
            table, here = self._trees[index].positions, tree == index
            last = table.shape[1] - 1
            found[:, here] = table[:, np.minimum(depth[here], last)] + np.maximum(depth[here] - last, 0)
        return found


def spreads_of(logits: Tensor, temperature: float, top_p: float) -> list[Spread]:
    """One Spread a row of (N, V) logits."""
    best = logits.argmax(-1).tolist()
    rows = torch.log_softmax(logits, -1).cpu().numpy()
    if temperature <= 0:
        return [Spread(token, None, row) for token, row in zip(best, rows, strict=True)]
    sums = cumulated(logits, temperature, top_p).cpu().numpy()
    return [Spread(token, own, row) for token, own, row in zip(best, sums, rows, strict=True)]
