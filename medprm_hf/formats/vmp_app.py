"""`vmp-app` and `vmp-browser`, both read: the cases that VMP's page loads, and what its export buttons write.

    {"id": "vqarad_000001", "case_type": "Radiology", "question": "Mass?", "options": ["Yes", "No"], "gold": 0,
     "image_url": "images/1.jpg", "sol_num": 1, "steps": [{"step": 1, "title": "Look", "text": "A nodule.",
     "label": "+", "mc_score": 0.75}], "final_label": "+"}

App files are made with placeholder steps whose label and score mean nothing: a text that says so, or the same
text in case after case. Both are refused, with a reason.
The browser exports are {"samples": […]}, step rows with `sample_id`, or rationales as numbered lists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Problem, Reading, Record, Refused
from medprm_hf.formats.marks import UNKNOWN, answer_place
from medprm_hf.formats.vmp_case import fill_case, fill_solution, fill_steps

_COLUMNS = frozenset(
    {"question_id", "image", "question", "options", "answer", "answer_index", "modality", "source", "solution_index",
     "final_answer", "is_correct", "step_titles", "steps", "expected_accuracy", "labels"}
)
_NUMBERED = re.compile(r"^\d+\. ", re.MULTILINE)
_SECTION = re.compile(r"^### (Question|Metadata|Options|Instruction):\n", re.MULTILINE)


def refuse_placeholder(steps: list[dict[str, Any]]) -> None:
    """Refuses steps that stand only where reasoning should be."""
    for step in steps:
        if str(step.get("text", "")).strip().lower().startswith("placeholder"):
            message = "the step is a placeholder, its label and score mean nothing: generate a solution first"
            raise Refused("placeholder", message, "steps")


def case_row(record: Mapping[str, Any], reading: Reading, dataset: str | None, case_id: str) -> dict[str, Any]:
    """The row of an app case: its steps carry title, text, label and mc score."""
    steps = record.get("steps")
    if not steps:
        raise Refused("no_steps", "the case has no steps: generate a solution first", "steps")
    refuse_placeholder(steps)
    row = reading.row()
    fill_case(row, record, reading, "image_url", "gold")
    fill_solution(row, {"solution_index": record.get("sol_num")}, dataset, case_id)
    fill_steps(row, steps, steps, "mc_score")
    return row


@dataclass(frozen=True)
class VMPApp(Format):
    """VMP's `*_for_app.json`."""

    id: ClassVar[str] = "vmp-app"
    text: ClassVar[str] = "cases of VMP's page (*_for_app.json); placeholders are refused"
    writes: ClassVar[bool] = False
    extension: ClassVar[str] = ".json"
    container: ClassVar[Any] = "array"
    carries: ClassVar[frozenset[str]] = _COLUMNS

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """One solution a case, given out when the next case shows that its steps are its own."""
        before = reading.held[-1] if reading.held else None
        here = {"record": record, "line": reading.line, "copied": _copied(before, record)}
        reading.held = [here]
        if before is not None:
            before["copied"] |= here["copied"]
            yield from self._checked(before, reading)

    def finish(self, reading: Reading) -> Iterator[dict[str, Any]]:
        """The last case."""
        for held in reading.held:
            yield from self._checked(held, reading)

    def _checked(self, held: Mapping[str, Any], reading: Reading) -> Iterator[dict[str, Any]]:
        record, line = held["record"], reading.line
        reading.line = held["line"]
        try:
            if held["copied"]:
                message = "its steps are word for word those of the case beside it: generate a solution first"
                raise Refused("placeholder", message, "steps")
            name = str(record["id"])
            dataset, mark, number = name.rpartition("_")
            yield case_row(record, reading, dataset if mark and number.isdigit() else None, name)
        except Refused as refused:
            text = json.dumps(record, default=repr)
            reading.problems.append(Problem(reading.line, refused.key, refused.reason, str(refused), text))
        reading.line = line

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """A case with `sol_num`, outside an export."""
        return record.keys() >= {"id", "case_type", "gold", "sol_num"} and "gold_letter" not in record


def _copied(before: Mapping[str, Any] | None, record: Mapping[str, Any]) -> bool:
    """Whether two neighbouring cases with different questions have the same steps."""
    if before is None or before["record"].get("question") == record.get("question"):
        return False
    return bool(record.get("steps")) and before["record"].get("steps") == record["steps"]


@dataclass(frozen=True)
class VMPBrowser(Format):
    """What the export buttons of VMP's page write."""

    id: ClassVar[str] = "vmp-browser"
    text: ClassVar[str] = "exports of VMP's page: current samples, step training rows, rationales"
    writes: ClassVar[bool] = False
    extension: ClassVar[str] = ".json"
    container: ClassVar[Any] = "object"
    inner: ClassVar[tuple[str, ...]] = ("samples", "rows")
    carries: ClassVar[frozenset[str]] = _COLUMNS

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """A sample, a step row (gathered by solution) or a rationale."""
        if "sample_id" in record:
            if reading.held and _solution_of(reading.held[0]) != _solution_of(record):
                yield self._training_row(reading)
            reading.held.append(record)
        elif "conversations" in record and "steps" not in record:
            yield self._rationale(record, reading)
        else:
            yield case_row(record, reading, record.get("dataset"), str(record["id"]))

    def finish(self, reading: Reading) -> Iterator[dict[str, Any]]:
        """The last solution of the step rows."""
        if reading.held:
            yield self._training_row(reading)

    def _training_row(self, reading: Reading) -> dict[str, Any]:
        records, reading.held = reading.held, []
        end = records[-1]
        row = reading.row()
        fill_case(row, end, reading, "image_url", "gold_index")
        fill_solution(row, end, end.get("dataset"), str(end["sample_id"]))
        own = {record["step_id"]: record for record in records}
        texts = [*end["prefix_steps"], end["current_step"]]
        steps = [{**own.get(number, {}), **text} for number, text in enumerate(texts, start=1)]
        refuse_placeholder(steps)
        fill_steps(row, steps, steps, "mc_score")
        return row

    def _rationale(self, record: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
        human, reply = (turn["value"] for turn in record["conversations"][:2])
        parts = _SECTION.split(human)
        found = {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}
        if "Question" not in found:
            raise Refused("unknown_first_turn", "the human turn has no '### Question:'", "conversations")
        steps = [text.strip() for text in _NUMBERED.split(reply) if text.strip()]
        told = record.get("metadata") or {}
        options = [line.partition(". ")[2] for line in found.get("Options", "").splitlines()]
        row = reading.row(question=found["Question"], options=options, step_titles=[""] * len(steps), steps=steps)
        gold = answer_place(told.get("gold_letter") or record.get("gold_letter"), options)
        dataset, _, case_id = str(record["id"]).rpartition("::")
        fill_solution(row, told, dataset or None, case_id)
        row.update(answer_index=gold, answer=None if gold is None else options[gold])
        row["labels"] = list(told.get("step_labels") or [UNKNOWN] * len(steps))
        reading.image(record.get("image") or record.get("image_url"), row)
        return row

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """A sample with qa_status, a step row with sample_id, or a rationale."""
        turns = record.get("conversations")
        shown = str(turns[0].get("value")) if turns else ""
        rationale = "### Question:\n" in shown and "metadata" in record
        return "sample_id" in record or "qa_status" in record or rationale


def _solution_of(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return record.get("dataset"), record["sample_id"], record.get("solution_index")
