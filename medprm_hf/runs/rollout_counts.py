"""How many rollouts a solution will take: the recipe's own estimator, let loose on invented solutions.

Fixed numbers follow from K and the number of steps; adaptive estimators ask what the answers make them ask, so they
are run (`labels/monte_carlo.py`) on solutions whose first wrong step and success rates are drawn from assumptions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medprm_hf.labels.monte_carlo import Problem, make_estimator, run
from medprm_hf.specs import RolloutSpec

QUESTIONS, SIBLINGS = 40, 4
"""Invented questions, and solutions of each."""
BEFORE, AFTER = 0.7, 0.15
"""Share of rollouts that come out right before and after the first wrong step."""


@dataclass(frozen=True)
class RolloutCounts:
    """Of one solution, on average."""

    rollouts: float
    """The last prefix left out: a whole solution answers itself."""
    requests: float
    """One asks for all rollouts of a prefix that are due in a round."""


def rollout_counts(spec: RolloutSpec, steps: float, wrong: float, seed: int = 0) -> RolloutCounts:
    """Rollouts and requests of one solution with `steps` steps (a mean), a share `wrong` of which go wrong somewhere.

    Which rollouts are right is drawn from `BEFORE` and `AFTER`; the result is the mean over invented solutions.
    """
    draws = np.random.default_rng(seed)
    size = QUESTIONS * SIBLINGS
    low = int(steps)
    count = np.maximum(1, low + (draws.random(size) < steps - low))
    first_wrong = np.where(draws.random(size) < wrong, draws.integers(0, count), count)
    asked = _Counter(count, first_wrong, draws)
    chance = [None] * size if spec.chance == "none" else [0.25] * size
    problem = Problem.of(count, np.repeat(np.arange(QUESTIONS), SIBLINGS), first_wrong == count, chance)
    run(make_estimator(spec.estimator, **spec.estimator_settings()), problem, asked)
    extra = spec.k / SIBLINGS if spec.chance == "empty_prefix" else 0.0
    return RolloutCounts(asked.rollouts / size + extra, asked.requests / size + (1 / SIBLINGS if extra else 0.0))


class _Counter:
    """Answers an estimator and counts what it asks for."""

    def __init__(self, count: NDArray[np.int64], first_wrong: NDArray[np.int64], draws: np.random.Generator) -> None:
        self._last, self._wrong, self._draws = count - 1, first_wrong, draws
        self.rollouts = self.requests = 0

    def __call__(self, rows: NDArray[np.int64], steps: NDArray[np.int64]) -> list[bool | None]:
        paid = steps < self._last[rows]
        self.rollouts += int(paid.sum())
        self.requests += len(np.unique(np.stack([rows[paid], steps[paid]]), axis=1).T)
        rate = np.where(steps < self._wrong[rows], BEFORE, AFTER)
        return list((self._draws.random(len(rows)) < rate).tolist())
