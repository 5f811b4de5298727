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

Where a later step may make up for a wrong one, pairs (k, right again from j) stand beside k: `first_error_back`.
Arrays are float32, (n, S, G) with G = 28 levels or 18 recovery rates; about 10 µs a solution for a posterior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medprm_hf.labels.first_error_back import LEAST, Back, log_prior, pairs, predict_pairs
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
    """(n, S + 1) P(first wrong step = k), whether or not a later step is right again."""
    back: Floats
    """(n, P) P(pair), see `first_error_back`; P = 0 where the priors rule such pairs out."""
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
    seen_after: Grid
    """(R, n, S) its log per recovery rate."""

    @property
    def p_right(self) -> Floats:
        """(n, S) P(step is right): the first wrong step lies later, or was made up for."""
        right: Floats = 1 - self.first_wrong.cumsum(1)[:, :-1]
        if self.back.shape[1]:
            width = right.shape[1]
            again = pairs(width)[1][:, None] <= np.arange(width)[None]
            right += self.back @ again
        return np.clip(right, 0, 1)

    @property
    def hypotheses(self) -> Floats:
        """(n, S + 1 + P) P(first wrong step = k and never right again), then P(pair)."""
        alone = self.first_wrong.copy()
        for at, k in enumerate(pairs(alone.shape[1] - 1)[0] if self.back.shape[1] else ()):
            alone[:, k] -= self.back[:, at]
        return np.concatenate([np.maximum(alone, 0), self.back], 1)


def posterior(counts: Counts, priors: Priors) -> Posterior:
    """Exact inference for all solutions at once."""
    moves = kernel(priors.trend, priors.drift)
    level, recovery = np.array(priors.level, np.float32), np.array(priors.recovery, np.float32)
    seen, seen_after, scale = _likelihoods(counts, priors.noise)
    after, rates = _after(seen_after, recovery)
    position = position_prior(priors, counts.num_steps)
    with np.errstate(divide="ignore"):
        start = np.log(position) + after
    _answered(counts, start, seen)
    back = None
    if priors.back >= LEAST and seen.shape[1] > 1:
        start[_may_recover(counts.num_steps, start.shape[1])] += np.log1p(-priors.back)
        back = Back.of(_pair_prior(counts, position, priors.back), counts.num_steps, seen, seen_after, recovery, moves)
    messages, scales = _messages(start, seen, moves, back)
    cavity, question_level, evidence = _cavity(messages, counts.question, level)
    before, log_before = _forward(cavity, seen, moves)
    joint = start + log_before
    if back is not None:
        joint = np.concatenate([joint, back.joint(before, log_before)], 1)
    joint = np.exp(joint - joint.max(1, keepdims=True))
    joint /= joint.sum(1, keepdims=True)
    first_wrong, right_again = joint[:, : start.shape[1]].copy(), joint[:, start.shape[1] :]
    if back is not None:
        for at, k in enumerate(pairs(seen.shape[1])[0]):
            first_wrong[:, k] += right_again[:, at]
    evidence += float(scales.sum() + scale)
    return Posterior(first_wrong, right_again, question_level, rates, evidence, before, seen, seen_after)


def _may_recover(num_steps: Ints, columns: int) -> NDArray[np.bool_]:
    """(n, S + 1) whether a step after k exists that could be right again."""
    result: NDArray[np.bool_] = np.arange(columns)[None] < num_steps[:, None] - 1
    return result


def _pair_prior(counts: Counts, position: Floats, back: float) -> Floats:
    """Log prior of each pair; a solution whose own answer is wrong does not end right."""
    prior = log_prior(position, counts.num_steps, back)
    if counts.own is not None:
        prior[counts.own == 0] = -np.inf
    return prior


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


def _messages(start: Floats, seen: Grid, moves: Grid, back: Back | None = None) -> tuple[Grid, Floats]:
    """Each solution's evidence per level of its question, (n, G) with largest entry 1, and the log scale off it.

    `start` (n, S + 1) is log prior × evidence of an error at k. Backward: at level z the rest of the chain is
    either an error here (with `back` perhaps made up for), or this step's counts and what follows.
    """
    width, ones = seen.shape[1], np.ones(seen.shape[2], np.float32)
    scale = start[:, width].copy()
    again, healed = back.here(width) if back is not None else (np.full(seen.shape[:2], -np.inf), seen)
    value = np.where(np.isfinite(scale), 1.0, 0.0).astype(np.float32)[:, None] * np.ones_like(seen[:, 0])
    for step in range(width - 1, -1, -1):
        # Beyond a solution's end nothing was counted, and its own "no error" column starts the walk.
        onward = value @ moves.T if step < width - 1 else value
        base = np.maximum(np.maximum(scale, start[:, step]), again[:, step])
        base = np.where(np.isfinite(base), base, 0.0)
        kept, here = np.exp(scale - base), np.exp(start[:, step] - base)
        value = here.astype(np.float32)[:, None] + kept.astype(np.float32)[:, None] * seen[:, step] * onward
        if back is not None:
            value += np.exp(again[:, step] - base).astype(np.float32)[:, None] * healed[:, step]
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


def predict(post: Posterior, priors: Priors, rows: Ints, again: bool = False) -> tuple[Grid, Grid]:
    """Mean and mean square of the success rate at step j if k is the first wrong step, (m, S, S + 1) each.

    With `again` also under each pair: (m, S, S + 1 + P), in the order of `Posterior.hypotheses`.
    """
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
    if again:
        recovery = np.array(priors.recovery, np.float32)
        more = predict_pairs(before, seen, post.seen_after[:, rows], recovery, moves, moments, powers)
        moments = np.concatenate([moments, more], 3)
    return moments[0], moments[1]
