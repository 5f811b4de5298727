"""Right again: hypotheses for the first-error model in which a later step makes up for the first wrong one.

The model's plain hypotheses say "wrong from step k on". Where truth is not monotone that states too much: a solution
whose last prefixes succeed may have been wrong in the middle. So each pair k < j is a hypothesis too: wrong from k to
j - 1, right again from j on, where the success level has walked on unseen meanwhile.

    steps        0  1  2  3  4        pair (1, 3): + - - + +
    level z      z0 .  .  z3 z4       the walk goes over the gap without counts
    recovery r      r  r              one rate for the gap, as for a plain error

`priors.back` is the share of wrong solutions that recover; it is learnt with the other priors. Below `LEAST` the pairs
are left out, and the model is the plain one. Pairs are sorted by j, then k: those with j <= s come first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from medprm_hf.labels.first_error_priors import LEVELS, RECOVERIES, Grid

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST = 0.015  # share of wrong solutions that recover below which the pairs are not worth their time
TINY = np.float32(1e-25)


@cache
def pairs(width: int) -> tuple[Ints, Ints]:
    """(P,) first wrong step k and (P,) first step j that is right again, P = width (width - 1) / 2."""
    both = [(k, j) for j in range(1, width) for k in range(j)]
    table = np.array(both, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


@cache
def wrong_steps(width: int, back: bool) -> Grid:
    """(H, S) 1 where hypothesis h makes step s wrong: k = 0..S (S: none), then the pairs if `back`."""
    step = np.arange(width)[None]
    plain = np.arange(width + 1)[:, None] <= step
    k, j = pairs(width) if back else (np.zeros(0, int), np.zeros(0, int))
    table: Grid = np.concatenate([plain, (k[:, None] <= step) & (step < j[:, None])]).astype(np.float32)
    return table


@dataclass(frozen=True)
class Back:
    """What the counts say for each pair, up to what happened before k."""

    weight: Floats
    """(n, P) natural log of prior, evidence of the gap, and the scale taken off `value`."""
    value: Grid
    """(n, P, G) evidence of the steps from j on, given the level at k."""

    @classmethod
    def of(cls, prior: Floats, num_steps: Ints, seen: Grid, seen_after: Grid, recovery: Grid, moves: Grid) -> Back:
        """From the log prior of each pair (n, P) and what `_likelihoods` gives."""
        width = seen.shape[1]
        k, j = pairs(width)
        weight = prior + _gaps(seen_after, recovery)
        value = np.empty((len(num_steps), len(k), seen.shape[2]), np.float32)
        rest, scale = suffixes(seen, moves)
        onward = np.empty((len(num_steps), 0, seen.shape[2]), np.float32)
        for step in range(width - 2, -1, -1):
            onward = np.concatenate([rest[:, step + 1 : step + 2], onward], 1)
            onward = (onward.reshape(-1, len(LEVELS)) @ moves.T).reshape(onward.shape)
            value[:, k == step] = onward
        return cls(weight + scale[:, j], value)

    def here(self, width: int) -> tuple[Floats, Grid]:
        """Evidence of "first wrong here, right again later": log scale (n, S) and values per level (n, S, G)."""
        k, _ = pairs(width)
        n, _, size = self.value.shape
        scale, table = np.full((n, width), -np.inf), np.zeros((n, width, size), np.float32)
        for step in range(width - 1):
            mine = k == step
            scale[:, step] = self.weight[:, mine].max(1)
            share = np.exp(self.weight[:, mine] - _finite(scale[:, step])[:, None]).astype(np.float32)
            table[:, step] = (share[:, None] @ self.value[:, mine])[:, 0]
        # Counts that no walk explains leave nothing: such a scale must not be what others are measured by.
        top = table.max(2)
        with np.errstate(divide="ignore"):
            scale += np.log(top)
        table /= np.where(top > 0, top, np.float32(1))[:, :, None]
        return scale, table

    def joint(self, before: Grid, log_before: Floats) -> Floats:
        """(n, P) log of prior times evidence of all counts, given the level before k."""
        k, _ = pairs(before.shape[1])
        fits = np.einsum("npg,npg->np", before[:, k], self.value)
        return np.asarray(self.weight + log_before[:, k] + np.log(np.maximum(fits, TINY)))


def log_prior(position: Floats, num_steps: Ints, back: float) -> Floats:
    """(n, P) log P(first wrong step k, right again from j on): each later step is as likely; -inf beyond the end."""
    k, j = pairs(position.shape[1] - 1)
    length = num_steps[:, None]
    with np.errstate(divide="ignore"):
        share: Floats = np.where(j < length, position[:, k] * back / np.maximum(length - 1 - k, 1), 0.0)
        return np.log(share)


def suffixes(seen: Grid, moves: Grid) -> tuple[Grid, Floats]:
    """Evidence of the counts from step s on if all are right, per level at s (n, S, G), and its log scale (n, S)."""
    rest, scale = seen.copy(), np.zeros(seen.shape[:2])
    for step in range(seen.shape[1] - 1, -1, -1):
        if step < seen.shape[1] - 1:
            rest[:, step] *= rest[:, step + 1] @ moves.T
            scale[:, step] = scale[:, step + 1]
        top = np.maximum(rest[:, step].max(1), TINY)
        rest[:, step] /= top[:, None]
        rest[:, step][rest[:, step] < TINY] = 0
        scale[:, step] += np.log(top)
    return rest, scale


def _gaps(seen_after: Grid, recovery: Grid) -> Floats:
    """(n, P) log evidence of the counts from k to j - 1 under one recovery rate."""
    logs, _ = _by_rate(seen_after, recovery)
    best = logs.max(0)
    result: Floats = np.log(np.exp(logs - best).sum(0)).astype(float) + best
    return result


def _by_rate(seen_after: Grid, recovery: Grid) -> tuple[Grid, Ints]:
    """(R, n, P) log of recovery prior times evidence of the gap, and k."""
    rates, n, width = seen_after.shape
    upto = np.zeros((rates, n, width + 1), np.float32)
    np.cumsum(seen_after, 2, out=upto[:, :, 1:])
    k, j = pairs(width)
    logs: Grid = upto[:, :, j] - upto[:, :, k] + np.log(np.maximum(recovery, TINY))[:, None, None]
    return logs, k


def predict_pairs(
    before: Grid, seen: Grid, seen_after: Grid, recovery: Grid, moves: Grid, plain: Grid, powers: Grid
) -> Grid:
    """Mean and mean square of the success rate at each step under each pair, (2, m, S, P).

    `plain` (2, m, S, S + 1) is the same for the plain hypotheses: before k it is taken from there. `powers` (G, 3)
    holds rate, rate² and 1.
    """
    m, width, size = seen.shape
    k, j = pairs(width)
    logs, _ = _by_rate(seen_after, recovery)
    share = np.exp(logs - logs.max(0))
    share /= share.sum(0)
    gap = np.tensordot(np.stack([RECOVERIES, RECOVERIES**2]), share, 1)
    rest, _ = suffixes(seen, moves)
    unseen = found = np.empty((m, 0, size), np.float32)
    result = np.empty((2, m, width, len(k)), np.float32)
    for step in range(width):
        inside, early = (k <= step) & (step < j), step < k
        result[:, :, step, inside] = gap[:, :, inside]
        result[:, :, step, early] = plain[:, :, step, k[early]]
        if step:
            unseen = _moved(np.concatenate([unseen, before[:, step - 1 : step]], 1), moves)
            found = np.concatenate([_moved(found * seen[:, step - 1 : step], moves), unseen], 1)
            sums = ((found * rest[:, step : step + 1]).reshape(-1, size) @ powers).reshape(m, -1, 3)
            means = sums[..., :2] / np.maximum(sums[..., 2:], TINY)
            result[:, :, step, : found.shape[1]] = means.transpose(2, 0, 1)
    return result


def _moved(levels: Grid, moves: Grid) -> Grid:
    """One step of the walk for distributions (m, x, G); each sums to 1 afterwards."""
    onward = levels.reshape(-1, levels.shape[2]) @ moves
    onward /= np.maximum(onward.sum(1, keepdims=True), TINY)
    onward[onward < TINY] = 0
    return onward.reshape(levels.shape)


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, 0.0)
