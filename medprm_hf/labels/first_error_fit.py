"""Empirical Bayes: learning the first-error model's priors from the rollouts of the run itself.

`level`, `recovery`, `error_rate` and `position` by expectation-maximisation, held by some pseudo-counts of the
start values; `drift` and `trend` by a step along a short grid to the highest evidence. Each call goes a few steps on
from the priors it is given: a run calls it after its rounds, so that it costs little and ends well. `noise` is not
learnt: between 0.05 and 0.2 no simulated world's labels change, but where guessing is likely a run that settles on
0.2 pays up to half as many rollouts again.
Which prefixes were sampled depends on earlier outcomes only, so the likelihood needs no correction for that.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medprm_hf.labels.first_error_model import Counts, Floats, Ints, posterior
from medprm_hf.labels.first_error_priors import (
    DRIFTS,
    POSITION_BINS,
    RECOVERIES,
    TRENDS,
    Priors,
)

PSEUDO = 20.0  # solutions (for level: questions) that the start values weigh as much as
MOST_RISE = 5.0
MATTERS = 0.05  # share of errors made up for from which on it counts when drift and trend are learnt
LADDERS = {"drift": DRIFTS, "trend": TRENDS}


def fit(counts: Counts, priors: Priors, start: Priors, climb: bool = True, most: int = 4000) -> Priors:
    """Priors a few steps nearer to what the counts say; `start` is what holds them where counts are few.

    With `climb` also moves along the ladders, at several times the cost. Looks at about `most` solutions, and at
    fewer for the ladders where pairs matter, so that its cost has a bound.
    """
    counts = _some(counts, most)
    if climb:
        # Pairs cost several times as much: they take part where they matter, on fewer solutions.
        matters = priors.back > MATTERS
        some, at = _some(counts, most * 3 // 8 if matters else most), priors if matters else replace(priors, back=0.0)
        for name in LADDERS:
            at = _climb(some, at, start, name)
        priors = replace(at, back=priors.back)
    return _settle(counts, priors, start, 3)


def _some(counts: Counts, most: int) -> Counts:
    """About `most` solutions, whole questions evenly spread; all where there are no more."""
    every = -(-len(counts.num_steps) // most)
    return counts if every < 2 else counts.take(np.flatnonzero(counts.question % every == 0))


def _expectation_maximisation(counts: Counts, priors: Priors, start: Priors) -> Priors:
    post = posterior(counts, priors)
    n, width = post.p_right.shape
    k = np.arange(width + 1)[None]
    wrong = np.where(k < counts.num_steps[:, None], post.first_wrong, 0.0)
    alone = np.where(k < counts.num_steps[:, None], post.hypotheses[:, : width + 1], 0.0)
    recovery = np.einsum("nk,rnk->r", alone, post.recovery)
    could = float(wrong[k < counts.num_steps[:, None] - 1].sum())
    position = _positions(wrong, counts.num_steps)
    return replace(
        priors,
        error_rate=float((wrong.sum() + PSEUDO * start.error_rate) / (n + PSEUDO)),
        level=_held(post.question_level.sum(0), start.level),
        recovery=_held(_bounded(recovery, start.recovery), start.recovery),
        position=_held(position, start.position),
        back=float((post.back.sum() + PSEUDO * start.back) / (could + PSEUDO)) if post.back.size else priors.back,
    )


def _positions(wrong: Floats, num_steps: Ints) -> Floats:
    k = np.arange(wrong.shape[1])[None]
    bins = np.minimum(POSITION_BINS * (k + 0.5) / num_steps[:, None], POSITION_BINS - 1).astype(int)
    # A bin that holds two of a solution's steps gets twice the mass under an even hazard: divide that out.
    inside = k < num_steps[:, None]
    share: Floats = np.stack([((bins == b) & inside).sum(1) for b in range(POSITION_BINS)], 1) / num_steps[:, None]
    mass: Floats = np.stack([np.where(bins == b, wrong, 0).sum(1) for b in range(POSITION_BINS)], 1)
    result: Floats = mass.sum(0) / np.maximum((share * wrong.sum(1, keepdims=True)).sum(0), 1e-9)
    result *= wrong.sum() / max(result.sum(), 1e-9)
    return result


def _held(seen: Floats, start: tuple[float, ...]) -> tuple[float, ...]:
    weights: Floats = seen + PSEUDO * np.array(start)
    return tuple((weights / weights.sum()).tolist())


def _bounded(seen: Floats, start: tuple[float, ...]) -> Floats:
    """`seen` with no more than MOST_RISE times the start's share on rates far above its mean (two deviations).

    Else a success rate that rises along right steps is learnt as an error after which most rollouts recover, and
    right steps of later solutions are then called wrong.
    """
    prior = np.array(start)
    mean = float(prior @ RECOVERIES)
    spread = float(np.sqrt(prior @ (RECOVERIES - mean) ** 2))
    far = mean + 2 * spread < RECOVERIES
    result: Floats = np.where(far, np.minimum(seen, MOST_RISE * prior * seen.sum()), seen)
    return result


def _climb(counts: Counts, priors: Priors, start: Priors, name: str) -> Priors:
    """The best of a rung and its two neighbours on one ladder, by evidence."""
    ladder = LADDERS[name]
    at = int(np.abs(np.array(ladder) - getattr(priors, name)).argmin())
    rungs = [ladder[i] for i in (at, at - 1, at + 1) if 0 <= i < len(ladder)]
    # A rung is judged after the rest has adapted to it: trend and error rate, say, trade off along a ridge.
    tried = [_settle(counts, Priors(**{**vars(priors), name: rung}), start, 2) for rung in rungs]
    return max(tried, key=lambda p: posterior(counts, p).log_evidence + _belief(p, name))


def _settle(counts: Counts, priors: Priors, start: Priors, passes: int) -> Priors:
    for _ in range(passes):
        priors = _expectation_maximisation(counts, priors, start)
    return priors


def _belief(priors: Priors, name: str) -> float:
    """Log prior of a rung: weak, so that a few dozen solutions already move it."""
    value = getattr(priors, name)
    if name == "trend":
        return float(-0.5 * (value / 0.2) ** 2)
    return float(-2 * np.log(value / 0.25) ** 2)
