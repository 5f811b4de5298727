"""One evaluation: rows with scores in, one dictionary of figures out. Pure of files and models.

    report = evaluate(rows, name="runs/demo/prm")
    report["model"]["steps"]["macro_f1"], report["beside"]["step-index prior"]["steps"]["macro_f1"]

Without a development part the data are split by question (and image and patient), which is said in the report. Beside
the model stand the step-index prior, what needs no scores (majority vote, pass@N), and other sets of scores by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.evaluation.checks import refuse_overlap
from medprm_hf.evaluation.fitting import Fit, fit_on, split
from medprm_hf.evaluation.responses import SIZES, response_figures
from medprm_hf.evaluation.steps import error_place, prmbench, slices, step_figures
from medprm_hf.evaluation.table import Row, Score, Table, Truth, scores_of
from medprm_hf.evaluation.worst import worst_cases
from medprm_hf.labels.aggregate import AGGREGATORS
from medprm_hf.labels.agreement import StepIndexPrior, bootstrap_difference, fit_prior
from medprm_hf.schema import Label

Scores = list[list[Score]]
PRIOR = "step-index prior"


@dataclass(frozen=True)
class EvalSettings:
    """How an evaluation is made."""

    truth: Truth = "final"
    """Which labels are the truth: final (an expert's, else merge's), review, judge or rollouts."""
    threshold: float | None = None
    """A step is + above it; null: fixed on development data."""
    development: float = 0.25
    """Share of the questions held back for it where no development data are given."""
    sizes: tuple[int, ...] = SIZES
    """N of Best-of-N."""
    resamples: int = 1000
    """Of each bootstrap."""
    worst: int = 12
    """Cases shown."""
    seed: int = 0
    force: bool = False
    """Evaluate what would be refused: rows seen in training, partly scored files, shared development questions."""


def evaluate(
    rows: Sequence[Row],
    development: Sequence[Row] | None = None,
    *,
    name: str = "model",
    settings: EvalSettings | None = None,
    beside: Mapping[str, Sequence[Row]] | None = None,
    start: Fit | None = None,
) -> dict[str, Any]:
    """Figures of rows that carry `step_scores`, [num_steps] each, null where a step has none.

    `beside`: the same rows with the scores of others, e.g. of an outcome model, all rows of `rows` and `development` in
    that order. `start`: threshold and temperature where too little is labelled to fit them. Raises DataError where the
    rows cannot be evaluated.
    """
    settings = settings or EvalSettings()
    everything = [*rows, *(development or ())]
    test, fitting, said = _sides(rows, development, settings)
    table = Table.of_rows(everything, settings.truth)
    sides = table.part(test), table.part(fitting)
    sets = {name: everything, **(beside or {})}
    for label, own in sets.items():
        if len(own) != len(everything):
            raise DataError(f"{label} has {len(own)} rows where {len(everything)} are evaluated: they must line up")
    scorers = {label: _Scorer.of(own, test, fitting, settings.force) for label, own in sets.items()}
    prior = fit_prior(sides[1].truth)
    if prior.labels and any(share is not None for share in prior.share_right):
        scorers[PRIOR] = _Scorer.of_prior(prior, *sides)
    found = {label: _figures(scorer, sides, settings, start) for label, scorer in scorers.items()}
    main = scorers[name]
    fit = _fit(main, sides[1], settings, start)
    return {
        "name": name,
        "counts": counts(sides[0], main.test),
        "development": {**said, **fit.as_dict()},
        "model": found.pop(name),
        "beside": found,
        "baselines": response_figures(sides[0], None, (), settings.resamples, settings.sizes),
        "over": {label: _over(scorers, label, name, sides, settings, start) for label in found},
        "slices": slices(sides[0], main.test, fit),
        "test_places": test,
        "worst": worst_cases(sides[0], main.test, fit.threshold, settings.worst),
    }


def _sides(
    rows: Sequence[Row], development: Sequence[Row] | None, settings: EvalSettings
) -> tuple[list[int], list[int], dict[str, Any]]:
    """Places of test and development part among all rows, and how they came about."""
    if development is not None:
        if not settings.force:
            refuse_overlap(rows, development)
        size = len(rows)
        return list(range(size)), list(range(size, size + len(development))), {"from": "given"}
    if settings.threshold is not None:
        return list(range(len(rows))), [], {"from": "none: the threshold was given"}
    truth = Table.of_rows(rows, settings.truth).truth
    if not any(label in (Label.RIGHT, Label.WRONG) for labels in truth for label in labels):
        return list(range(len(rows))), [], {"from": "none: no step has a label, so nothing needs a threshold"}
    held, test = split(rows, settings.development, settings.seed)
    said = (
        f"split: {len(held)} of {len(rows)} solutions held back by question, image and group; figures are of the rest"
    )
    return test, held, {"from": said, "rows": len(held)}


@dataclass(frozen=True)
class _Scorer:
    """Scores of one set on both sides, and what is aggregated of them."""

    test: Scores
    fitting: Scores
    aggregated: list[list[Score]]

    @classmethod
    def of(cls, rows: Sequence[Row], test: Sequence[int], fitting: Sequence[int], force: bool) -> _Scorer:
        scores = scores_of(rows, force=force)
        # An advantage model is aggregated over its expectations of +1, 0 and -1.
        aggregated = [list(row.get("step_expectations") or own) for row, own in zip(rows, scores, strict=True)]
        return cls([scores[i] for i in test], [scores[i] for i in fitting], [aggregated[i] for i in test])

    @classmethod
    def of_prior(cls, prior: StepIndexPrior, test: Table, fitting: Table) -> _Scorer:
        shares: list[float] = []
        for share in prior.share_right:
            shares.append(share if share is not None else shares[-1] if shares else 0.5)

        def scored(table: Table) -> Scores:
            return [[shares[min(i, len(shares) - 1)] for i in range(len(row))] for row in table.truth]

        own = scored(test)
        return cls(own, scored(fitting), own)


def _fit(scorer: _Scorer, development: Table, settings: EvalSettings, start: Fit | None) -> Fit:
    if settings.threshold is not None:
        return Fit(settings.threshold, error_threshold=settings.threshold, note="the threshold was given")
    return fit_on(development, scorer.fitting, start)


def _figures(scorer: _Scorer, sides: tuple[Table, Table], settings: EvalSettings, start: Fit | None) -> dict[str, Any]:
    table, development = sides
    fit = _fit(scorer, development, settings, start)
    signed = any(score is not None and score < 0 for row in scorer.aggregated for score in row)
    names = [name for name in AGGREGATORS if not (signed and name == "product")]
    places = error_place(table, scorer.test, fit, settings.resamples)
    return {
        "fit": fit.as_dict(),
        "steps": step_figures(table, scorer.test, fit, settings.resamples),
        "error_place": places if places["n_with_error"] + places["n_without_error"] else None,
        "prmbench": prmbench(table, scorer.test, fit, settings.resamples),
        "responses": response_figures(table, scorer.aggregated, names, settings.resamples, settings.sizes),
    }


def _over(
    scorers: Mapping[str, _Scorer],
    label: str,
    name: str,
    sides: tuple[Table, Table],
    settings: EvalSettings,
    start: Fit | None,
) -> dict[str, Any]:
    """macro-F1 of the model less that of another set of scores, with a paired interval."""
    from medprm_hf.evaluation.steps import said
    from medprm_hf.labels.agreement import macro_f1

    table, development = sides
    mine, theirs = (
        said(scorers[one].test, _fit(scorers[one], development, settings, start).threshold) for one in (name, label)
    )
    a, b = macro_f1(mine, table.truth).macro_f1, macro_f1(theirs, table.truth).macro_f1
    return {
        "macro_f1": None if a is None or b is None else a - b,
        "interval": bootstrap_difference(mine, theirs, table.truth, table.questions, settings.resamples),
    }


def counts(table: Table, scores: Scores) -> dict[str, Any]:
    """What was evaluated, and what of it was not known."""
    labels = Counter(label for row in table.truth for label in row)
    reasons = Counter(reason for row in table.rows for reason in row.get("step_reasons") or () if reason is not None)
    return {
        "solutions": len(table.rows),
        "questions": len(set(table.questions)),
        "steps": sum(map(len, table.truth)),
        "labels": {label.value: labels[label.value] for label in Label},
        "steps_without_score": sum(score is None for row in scores for score in row),
        "reasons": dict(sorted(reasons.items())),
        "images": sum(row.get("image") is not None for row in table.rows),
    }
