"""What the label model's tables look like before anything was learnt: judges and rollouts are better than nothing.

Each prior is one table a step; learning adds counts to it and to what all steps share (`lean`). Success rates of
rollouts are a grid over guessing: a few below chance (a model that is sure of a wrong answer), most between chance
and 1, so that a prefix that is astray looks alike with two options and with five.
"""

from __future__ import annotations

import numpy as np

from medprm_hf.labels.label_signals import ESTIMATES, JUDGED, P_BINS, TWO_SIDES, Channel
from medprm_hf.labels.step_tree import Floats

_BELOW = np.array([0.01, 0.1, 0.4])  # shares of chance
_ABOVE = np.array([0.0, 0.05, 0.12, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.96, 0.99])  # shares of what lies above it
RATES = len(_BELOW) + len(_ABOVE)
"""Success rates of the grid."""
MC_BINS = 4
"""What the prefix before scored: unknown, below 0.2, below 0.7, above."""

STEP_PRIOR = np.array([[0.80, 0.02, 0.05, 0.13], [0.15, 0.25, 0.05, 0.55]])
"""P(state | chain before on its way, astray), (2, STATES): errors are rarer than not, and mostly carry on."""
_ACCURACY = {"high": 0.9, "medium": 0.8, "low": 0.65, "": 0.8}
_SPREAD = {"high": 0.6, "medium": 0.25, "low": 0.15, "": 0.5}
_NEUTRAL = 0.02


def success_rates(chance: Floats) -> Floats:
    """The grid above and below each node's chance, (nodes, RATES)."""
    guess = chance[:, None]
    return np.asarray(np.clip(np.concatenate([guess * _BELOW, guess + (1 - guess) * _ABOVE], 1), 0.003, 0.997))


def count_likelihoods(correct: Floats, total: Floats, chance: Floats) -> Floats:
    """P(correct of total | rate) up to a factor a node, (nodes, RATES); 1 where nothing was counted."""
    log_rates = np.log(rates := success_rates(chance))
    found = correct[:, None] * log_rates + (total - correct)[:, None] * np.log1p(-rates)
    return np.asarray(np.exp(found - found.max(1, keepdims=True)))


def rates_before(correct: Floats, total: Floats, parent: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[
    tuple[int], np.dtype[np.int64]
]:  # fmt: skip
    """Bin of the expected accuracy of the prefix before, (nodes,)."""
    mc = np.where(total > 0, correct / np.maximum(total, 1), np.nan)
    before = np.where(parent >= 0, mc[parent], np.nan) if len(mc) else mc
    return np.where(np.isnan(before), 0, np.where(before < 0.2, 1, np.where(before < 0.7, 2, 3)))


def shares(counts: Floats) -> Floats:
    """Counts as probabilities over the last axis."""
    return np.asarray(counts / np.maximum(counts.sum(-1, keepdims=True), 1e-300))


def rollout_prior() -> Floats:
    """P(rate | on its way, astray), (2, RATES)."""
    height = np.concatenate([np.full(len(_BELOW), -0.2), _ABOVE])
    return shares(np.stack([np.exp(1.5 * height), np.exp(-3 * height)]))


def channel_prior(channel: Channel) -> Floats:
    """P(category | right, wrong), (2, categories)."""
    if channel.categories == JUDGED:
        return shares(np.array([_judged(category) for category in JUDGED]).T)
    if channel.categories == ESTIMATES:
        middle = (np.arange(len(ESTIMATES)) + 0.5) / len(ESTIMATES)
        return shares(np.stack([middle, 1 - middle]))
    return shares(np.ones((TWO_SIDES, len(channel.categories))))


def _judged(category: str) -> tuple[float, float]:
    """Weights of one verdict where the step is right, and where it is wrong."""
    label, level = category[0], category[1:]
    if label == "0":
        return _NEUTRAL, _NEUTRAL
    if level.startswith("p"):
        p = (int(level[1:]) + 0.5) / P_BINS
        return p / P_BINS, (1 - p) / P_BINS
    hit, miss = _ACCURACY[level] * _SPREAD[level], (1 - _ACCURACY[level]) * _SPREAD[level]
    return (hit, miss) if label == "+" else (miss, hit)
