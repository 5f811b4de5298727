"""`dataset/` of a run: Parquet files of bounded size that `load_dataset` reads, written group by group.

    dataset/README.md
    dataset/data/train-00000-of-00002.parquet      at most 500 MB, in groups of at most 1,000 rows or 32 MB
    dataset/data/train-00001-of-00002.parquet

    dataset_rows(folder)                           its rows again, a few at a time
    cell(folder, 1204, "image")                    one value of one row

Where a group or file ends follows from the rows alone, so the bytes depend on recipe and seed and on nothing that
happened on the way. Held in memory is one group and one shard. The folder appears when all of it is written.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medprm_hf.ids import files_hash
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.shards import schema_of, write_text
from medprm_hf.runs.tables import rows_of
from medprm_hf.schema import SCHEMA_VERSION

GROUP_ROWS, GROUP_BYTES = 1000, 32 << 20
"""Largest row group: what a reader must hold at once to see one row."""
ROWS_AT_ONCE = 128
"""Rows that are read at once."""
FILE_BYTES = 500_000_000
"""Largest file, as Arrow counts bytes (text shrinks further in the file, images do not)."""

_CARD = """---
license: other
task_categories: [visual-question-answering]
tags: [process-reward-model, medprm-hf{simulated}]
medprm_schema_version: {version}
configs:
- config_name: default
  description: rows {digest}
  data_files:
  - split: train
    path: data/*.parquet
---
# {name}

Step-labelled solutions made by medprm-hf (recipe fingerprint `{recipe}`). One row is one solution; lists line
up by step. Licence of each row: column `license`. **Research data, not for clinical use.**{note}
"""
_SIMULATED = """

Judge and experts of this run are **simulated** (phantom world): its labels measure the pipeline, not medicine."""


Unsolved = Callable[[dict[str, Any]], None]


def write_dataset(run: Run, unsolved: Unsolved = lambda row: None) -> int:
    """Writes the folder from the run's shards; gives its number of rows.

    Questions without a solution are not in it: each is shown to `unsolved`, without its image.
    """
    folder = run.directory / "dataset"
    rows = write_files(folder / "data", solved_tables(run, unsolved), schema_of(run.columns))
    simulated = any("simulated" in name for name in run.recipe.judge.judges()) and "judge" in run.recipe.stages
    card = _CARD.format(
        name=run.recipe.name,
        recipe=run.recipe.fingerprint(),
        version=SCHEMA_VERSION,
        digest=digest_of(folder / "data"),
        simulated=", simulated" if simulated else "",
        note=_SIMULATED if simulated else "",
    )
    write_text(folder / "README.md", card)
    return rows


def digest_of(folder: Path) -> str:
    """A hash of the files' content. It stands in the card because `load_dataset` keeps what it has loaded of a local
    folder by the text of its card alone: without it, a run that was built again would load as it was before."""
    return files_hash(sorted(folder.glob("*.parquet")))


def solved_tables(run: Run, unsolved: Unsolved) -> Iterator[pa.Table]:
    """The run's table shard by shard, without questions that have no solution; those are shown to `unsolved`."""
    plain = [name for name in run.columns if name != "image"]
    for number in range(run.shard_count()):
        table = run.arrow(number, run.columns)
        if "solution" in run.columns and table["solution"].null_count:
            for row in table.filter(pc.is_null(table["solution"])).select(plain).to_pylist():
                unsolved(row)
            table = table.filter(pc.is_valid(table["solution"]))
        yield table


def dataset_rows(folder: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a dataset's files in order, as plain values, images as {bytes, path}; all columns or those named."""
    for file in sorted((folder / "data").glob("*.parquet")):
        with pq.ParquetFile(file, pre_buffer=False) as opened:
            for group in range(opened.num_row_groups):  # `iter_batches` over the whole file reads ahead without bound
                table = opened.read_row_group(group, columns, use_threads=False)
                for start in range(0, table.num_rows, ROWS_AT_ONCE):
                    yield from rows_of(table.slice(start, ROWS_AT_ONCE).to_pydict(), table.column_names)


def cell(folder: Path, place: int, column: str) -> Any:
    """One value of the row at a place (from 0); only its row group is read."""
    for file in sorted((folder / "data").glob("*.parquet")):
        with pq.ParquetFile(file) as opened:
            for group in range(opened.num_row_groups):
                rows = opened.metadata.row_group(group).num_rows
                if place < rows:
                    return opened.read_row_group(group, [column])[column][place].as_py()
                place -= rows
    raise IndexError(f"{folder} has fewer rows")


def write_files(folder: Path, tables: Iterable[pa.Table], schema: pa.Schema, split: str = "train") -> int:
    """Writes tables as the files of one split, in place of what the folder held; gives the number of rows."""
    part, old = (folder.with_name(f"{folder.name}.{name}") for name in ("part", "old"))
    for left in (part, old):  # what a killed process left
        shutil.rmtree(left, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        rows, count = _write(part, groups(tables), schema)
        for number in range(count):
            (part / f"{number}.parquet").rename(part / f"{split}-{number:05d}-of-{count:05d}.parquet")
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    finally:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)
    return rows


def _write(folder: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> tuple[int, int]:
    """Files `0.parquet`, `1.parquet`, …, one row group a table; at least one file. Gives rows and files."""
    rows, count, held = 0, 1, 0
    writer = _open(folder, 0, schema)
    try:
        for table in tables:
            if held and held + table.nbytes > FILE_BYTES:
                writer.close()
                writer, count, held = _open(folder, count, schema), count + 1, 0
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            rows, held = rows + table.num_rows, held + table.nbytes
    finally:
        writer.close()
    return rows, count


def _open(folder: Path, number: int, schema: pa.Schema) -> pq.ParquetWriter:
    # Solutions of one question share its image: as large as a group, the dictionary holds it once.
    limit = 2 * GROUP_BYTES
    return pq.ParquetWriter(folder / f"{number}.parquet", schema, compression="zstd", dictionary_pagesize_limit=limit)


def groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of `GROUP_ROWS` rows, fewer where they are large."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        for start in range(0, table.num_rows, GROUP_ROWS):
            piece = table.slice(start, GROUP_ROWS)
            waiting, rows, size = [*waiting, piece], rows + piece.num_rows, size + piece.nbytes
            while rows >= GROUP_ROWS:
                whole = pa.concat_tables(waiting)
                yield whole.slice(0, GROUP_ROWS)
                waiting, rows = [whole.slice(GROUP_ROWS)], rows - GROUP_ROWS
                size = waiting[0].nbytes
            if size >= GROUP_BYTES:
                yield pa.concat_tables(waiting)
                waiting, rows, size = [], 0, 0
    if rows:
        yield pa.concat_tables(waiting)
