"""`processbench` and `prmbench`, both read: two benchmarks of text, whose error indices start at 0 and at 1.

    processbench  {"id": "gsm8k-0", "generator": …, "problem": …, "steps": [s0, s1, s2], "label": 1, …}
        ->  labels ["+", "-", "?"]     steps after the first error were not judged
    prmbench      {"modified_question": …, "modified_process": [s1, s2, s3], "error_steps": [2], …}
        ->  labels ["+", "-", "+"]

A row whose error lies outside its steps is refused with its index: clipped or dropped in silence it would
change the benchmark.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Refused
from medprm_hf.formats.marks import RIGHT, UNKNOWN, WRONG
from medprm_hf.formats.visualprocessbench import model_alone

_COLUMNS = frozenset({"question_id", "question", "options", "solution_index", "steps", "labels", "source"})


@dataclass(frozen=True)
class ProcessBench(Format):
    """ProcessBench rows; `label` is the first wrong step from 0, -1 if there is none."""

    id: ClassVar[str] = "processbench"
    text: ClassVar[str] = "ProcessBench: index of the first wrong step, from 0, -1 for none"
    writes: ClassVar[bool] = False
    extension: ClassVar[str] = ".json"
    container: ClassVar[Any] = "either"
    carries: ClassVar[frozenset[str]] = _COLUMNS | {"is_correct", "generator"}

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """One solution a record."""
        steps, first = record["steps"], record["label"]
        if type(first) is not int or not -1 <= first < len(steps):
            message = f"label is {first} for {len(steps)} steps; it must be -1 or an index from 0"
            raise Refused("error_step_past_end", message, "label")
        right = len(steps) if first < 0 else first
        row = reading.row(question=record["problem"], options=[], steps=steps, source="processbench")
        row["labels"] = ([RIGHT] * right + [WRONG] + [UNKNOWN] * len(steps))[: len(steps)]
        row["is_correct"] = record.get("final_answer_correct")
        row["generator"] = model_alone(record.get("generator"))
        reading.name(row, str(record["id"]))
        yield row

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """A problem with steps and one number as label."""
        return record.keys() >= {"problem", "steps", "label"}


@dataclass(frozen=True)
class PRMBench(Format):
    """PRMBench rows; `error_steps` count from 1."""

    original: bool = False
    """Also the unmodified solution of each row, all of whose steps are right."""

    id: ClassVar[str] = "prmbench"
    text: ClassVar[str] = "PRMBench: modified solutions with the numbers of their wrong steps, from 1"
    writes: ClassVar[bool] = False
    carries: ClassVar[frozenset[str]] = _COLUMNS

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """The modified solution, and the original one if asked for."""
        steps, wrong = record["modified_process"], record["error_steps"]
        outside = [number for number in wrong if type(number) is not int or not 1 <= number <= len(steps)]
        if outside:
            message = f"error_steps {outside} of {record['idx']} lie outside its {len(steps)} steps (from 1)"
            raise Refused("error_step_past_end", message, "error_steps")
        labels = [WRONG if number in wrong else RIGHT for number in range(1, len(steps) + 1)]
        yield self._row(record, reading, "modified", labels)
        if self.original:
            yield self._row(record, reading, "original", [RIGHT] * len(record["original_process"]))

    def _row(self, record: Record, reading: Reading, which: str, labels: list[str]) -> dict[str, Any]:
        row = reading.row(question=record[f"{which}_question"], options=[], source="prmbench")
        row.update(steps=record[f"{which}_process"], labels=labels)
        reading.name(row, f"{record['classification']}/{record['idx']}")
        told = {key: record.get(key) for key in ("idx", "classification", "modified_steps", "reason")}
        row["extra"] = json.dumps({self.id: told}, ensure_ascii=False)
        return row

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """A modified process with its error steps."""
        return record.keys() >= {"modified_process", "error_steps"}
