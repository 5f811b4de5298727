"""`medprm`: the JSON array that Med-PRM is trained on, one element a question with its solutions.

    {"question_id": "q1", "data_source": "med_qa", "question": "Best next step?", "options": ["CT", "MRI"],
     "correct_answer": "B", "related_docs": ["Guideline text"], "solutions": [
       {"solution": "Step 1: Young patient.\\nStep 2: the answer is (B)",
        "prm_processed_solution": "Step 1: Young patient. ки Step 2: the answer is (B) ки", …,
        "prm_gemini_label": [1, 1], "prm_soft_label": [0.75, 1.0], "prm_hard_label": [1, 1], "orm_label": 1}]}

Which label goes where: `prm_gemini_label` (the key that its trainer reads by default) holds the final labels,
`prm_llama_label` the judge's own, soft and hard the rollouts'. A step without a final label has no " ки", so
that every list is as long as the markers; a list with a hole at a marker is left out and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from medprm_hf.formats.base import Format, Record, Row
from medprm_hf.formats.marks import (
    RIGHT,
    WRONG,
    answer_place,
    letter_or_none,
    refuse_marks,
    solution_text,
    step_labels,
)

if TYPE_CHECKING:
    from medprm_hf.formats.writing import Writing

MARKER = " ки"
_BITS = {RIGHT: 1, WRONG: 0}
_LINE_BREAKS = re.compile(r"\r\n|\r|\n")


def flat(text: str) -> str:
    """Line breaks become single spaces, as Med-PRM's own preparation does."""
    return _LINE_BREAKS.sub(" ", text)


def marked(steps: Sequence[str], known: Sequence[bool]) -> str:
    """`Step n: …` with " ки" after every step that has a label, joined by one space."""
    return " ".join(
        f"Step {number}: {flat(text)}{MARKER if has else ''}"
        for number, (text, has) in enumerate(zip(steps, known, strict=True), start=1)
    )


@dataclass(frozen=True)
class MedPRM(Format):
    """Med-PRM's training JSON."""

    hard_threshold: float = 0.0
    """`prm_hard_label` is 1 where mc is above it, 0..1."""

    id: ClassVar[str] = "medprm"
    text: ClassVar[str] = "Med-PRM training JSON: questions with marked solutions and four kinds of labels"
    extension: ClassVar[str] = ".json"
    container: ClassVar[Any] = "array"
    unit: ClassVar[Any] = "question"
    carries: ClassVar[frozenset[str]] = frozenset(
        {"question_id", "source", "question", "options", "answer", "answer_index", "evidence", "solution_index",
         "solution", "steps", "final_answer", "is_correct", "expected_accuracy", "judge_labels", "labels",
         "review_labels", "extra"}
    )
    losses: ClassVar[tuple[str, ...]] = (
        "solution names and indices: the order within the question is kept",
        "of the evidence only the texts, and one list a question",
        "neutral and unknown labels: the step has no marker",
        "a label list with a hole at a marked step",
        "an answer given as the option's text is written as its letter",
        "review and merge are one label",
    )

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        first = rows[0]
        solutions = [self._solution(row, writing) for row in rows]
        gold = first.get("answer_index")
        evidence = first.get("evidence") or []
        if any((row.get("evidence") or []) != evidence for row in rows):
            writing.leave_out("evidence lists that differ from the question's first solution")
        yield {
            "question_id": first["question_id"],
            "data_source": first.get("source"),
            "question": first["question"],
            "options": list(first.get("options") or []),
            "correct_answer": first.get("answer") if gold is None else letter_or_none(gold),
            "related_docs": [passage["text"] for passage in evidence],
            "solutions": solutions,
        }

    def _solution(self, row: Row, writing: Writing) -> dict[str, Any]:
        refuse_marks(row["steps"], (MARKER,), "steps")
        raw = solution_text(row)
        refuse_marks([raw], (MARKER,), "solution")
        labels = step_labels(row)
        known = [label in _BITS for label in labels]
        writing.leave_out("steps without + or -", known.count(False))
        place = answer_place(row.get("final_answer"), row.get("options") or [])
        right = row.get("is_correct")
        solution: dict[str, Any] = {
            "solution": raw,
            "prm_processed_solution": marked(row["steps"], known),
            "orm_processed_solution": flat(raw) + MARKER,
            "answer": row.get("final_answer") if place is None else letter_or_none(place),
            "score": "None" if right is None else int(right),
        }
        for key, values in self._lists(row, labels).items():
            chosen = [value for value, has in zip(values, known, strict=True) if has]
            if None in chosen:
                writing.leave_out(f"{key} lists with an unknown value at a marked step")
            elif values:
                solution[key] = chosen
        if right is not None:
            solution["orm_label"] = int(right)
        return solution

    def _lists(self, row: Row, labels: list[str]) -> dict[str, list[Any]]:
        """Each list that the row has something for, [num_steps]; null where unknown."""
        lists: dict[str, list[Any]] = {"prm_gemini_label": [_BITS.get(label) for label in labels]}
        if row.get("judge_labels") is not None:
            lists["prm_llama_label"] = [_BITS.get(label) for label in row["judge_labels"]]
        mc = row.get("expected_accuracy")
        if mc is not None:
            lists["prm_soft_label"] = list(mc)
            lists["prm_hard_label"] = [None if value is None else int(value > self.hard_threshold) for value in mc]
        return lists

    @classmethod
    def recognises(cls, record: Record, head: Mapping[str, Any]) -> bool:
        solutions = record.get("solutions")
        if not isinstance(solutions, list) or "question" not in record:
            return False
        return not solutions or any(key in solutions[0] for key in ("orm_processed_solution", "prm_gemini_label"))
