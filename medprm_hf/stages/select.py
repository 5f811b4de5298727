"""select: which solutions are exported. Reads everything, adds keep, drop_reason and flags (M9).

What depends on the others of a run (balance of labels, the most informative) is drawn by the solutions' names and
learnt from the whole run, so a run done again keeps the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from medprm_hf.labels.sampling import draw_of
from medprm_hf.labels.selection import (
    CONTRADICTS_EVIDENCE,
    SelectionSettings,
    contradicts_evidence,
    drop_reason,
    information,
    surplus_plus,
    surplus_right,
)
from medprm_hf.schema import Label, final_labels, written_by
from medprm_hf.specs_labels import SelectSpec
from medprm_hf.stages.base import Batch, Row, columns_of, rows_of


@dataclass(frozen=True)
class Select(SelectSpec):
    """Marks what is kept; a dropped solution keeps its reason and stays in the table."""

    reads: ClassVar[tuple[str, ...]] = ("steps", "final_answer", "labels")
    uses: ClassVar[tuple[str, ...]] = (
        "review_labels", "question_id", "solution_id", "is_correct", "expected_accuracy", "judge_citations",
    )  # fmt: skip
    writes: ClassVar[tuple[str, ...]] = written_by("select")
    learnt: str = field(default="", repr=False)
    """JSON: the draw from which all-+ solutions go, and the least information."""

    def check(self) -> None:
        """Nothing to open."""

    def learn(self, batches: Iterable[Batch]) -> str:
        """Where the lines lie that need the whole run; nothing, and nothing is read, where none is asked for."""
        if self.max_plus_share >= 1 and self.informative >= 1:
            return ""
        counts: list[tuple[int, int, float]] = []
        scores: list[tuple[float, float]] = []
        for batch in batches:
            rows = rows_of(self, batch)
            for row, reason in zip(rows, self._alone(rows), strict=True):
                if reason is None:
                    labels, draw = _final(row), _draw(row)
                    counts.append((labels.count(Label.RIGHT.value), labels.count(Label.WRONG.value), draw))
                    scores.append((draw, _information(row)))
        cut = surplus_plus(counts, self.max_plus_share)
        left = [
            score
            for (draw, score), (plus, minus, _) in zip(scores, counts, strict=True)
            if minus or not plus or draw < cut
        ]
        left.sort(reverse=True)
        number = round(self.informative * len(left))
        least = left[number - 1] if 0 < number < len(left) else -1.0
        return json.dumps({"plus": cut, "least": least})

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds keep, drop_reason and flags to each solution of the batch."""
        rows = rows_of(self, batch)
        lines = json.loads(self.learnt or self.learn([dict(batch)]) or '{"plus": 1.0, "least": -1.0}')
        results = []
        for row, alone in zip(rows, self._alone(rows), strict=True):
            reason = alone or _among(row, lines)
            flagged = bool(row["steps"]) and contradicts_evidence(_final(row), row.get("judge_citations"))
            flags = [CONTRADICTS_EVIDENCE] if flagged else []
            results.append({"keep": reason is None, "drop_reason": reason, "flags": flags})
        return columns_of(self, rows, results)

    def _alone(self, rows: Sequence[Row]) -> list[str | None]:
        """The reason that a solution gives by itself or within its question, [rows]."""
        settings = SelectionSettings(self.min_steps, self.max_steps, self.wrong_needs_minus)
        reasons = [
            drop_reason(row["steps"], row["final_answer"], _final(row), settings, row.get("is_correct"))
            if row["steps"]
            else "no_solution"
            for row in rows
        ]
        if self.balance_answers:
            left = [i for i, reason in enumerate(reasons) if reason is None]
            surplus = surplus_right(
                [rows[i].get("question_id") for i in left],
                [rows[i].get("is_correct") for i in left],
                [_draw(rows[i]) for i in left],
            )
            for at in surplus:
                reasons[left[at]] = "enough_right"
        return reasons


def _final(row: Row) -> list[str]:
    return final_labels(row["labels"], row.get("review_labels"))


def _draw(row: Row) -> float:
    return draw_of("select", row.get("solution_id") or list(row["steps"]))


def _information(row: Row) -> float:
    # The draw parts solutions that score alike, so that the share asked for is met.
    return information(_final(row), row.get("expected_accuracy")) + 1e-9 * _draw(row)


def _among(row: Row, lines: Mapping[str, float]) -> str | None:
    labels = _final(row)
    if Label.RIGHT in labels and Label.WRONG not in labels and _draw(row) >= lines["plus"]:
        return "too_many_plus"
    return "less_informative" if _information(row) < lines["least"] else None
