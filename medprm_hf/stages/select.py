"""select: which solutions are exported. Reads everything, adds keep and drop_reason (M9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.labels.selection import SelectionSettings, drop_reason
from medprm_hf.schema import final_labels, written_by
from medprm_hf.specs import SelectSpec
from medprm_hf.stages.base import Batch, Row, columns_of, rows_of


@dataclass(frozen=True)
class Select(SelectSpec):
    """Marks what is kept; a dropped solution keeps its reason and stays in the table."""

    reads: ClassVar[tuple[str, ...]] = ("steps", "final_answer", "labels")
    uses: ClassVar[tuple[str, ...]] = ("review_labels",)
    writes: ClassVar[tuple[str, ...]] = written_by("select")

    def check(self) -> None:
        """Nothing to open."""

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds keep and drop_reason to each solution of the batch."""
        rows = rows_of(self, batch)
        return columns_of(self, rows, [self._row(row) for row in rows])

    def _row(self, row: Row) -> Row:
        settings = SelectionSettings(min_steps=self.min_steps, max_steps=self.max_steps)
        labels = final_labels(row["labels"], row.get("review_labels"))
        reason = "no_solution" if not row["steps"] else drop_reason(row["steps"], row["final_answer"], labels, settings)
        return {"keep": reason is None, "drop_reason": reason}
