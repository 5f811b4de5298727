"""What is evaluated: solutions with the truth of their steps, and the scores that a model gave them.

    table = Table.of_rows(rows)                # labels + - 0 ? of each step; answers with their question
    scores = scores_of(rows)                   # [[0.9, 0.2], [0.7, None]]: None where a step has no score
    table.part([0, 2])                         # some of the solutions

Truth is the final label (an expert's, else merge's) unless another column is asked for; it is never taken from a
column by falling back in silence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.formats.marks import value_labels
from medprm_hf.ids import bytes_hash
from medprm_hf.schema import Label, final_labels
from medprm_hf.text.answers import matches, normalise

Row = Mapping[str, Any]
Score = float | None
Truth = Literal["final", "review", "judge", "rollouts"]
UNKNOWN = Label.UNKNOWN.value


@dataclass(frozen=True)
class Table:
    """Solutions, one an entry; all lists line up."""

    rows: list[Row]
    truth: list[list[str]]
    """+ - 0 ? of each step, [solutions][num_steps]."""
    questions: list[str]
    """Name of each solution's question."""
    answers: list[str | None]
    """The answer it gives, normalised; None where it cannot be read."""
    right: list[bool | None]
    """Whether that answer is the gold one; None where it cannot be read, or there is no gold one."""
    gold: list[bool]
    """Whether the question's answer is known at all."""

    @classmethod
    def of_rows(cls, rows: Sequence[Row], truth: Truth = "final") -> Table:
        """From rows of the canonical table with steps."""
        answers = [None if (said := row.get("final_answer")) is None else normalise(str(said)) for row in rows]
        right = [_right(row) for row in rows]
        questions = [str(row.get("question_id") or place) for place, row in enumerate(rows)]
        known = {name for name, row, one in zip(questions, rows, right, strict=True) if one is not None or _gold(row)}
        return cls(
            list(rows), [_labels(row, truth) for row in rows], questions, answers, right,
            [name in known for name in questions],
        )  # fmt: skip

    def part(self, places: Sequence[int]) -> Table:
        """The solutions at these places."""
        return Table(*([values[i] for i in places] for values in vars(self).values()))

    def groups(self) -> list[list[int]]:
        """Places of each question's solutions, in order of the questions."""
        found: dict[str, list[int]] = {}
        for place, name in enumerate(self.questions):
            found.setdefault(name, []).append(place)
        return list(found.values())


def _labels(row: Row, truth: Truth) -> list[str]:
    nothing = [UNKNOWN] * len(row["steps"])
    if truth == "judge":
        return list(row.get("judge_labels") or nothing)
    if truth == "rollouts":
        return value_labels(row.get("expected_accuracy") or [None] * len(nothing))
    if truth == "review":
        return list(row.get("review_labels") or nothing)
    if truth != "final":
        raise ConfigError(f"truth={truth!r}: there is final, review, judge and rollouts")
    return final_labels(list(row.get("labels") or nothing), row.get("review_labels"))


def _gold(row: Row) -> bool:
    return row.get("answer") is not None or row.get("answer_index") is not None


def _right(row: Row) -> bool | None:
    if row.get("is_correct") is not None or row.get("final_answer") is None or not _gold(row):
        right: bool | None = row.get("is_correct")
        return right
    return matches(str(row["final_answer"]), row.get("options") or [], row.get("answer"), row.get("answer_index"))


def image_hash(row: Row) -> str | None:
    """SHA-256 of the row's image, computed where the column is empty."""
    if row.get("image_sha256"):
        return str(row["image_sha256"])
    image = row.get("image")
    data = image.get("bytes") if isinstance(image, Mapping) else None
    return bytes_hash(data) if data else None


def scores_of(rows: Sequence[Row], column: str = "step_scores", force: bool = False) -> list[list[Score]]:
    """Scores of each row, [solutions][num_steps]; DataError where only some rows have them, or they do not line up.

    NaN is unknown. With `force` a row without scores counts as unknown throughout.
    """
    without = [place for place, row in enumerate(rows) if row.get(column) is None]
    if len(without) == len(rows):
        raise DataError(f"no row has {column}: score them first (medprm score), or name a model with --model")
    if without and not force:
        raise DataError(
            f"{len(without)} of {len(rows)} rows have no {column} (first: {name_of(rows[without[0]])}): figures of the "
            "rest would say little of the whole. Score them too, or count their steps as unknown with --force"
        )
    return [checked_scores(row, row.get(column)) for row in rows]


def checked_scores(row: Row, scores: Any) -> list[Score]:
    """Scores that line up with the row's steps and are probabilities or None; DataError for others."""
    steps = len(row["steps"])
    if scores is None:
        return [None] * steps
    if len(scores) != steps:
        raise DataError(f"{name_of(row)} has {steps} steps and {len(scores)} scores: each step needs one, or null")
    found: list[Score] = [None if score is None or math.isnan(score) else float(score) for score in scores]
    wrong = [score for score in found if score is not None and not 0 <= score <= 1]
    if wrong:
        raise DataError(f"{name_of(row)} has the score {wrong[0]:g}: scores are probabilities, 0 to 1")
    return found


def name_of(row: Row) -> str:
    """The solution's name, for messages."""
    return str(row.get("solution_id") or row.get("question_id") or "a row without a name")
