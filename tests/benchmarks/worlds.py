"""Simulated worlds in which the first wrong step of every solution is known, to price Monte Carlo labels.

A solution has 5 to 9 steps; four solutions share a question and its difficulty. A rollout from the prefix that
ends with step j succeeds with a hidden probability: the question's, drifting from step to step, while all steps
are right; a recovery rate of the solution's own from its first wrong step on. An estimator meets a `View`: lengths,
question ids, own answers, the number of options and the outcomes it asks for. Outcomes lie on a tape drawn
beforehand, so that all estimators meet the same luck (paired tapes), and reading the tape is counted.

    world = World.make("base", solutions=4000, seed=0)
    outcomes = world.view().draw(rows, steps)        # one round; a pair may stand in it several times
    evaluate(world, labels)                          # labels: bool (n, 9)

`recovering` is outside the model of every estimator here: after an error a later step may be right again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

WIDTH = 9  # steps of the longest solution
SIBLINGS = 4
TAPE = 256  # outcomes per prefix


@dataclass(frozen=True)
class Setting:
    """How the solutions of a world come about."""

    success: tuple[float, float] = (0.3, 0.9)
    """Range of a question's success rate before any error."""
    recovery: tuple[float, float] = (0.0, 0.15)
    """Range of a solution's success rate after its first error."""
    error_rate: float = 0.5
    """Share of solutions with a wrong step."""
    drift: float = 0.25
    """Scale of the wandering of the success rate along the steps, log-odds."""
    soft_share: float = 0.0
    """Share of solutions whose recovery rate is 0.2 to 0.4 whatever `recovery` says."""
    options: int = 0
    """Answer options; 0: open."""
    back_share: float = 0.0
    """Share of wrong solutions that are right again from a later step on."""


WORLDS: dict[str, Setting] = {
    "base": Setting(),
    "easy": Setting(recovery=(0.0, 0.05)),
    "hard": Setting(success=(0.15, 0.6)),
    "soft_errors": Setting(soft_share=0.25, drift=0.75),
    "few_errors": Setting(error_rate=0.25),
    "many_errors": Setting(error_rate=0.75),
    "four_options": Setting(success=(0.4, 0.95), recovery=(0.15, 0.35), options=4),
    "two_options": Setting(success=(0.6, 0.98), recovery=(0.4, 0.55), options=2),
    "recovering": Setting(back_share=0.3),
}


@dataclass
class World:
    """n solutions; tables are (n, WIDTH), valid where `mask`."""

    length: Ints
    """(n,) steps."""
    first_error: Ints
    """(n,) index of the first wrong step, or `length`."""
    right_again: Ints
    """(n,) index from which steps are right again, or `length`."""
    success: Floats = field(repr=False)
    """Hidden success rate of each prefix."""
    own_answer_right: Bools
    """(n,) whether the solution's own answer is right: free."""
    question: Ints
    """(n,) question id."""
    judge: Bools = field(repr=False)
    """A free, weak judge: right with probability 0.7."""
    options: int
    """Answer options; 0: open."""
    tape: Bools = field(repr=False)
    """(n, WIDTH, TAPE) outcomes, read from left to right."""
    used: Ints = field(repr=False)
    """Outcomes read so far."""
    rounds: Ints = field(repr=False)
    """(n,) calls of `draw` that asked for the solution."""

    @classmethod
    def make(cls, name: str, solutions: int = 4000, seed: int = 0) -> World:
        """A named world. The order of the draws is fixed: the same name, size and seed give the same world."""
        setting, n = WORLDS[name], solutions
        rng, extra = np.random.default_rng(seed), np.random.default_rng([seed, 77])
        length = rng.integers(5, WIDTH + 1, n)
        wrong = rng.random(n) < setting.error_rate
        first_error = np.where(wrong, (rng.random(n) * length).astype(int), length)
        gap = 1 + (extra.random(n) * np.maximum(length - first_error - 1, 1)).astype(int)
        back = wrong & (extra.random(n) < setting.back_share)
        right_again = np.where(back, np.minimum(first_error + gap, length), length)
        before = _before(rng, setting, n)
        after = _after(rng, setting, n)
        truth = _truth(first_error, right_again)
        success = np.where(truth, before, after)
        judge = np.where(rng.random((n, WIDTH)) < 0.7, truth, ~truth)
        own = rng.random(n) < success[np.arange(n), length - 1]
        luck = np.random.default_rng(seed + 1).random((n, WIDTH, TAPE), dtype=np.float32)
        empty = np.zeros((n, WIDTH), np.int64), np.zeros(n, np.int64)
        return cls(length, first_error, right_again, success, own, np.arange(n) // SIBLINGS, judge,
                   setting.options, luck < success[:, :, None], *empty)

    @property
    def mask(self) -> Bools:
        """(n, WIDTH) True where a solution has that step."""
        return np.arange(WIDTH)[None] < self.length[:, None]

    @property
    def truth(self) -> Bools:
        """(n, WIDTH) True where the step is right."""
        return _truth(self.first_error, self.right_again)

    def view(self) -> View:
        """What an estimator may see."""
        return View(self)

    def draw(self, rows: ArrayLike, steps: ArrayLike) -> Bools:
        """One round: an outcome for each pair (rows[i], steps[i]); ValueError when a tape is read to its end."""
        row, step = np.asarray(rows, np.int64), np.asarray(steps, np.int64)
        place = self.used[row, step] + _occurrence(row * WIDTH + step)
        if place.size and place.max() >= TAPE:
            raise ValueError(f"{place.max() + 1} rollouts of one prefix, the tape holds {TAPE}")
        np.add.at(self.used, (row, step), 1)
        self.rounds[np.unique(row)] += 1
        return self.tape[row, step, place]


class View:
    """The estimator's side of a World: no truth, no rates."""

    def __init__(self, world: World) -> None:
        self.length, self.question, self.mask = world.length, world.question, world.mask
        self.own_answer_right, self.options, self.judge = world.own_answer_right, world.options, world.judge
        self.draw = world.draw


def evaluate(world: Any, labels: Bools) -> dict[str, float]:
    """Macro-F1 over steps, first-error F1, rollouts and generated steps per solution, rounds.

    First-error F1 is the harmonic mean of exact first-error accuracy on wrong solutions and all-right accuracy on
    right ones (ProcessBench, arXiv 2412.06559).
    """
    mask, length = world.mask, world.length
    said, true = labels[mask], world.truth[mask]
    shares = [2 * (said & true).sum() / max(1, said.sum() + true.sum()),
              2 * (~said & ~true).sum() / max(1, (~said).sum() + (~true).sum())]
    wrong = ~labels & mask
    first = np.where(wrong.any(1), wrong.argmax(1), length)
    bad, found = world.first_error < length, first == world.first_error
    hit, clean = found[bad].mean(), found[~bad].mean()
    used = world.used * mask
    return {
        "macro_f1": float(np.mean(shares)),
        "first_error_f1": float(2 * hit * clean / max(hit + clean, 1e-9)),
        "rollouts": float(used.sum(1).mean()),
        "generated_steps": float((used * (length[:, None] - np.arange(WIDTH))).sum(1).mean()),
        "rounds": float(world.rounds.mean()),
    }


def _before(rng: np.random.Generator, setting: Setting, n: int) -> Floats:
    base = np.repeat(rng.uniform(*setting.success, -(-n // SIBLINGS)), SIBLINGS)[:n]
    walk = 0.6 * rng.normal(0, setting.drift, (n, WIDTH)).cumsum(1)
    odds = np.log(base / (1 - base))[:, None] + 0.15 * np.arange(WIDTH) + walk
    rates: Floats = 1 / (1 + np.exp(-odds))
    return rates


def _after(rng: np.random.Generator, setting: Setting, n: int) -> Floats:
    rate = rng.uniform(*setting.recovery, n)
    rate = np.where(rng.random(n) < setting.soft_share, rng.uniform(0.2, 0.4, n), rate)
    noisy: Floats = np.minimum(rate[:, None] * np.exp(rng.normal(0, 0.2, (n, WIDTH))), 0.6)
    return noisy


def _truth(first_error: Ints, right_again: Ints) -> Bools:
    step = np.arange(WIDTH)[None]
    right: Bools = (step < first_error[:, None]) | (step >= right_again[:, None])
    return right


def _occurrence(keys: Ints) -> Ints:
    """How often each key stood earlier in the array, (m,)."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    start = np.searchsorted(ordered, ordered)
    result = np.empty(len(keys), np.int64)
    result[order] = np.arange(len(keys)) - start
    return result
