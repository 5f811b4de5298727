"""Threshold and temperature, fixed on development data and never on the part that is measured.

    fit = fit_on(table, scores)            Fit(threshold=0.41, temperature=1.7, error_threshold=0.38, …)
    development, test = split(rows, 0.25)  whole questions with all that share their image or patient

Tuning the threshold on the test part is the commonest way in which figures of process reward models come out too high.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.evaluation.table import Row, Score, Table, image_hash
from medprm_hf.ids import stable_seed
from medprm_hf.labels.benchmark_scores import best_error_threshold, true_first_error
from medprm_hf.labels.calibration import logits
from medprm_hf.labels.scaling import best_threshold, fit_temperature
from medprm_hf.schema import Label
from medprm_hf.text.answers import normalise
from medprm_hf.together import Together

MIN_STEPS = 50
"""With fewer labelled development steps than this nothing is fitted."""


@dataclass(frozen=True)
class Fit:
    """What was fixed, and on what."""

    threshold: float = 0.5
    """A step is + where its score is above."""
    temperature: float = 1.0
    """Divides the logits before the calibration error is taken a second time."""
    error_threshold: float = 0.5
    """The same for the place of the first error."""
    steps: int = 0
    """Labelled development steps with a score."""
    questions: int = 0
    fitted: bool = False
    note: str = ""
    """Why nothing was fitted, if so."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def known_steps(table: Table, scores: Sequence[Sequence[Score]]) -> tuple[list[float], list[float], list[str]]:
    """(score, 1 for right, question) of each step with a truth of + or - and a score."""
    flat: list[tuple[float, float, str]] = [
        (score, float(label == Label.RIGHT), question)
        for own, labels, question in zip(scores, table.truth, table.questions, strict=True)
        for score, label in zip(own, labels, strict=True)
        if score is not None and label in (Label.RIGHT, Label.WRONG)
    ]
    return [x for x, _, _ in flat], [y for _, y, _ in flat], [group for _, _, group in flat]


def fit_on(table: Table, scores: Sequence[Sequence[Score]], start: Fit | None = None) -> Fit:
    """Threshold, temperature and first-error threshold of development data; `start` where there is too little."""
    x, y, groups = known_steps(table, scores)
    start = replace(start or Fit(), steps=len(x), questions=len(set(groups)))
    if len(x) < MIN_STEPS:
        note = f"{len(x)} labelled development steps, {MIN_STEPS} are needed: threshold {start.threshold:g} as it was"
        return replace(start, note=note)
    if len(set(y)) < 2:
        only = "+" if y[0] else "-"
        note = f"all development steps are {only}: threshold {start.threshold:g} as it was; give some of the other kind"
        return replace(start, note=note)
    places = [true_first_error(labels) for labels in table.truth]
    return replace(
        start,
        threshold=best_threshold(x, y),
        temperature=fit_temperature(logits(x), y),
        error_threshold=best_error_threshold(scores, places),
        fitted=True,
    )


def split(rows: Sequence[Row], share: float, seed: int = 0) -> tuple[list[int], list[int]]:
    """Places of (development, test): whole questions with all that share their image or group.

    Raises DataError where all rows hang together.
    """
    part = parts(rows)
    named: dict[int, str] = {}
    sizes: dict[int, int] = {}
    for place, own in enumerate(part):
        name = str(rows[place].get("question_id") or place)
        named[own] = min(named.get(own, name), name)  # the order of the rows must not matter
        sizes[own] = sizes.get(own, 0) + 1
    order = sorted(sizes, key=lambda own: (stable_seed(seed, "evaluation", named[own]), named[own]))
    chosen: set[int] = set()
    count = 0
    for own in order:
        if count >= share * len(rows):
            break
        chosen.add(own)
        count += sizes[own]
    if len(chosen) == len(order):
        raise DataError(
            f"all {len(rows)} rows hang together by question, image or group: none can be held back for the threshold. "
            "Give --development, or --threshold with a number"
        )
    places = range(len(rows))
    return [i for i in places if part[i] in chosen], [i for i in places if part[i] not in chosen]


def parts(rows: Sequence[Row]) -> list[int]:
    """Number of the part of each row, [rows]: rows of one part share a question, an image or a group in the end."""
    together = Together()
    keys = [keys_of(row) or [f"row:{place}"] for place, row in enumerate(rows)]
    for own in keys:
        together.join(*own)
    numbers: dict[str, int] = {}
    return [numbers.setdefault(together.root(own[0]), len(numbers)) for own in keys]


def keys_of(row: Row) -> list[str]:
    """What a row may share with others: its question, its image, its patient; without an image, its question's text.

    (Of images the same text is asked again and again; of texts it is the same question under another name.)
    """
    image = image_hash(row)
    text = None if image or row.get("image") else normalise(str(row.get("question") or ""))
    named = (("q", row.get("question_id")), ("i", image), ("g", row.get("group")), ("t", text))
    return [f"{kind}:{name}" for kind, name in named if name]
