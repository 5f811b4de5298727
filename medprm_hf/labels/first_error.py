"""Our estimator: roll out where it tells most about the first wrong step, and stop when the labels are safe.

Every round, for every open solution: the exact posterior over the first wrong step (`first_error_model`), then for
each prefix j and m = 1, 2, 4, 8, 16 rollouts the expected number of mislabelled steps afterwards. A solution is
done when that number is below `sure`, or no rollout saves `price` of it any more. Where to roll out is chosen by a
smoother loss, 2 p (1 - p) a step: it also rewards what does not yet turn a label, and so finds the step sooner (in
the soft_errors world about +0.003 macro-F1 at as many rollouts). At most `per_round` are asked at once.
What the run has shown so far sets the priors (`first_error_fit`); they are kept in `state.learnt`.

    own answer right, siblings do well   → 1 or 2 rollouts of the last prefix, done: all `+`
    own answer wrong                     → halves the solution, then closes in on the step
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medprm_hf.errors import ConfigError
from medprm_hf.labels.accuracy import RIGHT, UNKNOWN, WRONG
from medprm_hf.labels.first_error_fit import fit
from medprm_hf.labels.first_error_model import Counts, Floats, Ints, posterior, predict
from medprm_hf.labels.first_error_priors import Grid, Priors, default_priors
from medprm_hf.labels.monte_carlo import Bools, Decision, Pairs, Problem, State, decision

LOOKAHEAD = (1, 2, 4, 8, 16)
CHUNK = 512  # solutions whose lookahead is computed together: fits the processor's cache
FIT_ROUNDS = frozenset((1, 2, 3, 4, 5, 6, 8, 10))  # and every fifth
CLIMB_ROUNDS = frozenset((2, 3, 5, 8))  # rounds after which drift and trend are learnt too; and every tenth


@dataclass(frozen=True)
class FirstError:
    """Bayesian search for the first wrong step, with priors learnt from the run itself."""

    price: float = 0.0011
    """Expected mislabelled steps that one more rollout has to save."""
    sure: float = 0.13
    """A solution is done when its expected number of mislabelled steps falls below this."""
    per_round: int = 4
    """Most rollouts of one solution in one round."""
    overhead: float = 4.0
    """What starting a round for a solution costs, in rollouts: higher means fewer, larger rounds."""
    max_rollouts: int = 112
    """Most rollouts of one solution."""
    pilot: int = 400
    """Solutions that are settled before the others are asked: these then begin with what was learnt from them."""
    priors: Mapping[str, Mapping[str, Any]] | None = None
    """Priors to use as they are, by chance rate (`Priors.as_dict`); none: learnt from the run."""

    def __post_init__(self) -> None:
        """Check the settings; ConfigError."""
        for name in ("price", "sure", "overhead"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)} is negative: set it to 0 or more")
        for name in ("per_round", "max_rollouts"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} asks for no rollout: set it to 1 or more")

    def ask(self, problem: Problem, state: State) -> Pairs:
        """The next rollouts of every open solution; what was learnt goes to `state.learnt`."""
        table = np.zeros((problem.size, problem.width), np.int64)
        for key, rows, counts in groups(problem, state):
            priors = self.current(key, counts, state, refit=learns_at(state.rounds))
            state.learnt[key] = priors.as_dict()
            asked = state.total[rows] + state.missing[rows]
            first = self._pilot(key, counts.question)
            if not asked[~first].any() and (early := self._table(problem, state, rows, counts, priors, first)).any():
                table[rows] = early
            else:
                table[rows] = self._table(problem, state, rows, counts, priors, np.ones(len(rows), bool))
        return Pairs.of_counts(table)

    def _pilot(self, key: str, question: Ints) -> Bools:
        """(n,) solutions that are settled first: whole questions, evenly spread; all where priors are given."""
        every = len(question) // max(self.pilot, 1)
        if every < 2 or not self.pilot or (self.priors is not None and key in self.priors):
            return np.ones(len(question), bool)
        first: Bools = question % every == 0
        return first

    def _table(self, problem: Problem, state: State, rows: Ints, counts: Counts, priors: Priors, some: Bools) -> Ints:
        """Rollouts of the next round for each prefix of `rows`, (n, S), where `some` (n,) allows it."""
        table, mine = np.zeros((len(rows), problem.width), np.int64), rows[some]
        asked = state.total[mine] + state.missing[mine]
        room = np.clip(self.max_rollouts - asked.sum(1), 0, self.per_round)
        taken = counts if some.all() else counts.take(np.flatnonzero(some))
        width = taken.correct.shape[1]
        free = (~state.closed[mine] & problem.mask[mine])[:, :width]
        table[np.flatnonzero(some), :width] = self._choose(taken, priors, free, room)
        return table

    def decide(self, problem: Problem, state: State) -> Decision:
        """`+` where P(right) is above one half; `?` where nothing speaks of the step."""
        p_right = np.full((problem.size, problem.width), np.nan)
        for key, rows, counts in groups(problem, state):
            right = posterior(counts, self.current(key, counts, state, refit=True)).p_right
            p_right[rows, : right.shape[1]] = right
        labels = np.where(p_right > 0.5, RIGHT, WRONG)
        # A prefix that never answered is labelled from its neighbours, if they say it clearly.
        silent = state.closed & (state.total == 0) & (np.abs(p_right - 0.5) < 0.4)
        nothing = (state.total.sum(1) == 0) & (problem.own_answer_right < 0)
        return decision(problem, state, np.where(silent | nothing[:, None], UNKNOWN, labels), p_right)

    def current(self, key: str, counts: Counts, state: State, refit: bool) -> Priors:
        """Priors for one chance rate: given ones as they are, else learnt so far, a few steps further on."""
        if self.priors is not None and key in self.priors:
            return Priors.from_dict(self.priors[key])
        start = default_priors(0.0 if key == OPEN else float(key))
        priors = Priors.from_dict(state.learnt[key]) if key in state.learnt else start
        climb = climbs_at(state.rounds)
        return fit(counts, priors, start, climb) if refit and state.rounds else priors

    def _choose(self, counts: Counts, priors: Priors, free: Bools, room: Ints) -> Ints:
        """Rollouts for each prefix in the next round, (n, S)."""
        post = posterior(counts, priors)
        loss = np.minimum(post.p_right, 1 - post.p_right).sum(1)
        table = np.zeros(free.shape, np.int64)
        open_rows = np.flatnonzero((loss > self.sure) & (room > 0) & free.any(1))
        for begin in range(0, len(open_rows), CHUNK):
            rows = open_rows[begin : begin + CHUNK]
            mean, square = predict(post, priors, rows)
            steps, times, rate = best_probe(post.first_wrong[rows], mean, square, free[rows], self.overhead)
            worth = rate > self.price
            table[rows[worth], steps[worth]] = np.minimum(times, room[rows])[worth]
        return table


def learns_at(rounds: int) -> bool:
    """Whether priors are learnt anew after so many rounds."""
    return rounds in FIT_ROUNDS or rounds % 5 == 0


def climbs_at(rounds: int) -> bool:
    """Whether that includes drift and trend, which costs more."""
    return rounds in CLIMB_ROUNDS or (rounds > 0 and rounds % 10 == 0)


OPEN = "open"


def groups(problem: Problem, state: State) -> Iterator[tuple[str, Ints, Counts]]:
    """(key, rows, counts) for each chance rate; the solution's own answer is counted as a rollout."""
    correct, total = state.correct.copy(), state.total.copy()
    known = np.flatnonzero(problem.own_answer_right >= 0)
    last = problem.num_steps[known] - 1
    correct[known, last] += problem.own_answer_right[known]
    total[known, last] += 1
    rates = np.round(np.nan_to_num(problem.chance, nan=0.0), 4)
    own = problem.own_answer_right.astype(np.int64) if problem.answers_itself else None
    everything = Counts(correct, total, problem.num_steps, problem.question, own)
    for rate in np.unique(rates):
        rows = np.flatnonzero(rates == rate)
        yield (f"{rate:g}" if rate > 0 else OPEN), rows, everything.take(rows)


def best_probe(
    first_wrong: Floats, mean: Grid, square: Grid, free: Bools, overhead: float
) -> tuple[Ints, Ints, Floats]:
    """The prefix (n,) and number of rollouts (n,) of the best next probe, and the best saving per rollout (n,).

    The saving is in expected mislabelled steps; the probe is the best under the smoother loss.

    `mean` and `square` (n, S, K) are moments of the success rate at j if k is the first wrong step; outcomes of
    m rollouts are beta-binomial given k, so the posterior after each outcome is exact in k.
    """
    weight = first_wrong.astype(np.float32)
    n, width, hypotheses = mean.shape
    upto = (np.arange(hypotheses)[:, None] <= np.arange(width)).astype(np.float32)  # (K, S): k <= j
    now = weight @ upto
    losses = np.stack([np.minimum(now, 1 - now), 2 * now * (1 - now)]).sum(2)
    a, b = _beta(mean, square)
    saving, smooth = np.full(n, -1.0), np.full(n, -1.0)
    steps, rollouts = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for times in LOOKAHEAD:
        saved = losses[:, :, None] - _expected_losses(weight, a, b, times, upto)
        rates = np.where(free, saved / (times + overhead), -1.0)
        saving = np.maximum(saving, rates[0].max(1))
        step = rates[1].argmax(1)
        top = rates[1][np.arange(n), step]
        better = top > smooth
        smooth[better], steps[better], rollouts[better] = top[better], step[better], times
    return steps, rollouts, saving


def _beta(mean: Grid, square: Grid) -> tuple[Grid, Grid]:
    """Beta parameters with these moments."""
    spread = np.clip(square - mean**2, 1e-5, 0.9 * mean * (1 - mean))
    strength = mean * (1 - mean) / spread - 1
    return np.maximum(mean * strength, 1e-3), np.maximum((1 - mean) * strength, 1e-3)


def _expected_losses(weight: Grid, a: Grid, b: Grid, times: int, upto: Grid) -> Grid:
    """Expected mislabelled steps, and 2 p (1 - p), after `times` rollouts of prefix j, (2, n, S)."""
    n, width, hypotheses = a.shape
    chance = np.broadcast_to(weight[:, None], a.shape).copy()  # P(k and c successes), c = 0 first
    for i in range(times):
        chance *= (b + i) / (a + b + i)
    result = np.zeros((2, n, width), np.float32)
    for hits in range(times + 1):
        wrong = (chance.reshape(-1, hypotheses) @ upto).reshape(n, width, width)
        right = chance.sum(2, keepdims=True) - wrong
        result[0] += np.minimum(wrong, right).sum(2)
        result[1] += (2 * wrong * right / np.maximum(wrong + right, 1e-20)).sum(2)
        if hits < times:
            chance *= (times - hits) / (hits + 1) * (a + hits) / (b + times - hits - 1)
    return result
