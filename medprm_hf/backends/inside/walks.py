"""Samples as walks down a forest: each draws its own tokens, all share what the model computes.

A round moves every walk as far as known nodes carry it, then computes all nodes that some walk waits for,
in one batch. A walk's draws depend on its own seed and step alone (`draws.py`), so sharing changes no
distribution and no walk's text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medprm_hf.backends.inside.draws import uniforms_of
from medprm_hf.backends.inside.forest import Forest

Floats = NDArray[np.float32]

_BLOCK = 64
"""Draws made at once for a walk."""
KEPT_VOCABULARY = 8192
"""Up to this vocabulary the distributions of a wave's nodes are kept for walks that come by later."""


@dataclass(slots=True)
class Walk:
    """One sample: where it stands and what it has said."""

    tree: int
    """Its conversation within the wave."""
    node: int
    """Node it stands on; at first the last token of its prompt."""
    seed: int
    """64-bit seed of its draws."""
    limit: int
    """Tokens at most."""
    stop: tuple[str, ...] = ()
    tokens: list[int] = field(default_factory=list)
    """What it said, the end token included."""
    logprobs: list[float] = field(default_factory=list)
    """Natural log-probability of each token under the model, before temperature."""
    finish: str = ""
    """`stop` or `length` once it has ended."""


class Spread(NamedTuple):
    """The next token's distribution at one node."""

    best: int
    """The most probable token."""
    cumulated: NDArray[np.float64] | None
    """(V,) cumulated probabilities; None when greedy."""
    logprobs: Floats
    """(V,) natural log-probabilities, before temperature."""


Compute = Callable[[list[int]], list[Spread]]
"""Computes nodes, sorted by tree, and says what may follow each."""


class Sampler:
    """Moves the walks of one wave to their ends."""

    def __init__(
        self, forest: Forest, compute: Compute, ends: frozenset[int], decode: Callable[[tuple[int, ...]], str]
    ) -> None:
        self._forest = forest
        self._compute = compute
        self._ends = ends
        self._decode = decode
        self._known: dict[int, Spread] = {}

    def run(self, walks: Sequence[Walk]) -> None:
        """Walk all to their ends."""
        seeds = np.array([walk.seed for walk in walks], dtype=np.uint64)
        draws = uniforms_of(seeds, 0, _BLOCK).tolist()
        moving = list(zip(walks, draws, strict=True))
        while moving:
            moving = [(walk, drawn) for walk, drawn in moving if not self._advance(walk, drawn)]
            waited_for = sorted({walk.node for walk, _ in moving}, key=lambda n: (self._forest.tree[n], n))
            if waited_for:
                self._learn(waited_for)

    def _learn(self, nodes: list[int]) -> None:
        if self._forest.vocabulary > KEPT_VOCABULARY:
            self._known.clear()
        self._known.update(zip(nodes, self._compute(nodes), strict=True))

    def _advance(self, walk: Walk, draws: list[float]) -> bool:
        """Go on while the next distribution is known; True when the walk has ended."""
        while (spread := self._known.get(walk.node)) is not None:
            token = self._draw(spread, walk, draws)
            walk.tokens.append(token)
            walk.logprobs.append(float(spread.logprobs[token]))
            walk.finish = self._finish(walk, token)
            if walk.finish:
                return True
            walk.node = self._forest.child(walk.tree, walk.node, token)
        return False

    def _draw(self, spread: Spread, walk: Walk, draws: list[float]) -> int:
        if spread.cumulated is None:
            return spread.best
        step = len(walk.tokens)
        if step == len(draws):
            draws += uniforms_of(np.array([walk.seed], dtype=np.uint64), step, _BLOCK)[0].tolist()
        return int(spread.cumulated.searchsorted(draws[step], side="right"))

    def _finish(self, walk: Walk, token: int) -> str:
        if token in self._ends:
            return "stop"
        if walk.stop and any(text in self._decode(tuple(walk.tokens)) for text in walk.stop):
            return "stop"
        return "length" if len(walk.tokens) >= walk.limit else ""
