"""The table of a run, one shard at a time, joined from what the source and every stage have stored of it.

    source    q0 q1 q2              question columns
    generate  s0 s1 s2 s3 (_row 0 0 1 2)   each solution repeats the columns of its question
    rollout   …  …  …  …            from here on row for row

`batch_of_shard` gives plain values, as stages and exports want them; `arrow_of_shard` the same as an Arrow table, for
files that hold every column: no value becomes a Python object on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from medprm_hf.errors import StoreError
from medprm_hf.runs.shards import ROW, SOURCE, Shards, schema_of
from medprm_hf.schema import SCHEMA_VERSION
from medprm_hf.stages.base import Batch, Stage


def batch_of_shard(shards: Shards, stages: Iterable[Stage], number: int, names: Iterable[str]) -> Batch:
    """The named columns of a shard as the stages left them, row for row; `errors` gathers every stage's.

    A column that nobody has written is left out.
    """
    wanted = tuple(dict.fromkeys(("question_id", *names)))
    batch = shards.read(SOURCE, number, wanted)
    errors: list[list[Any]] = [[] for _ in batch["question_id"]]
    for stage in stages:
        if "errors" not in wanted and stage.name != "generate" and not set(wanted) & set(stage.writes):
            continue
        part = shards.read(str(stage.name), number, (*wanted, ROW, "errors"))
        parents = part.pop(ROW, None)
        if parents is not None:
            batch = {name: [values[i] for i in parents] for name, values in batch.items()}
            errors = [errors[i] for i in parents]
        errors = [[*old, *new] if new else old for old, new in zip(errors, part.pop("errors"), strict=True)]
        batch.update(part)
    if "errors" in wanted:
        batch["errors"] = errors
    return batch


def arrow_of_shard(shards: Shards, stages: Iterable[Stage], number: int, names: Sequence[str]) -> pa.Table:
    """The same as an Arrow table of exactly these columns; StoreError names those that lack."""
    wanted = tuple(dict.fromkeys(("question_id", *names)))
    table = shards.table(SOURCE, number, wanted)
    columns, errors = dict(zip(table.column_names, table.columns, strict=True)), _Errors(table.num_rows)
    for stage in stages:
        part = shards.table(str(stage.name), number, (*wanted, ROW, "errors"))
        if ROW in part.column_names:
            parents = part[ROW]
            columns = {name: column.take(parents) for name, column in columns.items()}
            errors.take(parents.to_pylist())
        errors.add(part["errors"])
        columns |= {name: part[name] for name in part.column_names if name in wanted}
    columns["errors"] = errors.column(schema_of(("errors",)).field(0).type)
    refuse_lacking(shards, wanted, columns)
    return pa.table({name: columns[name] for name in names}).cast(schema_of(tuple(names)))


def refuse_lacking(shards: Shards, wanted: Iterable[str], there: Iterable[str]) -> None:
    """Raises StoreError for columns that an earlier version did not write."""
    known = set(there)
    lacking = [name for name in wanted if name not in known]
    if lacking:
        raise StoreError(
            f"{shards.directory} was made by an earlier version and lacks {', '.join(lacking)} (today's table is "
            f"version {SCHEMA_VERSION}): `medprm resume {shards.directory}` does what is missing"
        )


def rows_of(batch: Batch, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A batch as rows of the named columns."""
    for values in zip(*(batch[name] for name in names), strict=True):
        yield dict(zip(names, values, strict=True))


class _Errors:
    """What went wrong in each row, over the stages; where nothing did, nothing is unpacked."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._lists: list[list[Any]] | None = None

    def take(self, parents: list[int]) -> None:
        """Each row becomes those of its solutions."""
        self._rows = len(parents)
        if self._lists is not None:
            self._lists = [self._lists[i] for i in parents]

    def add(self, column: pa.ChunkedArray) -> None:
        """A stage's entries come behind the earlier ones."""
        if not pc.sum(pc.list_value_length(column)).as_py():
            return
        old = self._lists or [[]] * self._rows
        self._lists = [[*before, *new] for before, new in zip(old, column.to_pylist(), strict=True)]

    def column(self, kind: pa.DataType) -> pa.Array:
        """All of it as a column."""
        return pa.array(self._lists or [[]] * self._rows, kind)
