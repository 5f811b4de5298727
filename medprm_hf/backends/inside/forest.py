"""Token trees, one per conversation: what several texts begin with alike is computed once.

A node is one token after everything above it; the root chain is the prompt, below it lie the prefixes of
the solutions and whatever the samples have said so far. A sample is a walk down its tree: where the next
node is known it costs nothing, where it is not the model computes that one node, for all the walks that
wait for it.

    prompt ─ Look. ┬ Left. ┬ A      8 samples after "Look. Left." that say the same walk the same nodes
                   │       └ B
                   └ Right. ─ B

The forest holds a wave of conversations. Slot s of tree c is column s of that tree's key and value
buffers; `sees[c, s]` marks the slots on the path from the root to s, itself included: the attention
mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

ROOT = -1


class Forest:
    """Trees of tokens; nodes are numbered through all trees in order of their making."""

    def __init__(self, trees: int, vocabulary: int, capacity: int = 256) -> None:
        self.vocabulary = vocabulary
        self.capacity = capacity
        """Slots that each tree has room for; doubles when one is full."""
        self.used = [0] * trees
        """Slots taken in each tree."""
        self.sees = np.zeros((trees, capacity, capacity), dtype=bool)
        self.tree: list[int] = []
        self.slot: list[int] = []
        self.token: list[int] = []
        self.depth: list[int] = []
        self._child: dict[int, int] = {}

    def child(self, tree: int, parent: int, token: int) -> int:
        """The node that `token` makes below `parent` (ROOT: at the top of the tree); made if it is new."""
        above = parent if parent != ROOT else -1 - tree
        key = above * self.vocabulary + token
        node = self._child.get(key)
        if node is None:
            node = self._child[key] = self._make(tree, parent, token)
        return node

    def insert(self, tree: int, tokens: Sequence[int]) -> int:
        """The node at the end of a chain of tokens from the root."""
        node = ROOT
        for token in tokens:
            node = self.child(tree, node, token)
        return node

    def __len__(self) -> int:
        return len(self.tree)

    def _make(self, tree: int, parent: int, token: int) -> int:
        slot = self.used[tree]
        if slot == self.capacity:
            self._grow()
        self.used[tree] = slot + 1
        seen = self.sees[tree]
        if parent != ROOT:
            seen[slot] = seen[self.slot[parent]]
        seen[slot, slot] = True
        self.tree.append(tree)
        self.slot.append(slot)
        self.token.append(token)
        self.depth.append(0 if parent == ROOT else self.depth[parent] + 1)
        return len(self.tree) - 1

    def _grow(self) -> None:
        old, self.capacity = self.capacity, 2 * self.capacity
        wider = np.zeros((len(self.used), self.capacity, self.capacity), dtype=bool)
        wider[:, :old, :old] = self.sees
        self.sees = wider


class Batch:
    """Nodes of neighbouring trees that are computed together, laid out for attention.

    N nodes, c trees from `first` on, at most R nodes in one of them, M slots in use in the fullest.
    """

    def __init__(self, forest: Forest, nodes: Sequence[int]) -> None:
        self.nodes = nodes
        self.tree = np.array([forest.tree[node] for node in nodes], dtype=np.int64)
        self.slot = np.array([forest.slot[node] for node in nodes], dtype=np.int64)
        self.token = np.array([forest.token[node] for node in nodes], dtype=np.int64)
        self.depth = np.array([forest.depth[node] for node in nodes], dtype=np.int64)
        self.first = int(self.tree[0])
        self.trees = int(self.tree[-1]) - self.first + 1
        self.local = self.tree - self.first
        """Tree of each node, counted from `first`; (N,)."""
        starts = np.searchsorted(self.local, np.arange(self.trees))
        self.row = np.arange(len(nodes)) - starts[self.local]
        """Place of each node among the nodes of its tree; (N,)."""
        self.rows = int(self.row.max()) + 1
        self.slots = max(forest.used[self.first : self.first + self.trees])
        self.sees = np.zeros((self.trees, self.rows, self.slots), dtype=bool)
        """(c, R, M); rows that are only padding see slot 0."""
        self.sees[:, :, 0] = True
        self.sees[self.local, self.row] = forest.sees[self.tree, self.slot, : self.slots]


def batches(forest: Forest, nodes: Sequence[int], most_scores: int) -> list[Batch]:
    """Cut nodes (sorted by tree, parents first) into batches of at most `most_scores` cells (c·R·M).

    A tree that is too large by itself is cut too: what it needs of its first part is then in its buffers.
    """
    found: list[Batch] = []
    start, first, rows, slots = 0, 0, 0, 0
    for index, end in _runs(forest, nodes, most_scores):
        tree = forest.tree[nodes[index]]
        wider = (max(rows, end - index), max(slots, forest.used[tree]))
        again = index > start and forest.tree[nodes[index - 1]] == tree
        if index > start and (again or (tree - first + 1) * wider[0] * wider[1] > most_scores):
            found.append(Batch(forest, nodes[start:index]))
            start, wider = index, (end - index, forest.used[tree])
        if start == index:
            first = tree
        rows, slots = wider
    if start < len(nodes):
        found.append(Batch(forest, nodes[start:]))
    return found


def _runs(forest: Forest, nodes: Sequence[int], most_scores: int) -> Iterator[tuple[int, int]]:
    """[start, end) of neighbours in one tree, none with more than `most_scores` cells."""
    start = 0
    while start < len(nodes):
        tree = forest.tree[nodes[start]]
        most = start + max(1, most_scores // forest.used[tree])
        end = start
        while end < min(len(nodes), most) and forest.tree[nodes[end]] == tree:
            end += 1
        yield start, end
        start = end
