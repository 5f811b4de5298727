"""`question-json`: Med-PRM's shape made multimodal, one element a question (formats.md 4.15).

    {"question_id": "q1", "modality": "radiology", "difficulty": "easy", "question": "Which side?",
     "image_path": "table_images/3f1c….png", "options": ["Left", "Right"], "correct_answer": "A", "solutions": [
       {"solution": "…", "prm_processed_solution": "Step 1: … ки", "gemini_labels": [1], "mc_scores": [0.75], …}]}

Unknown is null in every list. Merged labels have no key here: they follow from judge and rollouts again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Row, Writing
from medprm_hf.formats.marks import (
    RIGHT,
    UNKNOWN,
    WRONG,
    answer_place,
    domain,
    letter_or_none,
    refuse_marks,
    solution_text,
    value_labels,
)
from medprm_hf.formats.medprm_text import MARKER, head_of, marked, steps_of

_BITS = {RIGHT: 1, WRONG: 0}


@dataclass(frozen=True)
class QuestionJSON(Format):
    """The question JSON."""

    threshold: float = 0.0
    """`monte_carlo_labels` is 1 where mc is above it, 0..1."""

    id: ClassVar[str] = "question-json"
    text: ClassVar[str] = "one element a question with image, solutions, judge, rollouts and expert review"
    extension: ClassVar[str] = ".json"
    container: ClassVar[Any] = "array"
    unit: ClassVar[Any] = "question"
    carries: ClassVar[frozenset[str]] = frozenset(
        {"question_id", "source", "modality", "difficulty", "question", "image", "options", "answer",
         "answer_index", "evidence", "similar_cases", "solution", "steps", "final_answer", "is_correct",
         "judge_labels", "judge_confidence", "expected_accuracy", "review_labels"}
    )
    losses: ClassVar[tuple[str, ...]] = (
        "modality becomes its domain: radiology, pathology or clinical",
        "solution names and indices: the order within the question is kept",
        "an empty solution text is written as its steps, numbered",
        "line breaks in steps, where the solution's own text does not show them",
        "step boundaries where a step says `Step n: ` itself and the solution's own text does not number the steps",
        "an answer given as the option's text is written as its letter",
        "of the evidence only the texts, and one list a question; names of similar cases",
        "neutral labels become unknown ones",
    )

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One record a question."""
        first = rows[0]
        gold = first.get("answer_index")
        yield {
            "question_id": first["question_id"],
            "data_source": first.get("source"),
            "modality": domain(first.get("modality")),
            "difficulty": first.get("difficulty"),
            "question": first["question"],
            "image_path": writing.image(first),
            "options": list(first.get("options") or []),
            "correct_answer": first.get("answer") if gold is None else letter_or_none(gold),
            "related_docs": [passage["text"] for passage in first.get("evidence") or []],
            "related_images": [
                {"image_path": None, "diagnosis": case["diagnosis"], "similarity": case["similarity"]}
                for case in first.get("similar_cases") or []
            ],
            "solutions": [self._solution(row, writing) for row in rows],
        }

    def _solution(self, row: Row, writing: Writing) -> dict[str, Any]:
        steps = row["steps"]
        refuse_marks(steps, (MARKER,), "steps")
        place = answer_place(row.get("final_answer"), row.get("options") or [])
        mc = row.get("expected_accuracy") or [None] * len(steps)
        judged = row.get("judge_labels") or [UNKNOWN] * len(steps)
        writing.leave_out("neutral labels", judged.count("0"))
        right = row.get("is_correct")
        head, processed = head_of(solution_text(row), steps), marked(steps, [True] * len(steps))
        return {
            "solution": solution_text(row),
            "prm_processed_solution": f"{head} {processed}" if head else processed,
            "answer": row.get("final_answer") if place is None else letter_or_none(place),
            "score": None if right is None else int(right),
            "gemini_labels": [_BITS.get(label) for label in judged],
            "gemini_confidence": row.get("judge_confidence") or [None] * len(steps),
            "monte_carlo_labels": [_BITS.get(label) for label in value_labels(mc, self.threshold)],
            "mc_scores": mc,
            "expert_review": _review(row),
        }

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """One row a solution."""
        options = list(record.get("options") or [])
        gold = answer_place(record.get("correct_answer"), options)
        shared = {
            "source": record.get("data_source"),
            "modality": record.get("modality"),
            "difficulty": record.get("difficulty"),
            "question": record["question"],
            "options": options,
            "answer": record.get("correct_answer") if gold is None else options[gold],
            "answer_index": gold,
            "evidence": [_passage(*item) for item in enumerate(record.get("related_docs") or [])] or None,
            "similar_cases": [_similar(case) for case in record.get("related_images") or []] or None,
        }
        rows = []
        for solution in record["solutions"]:
            row = reading.row(**shared)
            reading.image(record.get("image_path"), row)
            reading.name(row, str(record["question_id"]))
            _fill(row, solution)
            rows.append(row)
        if rows:
            reading.keep(rows, [record])
        yield from rows

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """Solutions with Monte Carlo labels, or a question with related images."""
        solutions = record.get("solutions")
        if not isinstance(solutions, list):
            return False
        return "related_images" in record or any("monte_carlo_labels" in solution for solution in solutions)


def _fill(row: dict[str, Any], solution: Mapping[str, Any]) -> None:
    row["steps"], _ = steps_of(solution.get("solution") or "", solution["prm_processed_solution"])
    row["solution"] = solution.get("solution")
    row["final_answer"] = solution.get("answer")
    score = solution.get("score")
    row["is_correct"] = bool(score) if score in (0, 1) else None
    row["judge_labels"] = _signs(solution.get("gemini_labels"))
    row["judge_confidence"] = solution.get("gemini_confidence")
    row["expected_accuracy"] = solution.get("mc_scores")
    expert = (solution.get("expert_review") or {}).get("expert_label")
    row["review_labels"] = _signs(expert) if isinstance(expert, list) else None


def _signs(values: Sequence[Any] | None) -> list[str] | None:
    if values is None:
        return None
    return [UNKNOWN if value is None else RIGHT if value else WRONG for value in values]


def _review(row: Row) -> dict[str, Any]:
    """The experts' labels as 1, 0 or null; the notes of every decision, one a line."""
    labels = row.get("review_labels")
    decisions = [decision for step in row.get("reviews") or [] for decision in step or []]
    notes = [decision["note"] for decision in decisions if decision.get("note")]
    return {
        "reviewed": any(label != UNKNOWN for label in labels or []),
        "expert_label": None if labels is None else [_BITS.get(label) for label in labels],
        "feedback": "\n".join(notes) or None,
    }


def _passage(place: int, text: str) -> dict[str, Any]:
    return {"id": f"doc-{place + 1}", "text": text, "source": None, "license": None, "score": None}


def _similar(case: Mapping[str, Any]) -> dict[str, Any]:
    found = {"diagnosis": case.get("diagnosis"), "similarity": case.get("similarity")}
    return {"question_id": case.get("image_path"), **found}
