"""How far labels agree with the truth, or with each other: macro-F1, kappa, recall of errors, with intervals.

Labels are lists per solution (or one flat list) of + - 0 ?. A step counts where the truth is + or - (neutral
steps are left out, as VisualProcessBench does, arXiv 2503.10291) and the label is + or -; where the label is
? or 0 the step is *skipped*, and counted as such. Nothing measured is None, never 0.

    >>> macro_f1([["+", "-", "?"]], [["+", "+", "-"]]).skipped
    1
    >>> macro_f1([], []).macro_f1 is None
    True
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medprm_hf.errors import DataError
from medprm_hf.schema import Label

Lists = Sequence[Sequence[str]]
"""Labels per solution: [solutions][steps]. A flat list of labels is one too (each label a solution)."""
Floats = NDArray[np.float64]

RIGHT, WRONG, NEUTRAL, UNKNOWN = (label.value for label in (Label.RIGHT, Label.WRONG, Label.NEUTRAL, Label.UNKNOWN))
_CHUNK = 2_000_000  # numbers drawn at once: bounds the memory of a bootstrap (16 MB)


class Scores(NamedTuple):
    """Agreement of labels with the truth over + and -."""

    macro_f1: float | None
    """Mean of the two F1, 0..1; None where one of them is."""
    f1_right: float | None
    """F1 of +; None where + stands in neither list."""
    f1_wrong: float | None
    """F1 of -; None where - stands in neither list."""
    n_steps: int
    """Steps that were compared."""
    skipped: int
    """Steps with a truth of + or - and a label of ? or 0; not in n_steps."""
    macro_f1_all: float | None
    """macro_f1 with skipped steps as missed: it falls where a signal stays silent."""


class Recall(NamedTuple):
    """How many of the wrong steps of one kind were labelled -."""

    share: float
    """0..1."""
    n: int
    """Wrong steps of this kind."""
    unknown: int
    """Of these, labelled ?: they count as not found."""


class Kappa(NamedTuple):
    """Agreement of two raters beyond chance (Cohen 1960)."""

    kappa: float | None
    """-1..1; None where both raters gave every step the same label, or nothing is shared."""
    interval: list[float] | None
    """[low, high], by a bootstrap over groups."""
    n_steps: int
    """Steps that both rated."""
    skipped: int
    """Steps that one or both left ?."""


# --- counting ------------------------------------------------------------------------------------------------


def _pairs(labels: Lists, truth: Sequence[Sequence[str | None]]) -> Iterable[tuple[int, str, str | None]]:
    if len(labels) != len(truth):
        raise DataError(f"{len(labels)} solutions with labels, {len(truth)} with truth: they must line up")
    for i, (ours, theirs) in enumerate(zip(labels, truth, strict=True)):
        if len(ours) != len(theirs):
            raise DataError(f"solution {i} has {len(ours)} labels and {len(theirs)} true ones: they must line up")
        for label, true in zip(ours, theirs, strict=True):
            yield i, label, true


_CELLS = {(t, p): k for k, (t, p) in enumerate((t, p) for t in (RIGHT, WRONG) for p in (RIGHT, WRONG, UNKNOWN))}


def confusion(labels: Lists, truth: Lists) -> Floats:
    """Counts per solution, (solutions, 6): truth + with label + - ?, truth - with label + - ? (0 counts as ?)."""
    counts = np.zeros((len(labels), len(_CELLS)))
    for i, label, true in _pairs(labels, truth):
        cell = _CELLS.get((str(true), UNKNOWN if label == NEUTRAL else str(label)))
        if cell is not None:
            counts[i, cell] += 1
    return counts


def _f1(hit: Floats, said: Floats, there: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * hit / (said + there))


def _class_f1(counts: Floats) -> Floats:
    """F1 of + and of - from counts (…, 6); nan where a class is in neither list. Shape (…, 2)."""
    pp, pm, _, mp, mm, _ = np.moveaxis(counts, -1, 0)
    return np.stack([_f1(pp, pp + mp, pp + pm), _f1(mm, mm + pm, mm + mp)], -1)


def _all_f1(counts: Floats) -> Floats:
    pp, pm, pu, mp, mm, mu = np.moveaxis(counts, -1, 0)
    return np.stack([_f1(pp, pp + mp, pp + pm + pu), _f1(mm, mm + pm, mm + mp + mu)], -1)


def _macro(counts: Floats) -> Floats:
    return np.asarray(_class_f1(counts).mean(-1))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def macro_f1(labels: Lists, truth: Lists) -> Scores:
    """Scores of labels against the truth; raises DataError where the lists do not line up."""
    counts = confusion(labels, truth).sum(0)
    right, wrong = _class_f1(counts)
    skipped = int(counts[2] + counts[5])
    return Scores(
        _known((right + wrong) / 2),
        _known(right),
        _known(wrong),
        int(counts.sum()) - skipped,
        skipped,
        _known(_all_f1(counts).mean()),
    )


# --- intervals -----------------------------------------------------------------------------------------------


def resample(counts: Floats, statistic: Callable[[Floats], Floats], resamples: int = 1000, seed: int = 0) -> Floats:
    """`statistic` of `resamples` bootstrap samples of the rows of `counts` (groups, cells), shape (resamples,).

    Rows are drawn with replacement and added up, so `statistic` sees (n, cells). Equal seeds draw equal rows:
    two signals resampled with the same seed over the same groups are paired.
    """
    rng = np.random.default_rng(seed)
    groups = len(counts)
    sums = np.empty((resamples, counts.shape[1]))
    per_chunk = max(1, _CHUNK // max(groups, 1))
    for start in range(0, resamples, per_chunk):
        stop = min(start + per_chunk, resamples)
        drawn = rng.integers(groups, size=(stop - start, groups))
        offsets = np.arange(stop - start)[:, None] * groups
        times = np.bincount((drawn + offsets).ravel(), minlength=(stop - start) * groups)
        sums[start:stop] = times.reshape(stop - start, groups) @ counts
    return statistic(sums)


def percentiles(values: Floats, level: float = 0.95) -> list[float] | None:
    """[low, high] of the middle `level` of values; None where more than half of them are undefined."""
    known = values[~np.isnan(values)]
    if len(known) * 2 <= len(values) or not len(known):
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return [float(low), float(high)]


def by_group(counts: Floats, groups: Sequence[Hashable] | None) -> Floats:
    """Rows of counts added up by group, (groups, cells); as they are without groups."""
    if groups is None:
        return counts
    if len(groups) != len(counts):
        raise DataError(f"{len(groups)} groups for {len(counts)} solutions: each solution needs one")
    place = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    total = np.zeros((len(place), counts.shape[1]))
    np.add.at(total, [place[group] for group in groups], counts)
    return total


def bootstrap(
    labels: Lists,
    truth: Lists,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> list[float] | None:
    """[low, high] of macro-F1, resampling whole questions: `groups` names each solution's question, [solutions].

    None where there is nothing to measure.
    """
    counts = by_group(confusion(labels, truth), groups)
    if not counts.size:
        return None
    return percentiles(resample(counts, _macro, resamples, seed), level)


def bootstrap_difference(
    labels: Lists,
    others: Lists,
    truth: Lists,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> list[float] | None:
    """[low, high] of macro_f1(labels) - macro_f1(others), on the same resampled questions."""
    mine, theirs = (by_group(confusion(each, truth), groups) for each in (labels, others))
    if not mine.size:
        return None
    return percentiles(resample(mine, _macro, resamples, seed) - resample(theirs, _macro, resamples, seed), level)


# --- kappa ---------------------------------------------------------------------------------------------------

_RATED = (RIGHT, WRONG, NEUTRAL)


def _kappa(counts: Floats) -> Floats:
    """Kappa of tables (…, 9), rows first rater; nan where chance agreement is 1 or the table is empty."""
    table = counts.reshape(*counts.shape[:-1], 3, 3)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = table / table.sum((-1, -2), keepdims=True)
        seen = np.trace(share, axis1=-2, axis2=-1)
        chance = (share.sum(-1) * share.sum(-2)).sum(-1)
        return np.where(chance < 1 - 1e-12, (seen - chance) / (1 - chance), np.nan)


def cohen_kappa(
    first: Lists, second: Lists, groups: Sequence[Hashable] | None = None, resamples: int = 1000, seed: int = 0
) -> Kappa:
    """Cohen's kappa of two raters over + - 0, steps that either left ? skipped; resampled by `groups`."""
    counts, skipped = np.zeros((len(first), 9)), 0
    for i, a, b in _pairs(first, second):
        if a in _RATED and b in _RATED:
            counts[i, _RATED.index(a) * 3 + _RATED.index(b)] += 1
        else:
            skipped += 1
    grouped = by_group(counts, groups)
    interval = percentiles(resample(grouped, _kappa, resamples, seed)) if counts.sum() else None
    return Kappa(_known(float(_kappa(counts.sum(0)))), interval, int(counts.sum()), skipped)


# --- errors and prior ----------------------------------------------------------------------------------------


def error_recall(labels: Lists, kinds: Sequence[Sequence[str | None]]) -> dict[str, Recall]:
    """Per kind of error, the share of its wrong steps that are labelled -; sorted by kind.

    `kinds` is [solutions][steps]: the kind of error in truth, None (or "") for a step that is not wrong.
    """
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for _, label, kind in _pairs(labels, kinds):
        if kind:
            seen[kind][label] += 1
    return {
        kind: Recall(count[WRONG] / count.total(), count.total(), count[UNKNOWN])
        for kind, count in sorted(seen.items())
    }


@dataclass(frozen=True)
class StepIndexPrior:
    """The majority label of each step position: what one can say without looking."""

    labels: tuple[str, ...]
    """+ or -, by position; beyond the last one, that one holds."""
    share_right: tuple[float | None, ...]
    """Share of + at each position in the fitting data; None where nothing was seen."""


def fit_prior(labels: Lists) -> StepIndexPrior:
    """The step-index prior of labelled solutions of *training* questions, [solutions][steps].

    Only + and - count; a tie is +; a position without either takes the label of the one before.
    """
    seen: dict[int, Counter[str]] = defaultdict(Counter)
    for solution in labels:
        for i, label in enumerate(solution):
            seen[i][label] += 1
    fitted: list[str] = []
    shares: list[float | None] = []
    for i in range(max(seen, default=-1) + 1):
        right, wrong = seen[i][RIGHT], seen[i][WRONG]
        shares.append(right / (right + wrong) if right + wrong else None)
        before = fitted[-1] if fitted else RIGHT
        fitted.append(before if shares[-1] is None else RIGHT if right >= wrong else WRONG)
    return StepIndexPrior(tuple(fitted), tuple(shares))


def apply_prior(prior: StepIndexPrior, num_steps: int) -> list[str]:
    """The prior's labels of a solution, [num_steps]; all ? where it was fitted on nothing."""
    if not prior.labels:
        return [UNKNOWN] * num_steps
    return [prior.labels[min(i, len(prior.labels) - 1)] for i in range(num_steps)]
