"""review: experts' decisions come in. Reads the merged labels, adds reviews and review_labels.

Doubtful steps (`needs_review`) are put to the reviewer that the recipe names, the most doubtful first, up to a
share of the batch's steps. `simulated-expert:error=0.02` answers from the truth of the phantom world and
is called simulated in every decision it makes. Nothing that a machine said is overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.review.reviewers import Asked, Decision, open_reviewer
from medprm_hf.schema import Label, written_by
from medprm_hf.specs import ReviewSpec
from medprm_hf.stages.base import Batch, Row, columns_of, rows_of


@dataclass(frozen=True)
class Review(ReviewSpec):
    """Puts doubtful steps to a reviewer; see the module."""

    reads: ClassVar[tuple[str, ...]] = (
        "question_id", "solution_id", "steps", "labels", "label_p", "needs_review",
    )  # fmt: skip
    uses: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = written_by("review")

    def check(self) -> None:
        """Looks the reviewer up."""
        open_reviewer(self.reviewer, self.seed)

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds every decision and the reviewed label of each step of the batch."""
        rows = rows_of(self, batch)
        asked = self._choose(rows)
        decisions = dict(zip(asked, open_reviewer(self.reviewer, self.seed).decide(asked), strict=True))
        by_step = {(item.solution_id, item.step): decision for item, decision in decisions.items()}
        return columns_of(self, rows, [_result(row, by_step) for row in rows])

    def _choose(self, rows: list[Row]) -> list[Asked]:
        """Doubtful steps, nearest to a coin flip first, at most the share of all steps."""
        doubtful = [
            (abs((row["label_p"][i] if row["label_p"][i] is not None else 0.5) - 0.5), number, i)
            for number, row in enumerate(rows)
            for i, doubt in enumerate(row["needs_review"])
            if doubt
        ]
        budget = round(self.share * sum(len(row["steps"]) for row in rows))
        return [
            Asked(rows[n]["question_id"], rows[n]["solution_id"], tuple(rows[n]["steps"]), i)
            for _, n, i in sorted(doubtful)[:budget]
        ]


def _result(row: Row, by_step: Mapping[tuple[str, int], Decision]) -> Row:
    decisions = [by_step.get((row["solution_id"], i)) for i in range(len(row["steps"]))]
    return {
        "reviews": [[decision.as_row()] if decision else [] for decision in decisions],
        "review_labels": [decision.label if decision else Label.UNKNOWN.value for decision in decisions],
    }
