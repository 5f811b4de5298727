"""The field's estimators: fixed K, first success, bisect and sequential.

All share the interface of `labels/monte_carlo.py`. Rollouts for a solution of 7 steps at 60 % success whose
first wrong step is the fifth:

    fixed          16 a step until a step falls to tau: 16 × 5           VisualPRM, arXiv 2503.10291
    first success  until the first success, 16 at most: 1.7 × 4 + 16     the labels of fixed with mc > 0
    bisect         16 a probe, log2 of the steps: 16 × 3                 OmegaPRM, arXiv 2406.06592, 3.1
    sequential     until P(rate > tau) is decided, or 16                 Wald 1945, with a beta posterior
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medprm_hf.errors import ConfigError
from medprm_hf.labels.accuracy import WRONG, Labels, advantage_labels, value_labels
from medprm_hf.labels.monte_carlo import Decision, Pairs, Problem, State, decision


def need_positive(**settings: int) -> None:
    """ConfigError for the first setting below 1."""
    for name, value in settings.items():
        if value < 1:
            raise ConfigError(f"{name}={value} asks for no rollout: set {name} to 1 or more")


def need_share(**settings: float) -> None:
    """ConfigError for the first setting outside 0..1 (1 itself excluded: nothing lies above it)."""
    for name, value in settings.items():
        if not 0 <= value < 1:
            raise ConfigError(f"{name}={value} is no share of rollouts: choose 0 <= {name} < 1")


@dataclass(frozen=True)
class Fixed:
    """K rollouts of every prefix; with `early_stop` nothing after the first step that falls to tau."""

    k: int = 16
    """Rollouts of a prefix (VisualPRM: 16)."""
    tau: float = 0.0
    """A step is `+` where its expected accuracy lies above this (VisualPRM: 0)."""
    early_stop: bool = True
    """Whether steps after the first `-` stay unsampled, and so `?`."""
    rule: str = "value"
    """`value` (mc > tau) or `advantage` (mc_i - mc_{i-1})."""
    band: float = 0.0
    """Advantage rule: differences up to this size are neutral."""
    corrected: bool = False
    """Whether tau is held against the chance-corrected expected accuracy."""

    def __post_init__(self) -> None:
        """Check the settings against each other; ConfigError."""
        need_positive(k=self.k)
        need_share(tau=self.tau, band=self.band)
        if self.rule not in ("value", "advantage"):
            raise ConfigError(f"rule={self.rule!r} is unknown: choose value or advantage")

    def ask(self, problem: Problem, state: State) -> Pairs:
        """With early stop the first unfinished prefix of each open solution, else all that is missing."""
        missing = np.where(problem.mask & ~state.closed, self.k - state.total, 0).clip(min=0)
        if not self.early_stop:
            return Pairs.of_counts(missing)
        steps = (missing > 0).argmax(1)
        finished = np.arange(problem.width)[None] < steps[:, None]
        stopped = (finished & (self._value(problem, state) == WRONG)).any(1)
        rows = np.flatnonzero((missing > 0).any(1) & ~stopped)
        return Pairs.repeat(rows, steps[rows], missing[rows, steps[rows]])

    def decide(self, problem: Problem, state: State) -> Decision:
        """Labels by the rule; `?` where nothing was read."""
        labels = self._value(problem, state)
        if self.rule == "advantage":
            labels, _ = advantage_labels(state.correct, state.total, self.band)
        return decision(problem, state, labels)

    def _value(self, problem: Problem, state: State) -> Labels:
        baseline = problem.chance[:, None] if self.corrected else np.nan
        return value_labels(state.correct, state.total, self.tau, baseline)
