"""`steps-jsonl` and `steps-json`: one record a step, as the VisualPRM-Medical-PRM tool writes its training rows.

    {"id": "DemoVQA::demo_0::solution_1::step_1", "image": "images/d0.jpg", "dataset": "DemoVQA", …,
     "prefix_steps": [], "current_step": {"step_index": 1, "title": "Look", "text": "A nodule."},
     "expected_accuracy": 0.75, "label": "+", "rollout_success": 3, "rollout_total": 4}

`prefix_steps` carry labels: they never belong in a prompt. A step that is unknown or neutral has no record of
its own; among the `prefix_steps` of later ones it stands with label null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from medprm_hf.formats.base import Format, Record, Row
from medprm_hf.formats.marks import (
    RIGHT,
    WRONG,
    LabelSource,
    answer_place,
    domain,
    letter_or_none,
    step_labels,
    unpack_extra,
)

if TYPE_CHECKING:
    from medprm_hf.formats.writing import Writing

CASE_COLUMNS = frozenset(
    {"question_id", "image", "image_sha256", "question", "options", "answer_index", "modality", "source",
     "solution_id", "solution_index", "final_answer", "is_correct", "step_titles", "steps", "rollout_correct",
     "rollout_total", "expected_accuracy", "labels", "review_labels", "extra"}
)
CASE_LOSSES = (
    "the solution's name becomes dataset::case::solution_n",
    "free-text answers of open questions",
    "an answer given as the option's text is written as its letter",
    "review and merge are one label",
)


def case_head(row: Row, image: str | None) -> dict[str, Any]:
    """The keys of a case and one of its solutions, in the tool's order (without id and scores)."""
    options = list(row.get("options") or [])
    extra = unpack_extra(row, "vmp")
    gold = row.get("answer_index")
    return {
        "image": image,
        "dataset": row.get("source") or "",
        "case_id": row["question_id"],
        "case_type": extra["case_type"] if "case_type" in extra else case_type(row.get("modality")),
        "modality": row.get("modality"),
        "question": row["question"],
        "options": options,
        "gold_index": gold,
        "gold_letter": letter_or_none(gold),
        "solution_index": (row.get("solution_index") or 0) + 1,
    }


def case_type(modality: str | None) -> str | None:
    """The tool's name of a domain: Radiology, Pathology or Clinical; null if the modality does not tell."""
    found = domain(modality)
    return found.capitalize() if found else None


def answer_keys(row: Row) -> dict[str, Any]:
    """final_answer_index, final_answer_letter and final_answer_correct; null where unknown."""
    place = answer_place(row.get("final_answer"), row.get("options") or [])
    return {
        "final_answer_index": place,
        "final_answer_letter": letter_or_none(place),
        "final_answer_correct": row.get("is_correct"),
    }


def plain(label: str) -> str | None:
    """`+` and `-` as they are, neutral and unknown as null."""
    return label if label in (RIGHT, WRONG) else None


def known_tail(values: Sequence[Any]) -> Any:
    """The last value of a list; null for an empty or absent one."""
    return values[-1] if values else None


@dataclass(frozen=True)
class StepsJSONL(Format):
    """The tool's flattened VisualPRM-style JSONL: the default step export."""

    labels: LabelSource = "final"
    """`final` (review, merge), or from the rollouts: `value` (mc > threshold) or `advantage` (change of mc)."""
    threshold: float = 0.0
    """Of `value`, 0..1."""

    id: ClassVar[str] = "steps-jsonl"
    text: ClassVar[str] = "one record a step with its prefix, mc, label and rollout counts (VMP, flattened)"
    carries: ClassVar[frozenset[str]] = CASE_COLUMNS
    losses: ClassVar[tuple[str, ...]] = (*CASE_LOSSES, "steps without + or - after the last labelled one")

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        row = rows[0]
        head = case_head(row, writing.image(row))
        labels = [plain(label) for label in step_labels(row, self.labels, self.threshold)]
        count = len(labels)
        mc = row.get("expected_accuracy") or [None] * count
        right = row.get("rollout_correct") or [None] * count
        total = row.get("rollout_total") or [None] * count
        titles = row.get("step_titles") or [""] * count
        name = f"{head['dataset']}::{head['case_id']}::solution_{head['solution_index']}"
        solution = {
            **head,
            "solution_expected_accuracy": known_tail(mc),
            "solution_label": known_tail(labels),
            **answer_keys(row),
        }
        prefix: list[dict[str, Any]] = []
        for place, (title, text, label) in enumerate(zip(titles, row["steps"], labels, strict=True)):
            current = {"step_index": place + 1, "title": title, "text": text}
            scored = {"expected_accuracy": mc[place], "label": label}
            if label is not None:
                yield {
                    "id": f"{name}::step_{place + 1}",
                    **solution,
                    "prefix_steps": list(prefix),
                    "current_step": current,
                    **scored,
                    "rollout_success": right[place],
                    "rollout_total": total[place],
                }
            prefix.append({**current, **scored})
        unlabelled = labels.count(None)
        writing.leave_out("steps without + or -", unlabelled)
        if unlabelled == count:
            writing.skip("rows without a labelled step")

    @classmethod
    def recognises(cls, record: Record, head: Mapping[str, Any]) -> bool:
        return {"id", "current_step", "prefix_steps", "rollout_success"} <= record.keys()
