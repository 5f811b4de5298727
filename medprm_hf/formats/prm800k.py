"""`prm800k`: the raw rows of PRM800K; every step holds several completions with ratings 1, 0, -1.

    {"labeler": "u1", …, "question": {"problem": "Mass?", "ground_truth_answer": "Yes"}, "label": {"steps": [
      {"completions": [{"text": "A nodule.", "rating": 1, "flagged": false}], "human_completion": null,
       "chosen_completion": 0}], "total_time": 9000, "finish_reason": "solution"}}

A solution is the path that the labeller took: the chosen completion of each step, else the person's own, else
the first. The alternatives stay in `extra`, and come back when the file is written again. A completion without
rating (a person's own) is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Refused, Row, Writing
from medprm_hf.formats.marks import (
    NEUTRAL,
    RIGHT,
    UNKNOWN,
    WRONG,
    answer_place,
    shown_question,
    step_labels,
)

_RATINGS = {RIGHT: 1, NEUTRAL: 0, WRONG: -1}
_LABELS = {1: RIGHT, 0: NEUTRAL, -1: WRONG, None: UNKNOWN}


@dataclass(frozen=True)
class PRM800K(Format):
    """PRM800K's raw rows."""

    id: ClassVar[str] = "prm800k"
    text: ClassVar[str] = "PRM800K raw rows: ratings 1, 0, -1 of completions a step"
    carries: ClassVar[frozenset[str]] = frozenset(
        {"question", "options", "clinical_context", "answer", "answer_index", "steps", "labels"}
    )
    losses: ClassVar[tuple[str, ...]] = (
        "names of questions and solutions",
        "an option or clinical context with a line break is read back as part of the question",
        "turns of a consultation become part of the question",
        "review and merge are one label",
    )

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One record a solution, one completion a step."""
        row = rows[0]
        told = {"problem": shown_question(row), "ground_truth_answer": row.get("answer")}
        yield _record(told, row["steps"], step_labels(row))

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """The labeller's path."""
        told = record["question"]
        question, options, context = reading.asked(told["problem"])
        path = [step for step in map(_taken, record["label"]["steps"]) if step is not None]
        if not path:
            raise Refused("no_steps", "no step has a completion", "label")
        try:
            labels = [_LABELS[step.get("rating")] for step in path]
        except KeyError:
            labels = [_label(step) for step in path]  # says which it is
        answer = told.get("ground_truth_answer")
        row = {
            **reading.blank, "question": question, "options": options, "clinical_context": context, "answer": answer,
            "answer_index": answer_place(answer, options), "steps": [step["text"] for step in path], "labels": labels,
        }
        reading.name(row)
        if reading.keeps:  # a question that was split is shown as it stood
            ours = {"problem": told["problem"], "ground_truth_answer": answer}
            reading.keep([row], [record], [_record(ours, row["steps"], labels)])
        yield row

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """A label that holds steps, beside a problem."""
        label, question = record.get("label"), record.get("question")
        return isinstance(label, dict) and "steps" in label and isinstance(question, dict)


def _record(question: Record, steps: Sequence[str], labels: Sequence[str]) -> Record:
    """A record in PRM800K's order of keys, one completion a step."""
    return {
        "labeler": None,
        "timestamp": None,
        "generation": None,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": question,
        "label": {
            "steps": [
                {
                    "completions": [{"text": text, "rating": _RATINGS.get(label), "flagged": False}],
                    "human_completion": None,
                    "chosen_completion": 0,
                }
                for text, label in zip(steps, labels, strict=True)
            ],
            "total_time": None,
            "finish_reason": "found_error" if WRONG in labels else "solution",
        },
    }


def _taken(step: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The completion that the path goes through; null where nothing was written."""
    completions: Sequence[Mapping[str, Any]] = step.get("completions") or []
    chosen: int | None = step.get("chosen_completion")
    if chosen is not None:
        return completions[chosen]
    human: Mapping[str, Any] | None = step.get("human_completion")
    if human:
        return human
    return completions[0] if completions else None


def _label(completion: Mapping[str, Any]) -> str:
    rating = completion.get("rating")
    if rating not in _LABELS:
        raise Refused("unknown_label", f"rating must be 1, 0, -1 or null, not {rating}", "rating")
    return _LABELS[rating]
