"""calibrate: experts label a stratified sample of whole solutions, blindly, before anything is merged.

Reads the solutions, adds calibration_reviews and calibration_labels. The sample is drawn by the solutions' names, so
that every solution has the same chance and a run done again asks the same ones: what is measured on it (kappa, the
label model's calibration) is unbiased. The label model learns from it, out of fold for the sample itself; `review`
takes its decisions over, so that nothing is asked twice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from medprm_hf.labels.sampling import cutoffs, draw_of
from medprm_hf.review.reviewers import Asked, open_reviewer
from medprm_hf.schema import Label, written_by
from medprm_hf.specs_labels import CalibrateSpec
from medprm_hf.stages.base import Batch, Row, columns_of, rows_of


@dataclass(frozen=True)
class Calibrate(CalibrateSpec):
    """Puts a sample of whole solutions to a reviewer; see the module."""

    reads: ClassVar[tuple[str, ...]] = ("question_id", "solution_id", "steps")
    uses: ClassVar[tuple[str, ...]] = ("modality", "difficulty", "source")
    writes: ClassVar[tuple[str, ...]] = written_by("calibrate")
    learnt: str = field(default="", repr=False)
    """JSON of the largest draw that each stratum takes."""

    def check(self) -> None:
        """Looks the reviewer up."""
        open_reviewer(self.reviewer, self.seed)

    def learn(self, batches: Iterable[Batch]) -> str:
        """How many of each stratum make up the sample, from all solutions of the run."""
        draws: dict[str, list[float]] = defaultdict(list)
        for batch in batches:
            for row in rows_of(self, batch):
                if row["steps"]:
                    draws[self._stratum(row)].append(self._draw(row))
        everyone = sum(map(len, draws.values()))
        count = self.solutions if self.solutions is not None else round(self.share * everyone)
        return json.dumps(cutoffs(draws, count, self.seed), sort_keys=True)

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds the decisions on the sampled solutions of the batch."""
        rows = rows_of(self, batch)
        upto = json.loads(self.learnt or self.learn([dict(batch)]))
        sampled = [row for row in rows if row["steps"] and self._draw(row) <= upto.get(self._stratum(row), -1.0)]
        asked = [
            Asked(row["question_id"], row["solution_id"], tuple(row["steps"]), i)
            for row in sampled
            for i in range(len(row["steps"]))
        ]
        decisions = open_reviewer(self.reviewer, self.seed).decide(asked)
        by_step = {(a.solution_id, a.step): decision for a, decision in zip(asked, decisions, strict=True)}
        results = []
        for row in rows:
            found = [by_step.get((row["solution_id"], i)) for i in range(len(row["steps"] or []))]
            results.append(
                {
                    "calibration_reviews": [[decision.as_row()] if decision else [] for decision in found],
                    "calibration_labels": [d.label if d else Label.UNKNOWN.value for d in found],
                }
            )
        return columns_of(self, rows, results)

    def _draw(self, row: Row) -> float:
        return draw_of(self.seed, "calibrate", row["solution_id"])

    def _stratum(self, row: Row) -> str:
        return " / ".join(str(row.get(name)) for name in self.strata)
