"""calibrate: experts label a stratified sample of whole solutions, blindly, before anything is merged.

Reads the solutions, adds calibration_reviews and calibration_labels. The sample is drawn by the solutions' names, so
that every solution has the same chance and a run done again asks the same ones: what is measured on it (kappa, the
label model's calibration) is unbiased. The label model learns from it, out of fold for the sample itself; `review`
takes its decisions over, so that nothing is asked twice. With `store:PATH` the sample is the store's: steps that were
drawn there by name, and answered before a machine's signal was seen.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from medprm_hf.labels.sampling import cutoffs, draw_of
from medprm_hf.review.items import identities
from medprm_hf.review.reviewers import Asked, Decision, People, label_of, open_reviewer, people
from medprm_hf.schema import written_by
from medprm_hf.specs_labels import CalibrateSpec
from medprm_hf.stages.base import Batch, Row, columns_of, rows_of


@dataclass(frozen=True)
class Calibrate(CalibrateSpec):
    """Puts a sample of whole solutions to a reviewer; see the module."""

    reads: ClassVar[tuple[str, ...]] = ("question_id", "solution_id", "steps")
    uses: ClassVar[tuple[str, ...]] = ("modality", "difficulty", "source", "question", "options", "image_sha256")
    writes: ClassVar[tuple[str, ...]] = written_by("calibrate")
    learnt: str = field(default="", repr=False)
    """JSON of the largest draw that each stratum takes; or the store's state."""

    def check(self) -> None:
        """Looks the reviewer up."""
        open_reviewer(self.reviewer, self.seed)

    def state(self) -> str:
        """Changes with people's decisions; empty for a simulated expert."""
        store = people(self.reviewer, self.seed)
        return store.state() if store else ""

    def learn(self, batches: Iterable[Batch]) -> str:
        """How many of each stratum make up the sample, from all solutions of the run."""
        if self.state():
            return json.dumps({"store": self.state()})
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
        learnt = json.loads(self.learnt or self.learn([dict(batch)]))
        reviewer = open_reviewer(self.reviewer, self.seed)
        if isinstance(reviewer, People):
            found = [reviewer.at(learnt["store"]).sampled(_asked(row, identities(row))) for row in rows]
        else:
            sampled = [row for row in rows if row["steps"] and self._draw(row) <= learnt.get(self._stratum(row), -1.0)]
            asked = [one for row in sampled for one in _asked(row, [""] * len(row["steps"]))]
            given = {(a.solution_id, a.step): d for a, d in zip(asked, reviewer.decide(asked), strict=True)}
            found = [
                [
                    [given[at]] if (at := (row["solution_id"], i)) in given else []
                    for i in range(len(row["steps"] or []))
                ]
                for row in rows
            ]
        return columns_of(self, rows, [_result(steps) for steps in found])

    def _draw(self, row: Row) -> float:
        return draw_of(self.seed, "calibrate", row["solution_id"])

    def _stratum(self, row: Row) -> str:
        return " / ".join(str(row.get(name)) for name in self.strata)


def _asked(row: Row, named: Sequence[str]) -> list[Asked]:
    """Every step of a row."""
    steps = tuple(row["steps"] or ())
    return [Asked(row["question_id"], str(row["solution_id"]), steps, i, identity) for i, identity in enumerate(named)]


def _result(steps: Sequence[Sequence[Decision]]) -> Row:
    reviews = [[decision.as_row() for decision in step] for step in steps]
    return {"calibration_reviews": reviews, "calibration_labels": [label_of(step) for step in reviews]}
