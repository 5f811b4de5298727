"""Probabilities that mean what they say: temperature and threshold, fitted on development data. Pure functions.

    temperature = fit_temperature(differences, right)      Guo et al. 2017, arXiv 1706.04599
    threshold = best_threshold(scores, right)              where macro-F1 over + and - is highest

Both take flat arrays over steps, (n,): logit(+) - logit(-) or P(+), and whether the step is right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from medprm_hf.errors import DataError

LIMITS = (0.05, 20.0)
"""Temperatures that are considered."""


def _pair(
    values: ArrayLike, right: Sequence[bool] | NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    x, y = np.asarray(values, float), np.asarray(right, bool)
    if x.shape != y.shape or not x.size:
        raise DataError(f"{x.size} scores and {y.size} labels: give one each, and at least one step")
    return x, y


def fit_temperature(differences: ArrayLike, right: Sequence[bool] | NDArray[np.bool_]) -> float:
    """The T that makes sigmoid(difference / T) likeliest; 1.0 where all steps are of one class."""
    x, y = _pair(differences, right)
    if y.all() or not y.any():
        return 1.0
    signed = np.where(y, x, -x)

    def surprise(log_t: float) -> float:
        return float(np.logaddexp(0.0, -signed / np.exp(log_t)).mean())

    low, high = np.log(LIMITS[0]), np.log(LIMITS[1])
    return float(np.exp(minimize_scalar(surprise, bounds=(low, high), method="bounded").x))


def best_threshold(scores: ArrayLike, right: Sequence[bool] | NDArray[np.bool_]) -> float:
    """The threshold (a step is + where its score is above) with the highest macro-F1; 0.5 with one class alone.

    Between equals the one nearest to 0.5, halfway between two neighbouring scores.
    """
    x, y = _pair(scores, right)
    if y.all() or not y.any():
        return 0.5
    order = np.argsort(x)
    x, y = x[order], y[order]
    wrong_below = np.concatenate([[0], np.cumsum(~y)])
    right_below = np.concatenate([[0], np.cumsum(y)])
    below = np.arange(len(x) + 1)
    right_above = y.sum() - right_below
    f_right = 2 * right_above / (len(x) - below + y.sum())
    f_wrong = 2 * wrong_below / (below + (~y).sum())
    edges = np.concatenate([[max(x[0] - 1e-6, 0.0)], (x[1:] + x[:-1]) / 2, [x[-1]]])
    # A cut between equal scores is no cut.
    possible = np.concatenate([[True], x[1:] > x[:-1], [True]])
    macro = np.where(possible, (f_right + f_wrong) / 2, -1.0)
    near = np.flatnonzero(macro >= macro.max() - 1e-12)
    return float(edges[near[np.abs(edges[near] - 0.5).argmin()]])
