"""What the formats of the VisualPRM-Medical-PRM tool (VMP) share: a case, its gold letter, its solutions.

Our `source` is its `dataset`, our `question_id` its `case_id`, our `solution_index` (from 0) its
`solution_index` (from 1); its `solution_label` and `solution_mc_score` are those of the last step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from medprm_hf.formats.base import Reading, Refused, Row
from medprm_hf.formats.marks import RIGHT, UNKNOWN, WRONG, answer_place, domain, letter_or_none, step_labels

if TYPE_CHECKING:
    from medprm_hf.formats.marks import LabelSource

CASE_COLUMNS = frozenset(
    {"question_id", "image", "question", "options", "answer_index", "modality", "source", "solution_index",
     "final_answer", "is_correct", "step_titles", "steps", "rollout_correct", "rollout_total",
     "expected_accuracy", "labels"}
)
CASE_LOSSES = (
    "the solution's name becomes dataset::case::solution_n",
    "free-text answers, gold and given, of open questions",
    "an answer given as the option's text is written as its letter",
    "an empty source or step title is read back as null or as an empty text",
    "review and merge are one label",
    "neutral labels are written as unknown ones",
)


@lru_cache(maxsize=256)
def case_type(modality: str | None) -> str | None:
    """The tool's name of a domain: Radiology, Pathology or Clinical; null if the modality does not tell."""
    found = domain(modality)
    return found.capitalize() if found else None


def answer_keys(row: Row) -> dict[str, Any]:
    """final_answer_index, final_answer_letter and final_answer_correct; null where unknown."""
    place = answer_place(row.get("final_answer"), row.get("options") or [])
    return {
        "final_answer_index": place,
        "final_answer_letter": letter_or_none(place),
        "final_answer_correct": row.get("is_correct"),
    }


def last(values: Sequence[Any]) -> Any:
    """The last value of a list; null for an empty one."""
    return values[-1] if values else None


class Scored:
    """Titles, texts and scores of a row's steps, each [num_steps], null where unknown."""

    def __init__(self, row: Row, source: LabelSource = "final", threshold: float = 0.0) -> None:
        nothing = [None] * len(row["steps"])
        self.texts = row["steps"]
        self.titles = row.get("step_titles") or [""] * len(nothing)
        self.labels = [
            label if label in (RIGHT, WRONG) else None for label in step_labels(row, source, threshold)
        ]
        self.mc = row.get("expected_accuracy") or nothing
        self.right = row.get("rollout_correct") or nothing
        self.total = row.get("rollout_total") or nothing


def fill_case(row: dict[str, Any], case: Mapping[str, Any], reading: Reading, image: str, gold: str) -> None:
    """Question columns of a case; `image` and `gold` are the keys that hold them."""
    options = list(case.get("options") or [])
    place = case.get(gold)
    if place is not None and not (isinstance(place, int) and 0 <= place < len(options)):
        reading.note("gold_out_of_range", f"{gold} is {place} for {len(options)} options; kept as unknown", gold)
        place = None
    row.update(
        question=case["question"], options=options, answer_index=place,
        modality=case.get("modality") or None,
    )
    if "answer" in row:
        row["answer"] = None if place is None else options[place]
    reading.image(case.get(image), row)


def fill_solution(row: dict[str, Any], record: Mapping[str, Any], dataset: str | None, case_id: str) -> None:
    """Names and answer of a solution."""
    index = record.get("solution_index") or 1
    row.update(
        source=dataset or None, question_id=case_id, solution_index=index - 1,
        solution_id=f"{dataset or ''}::{case_id}::solution_{index}",
        final_answer=record.get("final_answer_letter"), is_correct=record.get("final_answer_correct"),
    )


def fill_steps(
    row: dict[str, Any],
    steps: Sequence[Mapping[str, Any]],
    scores: Sequence[Mapping[str, Any]],
    mc: str,
    right: str = "",
    total: str = "",
) -> None:
    """Step columns, [num_steps]: titles and texts from `steps`, labels and scores (under these keys) from `scores`."""
    if not steps:
        raise Refused("no_steps", "the solution has no steps", "steps")
    row["step_titles"] = [step.get("title") or "" for step in steps]
    row["steps"] = [step["text"] for step in steps]
    row["labels"] = [score.get("label") or UNKNOWN for score in scores]
    for column, key in (("expected_accuracy", mc), ("rollout_correct", right), ("rollout_total", total)):
        if column in row:
            values = [score.get(key) for score in scores]
            row[column] = None if values.count(None) == len(values) else values
