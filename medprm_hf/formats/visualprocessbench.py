"""`visualprocessbench`: the benchmark's rows, every step judged by a person: 1 right, 0 neutral, -1 wrong.

    {"image": ["images/a.png"], "question": "<image1> Which lobe?", "answer": "RUL",
     "response": {"steps": ["An opacity …", "So: RUL"], "process_correctness": [1, 1]},
     "policy_model": "gpt-4o", "data_source": "MMMU"}

A benchmark has no place for an unknown label: such a solution is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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

_NUMBERS = {RIGHT: 1, NEUTRAL: 0, WRONG: -1}
_KEYS = ["image", "question", "answer", "response", "policy_model", "data_source"]
_RESPONSE = ["steps", "process_correctness"]
_LABELS = {number: label for label, number in _NUMBERS.items()}


@dataclass(frozen=True)
class VisualProcessBench(Format):
    """VisualProcessBench rows."""

    id: ClassVar[str] = "visualprocessbench"
    text: ClassVar[str] = "VisualProcessBench: steps with process_correctness 1, 0, -1"
    carries: ClassVar[frozenset[str]] = frozenset(
        {"image", "question", "options", "clinical_context", "answer", "answer_index", "source", "steps", "labels",
         "generator"}
    )
    losses: ClassVar[tuple[str, ...]] = (
        "names of questions and solutions",
        "an option or clinical context with a line break is read back as part of the question",
        "turns of a consultation become part of the question",
        "solutions with an unknown label",
        "of the generator only the model",
        "review and merge are one label",
    )

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One record a fully labelled solution."""
        row = rows[0]
        labels = step_labels(row)
        if UNKNOWN in labels:
            writing.skip("rows with an unknown label")
            return
        image = writing.image(row)
        yield {
            "image": [image] if image else [],
            "question": shown_question(row),
            "answer": row.get("answer"),
            "response": {"steps": row["steps"], "process_correctness": [_NUMBERS[label] for label in labels]},
            "policy_model": (row.get("generator") or {}).get("model"),
            "data_source": row.get("source"),
        }

    def decode(self, record: Record, reading: Reading) -> Iterable[dict[str, Any]]:
        """One solution a record."""
        response = record["response"]
        numbers = response["process_correctness"]
        try:
            labels = [_LABELS[number] for number in numbers]
        except KeyError:
            message = f"process_correctness must be 1, 0 or -1, not {numbers}"
            raise Refused("unknown_label", message, "response") from None
        question, options, context = reading.asked(record["question"])
        answer, model, image = record.get("answer"), record.get("policy_model"), record.get("image")
        row = {
            **reading.blank, "question": question, "options": options, "clinical_context": context, "answer": answer,
            "answer_index": answer_place(answer, options), "steps": response["steps"], "labels": labels,
            "source": record.get("data_source"), "generator": None if model is None else model_alone(model),
        }
        if image:
            reading.image(image, row)
        reading.name(row)
        whole = list(record) == _KEYS and list(response) == _RESPONSE and {*map(type, numbers)} <= {int}
        if not whole or type(image) is not list or len(image) > 1 or image == [""]:
            reading.keep([row], [record])
        return (row,)

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """`response` is an object with `process_correctness`."""
        response = record.get("response")
        return isinstance(response, dict) and "process_correctness" in response


def model_alone(model: str | None) -> dict[str, Any]:
    """The `generator` column where only the model is known."""
    return {"model": model, "prompt": None, "temperature": None, "top_p": None, "max_tokens": None, "seed": None}
