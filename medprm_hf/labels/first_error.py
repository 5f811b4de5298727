"""Our estimator: roll out where it tells most about the first wrong step, and stop when the labels are safe.

Every round, for every open solution: the exact posterior over the first wrong step (`first_error_model`), then for
each prefix j and m = 1, 2, 4, 8, 16 rollouts the expected number of mislabelled steps afterwards. A solution is
done when that number is below `sure`, or no rollout saves enough of it any more (`price`). Where to roll out is chosen
by a smoother loss, the mean of min(p, 1 - p) and 2 p (1 - p) a step: it also rewards what does not yet turn a label,
and so finds the step sooner. At most `per_round` are asked at once.
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
from medprm_hf.labels.first_error_back import wrong_steps
from medprm_hf.labels.first_error_fit import fit
from medprm_hf.labels.first_error_model import Counts, Floats, Ints, Posterior, posterior, predict
from medprm_hf.labels.first_error_priors import Grid, Priors, default_priors
from medprm_hf.labels.monte_carlo import Bools, Decision, Pairs, Problem, State, decision

LOOKAHEAD = (1, 2, 4, 8, 16)
NOTABLE = 0.02  # P(right again) of a solution from which on it is weighed where to look
CHUNK = 512  # solutions whose lookahead is computed together: fits the processor's cache
FIT_ROUNDS = frozenset((1, 2, 3, 4, 5, 6, 8, 10))  # and every fifth
CLIMB_ROUNDS = frozenset((2, 3, 5, 8))  # rounds after which drift and trend are learnt too; and every tenth


@dataclass(frozen=True)
class FirstError:
    """Bayesian search for the first wrong step, with priors learnt from the run itself."""

    price: float = 0.00144
    """Mislabelled steps that one more rollout has to save in a solution where one is expected; where L are, sqrt(L)
    times that: a doubtful solution has to promise more, for it often stays doubtful."""
    sure: float = 0.171
    """A solution is done when its expected number of mislabelled steps falls below this."""
    per_round: int = 4
    """Most rollouts of one solution in one round."""
    overhead: float = 4.0
    """What starting a round for a solution costs, in rollouts: higher means fewer, larger rounds."""
    max_rollouts: int = 150
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
            steps, times, rate = self._probe(post, priors, rows, free[rows])
            worth = rate > self.price * np.sqrt(loss[rows])
            table[rows[worth], steps[worth]] = np.minimum(times, room[rows])[worth]
        return table

    def _probe(self, post: Posterior, priors: Priors, rows: Ints, free: Bools) -> tuple[Ints, Ints, Floats]:
        """`best_probe` for some rows; steps that may be right again are weighed only where that is likely enough."""
        steps, times, rate = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64), np.zeros(len(rows))
        wide = post.back[rows].sum(1) > NOTABLE
        for again in (False, True):
            some = np.flatnonzero(wide == again)
            if len(some):
                mean, square = predict(post, priors, rows[some], again)
                weight = (post.hypotheses if again else post.first_wrong)[rows[some]]
                found = best_probe(weight, mean, square, free[some], self.overhead)
                steps[some], times[some], rate[some] = found
        return steps, times, rate


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


def best_probe(hypotheses: Floats, mean: Grid, square: Grid, free: Bools, overhead: float) -> tuple[Ints, Ints, Floats]:
    """The prefix (n,) and number of rollouts (n,) of the best next probe, and the best saving per rollout (n,).

    The saving is in expected mislabelled steps; the probe is the best under the smoother loss.

    `hypotheses` (n, H) are the first wrong steps k, perhaps followed by the pairs (see `Posterior.hypotheses`);
    `mean` and `square` (n, S, H) are moments of the success rate at j under each. Outcomes of m rollouts are
    beta-binomial given one, so the posterior after each outcome is exact.
    """
    weight = hypotheses.astype(np.float32)
    n, width, size = mean.shape
    upto = wrong_steps(width, size > width + 1)
    now = weight @ upto
    losses = np.stack([np.minimum(now, 1 - now), _smoother(now, 1 - now)]).sum(2)
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
    """Expected mislabelled steps, and the smoother loss, after `times` rollouts of prefix j, (2, n, S)."""
    n, width, hypotheses = a.shape
    chance = np.broadcast_to(weight[:, None], a.shape).copy()  # P(k and c successes), c = 0 first
    for i in range(times):
        chance *= (b + i) / (a + b + i)
    result = np.zeros((2, n, width), np.float32)
    for hits in range(times + 1):
        wrong = (chance.reshape(-1, hypotheses) @ upto).reshape(n, width, width)
        right = chance.sum(2, keepdims=True) - wrong
        result[0] += np.minimum(wrong, right).sum(2)
        result[1] += _smoother(wrong, right).sum(2)
        if hits < times:
            chance *= (times - hits) / (hits + 1) * (a + hits) / (b + times - hits - 1)
    return result


def _smoother(wrong: Grid, right: Grid) -> Grid:
    """Mean of min(p, 1 - p) and 2 p (1 - p), times wrong + right; p = wrong / (wrong + right)."""
    mean: Grid = np.minimum(wrong, right) / 2 + wrong * right / np.maximum(wrong + right, 1e-20)
    return mean
