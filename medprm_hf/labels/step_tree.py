"""Solutions of a question as a tree: what is the same step, after the same steps, is one node.

Sampled solutions share beginnings. Equal beginnings are sampled once by the rollout stage, judged several times
(once in every solution), and need an expert once only; so the label model reasons on nodes, not on copies.

    Nodules: one. ── Type: solid. ── Answer: B.        three solutions of three steps, 9 copies: 6 nodes
                  │               └─ Answer: C.        (white space does not count)
                  └─ Type: calcified. ── Answer: A.

>>> tree = plant(["q"] * 3, [["one", "solid", "B"], ["one", "solid", "C"], ["one", "calcified", "A"]])
>>> tree.size, tree.copies.tolist(), tree.node_of[2]
(6, [3, 2, 1, 1, 1, 1], [0, 4, 5])
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
LAST = 9
"""Place of a solution's last step, wherever it stands: it gives the answer."""
PLACES = LAST + 1
"""Places 0 to 8 are the step's index (8: eight or more); 9 is the last step."""


@dataclass(frozen=True)
class StepTree:
    """The nodes of many questions; parents come before their children."""

    parent: Ints
    """Node before, -1 for a first step, (nodes,)."""
    depth: Ints
    """Index of the step, from 0, (nodes,)."""
    place: Ints
    """Index of the step up to 8, or LAST, (nodes,)."""
    copies: Ints
    """Solutions that go through it, (nodes,)."""
    siblings: Ints
    """Solutions of its question, (nodes,)."""
    question: Ints
    """Number of its question, (nodes,)."""
    node_of: list[list[int]]
    """Node of each step, [solutions][num_steps]."""

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.parent)

    @property
    def levels(self) -> list[Ints]:
        """Nodes by depth, from the first steps on."""
        return [np.flatnonzero(self.depth == level) for level in range(int(self.depth.max(initial=-1)) + 1)]

    @property
    def share(self) -> Ints:
        """How many of the question's solutions go through a node: 0 it has one solution only, 1 this solution
        alone, 2 up to half, 3 more, 4 all; (nodes,)."""
        part = self.copies / np.maximum(self.siblings, 1)
        agreed = np.where(part >= 1, 4, np.where(part > 0.5, 3, 2))
        return np.where(self.siblings < 2, 0, np.where(self.copies < 2, 1, agreed)).astype(np.int64)


SHARES = 5
"""How many values `StepTree.share` has."""


def plant(questions: Sequence[Hashable], steps: Sequence[Sequence[str]]) -> StepTree:
    """The tree of solutions, [solutions] and [solutions][num_steps]; a last step never is a middle one."""
    numbers: dict[Hashable, int] = {}
    nodes: dict[tuple[int, int, str, bool], int] = {}
    rows: list[tuple[int, int, int, int]] = []
    copies: list[int] = []
    solutions: list[int] = []
    node_of: list[list[int]] = []
    for name, chain in zip(questions, steps, strict=True):
        question = numbers.setdefault(name, len(numbers))
        if question == len(solutions):
            solutions.append(0)
        solutions[question] += 1
        before, path = -1, []
        for depth, text in enumerate(chain):
            last = depth == len(chain) - 1
            key = (question if before < 0 else before, depth, " ".join(text.split()), last)
            at = nodes.setdefault(key, len(rows))
            if at == len(rows):
                rows.append((before, depth, LAST if last else min(depth, LAST - 1), question))
                copies.append(0)
            copies[at] += 1
            path.append(at)
            before = at
        node_of.append(path)
    parent, depths, place, owner = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    asked = np.array(solutions, dtype=np.int64)[owner]
    return StepTree(parent, depths, place, np.array(copies, dtype=np.int64), asked, owner, node_of)
