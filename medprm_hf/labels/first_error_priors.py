"""What the first-error model believes before any rollout of a solution, as plain values that a run can store.

Learnt values are kept per chance rate, because guessing among two options and among five recover differently:

    {"open": {"error_rate": 0.5, "position": [...], "level": [...], "recovery": [...], "drift": 0.15, ...},
     "0.25": {...}}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprm_hf.errors import DataError

Grid = NDArray[np.float32]

LEVELS = np.linspace(-3.4, 4.6, 28).astype(np.float32)
"""Grid of success before the error, log-odds: 0.03 to 0.99."""
RECOVERIES = np.array(
    "0.004 .015 .03 .05 .075 .105 .14 .18 .23 .28 .33 .38 .43 .48 .53 .58 .65 .75".split(), np.float32
)
"""Grid of success from the error on."""
DRIFTS = (0.05, 0.1, 0.15, 0.2, 0.27, 0.36, 0.45, 0.57, 0.75)
TRENDS = (-0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
POSITION_BINS = 4
BACK = 0.02  # where a run begins: enough to look for steps that are right again, little enough to forget them


@dataclass(frozen=True)
class Priors:
    """Population values of one kind of question (same chance rate)."""

    error_rate: float
    """Share of solutions with a wrong step, 0..1."""
    position: tuple[float, ...]
    """Where the first wrong step lies, share per quarter of the solution; sums to 1."""
    level: tuple[float, ...]
    """Weights on LEVELS of a question's success rate before any error; sums to 1."""
    recovery: tuple[float, ...]
    """Weights on RECOVERIES of a solution's success rate from its first error on; sums to 1."""
    trend: float = 0.1
    """Mean change of the success rate from step to step, log-odds (a longer right prefix helps)."""
    drift: float = 0.27
    """Standard deviation of that change, log-odds."""
    noise: float = 0.1
    """Standard deviation of the recovery rate from step to step, natural log."""
    back: float = 0.0
    """Share of wrong solutions that a later step makes right again, among those that have a later step."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Priors:
        """The other way round. Raises DataError when the weights do not fit the grids."""
        for name, size in (("level", len(LEVELS)), ("recovery", len(RECOVERIES)), ("position", POSITION_BINS)):
            if len(values.get(name, ())) != size:
                found = len(values.get(name, ()))
                raise DataError(f"priors: {name} has {found} weights, {size} are needed: learn them anew")
        read: dict[str, Any] = {k: tuple(v) if isinstance(v, list | tuple) else float(v) for k, v in values.items()}
        return cls(**read)


def default_priors(chance: float) -> Priors:
    """Broad beliefs to start from; `chance` (0 or nan: open question) is the mean of the recovery rate.

    A wrong solution that ends in a guess is right as often as guessing is; an open one seldom.
    """
    level = np.exp(-0.5 * ((LEVELS.astype(float) - 0.6) / 1.3) ** 2)
    rate = RECOVERIES.astype(float)
    a, b = (chance * 8, (1 - chance) * 8) if chance > 0 else (1.0, 9.0)
    recovery = rate ** (a - 1) * (1 - rate) ** (b - 1) * np.gradient(rate)
    return Priors(0.5, (1 / POSITION_BINS,) * POSITION_BINS, _shares(level), _shares(recovery), back=BACK)


def _shares(weights: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple((weights / weights.sum()).tolist())


def position_prior(priors: Priors, num_steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """P(first wrong step = k), (n, S + 1), zero beyond a solution; column num_steps means that none is wrong."""
    width = int(num_steps.max())
    k, length = np.arange(width + 1)[None], num_steps[:, None]
    bins = np.minimum(POSITION_BINS * (k + 0.5) / length, POSITION_BINS - 1).astype(int)
    density = np.where(k < length, np.array(priors.position)[bins], 0.0)
    table: NDArray[np.float64] = priors.error_rate * density / density.sum(1, keepdims=True)
    table[np.arange(len(num_steps)), num_steps] = 1 - priors.error_rate
    return table


def kernel(trend: float, drift: float) -> Grid:
    """(G, G) chances to move from one level to another in one step: a normal step, interpolated on the grid."""
    gap = float(LEVELS[1] - LEVELS[0])
    # Interpolating adds gap² / 6 of variance on average; take it off first.
    sd = math.sqrt(max(drift**2 - gap**2 / 6, 1e-4))
    nodes, weights = hermite(7)
    moves, size = np.zeros((len(LEVELS), len(LEVELS))), len(LEVELS)
    for node, weight in zip(nodes, weights, strict=True):
        at = np.clip((LEVELS + trend + sd * node - LEVELS[0]) / gap, 0, size - 1 - 1e-6)
        low = at.astype(int)
        np.add.at(moves, (np.arange(size), low), weight * (1 - at + low))
        np.add.at(moves, (np.arange(size), low + 1), weight * (at - low))
    moves[moves < 1e-6] = 0  # tiny factors become denormal numbers, which are slow
    rows: Grid = (moves / moves.sum(1, keepdims=True)).astype(np.float32)
    return rows


def hermite(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights for means over a standard normal, (count,) each."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()
