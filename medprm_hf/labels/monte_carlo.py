"""Monte Carlo labels: which prefix to roll out next, when to stop, and what the answers say about each step.

An estimator is two pure functions on arrays. `ask` names the prefixes of the next round (a pair (row, step)
may stand there several times: several rollouts of one prefix; no pair: it is done). `decide` turns counts
into labels. It works on many open solutions at once and gives the same answer for the same counts, so a shard
done again gets the same labels. `run` is the loop; a caller with its own loop (the rollout stage) writes:

    problem = Problem.of(num_steps=[3, 4], question=[0, 0])
    estimator = make_estimator("fixed", k=16)
    state = State.empty(problem)
    while len((pairs := open_pairs(estimator, problem, state)).rows):
        state.record(pairs, outcomes_of(pairs))            # 1 right, 0 wrong, -1 unreadable or failed
    decision = estimator.decide(problem, state)

Sources: Math-Shepherd (arXiv 2312.08935), VisualPRM (arXiv 2503.10291), OmegaPRM (arXiv 2406.06592).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.labels.accuracy import UNKNOWN, Floats, Labels, expected_accuracy, interval
from medprm_hf.registry import resolve

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
MISSING = -1  # outcome of a rollout whose answer cannot be read, or whose request failed

ESTIMATORS: dict[str, str] = {
    "fixed": "medprm_hf.labels.estimators:Fixed",
    "first_success": "medprm_hf.labels.estimators:FirstSuccess",
    "bisect": "medprm_hf.labels.estimators:Bisect",
    "sequential": "medprm_hf.labels.estimators:Sequential",
    "first_error": "medprm_hf.labels.first_error:FirstError",
}


class Pairs(NamedTuple):
    """Prefixes to roll out once each: the one of solution `rows[i]` that ends with step `steps[i]`."""

    rows: Ints
    """(m,) row of the solution."""
    steps: Ints
    """(m,) index of the prefix's last step, from 0."""

    @classmethod
    def repeat(cls, rows: ArrayLike, steps: ArrayLike, times: ArrayLike) -> Pairs:
        """Pairs in which (rows[i], steps[i]) stands times[i] times."""
        count = np.asarray(times, np.int64)
        at = np.asarray(rows, np.int64), np.asarray(steps, np.int64)
        return cls(np.repeat(at[0], count), np.repeat(at[1], count))

    @classmethod
    def of_counts(cls, counts: Ints) -> Pairs:
        """Pairs from a table (n, S) of how many rollouts each prefix shall get."""
        rows, steps = np.nonzero(counts)
        return cls.repeat(rows, steps, counts[rows, steps])


@dataclass(frozen=True)
class Problem:
    """What is known of n solutions before any rollout; rows of one question should come together."""

    num_steps: Ints
    """(n,) steps of each solution."""
    question: Ints
    """(n,) index of its question; solutions with the same index are siblings."""
    own_answer_right: NDArray[np.int8]
    """(n,) own final answer, a free rollout of the last prefix: 1 right, 0 wrong, -1 unknown."""
    chance: Floats
    """(n,) accuracy of guessing, 0..1; nan for an open question."""
    answers_itself: bool = False
    """Whether the last prefix is the whole solution with its answer: rolled out it gives that answer again."""

    @classmethod
    def of(
        cls,
        num_steps: ArrayLike,
        question: ArrayLike | None = None,
        own_answer_right: Sequence[bool | None] | ArrayLike | None = None,
        chance: Sequence[float | None] | ArrayLike | None = None,
        answers_itself: bool = False,
    ) -> Problem:
        """From plain lists; None stands for unknown, for the whole list or for one entry.

        Raises DataError when the lists differ in length or a solution has no step.
        """
        steps = np.asarray(num_steps, np.int64)
        n = len(steps)
        asked = np.arange(n) if question is None else np.unique(np.asarray(question), return_inverse=True)[1]
        own = np.full(n, MISSING, np.int8) if own_answer_right is None else as_outcomes(own_answer_right)
        guess = np.full(n, np.nan) if chance is None else np.array(chance, dtype=float)
        if {len(asked), len(own), len(guess)} != {n}:
            raise DataError(
                f"{n} solutions, but {len(asked)} questions, {len(own)} own answers and {len(guess)} "
                "chances: give one entry a solution"
            )
        if n and steps.min() < 1:
            raise DataError(f"solution {int(steps.argmin())} has {steps.min()} steps: at least 1 is needed")
        return cls(steps, asked.reshape(n).astype(np.int64), own, guess, answers_itself)

    @property
    def size(self) -> int:
        """Number of solutions, n."""
        return len(self.num_steps)

    @property
    def width(self) -> int:
        """Steps of the longest solution, S."""
        return int(self.num_steps.max(initial=0))

    @property
    def mask(self) -> Bools:
        """(n, S) True where a solution has that step."""
        return np.arange(self.width)[None] < self.num_steps[:, None]


@dataclass
class State:
    """What the rollouts have said so far; tables are (n, S)."""

    correct: Ints
    """Rollouts whose answer is right."""
    total: Ints
    """Rollouts whose answer could be read."""
    missing: Ints
    """Rollouts that gave nothing: unreadable or failed."""
    max_missing: int = 8
    """A prefix is closed once this many of its rollouts gave nothing: it is not asked again."""
    rounds: int = 0
    """Rounds so far."""
    learnt: dict[str, Any] = field(default_factory=dict)
    """What an estimator learnt on the way, plain values: kept with the counts, a run goes on just as it was."""

    @classmethod
    def empty(cls, problem: Problem, max_missing: int = 8) -> State:
        """No rollout yet. Raises ConfigError for max_missing below 1."""
        if max_missing < 1:
            raise ConfigError(f"max_missing={max_missing} closes every prefix unasked: set it to 1 or more")
        correct, total, missing = (np.zeros((problem.size, problem.width), np.int64) for _ in range(3))
        return cls(correct, total, missing, max_missing)

    @property
    def closed(self) -> Bools:
        """(n, S) prefixes that are not asked again, because too many rollouts of them gave nothing."""
        return self.missing >= self.max_missing

    def record(self, pairs: Pairs, outcomes: ArrayLike | Sequence[bool | None]) -> None:
        """Count one round in, in place: outcomes[i] belongs to pairs[i]."""
        seen = as_outcomes(outcomes)
        if len(seen) != len(pairs.rows):
            raise DataError(f"{len(pairs.rows)} rollouts asked, {len(seen)} outcomes came: give one each")
        for table, counts in ((self.correct, seen == 1), (self.total, seen >= 0), (self.missing, seen < 0)):
            np.add.at(table, (pairs.rows, pairs.steps), counts)
        self.rounds += 1


@dataclass(frozen=True)
class Decision:
    """What an estimator says of every step; tables are (n, S), beyond a solution's steps `?` and nan."""

    labels: Labels
    """`+`, `-`, `0` or `?`."""
    p_right: Floats
    """P(the step is right), 0..1; nan where the estimator gives none."""
    mean: Floats
    """Expected accuracy, correct / total; nan where nothing was read."""
    low: Floats
    """Lower end of its 95 % interval."""
    high: Floats
    """Upper end of its 95 % interval."""


class Estimator(Protocol):
    """A rule for what to sample next, when to stop, and what the counts mean."""

    def ask(self, problem: Problem, state: State) -> Pairs:
        """Prefixes of the next round; empty when every solution is decided. Never one that is closed."""

    def decide(self, problem: Problem, state: State) -> Decision:
        """Labels and figures for the counts so far; may be called at any time."""


@dataclass(frozen=True)
class Outcome:
    """What `run` gives back."""

    decision: Decision
    state: State
    rounds: Ints = field(repr=False)
    """(n,) rounds in which a solution was asked for."""


Draw = Callable[[Ints, Ints], "ArrayLike | Sequence[bool | None]"]


def as_outcomes(outcomes: ArrayLike | Sequence[bool | None]) -> NDArray[np.int8]:
    """True, False and None as 1, 0 and -1, shape (m,); numbers pass through."""
    array = np.asarray(outcomes)
    if array.dtype == object:
        array = np.array([MISSING if value is None else int(value) for value in array])
    return array.astype(np.int8)


def open_pairs(estimator: Estimator, problem: Problem, state: State) -> Pairs:
    """What the estimator asks next, less prefixes that are closed or outside their solution."""
    rows, steps = estimator.ask(problem, state)
    keep = (steps < problem.num_steps[rows]) & ~state.closed[rows, np.minimum(steps, problem.width - 1)]
    return Pairs(rows[keep], steps[keep])


def run(estimator: Estimator, problem: Problem, draw: Draw, max_missing: int = 8, max_rounds: int = 1000) -> Outcome:
    """Ask, draw and record until the estimator is done, then decide.

    `draw(rows, steps)` gives one outcome a pair: True, False, or None where the answer cannot be read or the
    request failed. Such a rollout is asked for again until a prefix has lost `max_missing`; with no readable
    answer at all that prefix stays unknown.
    """
    state, rounds = State.empty(problem, max_missing), np.zeros(problem.size, np.int64)
    while state.rounds < max_rounds and len((pairs := open_pairs(estimator, problem, state)).rows):
        state.record(pairs, draw(*pairs))
        rounds[np.unique(pairs.rows)] += 1
    return Outcome(estimator.decide(problem, state), state, rounds)


def decision(problem: Problem, state: State, labels: Labels, p_right: Floats | None = None) -> Decision:
    """A Decision with mean and interval from the counts; what lies beyond a solution becomes `?` and nan."""
    low, high = interval(state.correct, state.total)
    probability = np.full(labels.shape, np.nan) if p_right is None else p_right
    probability = np.where(problem.mask, probability, np.nan)
    mean = expected_accuracy(state.correct, state.total)
    return Decision(np.where(problem.mask, labels, UNKNOWN), probability, mean, low, high)


def make_estimator(name: str, **settings: Any) -> Estimator:
    """The named estimator with its settings; ConfigError names near ones, or the setting that is wrong."""
    kind = resolve("estimator", ESTIMATORS, name)
    try:
        estimator: Estimator = kind(**settings)
    except TypeError as error:
        known = ", ".join(getattr(kind, "__dataclass_fields__", {}))
        raise ConfigError(f"estimator {name!r} cannot take {settings}: {error}; it knows: {known}") from None
    return estimator
