"""merge: all signals become one label a step. Reads rollout, judge and calibration columns, adds labels, label_p,
label_method and needs_review. Policies that label a solution by itself are pure functions of `labels/merge.py`; the
label model (`labels/label_learning.py`) learns from the whole run first, or within the batch in a notebook.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from medprm_hf.labels.accuracy import corrected, expected_accuracy
from medprm_hf.labels.label_learning import Learnt, label, learn
from medprm_hf.labels.label_signals import Solved, Verdicts
from medprm_hf.labels.merge import POLICIES, Merged, MergeSettings, merge
from medprm_hf.schema import Label, written_by
from medprm_hf.specs_labels import MergeSpec
from medprm_hf.stages.base import Batch, Row, columns_of, rows_of


@dataclass(frozen=True)
class Merge(MergeSpec):
    """One label a step by the policy of the recipe; a signal that was not measured is unknown."""

    reads: ClassVar[tuple[str, ...]] = ("steps",)
    uses: ClassVar[tuple[str, ...]] = (
        "judge_labels", "judge_confidence", "judge_p_plus", "judge_errors", "rollout_correct", "rollout_total",
        "p_right", "chance", "question_id", "modality", "is_correct", "calibration_reviews",
    )  # fmt: skip
    writes: ClassVar[tuple[str, ...]] = written_by("merge")
    learnt: str = field(default="", repr=False)
    """JSON of what the label model learnt."""

    def check(self) -> None:
        """Nothing to open: the recipe has checked the policy."""

    @property
    def learns(self) -> bool:
        """Whether the policy learns from many solutions."""
        return self.policy in POLICIES and POLICIES[self.policy].decide is None

    def learn(self, batches: Iterable[Batch]) -> str:
        """What the run teaches the label model; nothing, and nothing is read, for the other policies."""
        if not self.learns:
            return ""
        solutions = [self._solved(row, str(n)) for n, row in _numbered(self, batches)]
        return learn(solutions, self.keep_recall).to_json()

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds the merged labels to each solution of the batch."""
        rows = rows_of(self, batch)
        if not self.learns:
            return columns_of(self, rows, [_row(self.merged(row)) for row in rows])
        solutions = [self._solved(row, str(n)) for n, row in enumerate(rows)]
        learnt = Learnt.from_json(self.learnt) if self.learnt else learn(solutions, self.keep_recall)
        return columns_of(self, rows, [_row(merged) for merged in label(solutions, learnt, self.doubt)])

    def merged(self, row: Row) -> Merged:
        """The labels of one solution, by a policy that needs no other."""
        n = len(row["steps"])
        correct, total, enough = self._counts(row)
        return merge(
            self.policy,
            judge_labels=row.get("judge_labels") or [Label.UNKNOWN] * n,
            judge_confidence=row.get("judge_confidence") or [None] * n,
            judge_p_plus=row.get("judge_p_plus") or [None] * n,
            rollout_correct=correct,
            rollout_total=total,
            figures=self._figures(row, enough),
            settings=self._settings(),
        )

    def _counts(self, row: Row) -> tuple[list[int], list[int], list[bool]]:
        """Right and readable rollouts of each prefix, none where they are too few, and whether they are enough."""
        n = len(row["steps"])
        correct, total = row.get("rollout_correct") or [0] * n, row.get("rollout_total") or [0] * n
        enough = [count >= self.min_rollouts for count in total]
        return (
            [c if ok else 0 for c, ok in zip(correct, enough, strict=True)],
            [c if ok else 0 for c, ok in zip(total, enough, strict=True)],
            enough,
        )

    def _solved(self, row: Row, number: str) -> Solved:
        """The solution as the label model reads it."""
        steps = row["steps"] or []
        labels = row.get("judge_labels")
        judge = Verdicts(labels or (), row.get("judge_confidence"), row.get("judge_p_plus"), row.get("judge_errors"))
        correct, total, _ = self._counts({**row, "steps": steps})
        reviews = row.get("calibration_reviews")
        return Solved(
            question=row.get("question_id") or number,
            steps=steps,
            judges=(judge,) if labels else (),
            correct=correct,
            total=total,
            p_right=row.get("p_right") if self.figure == "p_right" else None,
            own_right=row.get("is_correct") if row.get("rollout_total") else None,
            chance=row.get("chance"),
            group=row.get("modality"),
            experts=[[given["label"] for given in step] for step in reviews] if reviews else None,
        )

    def _settings(self) -> MergeSettings:
        names = ("high", "low", "threshold", "band", "certainty", "monotone")
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


def _numbered(stage: Merge, batches: Iterable[Batch]) -> Iterable[tuple[int, Row]]:
    return enumerate(row for batch in batches for row in rows_of(stage, batch))


def _row(merged: Merged) -> Row:
    return {
        "labels": merged.labels,
        "label_p": merged.label_p,
        "label_method": merged.label_method,
        "needs_review": merged.needs_review,
    }
