"""Parquet: our own table as a run or `datasets` leaves it, one file or a folder of them, a few rows at a time.

parquet_files(Path("runs/demo"))                 ->  [Path("runs/demo/dataset/data/train-00000-of-00001.parquet")]
parquet_files(Path("runs/demo/dataset"))         ->  the same
parquet_files(Path("published"))                 ->  data/solutions/{development,test,train}-*.parquet, no other config
parquet_files(Path("train-00000.parquet"))       ->  [Path("train-00000.parquet")]
parquet_files(Path("steps.jsonl"))               ->  []
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medprm_hf.formats.base import Problem
from medprm_hf.formats.versions import check_version, migrated, version_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MAGIC = b"PAR1"
_ROWS = 64
"""Rows held at once; their images are bytes in memory."""
_SOLUTIONS = "solutions"
_SPLITS = ("train", "development", "test")
_FOLDERS = ("dataset/data", "data", f"data/{_SOLUTIONS}", ".", _SOLUTIONS)
"""Where a run, a dataset, a published folder and a plain one have their files; of a published folder's configs only
`solutions` is our table (publishing/folder.py), the others say the same again in other words."""


def parquet_files(path: Path) -> list[Path]:
    """The Parquet files that a path stands for, in order of their names; empty if it is something else."""
    if path.is_dir():
        found = (sorted((path / folder).glob("*.parquet")) for folder in _FOLDERS)
        return next(filter(None, found), [])
    if not path.is_file():
        return []
    with path.open("rb") as file:
        return [path] if file.read(len(_MAGIC)) == _MAGIC else []


def parquet_rows(files: list[Path]) -> Iterator[dict[str, Any] | Problem]:
    """Rows of the files; a file that cannot be read is a problem, and the next one is read.

    Rows of an earlier version of our table are brought up to date; a later version raises FormatError.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    for file in files:
        try:
            with pq.ParquetFile(file) as table:
                version = version_of(table.schema_arrow)
                check_version(version, str(file))
                split = published_split(file)
                for batch in batches(table):
                    for row in batch.to_pylist():
                        number += 1
                        yield with_split(migrated(row, version), split)
        except (pa.ArrowException, OSError) as error:
            message = f"{file} is damaged ({error}); the {number} rows before are kept: fetch or build it again"
            yield Problem(number + 1, None, "broken_parquet", message, "")


def published_split(file: Path) -> str | None:
    """The split that a published file's name tells (`solutions/test-00000.parquet`); None of any other file."""
    split = file.name.partition("-")[0]
    return split if file.parent.name == _SOLUTIONS and split in _SPLITS else None


def with_split(row: dict[str, Any], split: str | None) -> dict[str, Any]:
    """The row, of that split where it names none itself."""
    return {**row, "split": split} if split and not row.get("split") else row


def batches(table: pq.ParquetFile, rows: int = _ROWS, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Some rows at a time, row group by row group: `iter_batches` over a whole file reads ahead without bound."""
    for group in range(table.num_row_groups):
        yield from table.iter_batches(rows, row_groups=[group], columns=columns)
