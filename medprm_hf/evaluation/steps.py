"""Figures of single steps: macro-F1 pooled and by source, agreement, calibration, slices, and the place of errors.

    step_figures(table, scores, fit)   ->  {"macro_f1": 0.84, "interval": [0.83, 0.85], "f1_right": …, "ece": 0.04, …}

A step counts where its truth is + or -; neutral steps are dropped (as VisualProcessBench does, arXiv 2503.10291) and
counted, steps without a score are skipped and counted, and `macro_f1_all` takes those as missed. Intervals resample
whole questions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprm_hf.evaluation.fitting import Fit, known_steps
from medprm_hf.evaluation.table import Score, Table
from medprm_hf.labels import calibration
from medprm_hf.labels.agreement import (
    bootstrap,
    cohen_kappa,
    confusion,
    macro_f1,
    percentiles,
    resample,
)
from medprm_hf.labels.benchmark_scores import (
    CATEGORIES,
    error_place_counts,
    error_place_f1,
    error_place_statistic,
    first_error,
    prm_score,
    prm_score_statistic,
    true_first_error,
)
from medprm_hf.schema import Label

Scores = Sequence[Sequence[Score]]
Floats = NDArray[np.float64]
RIGHT, WRONG, NEUTRAL, UNKNOWN = (label.value for label in (Label.RIGHT, Label.WRONG, Label.NEUTRAL, Label.UNKNOWN))
LAST_POSITION = 12
"""Steps beyond it are shown together."""


def said(scores: Scores, threshold: float) -> list[list[str]]:
    """+ where a score is above the threshold, - where not, ? where there is none."""
    return [[UNKNOWN if s is None else RIGHT if s > threshold else WRONG for s in row] for row in scores]


def step_figures(table: Table, scores: Scores, fit: Fit, resamples: int = 1000) -> dict[str, Any]:
    """All figures over all steps; what cannot be told is None."""
    labels = said(scores, fit.threshold)
    pooled = macro_f1(labels, table.truth)
    counts = confusion(labels, table.truth).sum(0)
    rated = [[UNKNOWN if label == NEUTRAL else label for label in row] for row in table.truth]
    kappa = cohen_kappa(labels, rated, table.questions, resamples)
    cells = [int(value) for value in counts]
    return {
        **pooled._asdict(),
        "interval": bootstrap(labels, table.truth, table.questions, resamples),
        "per_source": per_source(table, labels, resamples),
        "accuracy": (cells[0] + cells[4]) / pooled.n_steps if pooled.n_steps else None,
        "share_right": sum(cells[:3]) / sum(cells) if sum(cells) else None,
        "neutral_dropped": sum(row.count(NEUTRAL) for row in table.truth),
        "unlabelled": sum(row.count(UNKNOWN) for row in table.truth),
        "confusion": {RIGHT: dict(zip("+-?", cells[:3], strict=True)), WRONG: dict(zip("+-?", cells[3:], strict=True))},
        "kappa": kappa.kappa,
        "kappa_interval": kappa.interval,
        **calibration_figures(table, scores, fit, resamples),
    }


def calibration_figures(table: Table, scores: Scores, fit: Fit, resamples: int = 1000) -> dict[str, Any]:
    """Calibration of the scores as they are, and after the development part's temperature."""
    x, y, groups = known_steps(table, scores)
    cooled = calibration.tempered(x, fit.temperature)
    spread = calibration.intervals(x, y, groups, resamples=resamples)
    bins = calibration.reliability(x, y)
    return {
        "ece": calibration.error_of(bins),
        "ece_interval": spread.error,
        "adaptive_ece": calibration.error_of(calibration.reliability(x, y, adaptive=True)),
        "brier": calibration.brier(x, y),
        "brier_interval": spread.brier,
        "pearson": calibration.pearson(x, y),
        "pearson_interval": spread.pearson,
        "auc": auc(x, y),
        "reliability": [one._asdict() for one in bins],
        "temperature": fit.temperature,
        "ece_tempered": calibration.error_of(calibration.reliability(cooled, y)),
        "ece_tempered_interval": calibration.intervals(cooled, y, groups, resamples=resamples).error,
        "brier_tempered": calibration.brier(cooled, y),
        "reliability_tempered": [one._asdict() for one in calibration.reliability(cooled, y)],
    }


def auc(scores: Sequence[float], right: Sequence[float]) -> float | None:
    """Chance that a right step scores above a wrong one, ties half; None where either kind is missing."""
    from scipy.stats import rankdata

    good = int(sum(right))
    if not good or good == len(right):
        return None
    ranks = rankdata(scores)
    above = float(ranks[np.array(right) > 0.5].sum()) - good * (good + 1) / 2
    return above / (good * (len(right) - good))


def per_source(table: Table, labels: Sequence[Sequence[str]], resamples: int = 1000) -> dict[str, Any]:
    """Mean of the sources' macro-F1 (each source weighs alike), and each; sources of one class alone are named."""
    names = [str(row.get("source") or "unknown") for row in table.rows]
    places = {name: i for i, name in enumerate(dict.fromkeys(names))}
    counts = confusion(labels, table.truth)
    wide = np.zeros((len(names), len(places), counts.shape[1]))
    wide[range(len(names)), [places[name] for name in names]] = counts
    by_question = np.array([wide[own].sum(0).ravel() for own in table.groups()])
    each = _by_cell(wide.sum(0)[None])[0] if len(names) else np.array([])
    found = {name: None if np.isnan(each[i]) else float(each[i]) for name, i in places.items()}
    told = [value for value in found.values() if value is not None]

    def mean(sums: Floats) -> Floats:
        values = _by_cell(sums.reshape(len(sums), len(places), -1))
        return np.asarray(np.where(np.isnan(values).all(1), np.nan, _nanmean(values)))

    return {
        "mean": sum(told) / len(told) if told else None,
        "interval": percentiles(resample(by_question, mean, resamples)) if told else None,
        "sources": found,
        "one_class_alone": [name for name, value in found.items() if value is None],
    }


def _nanmean(values: Floats) -> Floats:
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0).sum(1) / np.maximum(known.sum(1), 1))


def _by_cell(counts: Floats) -> Floats:
    """macro-F1 of confusion counts (…, 6); nan where a class is in neither list."""
    pp, pm, _, mp, mm, _ = np.moveaxis(counts, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((2 * pp / (2 * pp + pm + mp) + 2 * mm / (2 * mm + pm + mp)) / 2)


# --- slices --------------------------------------------------------------------------------------------------


def slices(table: Table, scores: Scores, fit: Fit, resamples: int = 500) -> dict[str, list[dict[str, Any]]]:
    """macro-F1, share of right steps and calibration error by modality, difficulty, source and step position."""
    kinds: dict[str, Callable[[int, int], str]] = {
        **{
            name: lambda row, step, name=name: str(table.rows[row].get(name) or "unknown")  # type: ignore[misc]
            for name in ("modality", "difficulty", "source")
        },
        "position": lambda row, step: str(step + 1) if step < LAST_POSITION else f"{LAST_POSITION + 1} and later",
    }
    labels = said(scores, fit.threshold)
    return {kind: _sliced(table, scores, labels, value_of, resamples) for kind, value_of in kinds.items()}


def _sliced(
    table: Table,
    scores: Scores,
    labels: Sequence[Sequence[str]],
    value_of: Callable[[int, int], str],
    resamples: int,
) -> list[dict[str, Any]]:
    names = dict.fromkeys(value_of(i, j) for i, row in enumerate(table.truth) for j in range(len(row)))
    found = []
    for name in names:
        truth = [
            [label if value_of(i, j) == name else UNKNOWN for j, label in enumerate(row)]
            for i, row in enumerate(table.truth)
        ]
        scored = macro_f1(labels, truth)
        own = [i for i, row in enumerate(truth) if any(label in (RIGHT, WRONG) for label in row)]
        if not own:
            continue
        narrow = Table(table.rows, truth, table.questions, table.answers, table.right, table.gold)
        x, y, _ = known_steps(narrow, scores)
        found.append({
            "value": name,
            **scored._asdict(),
            "interval": bootstrap(labels, truth, table.questions, resamples),
            "share_right": sum(y) / len(y) if y else None,
            "ece": calibration.error_of(calibration.reliability(x, y)),
        })  # fmt: skip
    return found


# --- benchmarks ----------------------------------------------------------------------------------------------


def error_place(table: Table, scores: Scores, fit: Fit, resamples: int = 1000) -> dict[str, Any]:
    """First-error F1 (ProcessBench), its threshold fixed on development data."""
    truth = [true_first_error(labels) for labels in table.truth]
    found = [first_error(row, fit.error_threshold) for row in scores]
    counts = error_place_counts(found, truth)
    grouped = np.array([counts[own].sum(0) for own in table.groups()])
    return {
        **error_place_f1(found, truth)._asdict(),
        "interval": percentiles(resample(grouped, error_place_statistic, resamples)) if len(grouped) else None,
        "threshold": fit.error_threshold,
        "truth_unknown": truth.count(None),
    }


def prmbench(table: Table, scores: Scores, fit: Fit, resamples: int = 1000) -> dict[str, Any] | None:
    """PRMScore by category, by subject (mean of its categories) and over all; None where no row is PRMBench's."""
    kinds = [_category(row) for row in table.rows]
    if not any(kinds):
        return None
    counts = confusion(said(scores, fit.threshold), table.truth)
    categories = {}
    for kind in dict.fromkeys(kind for kind in kinds if kind):
        own = counts[[i for i, other in enumerate(kinds) if other == kind]]
        subject, short = CATEGORIES.get(kind, ("other", kind))
        spread = percentiles(resample(own, prm_score_statistic, resamples))
        categories[kind] = {"subject": subject, "short": short, **prm_score(own.sum(0))._asdict(), "interval": spread}
    mine = counts[[i for i, kind in enumerate(kinds) if kind]]
    by_subject: dict[str, list[float]] = {}
    for entry in categories.values():
        if entry["score"] is not None:
            by_subject.setdefault(entry["subject"], []).append(entry["score"])
    return {
        "overall": {
            **prm_score(mine.sum(0))._asdict(),
            "interval": percentiles(resample(mine, prm_score_statistic, resamples)),
        },
        "subjects": {name: sum(values) / len(values) for name, values in by_subject.items()},
        "categories": categories,
    }


def _category(row: Any) -> str | None:
    """PRMBench's classification of a row that was read from its file."""
    if row.get("source") != "prmbench" or not row.get("extra"):
        return None
    told = json.loads(row["extra"]).get("prmbench") or {}
    return told.get("classification")
