"""What a stage is: a spec of plain values that adds columns to a batch of rows.

    from medprm_hf.stages import Rollout
    labelled = solutions.map(Rollout(backend="phantom:policy", k=16), batched=True, batch_size=100)

A stage opens what it needs inside the worker, so `datasets.map` can hash it, Ray can ship it and the same
object runs alone in a notebook. A row never raises: what goes wrong becomes an entry of its `errors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from medprm_hf.errors import ConfigError, row_error
from medprm_hf.schema import BY_NAME

Batch = dict[str, list[Any]]
"""Columns of equal length, as `datasets.map(batched=True)` hands them over."""
Row = dict[str, Any]


class Stage(Protocol):
    """One word of the pipeline."""

    name: ClassVar[Any]
    reads: ClassVar[tuple[str, ...]]
    """Columns it needs."""
    uses: ClassVar[tuple[str, ...]]
    """Columns it also reads where they exist."""
    writes: ClassVar[tuple[str, ...]]
    """Columns it adds."""

    def check(self) -> None:
        """Opens what it needs; raises where its settings cannot work, before anything is asked."""
        ...

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """The columns it adds (and `errors`), for the rows of the batch."""
        ...


@runtime_checkable
class Learner(Stage, Protocol):
    """A stage that learns from the whole run before it works on the first shard.

    The run keeps what was learnt, so that a shard done again gives the same columns. Without it (`learnt` empty, as
    in a notebook's `map`) the stage learns within each batch.
    """

    learnt: str
    """JSON of what `learn` gave; no setting, so not part of the stage's repr."""

    def learn(self, batches: Iterable[Batch]) -> str:
        """What the shards of a run teach, in order; may stop reading when it knows enough."""
        ...


@runtime_checkable
class Watcher(Learner, Protocol):
    """A learner that also goes by what stands outside the run, such as people's decisions in a review store.

    What it takes from there goes into what it has learnt, so that all shards of a run see the same; it learns again,
    and its shards are done again, when `state` has changed.
    """

    def state(self) -> str:
        """Changes with what stands outside; empty where there is nothing."""
        ...


NEEDED = {"question_id", "question", "answer"}
"""Question columns that must be there; another that is absent, as in a text-only dataset, counts as null."""


def rows_of(stage: Stage, batch: Mapping[str, list[Any]]) -> list[Row]:
    """The batch as rows; says who should have written a column that is not there."""
    absent = [name for name in stage.reads if name not in batch]
    for name in absent:
        writer = BY_NAME[name].stage
        if writer != "sources" or name in NEEDED:
            raise ConfigError(
                f"{stage.name} reads the column {name!r}, which the {writer} stage writes: "
                f"run that first; there is: {', '.join(batch)}"
            )
    if not isinstance(batch[stage.reads[0]], list):
        raise ConfigError(f"{stage.name} works on batches: call map(…, batched=True)")
    nothing: Row = {name: [] if name == "options" else None for name in absent}
    names = list(batch)
    return [dict(zip(names, values, strict=True)) | nothing for values in zip(*batch.values(), strict=True)]


def columns_of(stage: Stage, rows: Sequence[Row], results: Sequence[Row]) -> Batch:
    """The added columns of each row's result, its errors appended to those that the row had."""
    batch: Batch = {name: [result.get(name) for result in results] for name in stage.writes}
    batch["errors"] = [
        [*(row.get("errors") or []), *result.get("errors", [])] for row, result in zip(rows, results, strict=True)
    ]
    return batch


class RowErrors:
    """Collects what goes wrong in one row of one stage."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.entries: list[dict[str, str]] = []

    def add(self, kind: str, message: str) -> None:
        """One more entry; the same kind is counted once per message."""
        entry = row_error(self.stage, kind, message)
        if entry not in self.entries:
            self.entries.append(entry)


def by_question(rows: Sequence[Row]) -> Iterator[list[int]]:
    """Indices of the rows of each question, in order of first appearance."""
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row["question_id"], []).append(index)
    yield from groups.values()
