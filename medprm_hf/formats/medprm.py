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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Refused, Row, Writing
from medprm_hf.formats.marks import (
    RIGHT,
    UNKNOWN,
    WRONG,
    answer_place,
    letter_or_none,
    refuse_marks,
    solution_text,
    step_labels,
)
from medprm_hf.formats.medprm_text import MARKER, flat, head_of, marked, steps_of

_BITS = {RIGHT: 1, WRONG: 0}


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
        {"question_id", "source", "question", "options", "answer", "answer_index", "evidence", "solution",
         "steps", "final_answer", "is_correct", "expected_accuracy", "judge_labels", "labels"}
    )
    losses: ClassVar[tuple[str, ...]] = (
        "solution names and indices: the order within the question is kept",
        "an empty solution text is written as its steps, numbered",
        "line breaks in steps, where the solution's own text does not show them",
        "step boundaries where a step says `Step n: ` itself and the solution's own text does not number the steps",
        "of the evidence only the texts, and one list a question",
        "neutral and unknown labels: the step has no marker",
        "a label list with a hole at a marked step",
        "an answer given as the option's text is written as its letter",
        "review and merge are one label",
    )

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One record a question."""
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
        head, processed = head_of(raw, row["steps"]), marked(row["steps"], known)
        place = answer_place(row.get("final_answer"), row.get("options") or [])
        right = row.get("is_correct")
        solution: dict[str, Any] = {
            "solution": raw,
            "prm_processed_solution": f"{head} {processed}" if head else processed,
            "orm_processed_solution": flat(raw) + MARKER,
            "answer": row.get("final_answer") if place is None else letter_or_none(place),
            "score": "None" if right is None else int(right),
        }
        whole = all(known)
        for key, values in self._lists(row, labels).items():
            chosen = values if whole else [value for value, has in zip(values, known, strict=True) if has]
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
            lists["prm_hard_label"] = [
                None if value is None else int(value > self.hard_threshold) for value in mc
            ]
        return lists

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """One row a solution."""
        options = list(record.get("options") or [])
        gold = answer_place(record.get("correct_answer"), options)
        passages = [_passage(place, text) for place, text in enumerate(record.get("related_docs") or [])]
        rows = []
        if not isinstance(record["solutions"], list):
            raise TypeError(f"solutions is a {type(record['solutions']).__name__}, a list is needed")
        for solution in record["solutions"]:
            row = reading.row(question=record["question"], options=options, answer_index=gold)
            row["answer"] = record.get("correct_answer") if gold is None else options[gold]
            row.update(source=record.get("data_source"), evidence=passages or None)
            reading.name(row, str(record["question_id"]))
            self._fill(row, solution)
            rows.append(row)
        if rows:
            reading.keep(rows, [record])
        yield from rows

    def _fill(self, row: dict[str, Any], solution: Mapping[str, Any]) -> None:
        row["steps"], known = steps_of(solution.get("solution") or "", solution["prm_processed_solution"])
        row["solution"] = solution.get("solution")
        row["final_answer"] = solution.get("answer")
        score = solution.get("score")
        row["is_correct"] = bool(score) if score in (0, 1) else None
        labels = _spread(solution, "prm_gemini_label", known)
        judged = _spread(solution, "prm_llama_label", known)
        hard = _spread(solution, "prm_hard_label", known)
        row["expected_accuracy"] = _spread(solution, "prm_soft_label", known)
        row["judge_labels"] = None if judged is None else _signs(judged)
        chosen = labels if labels is not None else hard
        row["labels"] = _signs(chosen if chosen is not None else [None] * len(known))

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """Questions with solutions that hold one of its label lists."""
        solutions = record.get("solutions")
        if not isinstance(solutions, list) or "question" not in record or "gold" in record:
            return False
        own = {"orm_processed_solution", "prm_gemini_label", "prm_soft_label", "prm_hard_label", "orm_label"}
        return "monte_carlo_labels" not in record and (not solutions or not own.isdisjoint(solutions[0]))


def _spread(solution: Mapping[str, Any], key: str, known: Sequence[bool]) -> list[Any] | None:
    """A label list with null at the steps without marker, [num_steps]; null without such a list."""
    values = solution.get(key)
    if values is None:
        return None
    if len(values) != known.count(True):
        message = f"{key} has {len(values)} labels for {sum(known)} markers"
        raise Refused("uneven_steps", message, key)
    if False not in known:
        return list(values)
    left = iter(values)
    return [next(left) if has else None for has in known]


def _signs(values: Sequence[Any]) -> list[str]:
    return [UNKNOWN if value is None else RIGHT if value else WRONG for value in values]


def _passage(place: int, text: str) -> dict[str, Any]:
    return {"id": f"doc-{place + 1}", "text": text, "source": None, "license": None, "score": None}
