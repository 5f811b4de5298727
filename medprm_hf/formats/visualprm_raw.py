"""`visualprm-raw`: VisualPRM's rollout counts, one solution a line (VisualPRM400K-v1.1-Raw).

    {"image": "cxr/7.png", "question": "<image>\\n…", "question_orig": "Which side?", "answer": "Left",
     "response": "The left angle is blunted.\\n\\nFinal answer: Left", "steps_with_score": [
       {"step": "The left angle is blunted.", "score": 0.875, "num_mc_correct": 14, "num_mc_total": 16}, …],
     "num_mc_sequences": 16}

A step with 0.0 / 0 / 0 was never sampled (early stop): its expected accuracy is null. 0.0 / 0 / 16 is zero.
Also read: VL-PRM300K, whose rows carry `uid` and `image_path` beside these keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Refused, Row, Writing
from medprm_hf.formats.marks import answer_place, shown_question
from medprm_hf.text.prompts import solve_prompt

IMAGE_TAG = "<image>\n"
_KEYS = ["question", "question_orig", "answer", "response", "steps_with_score", "num_mc_sequences"]
_STEP_KEYS = ("step", "score", "num_mc_correct", "num_mc_total")


@dataclass(frozen=True)
class VisualPRMRaw(Format):
    """VisualPRM's rollout counts."""

    id: ClassVar[str] = "visualprm-raw"
    text: ClassVar[str] = "VisualPRM raw (steps_with_score): rollout counts of every step"
    carries: ClassVar[frozenset[str]] = frozenset(
        {"image", "question", "options", "clinical_context", "answer", "answer_index", "solution", "steps",
         "rollout_correct", "rollout_total", "expected_accuracy"}
    )
    losses: ClassVar[tuple[str, ...]] = (
        "names of questions and solutions",
        "an option or clinical context with a line break is read back as part of the question",
        "turns of a consultation become part of the question",
        "labels: the format holds rollout counts alone",
        "a step without rollouts has the counts 0 of 0",
        "an empty solution text is written as its steps, joined by blank lines",
    )

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One record a solution; what was not sampled is 0.0 / 0 / 0, as in VisualPRM."""
        row = rows[0]
        steps = row["steps"]
        count = len(steps)
        mc = row.get("expected_accuracy") or [None] * count
        right = row.get("rollout_correct") or [None] * count
        total = row.get("rollout_total") or [None] * count
        image = writing.image(row)
        prompt = _prompt(shown_question(row, with_options=False), tuple(row.get("options") or ()))
        record: dict[str, Any] = {"image": image} if image else {}
        record.update(
            question=f"{IMAGE_TAG}{prompt}" if image else prompt,
            question_orig=shown_question(row),
            answer=row.get("answer"),
            response=row.get("solution") or "\n\n".join(steps),
            steps_with_score=[
                {"step": step, "score": 0.0, "num_mc_correct": 0, "num_mc_total": 0}
                if score is None
                else {"step": step, "score": score, "num_mc_correct": correct, "num_mc_total": number}
                for step, score, correct, number in zip(steps, mc, right, total, strict=True)
            ],
            num_mc_sequences=max(filter(None, total), default=0),
        )
        yield record

    def decode(self, record: Record, reading: Reading) -> Iterable[dict[str, Any]]:
        """One solution a record."""
        scored = record["steps_with_score"]
        if not scored:
            raise Refused("no_steps", "steps_with_score is empty", "steps_with_score")
        shown = record.get("question_orig")
        shown = record["question"].removeprefix(IMAGE_TAG) if shown is None else shown
        question, options, context = reading.asked(shown)
        answer = record.get("answer")
        total = [step["num_mc_total"] for step in scored]
        scores = [step["score"] for step in scored]
        if 0 in total:  # equal to it as 0.0 and False are
            scores = [None if n == 0 else score for n, score in zip(total, scores, strict=True)]
        row = {
            **reading.blank, "question": question, "options": options, "clinical_context": context, "answer": answer,
            "answer_index": answer_place(answer, options), "solution": record.get("response"),
            "steps": [step["step"] for step in scored], "rollout_total": total,
            "rollout_correct": [step["num_mc_correct"] for step in scored], "expected_accuracy": scores,
        }
        reading.image(record.get("image") or record.get("image_path"), row)
        reading.name(row)
        if not _as_written(record, row):
            reading.keep([row], [record])
        return (row,)

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """`steps_with_score` stands in no other format."""
        return "steps_with_score" in record


def _as_written(record: Mapping[str, Any], row: Row) -> bool:
    """Whether our writer is sure to give the record back as it stands, so that it need not be tried."""
    keys, scored, image = list(record), record["steps_with_score"], record.get("image")
    if keys != (_KEYS if image is None else ["image", *_KEYS]) or not (image is None or type(image) is str and image):
        return False
    prompt = _prompt(shown_question(row, with_options=False), tuple(row["options"]))
    return bool(
        record["question"] == (f"{IMAGE_TAG}{prompt}" if image else prompt)
        and type(record["question_orig"]) is str
        and row["solution"]
        and {*map(tuple, scored)} == {_STEP_KEYS}
        and {*map(type, row["rollout_correct"]), *map(type, row["rollout_total"])} == {int}
        and {*map(type, row["expected_accuracy"])} == {float}  # no step without rollouts among them
        and type(record["num_mc_sequences"]) is int
        and record["num_mc_sequences"] == max(row["rollout_total"])
    )


@lru_cache(maxsize=64)  # solutions of one question come together
def _prompt(shown: str, options: tuple[str, ...]) -> str:
    return solve_prompt(shown, options)
