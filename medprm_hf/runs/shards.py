"""Shards: the unit of work, checkpoint and retry, as Parquet files with a marker each.

    runs/demo/shards/source/00003.parquet     question columns of shard 3
    runs/demo/shards/rollout/00003.parquet    the columns that rollout adds to it, row for row
    runs/demo/shards/rollout/00003.json       marker: fingerprint, rows, seconds, usage

A shard file holds only what its stage adds, so nothing is stored twice; `generate`, which changes the rows,
also stores `_row`, the index of the question each solution belongs to. A file is written beside and renamed,
its marker last: what has a marker is whole.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features

from medprm_hf.errors import StoreError
from medprm_hf.schema import features

ROW = "_row"
SOURCE = "source"


@dataclass(frozen=True)
class Shards:
    """The shard files of one run directory."""

    directory: Path

    def _file(self, stage: str, number: int, suffix: str) -> Path:
        return self.directory / "shards" / stage / f"{number:05d}{suffix}"

    def write(self, stage: str, number: int, columns: dict[str, list[Any]], marker: dict[str, Any]) -> None:
        """Stores the columns that a stage added to a shard, then its marker."""
        file = self._file(stage, number, ".parquet")
        file.parent.mkdir(parents=True, exist_ok=True)
        names = tuple(name for name in columns if name != ROW)
        table = Dataset.from_dict({n: columns[n] for n in names}, features=features(names)).data.table
        if ROW in columns:
            table = table.append_column(ROW, pa.array(columns[ROW], pa.int64()))
        try:
            _rename(file, lambda temporary: pq.write_table(table, temporary, compression="zstd"))
            write_json(self._file(stage, number, ".json"), marker)
        except OSError as error:
            raise StoreError(
                f"cannot write {file}: {error.strerror or error}; what was finished before is kept: "
                f"make room or mend the permissions, then `medprm resume {self.directory}`"
            ) from error

    def marker(self, stage: str, number: int) -> dict[str, Any] | None:
        """What was said of a finished shard, or None if it is not finished."""
        file = self._file(stage, number, ".json")
        if not file.is_file() or not self._file(stage, number, ".parquet").is_file():
            return None
        marker: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return marker

    def learnt(self, stage: str) -> dict[str, Any] | None:
        """What a stage has learnt from the whole run, with the fingerprint it learnt under."""
        file = self.directory / "shards" / stage / "learnt.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def write_learnt(self, stage: str, known: dict[str, Any]) -> None:
        """Keeps what a stage has learnt."""
        file = self.directory / "shards" / stage / "learnt.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, known)

    def read(self, stage: str, number: int, names: tuple[str, ...]) -> dict[str, list[Any]]:
        """The named columns of one stage's shard as plain values; images as {bytes, path}."""
        return pq.read_table(self._file(stage, number, ".parquet"), columns=list(names)).to_pydict()  # type: ignore[no-any-return]

    def columns(self, stage: str, number: int) -> tuple[str, ...]:
        """Names of the columns in a stage's shard."""
        return tuple(pq.read_schema(self._file(stage, number, ".parquet")).names)


def _rename(file: Path, write: Any) -> None:
    temporary = file.with_suffix(f"{file.suffix}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(file: Path, value: Any) -> None:
    """Writes JSON beside the file and renames it, so that a reader never sees half of it."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    _rename(file, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_parquet(file: Path, columns: dict[str, list[Any]], schema: Features) -> None:
    """Writes a Parquet file that `load_dataset` reads with the right features; equal rows give equal bytes."""
    table = Dataset.from_dict(columns, features=schema).data.table
    _rename(file, lambda temporary: pq.write_table(table, temporary, compression="zstd"))
