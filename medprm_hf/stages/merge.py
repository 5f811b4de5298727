"""merge: both signals become one label a step. Reads rollout and judge columns, adds labels, label_p,
label_method and needs_review. The policies themselves are pure functions of `labels/merge.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.labels.accuracy import corrected, expected_accuracy
from medprm_hf.labels.merge import Merged, MergeSettings, merge
from medprm_hf.schema import Label, written_by
from medprm_hf.specs import MergeSpec
from medprm_hf.stages.base import Batch, Row, columns_of, rows_of


@dataclass(frozen=True)
class Merge(MergeSpec):
    """One label a step by the policy of the recipe; a signal that was not measured is unknown."""

    reads: ClassVar[tuple[str, ...]] = ("steps",)
    uses: ClassVar[tuple[str, ...]] = (
        "judge_labels", "judge_confidence", "judge_p_plus", "rollout_correct", "rollout_total", "p_right", "chance",
    )  # fmt: skip
    writes: ClassVar[tuple[str, ...]] = written_by("merge")

    def check(self) -> None:
        """Nothing to open: the recipe has checked the policy."""

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds the merged labels to each solution of the batch."""
        rows = rows_of(self, batch)
        return columns_of(self, rows, [self._row(row) for row in rows])

    def _row(self, row: Row) -> Row:
        merged = self.merged(row)
        return {
            "labels": merged.labels,
            "label_p": merged.label_p,
            "label_method": merged.label_method,
            "needs_review": merged.needs_review,
        }

    def merged(self, row: Row) -> Merged:
        """The labels of one solution."""
        n = len(row["steps"])
        correct, total = row.get("rollout_correct") or [0] * n, row.get("rollout_total") or [0] * n
        enough = [count >= self.min_rollouts for count in total]
        return merge(
            self.policy,
            judge_labels=row.get("judge_labels") or [Label.UNKNOWN] * n,
            judge_confidence=row.get("judge_confidence") or [None] * n,
            judge_p_plus=row.get("judge_p_plus") or [None] * n,
            rollout_correct=[c if ok else 0 for c, ok in zip(correct, enough, strict=True)],
            rollout_total=[c if ok else 0 for c, ok in zip(total, enough, strict=True)],
            figures=self._figures(row, enough),
            settings=self._settings(),
        )

    def _settings(self) -> MergeSettings:
        names = ("high", "low", "threshold", "band", "monotone")
        return MergeSettings(**{name: getattr(self, name) for name in names})

    def _figures(self, row: Row, enough: list[bool]) -> list[float | None] | None:
        """What stands in the place of mc, [num_steps]; None for mc itself. P(right) also speaks of steps that
        were not sampled, so `min_rollouts` does not bind it."""
        if self.figure == "p_right":
            return list(row.get("p_right") or [None] * len(enough))
        if self.figure == "mc" or not row.get("rollout_correct"):
            return None
        baseline = math.nan if row.get("chance") is None else row["chance"]
        values = corrected(expected_accuracy(row["rollout_correct"], row["rollout_total"]), baseline).tolist()
        return [v if ok and not math.isnan(v) else None for v, ok in zip(values, enough, strict=True)]
