"""questions: which questions are worth asking. Reads the source's columns, adds question_status, question_reason
and split.

A broken or missing image, options that are empty, doubled or too many, a gold answer that is no option: the
question is dropped with the reason, and everybody can read it in the run's `dropped.jsonl`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.errors import ImageError
from medprm_hf.imaging.load import load_image
from medprm_hf.schema import written_by
from medprm_hf.specs import QuestionsSpec
from medprm_hf.stages.base import Batch, Row, columns_of, rows_of


@dataclass(frozen=True)
class Questions(QuestionsSpec):
    """Keeps the questions that can be worked on; see the module."""

    reads: ClassVar[tuple[str, ...]] = (
        "question_id",
        "question",
        "image",
        "options",
        "answer",
        "answer_index",
    )
    uses: ClassVar[tuple[str, ...]] = ("split",)
    writes: ClassVar[tuple[str, ...]] = written_by("questions")

    def check(self) -> None:
        """Nothing to open."""

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds status, reason and split to each question of the batch."""
        rows = rows_of(self, batch)
        return columns_of(self, rows, [self._row(row) for row in rows])

    def _row(self, row: Row) -> Row:
        reason = self._reason(row)
        status = "dropped" if reason else "kept"
        return {
            "question_status": status,
            "question_reason": reason,
            "split": row.get("split") or self.split or "train",
        }

    def _reason(self, row: Row) -> str | None:
        if not (row["question"] or "").strip():
            return "no_question: the question is empty"
        return self._image_reason(row) or self._options_reason(row)

    def _image_reason(self, row: Row) -> str | None:
        image = row["image"]
        if image is None:
            return None
        try:
            load_image(image)
        except ImageError as error:
            return f"image: {error}"
        return None

    def _options_reason(self, row: Row) -> str | None:
        options, index = row["options"] or [], row["answer_index"]
        texts = [option.strip().casefold() for option in options]
        if "" in texts:
            return f"options: option {texts.index('') + 1} of {len(texts)} is empty"
        if len(set(texts)) < len(texts):
            return f"options: {len(texts) - len(set(texts))} of {len(texts)} options are doubled"
        if len(options) == 1 or len(options) > self.max_options:
            return f"options: {len(options)} options; 2 to {self.max_options} can be asked (questions.max_options)"
        if options and index is None and row["answer"] is not None:
            return f"answer: {row['answer']!r} is none of the {len(options)} options"
        if index is not None and not 0 <= index < len(options):
            return f"answer: answer_index {index} is outside the {len(options)} options"
        if self.needs_answer and row["answer"] is None and index is None:
            return "no_gold: no gold answer, which rollouts need (questions.needs_answer=false for a judge alone)"
        return None
