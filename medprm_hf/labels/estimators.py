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
from numpy.typing import NDArray
from scipy.special import betainc

from medprm_hf.errors import ConfigError
from medprm_hf.labels.accuracy import RIGHT, UNKNOWN, WRONG, Labels, advantage_labels, value_labels
from medprm_hf.labels.monte_carlo import Bools, Decision, Ints, Pairs, Problem, State, decision


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


@dataclass(frozen=True)
class FirstSuccess:
    """Samples a prefix until its first success, `k` at most, then the next: labels of Fixed with tau 0, cheaper."""

    k: int = 16
    """Most rollouts of a prefix."""
    batch: int = 1
    """Rollouts of a prefix in one round: more fill the server, and overshoot a little."""
    early_stop: bool = True
    """Whether steps after the first `-` stay unsampled, and so `?`."""

    def __post_init__(self) -> None:
        """Check the settings; ConfigError."""
        need_positive(k=self.k, batch=self.batch)

    def ask(self, problem: Problem, state: State) -> Pairs:
        """The next rollouts of the first undecided prefix; of all undecided ones without early stop."""
        failed = (state.total >= self.k) & (state.correct == 0)
        undecided = problem.mask & (state.correct == 0) & ~failed & ~state.closed
        if self.early_stop:
            undecided = _first(undecided) & ~failed.any(1, keepdims=True)
        return Pairs.of_counts(np.where(undecided, np.minimum(self.batch, self.k - state.total), 0))

    def decide(self, problem: Problem, state: State) -> Decision:
        """`+` after a success, `-` after k failures, else `?`."""
        failed = np.where(state.total >= self.k, WRONG, UNKNOWN)
        return decision(problem, state, np.where(state.correct > 0, RIGHT, failed))


@dataclass(frozen=True)
class Bisect:
    """Binary search for the first prefix without a success among k (OmegaPRM); the rest follows from it."""

    k: int = 16
    """Rollouts of a probed prefix."""
    tau: float = 0.0
    """A prefix counts as right where its expected accuracy lies above this."""

    def __post_init__(self) -> None:
        """Check the settings; ConfigError."""
        need_positive(k=self.k)
        need_share(tau=self.tau)

    def ask(self, problem: Problem, state: State) -> Pairs:
        """What the middle of each solution's open range still lacks."""
        low, high = self._range(problem, state)
        # A range in which no prefix ever answers stays open, but is not asked again.
        rows = np.flatnonzero((low < high) & ~self._silent(state, low, high).all(1))
        middle = self._middle(problem, state, low, high)[rows]
        return Pairs.repeat(rows, middle, (self.k - state.total[rows, middle]).clip(min=0))

    def decide(self, problem: Problem, state: State) -> Decision:
        """`+` before the first wrong step, `-` from it on; `?` inside a range that is still open."""
        low, high = self._range(problem, state)
        step = np.arange(problem.width)[None]
        labels = np.where(step < low[:, None], RIGHT, np.where(step >= high[:, None], WRONG, UNKNOWN))
        return decision(problem, state, labels)

    def _range(self, problem: Problem, state: State) -> tuple[Ints, Ints]:
        """The first wrong step lies in low..high (n,); equal where it is found."""
        step = np.arange(problem.width)[None]
        done = problem.mask & ((state.total >= self.k) | state.closed) & (state.total > 0)
        right = done & (state.correct > self.tau * state.total + 1e-9)
        high = np.where(done & ~right, step, problem.num_steps[:, None]).min(1)
        low = np.where(right & (step < high[:, None]), step + 1, 0).max(1)
        return low, high

    def _silent(self, state: State, low: Ints, high: Ints) -> Bools:
        step = np.arange(state.total.shape[1])[None]
        outside = (step < low[:, None]) | (step >= high[:, None])
        silent: Bools = outside | (state.closed & (state.total == 0))
        return silent

    def _middle(self, problem: Problem, state: State, low: Ints, high: Ints) -> Ints:
        """The prefix nearest to the middle of the range that can still answer (n,)."""
        step = np.arange(problem.width)[None]
        away = np.abs(step - ((low + high - 1) // 2)[:, None]).astype(float)
        nearest: Ints = np.where(self._silent(state, low, high), np.inf, away).argmin(1)
        return nearest


@dataclass(frozen=True)
class Sequential:
    """Per step: sample until P(success rate > tau) under a beta posterior is decided, `k` rollouts at most."""

    tau: float = 0.15
    """Success rate that tells a right prefix from a wrong one; with chance known, tau of the way from it to 1."""
    confidence: float = 0.95
    """A step is decided once P(rate > tau) reaches this, or falls to one minus it."""
    k: int = 16
    """Most rollouts of a prefix."""
    batch: int = 2
    """Rollouts of a prefix in one round."""
    early_stop: bool = True
    """Whether steps after the first `-` stay unsampled, and so `?`."""

    def __post_init__(self) -> None:
        """Check the settings; ConfigError."""
        need_positive(k=self.k, batch=self.batch)
        need_share(tau=self.tau)
        if not 0.5 < self.confidence < 1:
            raise ConfigError(f"confidence={self.confidence} decides nothing: choose 0.5 < confidence < 1")

    def ask(self, problem: Problem, state: State) -> Pairs:
        """The next rollouts of the first undecided prefix; of all undecided ones without early stop."""
        p_right = self._p_right(problem, state)
        sure = np.maximum(p_right, 1 - p_right) >= self.confidence
        done = (sure & (state.total > 0)) | (state.total >= self.k)
        undecided = problem.mask & ~done & ~state.closed
        if self.early_stop:
            undecided = _first(undecided) & ~(done & (p_right < 0.5) & problem.mask).any(1, keepdims=True)
        return Pairs.of_counts(np.where(undecided, np.minimum(self.batch, self.k - state.total), 0))

    def decide(self, problem: Problem, state: State) -> Decision:
        """The likelier side of tau; `?` where nothing was read."""
        p_right = np.where(state.total > 0, self._p_right(problem, state), np.nan)
        labels = np.where(np.isnan(p_right), UNKNOWN, np.where(p_right >= 0.5, RIGHT, WRONG))
        return decision(problem, state, labels, p_right)

    def _p_right(self, problem: Problem, state: State) -> NDArray[np.float64]:
        """P(rate > edge) under a flat prior, (n, S)."""
        chance = np.nan_to_num(problem.chance, nan=0.0)[:, None]
        edge = chance + (1 - chance) * self.tau
        above: NDArray[np.float64] = 1 - betainc(state.correct + 1, state.total - state.correct + 1, edge)
        return above


def _first(flags: Bools) -> Bools:
    """Only the first True of each row."""
    first: Bools = flags & (flags.cumsum(1) == 1)
    return first
