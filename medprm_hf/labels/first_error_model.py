"""The first-error model: exact posterior over where a solution first goes wrong, on grids.

A question has a success level b (log-odds), shared by its solutions. Along a solution the level walks,
z_0 = b + step, z_j = z_{j-1} + step, step ~ Normal(trend, drift²), and a rollout from prefix j succeeds with
sigmoid(z_j) as long as no step is wrong; from the first wrong step k on it succeeds with r, a recovery rate of
the solution's own, times a little noise per step. Unknown are b, z, r and k (k = num_steps: nothing is wrong).

The graph is a star (question) of chains (solutions), so sums over grids of z and r are exact:

    after     evidence of steps k.. under r                               suffix sums
    messages  evidence of a whole solution about b                        backward along the chain
    cavity    what the siblings say about b                               product of the others' messages
    posterior P(k | everything)                                           forward along the chain
    predict   mean and square mean of the success rate at j, given k      forward × backward, per k

Arrays are float32, (n, S, G) with G = 28 levels or 18 recovery rates; about 10 µs a solution for a posterior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medprm_hf.labels.first_error_priors import LEVELS, RECOVERIES, Grid, Priors, hermite, kernel, position_prior

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RATES = (1 / (1 + np.exp(-LEVELS))).astype(np.float32)
TINY = np.float32(1e-25)  # smaller factors are cut to zero: float32 gets slow near its end


@dataclass(frozen=True)
class Counts:
    """Rollouts of n solutions, siblings by `question`; own final answers are already counted in."""

    correct: Ints
    """(n, S)"""
    total: Ints
    """(n, S)"""
    num_steps: Ints
    """(n,)"""
    question: Ints
    """(n,) index from 0 without gaps."""
    own: Ints | None = None
    """(n,) where a solution's own answer is no draw but part of its last step: 1 right, 0 wrong, -1 unknown."""

    def take(self, rows: Ints) -> Counts:
        """The same for some rows; questions are numbered anew."""
        question = np.unique(self.question[rows], return_inverse=True)[1].reshape(-1)
        width = int(self.num_steps[rows].max(initial=1))
        own = None if self.own is None else self.own[rows]
        return Counts(self.correct[rows, :width], self.total[rows, :width], self.num_steps[rows], question, own)


@dataclass(frozen=True)
class Posterior:
    """What the counts say; rows as in the Counts."""

    first_wrong: Floats
    """(n, S + 1) P(first wrong step = k)."""
    question_level: Floats
    """(q, G) P(level of the question)."""
    recovery: Grid
    """(R, n, S + 1) P(recovery rate | first wrong step = k)."""
    log_evidence: float
    """Natural log of P(all counts | priors), up to a constant of the counts."""
    before: Grid
    """(n, S, G) level at j given the counts before j and that no step before j + 1 is wrong."""
    seen: Grid
    """(n, S, G) likelihood of the counts at j per level."""

    @property
    def p_right(self) -> Floats:
        """(n, S) P(step is right) = P(first wrong step lies later)."""
        right: Floats = np.clip(1 - self.first_wrong.cumsum(1)[:, :-1], 0, 1)
        return right


def posterior(counts: Counts, priors: Priors) -> Posterior:
    """Exact inference for all solutions at once."""
    moves = kernel(priors.trend, priors.drift)
    level, recovery = np.array(priors.level, np.float32), np.array(priors.recovery, np.float32)
    seen, seen_after, scale = _likelihoods(counts, priors.noise)
    after, rates = _after(seen_after, recovery)
    with np.errstate(divide="ignore"):
        start = np.log(position_prior(priors, counts.num_steps)) + after
    _answered(counts, start, seen)
    messages, scales = _messages(start, seen, moves)
    cavity, question_level, evidence = _cavity(messages, counts.question, level)
    before, log_before = _forward(cavity, seen, moves)
    joint = start + log_before
    joint = np.exp(joint - joint.max(1, keepdims=True))
    first_wrong = joint / joint.sum(1, keepdims=True)
    return Posterior(first_wrong, question_level, rates, evidence + scales.sum() + scale, before, seen)


def _answered(counts: Counts, start: Floats, seen: Grid) -> None:
    """What a solution's own answer says where it is part of its last step, into `start` and `seen`.

    A wrong answer: some step is wrong. A right one: the last step is not the first wrong one, and without a wrong
    step it was certain, whatever the level. After a wrong step both are as likely as for a rollout.
    """
    if counts.own is None:
        return
    wrong, right = np.flatnonzero(counts.own == 0), np.flatnonzero(counts.own == 1)
    start[wrong, counts.num_steps[wrong]] = -np.inf
    right = right[counts.num_steps[right] > 1]
    start[right, counts.num_steps[right] - 1] = -np.inf
    seen[right, counts.num_steps[right] - 1] = 1


def _likelihoods(counts: Counts, noise: float) -> tuple[Grid, Grid, float]:
    """P(counts at j) per level (n, S, G), its log per recovery rate (R, n, S), and the log scale taken off."""
    top = int(counts.total.max(initial=0)) + 1
    keys, back = np.unique(counts.total * top + counts.correct, return_inverse=True)
    back = back.reshape(counts.total.shape)
    hits, misses = (keys % top)[:, None], (keys // top - keys % top)[:, None]
    on_level = hits * np.log(RATES) + misses * np.log1p(-RATES)
    nodes, weights = hermite(7)
    noisy = np.clip(RECOVERIES[:, None] * np.exp(noise * nodes - noise**2 / 2), 1e-4, 0.95)
    each = hits[..., None] * np.log(noisy) + misses[..., None] * np.log1p(-noisy)
    best = each.max(2, keepdims=True)
    on_recovery = np.log((np.exp(each - best) * weights).sum(2)) + best[..., 0]
    peak = np.maximum(on_level.max(1), on_recovery.max(1))[:, None]
    seen = _cut(np.exp(on_level - peak).astype(np.float32))[back]
    return seen, np.ascontiguousarray((on_recovery - peak).astype(np.float32).T)[:, back], float(peak[:, 0][back].sum())


def _cut(values: Grid) -> Grid:
    values[values < TINY] = 0
    return values


def _after(seen: Grid, recovery: Grid) -> tuple[Floats, Grid]:
    """Log evidence of steps k.. (n, S + 1) if k is the first wrong one, and P(rate | k) (R, n, S + 1)."""
    rates, n, width = seen.shape
    tail = np.zeros((rates, n, width + 1), np.float32)
    for step in range(width - 1, -1, -1):
        tail[:, :, step] = tail[:, :, step + 1] + seen[:, :, step]
    best = tail.max(0)
    tail -= best
    weight = np.exp(tail, out=tail)
    weight *= recovery[:, None, None]
    total = weight.sum(0)
    weight /= total
    return np.log(total.astype(float)) + best, weight


def _messages(start: Floats, seen: Grid, moves: Grid) -> tuple[Grid, Floats]:
    """Each solution's evidence per level of its question, (n, G) with largest entry 1, and the log scale off it.

    `start` (n, S + 1) is log prior × evidence of an error at k. Backward: at level z the rest of the chain is
    either an error here, or this step's counts and what follows.
    """
    width, ones = seen.shape[1], np.ones(seen.shape[2], np.float32)
    scale = start[:, width].copy()
    value = np.where(np.isfinite(scale), 1.0, 0.0).astype(np.float32)[:, None] * np.ones_like(seen[:, 0])
    for step in range(width - 1, -1, -1):
        # Beyond a solution's end nothing was counted, and its own "no error" column starts the walk.
        onward = value @ moves.T if step < width - 1 else value
        base = np.maximum(scale, start[:, step])
        base = np.where(np.isfinite(base), base, 0.0)
        kept, here = np.exp(scale - base), np.exp(start[:, step] - base)
        value = here.astype(np.float32)[:, None] + kept.astype(np.float32)[:, None] * seen[:, step] * onward
        top = value @ ones
        scale = np.where(top > 0, base + np.log(np.where(top > 0, top, 1)), -np.inf)
        value = _cut((value / np.where(top > 0, top, 1)[:, None]).astype(np.float32, copy=False))
    value = value @ moves.T
    top = value.max(1)
    return value / top[:, None], scale + np.log(top)


def _cavity(messages: Grid, question: Ints, level: Grid) -> tuple[Grid, Floats, float]:
    """Level of the question as the siblings tell it (n, G), as all tell it (q, G), and the log evidence."""
    logs = np.log(np.maximum(messages, TINY)).astype(float)
    total = np.zeros((int(question.max()) + 1, logs.shape[1]))
    np.add.at(total, question, logs)
    others = total[question] - logs
    cavity = np.exp(others - others.max(1, keepdims=True)) * level
    best = total.max(1, keepdims=True)
    weight = np.exp(total - best) * level
    norm = weight.sum(1, keepdims=True)
    evidence = float((best + np.log(norm)).sum())
    return _cut((cavity / cavity.sum(1, keepdims=True)).astype(np.float32)), weight / norm, evidence


def _forward(cavity: Grid, seen: Grid, moves: Grid) -> tuple[Grid, Floats]:
    """Level at j before its counts (n, S, G), and log evidence of steps 0..k-1 if all are right (n, S + 1)."""
    n, width, size = seen.shape
    ones = np.ones(size, np.float32)
    before, evidence, value = np.empty_like(seen), np.zeros((n, width + 1)), cavity
    for step in range(width):
        before[:, step] = value @ moves
        value = before[:, step] * seen[:, step]
        total = np.maximum(value @ ones, TINY)
        evidence[:, step + 1] = evidence[:, step] + np.log(total)
        value = _cut(value / total[:, None])
    return before, evidence


def predict(post: Posterior, priors: Priors, rows: Ints) -> tuple[Grid, Grid]:
    """Mean and mean square of the success rate at step j if k is the first wrong step, (m, S, S + 1) each."""
    moves = kernel(priors.trend, priors.drift)
    seen, before = post.seen[rows], post.before[rows]
    m, width, size = seen.shape
    moments = np.empty((2, m, width, width + 1), np.float32)
    wrong = np.tensordot(np.stack([RECOVERIES, RECOVERIES**2]), post.recovery[:, rows], 1)
    one: Grid = np.ones((m, 1, size), np.float32)
    later: Grid = one  # evidence of steps j+1 .. k-1, for k = S, S-1, …, j+1
    powers = np.stack([RATES, RATES**2, np.ones_like(RATES)], 1)
    for step in range(width - 1, -1, -1):
        if step < width - 1:
            onward = (later * seen[:, None, step + 1]).reshape(-1, size) @ moves.T
            onward = (onward / np.maximum(onward @ powers[:, 2:], TINY)).reshape(m, -1, size)
            later = np.concatenate([_cut(np.asarray(onward, np.float32)), one], 1)
        weight: Grid = later * (before[:, step] * seen[:, step])[:, None]
        sums = weight.reshape(-1, size) @ powers
        means = (sums[:, :2] / np.maximum(sums[:, 2:], TINY)).reshape(m, -1, 2)
        moments[:, :, step, step + 1 :] = means[:, ::-1].transpose(2, 0, 1)
        moments[:, :, step, : step + 1] = wrong[:, :, : step + 1]
    return moments[0], moments[1]
