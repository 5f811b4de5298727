"""`visualprm-raw`: VisualPRM's rollout counts, one solution a line (VisualPRM400K-v1.1-Raw).

    {"image": "cxr/7.png", "question": "<image>\\n…", "question_orig": "Which side?", "answer": "Left",
     "response": "The left angle is blunted.\\n\\nFinal answer: Left", "steps_with_score": [
       {"step": "The left angle is blunted.", "score": 0.875, "num_mc_correct": 14, "num_mc_total": 16}, …],
     "num_mc_sequences": 16}

A step with 0.0 / 0 / 0 was never sampled (early stop): its expected accuracy is null. 0.0 / 0 / 16 is zero.
Also read: VL-PRM300K, whose rows carry `uid` and `image_path` beside these keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Refused, Row, Writing
from medprm_hf.formats.marks import answer_place, shown_question, split_question
from medprm_hf.text.prompts import solve_prompt

IMAGE_TAG = "<image>\n"


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
        prompt = _prompt(shown_question({**row, "options": None}), tuple(row.get("options") or ()))
        record: dict[str, Any] = {"image": image} if image else {}
        record.update(
            question=f"{IMAGE_TAG}{prompt}" if image else prompt,
            question_orig=shown_question(row),
            answer=row.get("answer"),
            response=row.get("solution") or "\n\n".join(steps),
            steps_with_score=[_scored(*step) for step in zip(steps, mc, right, total, strict=True)],
            num_mc_sequences=max((number for number in total if number is not None), default=0),
        )
        yield record

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """One solution a record."""
        scored = record["steps_with_score"]
        if not scored:
            raise Refused("no_steps", "steps_with_score is empty", "steps_with_score")
        shown = record.get("question_orig")
        shown = record["question"].removeprefix(IMAGE_TAG) if shown is None else shown
        question, options, context = split_question(shown)
        row = reading.row(question=question, options=options, clinical_context=context)
        row.update(answer=record.get("answer"), answer_index=answer_place(record.get("answer"), options))
        row["solution"] = record.get("response")
        row["steps"] = [step["step"] for step in scored]
        row["rollout_correct"] = [step["num_mc_correct"] for step in scored]
        row["rollout_total"] = [step["num_mc_total"] for step in scored]
        row["expected_accuracy"] = [None if step["num_mc_total"] == 0 else step["score"] for step in scored]
        reading.image(record.get("image") or record.get("image_path"), row)
        reading.name(row)
        reading.keep([row], [record])
        yield row

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """`steps_with_score` stands in no other format."""
        return "steps_with_score" in record


@lru_cache(maxsize=64)  # solutions of one question come together
def _prompt(shown: str, options: tuple[str, ...]) -> str:
    return solve_prompt(shown, options)


def _scored(step: str, mc: float | None, right: int | None, total: int | None) -> dict[str, Any]:
    if mc is None:
        return {"step": step, "score": 0.0, "num_mc_correct": 0, "num_mc_total": 0}
    return {"step": step, "score": mc, "num_mc_correct": right, "num_mc_total": total}
