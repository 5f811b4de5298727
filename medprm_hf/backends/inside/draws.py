"""Draws that depend on a place's own seed and step alone, never on what else is in the batch.

`uniform(seed, t)` is output t of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) started at `seed`: a counter
hash, so any step of any place is computed alone, and thousands at once. A token is the first one whose
cumulated probability exceeds the draw (inverse CDF in order of token ids).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def uniforms_of(seeds: NDArray[np.uint64], first: int, count: int) -> NDArray[np.float64]:
    """Draws in [0, 1) of steps first … first+count-1, shape (len(seeds), count)."""
    steps = np.arange(first + 1, first + count + 1, dtype=np.uint64) * _GAMMA
    state = seeds[:, None] + steps[None, :]
    state = (state ^ (state >> np.uint64(30))) * _MIX[0]
    state = (state ^ (state >> np.uint64(27))) * _MIX[1]
    state ^= state >> np.uint64(31)
    return np.asarray((state >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def cumulated(logits: Tensor, temperature: float, top_p: float) -> Tensor:
    """Cumulated probabilities in order of token ids, (N, V) float64; the last column is 1.

    `top_p` keeps the most probable tokens until their sum reaches it (Holtzman et al., ICLR 2020, 3.1).
    """
    import torch

    probabilities = torch.softmax(logits.float() / temperature, dim=-1).double()
    if top_p < 1.0:
        ordered, order = probabilities.sort(dim=-1, descending=True)
        ordered[ordered.cumsum(-1) - ordered >= top_p] = 0.0
        probabilities = torch.zeros_like(probabilities).scatter_(-1, order, ordered)
    total = probabilities.cumsum(-1)
    return total / total[:, -1:]
