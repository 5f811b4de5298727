"""Probabilities that mean what they say: temperature and threshold, fitted on development data. Pure functions.

    temperature = fit_temperature(differences, right)      Guo et al. 2017, arXiv 1706.04599
    threshold = best_threshold(scores, right)              where macro-F1 over + and - is highest

Both take flat arrays over steps, (n,): logit(+) - logit(-) or P(+), and whether the step is right: 0 or 1, or between
them where that is known with a probability.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from medprm_hf.errors import DataError

Floats = NDArray[np.float64]
LIMITS = (0.05, 20.0)
"""Temperatures that are considered."""


def _pair(values: ArrayLike, right: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(values, float), np.asarray(right, float)
    if x.shape != y.shape or not x.size:
        raise DataError(f"{x.size} scores and {y.size} labels: give one each, and at least one step")
    return x, y


def _one_class(y: Floats) -> bool:
    return bool((y == y[0]).all() and y[0] in (0.0, 1.0))


def calibration_error(scores: ArrayLike, right: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error, 0..1: mean gap of P(+) and the share that is right, over bins of equal width."""
    x, y = _pair(scores, right)
    place = np.minimum((x * bins).astype(int), bins - 1)
    held = [place == each for each in np.unique(place)]
    return float(sum(abs(x[own].mean() - y[own].mean()) * own.mean() for own in held))


def fit_temperature(differences: ArrayLike, right: ArrayLike) -> float:
    """The T that makes sigmoid(difference / T) likeliest; 1.0 where all steps are of one class."""
    x, y = _pair(differences, right)
    if _one_class(y):
        return 1.0

    def surprise(log_t: float) -> float:
        scaled = x / np.exp(log_t)
        return float((y * np.logaddexp(0.0, -scaled) + (1 - y) * np.logaddexp(0.0, scaled)).mean())

    low, high = np.log(LIMITS[0]), np.log(LIMITS[1])
    return float(np.exp(minimize_scalar(surprise, bounds=(low, high), method="bounded").x))


def fit_temperature_to_evidence(differences: ArrayLike, log_ratios: ArrayLike) -> float:
    """The T that makes the *signals* likeliest, where no label is sure: P(+) = sigmoid(difference / T), and each step's
    signals say log P(signals | right) / P(signals | wrong), (n,).

    A posterior P(right) as the label would be wrong here: it is drawn towards its prior, and a model that knows more
    than one step's signals do would be held back to it.
    """
    x, ratios = np.asarray(differences, float), np.asarray(log_ratios, float)
    if x.shape != ratios.shape or not x.size:
        raise DataError(f"{x.size} scores and {ratios.size} log ratios: give one each, and at least one step")

    def surprise(log_t: float) -> float:
        scaled = x / np.exp(log_t)
        right, wrong = -np.logaddexp(0.0, -scaled), -np.logaddexp(0.0, scaled)
        return float(-np.logaddexp(right + ratios, wrong).mean())

    low, high = np.log(LIMITS[0]), np.log(LIMITS[1])
    return float(np.exp(minimize_scalar(surprise, bounds=(low, high), method="bounded").x))


def best_threshold(scores: ArrayLike, right: ArrayLike) -> float:
    """The threshold (a step is + where its score is above) with the highest macro-F1; 0.5 with one class alone.

    Between equals the one nearest to 0.5, halfway between two neighbouring scores.
    """
    x, y = _pair(scores, right)
    if _one_class(y):
        return 0.5
    order = np.argsort(x)
    x, y = x[order], y[order]
    wrong_below = np.concatenate([[0], np.cumsum(1 - y)])
    right_below = np.concatenate([[0], np.cumsum(y)])
    below = np.arange(len(x) + 1)
    f_right = 2 * (y.sum() - right_below) / (len(x) - below + y.sum())
    f_wrong = 2 * wrong_below / (below + (1 - y).sum())
    edges = np.concatenate([[max(x[0] - 1e-6, 0.0)], (x[1:] + x[:-1]) / 2, [x[-1]]])
    # A cut between equal scores is no cut.
    possible = np.concatenate([[True], x[1:] > x[:-1], [True]])
    macro = np.where(possible, (f_right + f_wrong) / 2, -1.0)
    near = np.flatnonzero(macro >= macro.max() - 1e-12)
    return float(edges[near[np.abs(edges[near] - 0.5).argmin()]])
