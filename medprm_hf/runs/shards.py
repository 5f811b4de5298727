"""Shards: the unit of work, checkpoint and retry, as Parquet files with a marker each.

    runs/demo/shards/source/00003.parquet     question columns of shard 3
    runs/demo/shards/source/00003.json        marker: rows, and a digest of what they hold
    runs/demo/shards/source/all.json          marker of the whole source, written last: shards, rows, digest
    runs/demo/shards/rollout/00003.parquet    the columns that rollout adds to it, row for row
    runs/demo/shards/rollout/00003.json       marker: fingerprint, rows, seconds, usage
    runs/demo/shards/rollout/learnt.json      what a stage has learnt from the whole run

A shard file holds only what its stage adds, so nothing is stored twice; `generate`, which changes the rows,
also stores `_row`, the index of the question each solution belongs to. A file is written beside and renamed,
its marker last: what has a marker is whole. Markers are the only truth; they are read again only where a file
has changed, so that thousands of them cost a look at a folder.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features

from medprm_hf.errors import StoreError
from medprm_hf.schema import arrow_schema, features

ROW = "_row"
SOURCE = "source"
Marker = dict[str, Any]
_Stamp = tuple[int, int, int]
"""Inode, size and time of a file: another stamp, another content."""


@dataclass(frozen=True)
class Shards:
    """The shard files of one run directory."""

    directory: Path
    _seen: dict[Path, tuple[_Stamp, str]] = field(default_factory=dict, repr=False, compare=False)
    """Of each marker its print, by the stamp under which it was read."""

    def folder(self, stage: str) -> Path:
        """Where a stage's files are."""
        return self.directory / "shards" / stage

    def file(self, stage: str, number: int) -> Path:
        """The Parquet file of one shard."""
        return self.folder(stage) / f"{number:05d}.parquet"

    def write(self, stage: str, number: int, columns: Mapping[str, list[Any]], marker: Marker) -> None:
        """Stores the columns that a stage added to a shard, then its marker."""
        file = self.file(stage, number)
        table = table_of({name: values for name, values in columns.items() if name != ROW})
        if ROW in columns:
            table = table.append_column(ROW, pa.array(columns[ROW], pa.int64()))
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(file, lambda temporary: write_fast(table, temporary))
            write_json(file.with_suffix(".json"), marker)
        except OSError as error:
            raise cannot_write(file, error, self.directory) from error

    def marker(self, stage: str, number: int) -> Marker | None:
        """What was said of a finished shard, or None if it is not finished."""
        file = self.file(stage, number)
        return self.note(stage, f"{number:05d}") if file.is_file() else None

    def markers(self, stage: str) -> Iterator[tuple[int, Marker]]:
        """Number and marker of every finished shard of a stage, in order, read one after the other."""
        for number in self._numbers(stage):
            if (marker := self.note(stage, f"{number:05d}")) is not None:
                yield number, marker

    def prints(self, stage: str) -> dict[int, str]:
        """Of every finished shard of a stage what tells it from others: its fingerprint, of the source its digest."""
        prints = {number: self.print_of(stage, f"{number:05d}") for number in self._numbers(stage)}
        return {number: found for number, found in prints.items() if found is not None}

    def print_of(self, stage: str, name: str) -> str | None:
        """The same of one JSON file; it is read again only where the file has changed."""
        file = self.folder(stage) / f"{name}.json"
        try:
            about = file.stat()
        except FileNotFoundError:
            return None
        stamp = (about.st_ino, about.st_size, about.st_mtime_ns)
        seen = self._seen.get(file)
        if seen is None or seen[0] != stamp:
            marker = self.note(stage, name) or {}
            seen = self._seen[file] = (stamp, str(marker.get("digest") or marker.get("fingerprint")))
        return seen[1]

    def _numbers(self, stage: str) -> list[int]:
        """Numbers of the shards that have both files, from one look at the folder."""
        try:
            names = set(os.listdir(self.folder(stage)))
        except FileNotFoundError:
            return []
        stems = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return sorted(int(stem) for stem in stems if stem.isdigit() and f"{stem}.parquet" in names)

    def note(self, stage: str, name: str) -> Marker | None:
        """A JSON file of a stage (`00003`, `all`, `learnt`); None where there is none, or half of one."""
        file = self.folder(stage) / f"{name}.json"
        try:
            found: Marker = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):  # a power cut can leave an empty file
            return None
        return found

    def write_note(self, stage: str, name: str, value: Marker) -> None:
        """Keeps a JSON file of a stage."""
        file = self.folder(stage) / f"{name}.json"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, value)
        except OSError as error:
            raise cannot_write(file, error, self.directory) from error

    def read(self, stage: str, number: int, names: tuple[str, ...]) -> dict[str, list[Any]]:
        """Those of the named columns that a stage's shard has, as plain values; images as {bytes, path}."""
        found: dict[str, list[Any]] = self.table(stage, number, names).to_pydict()
        return found

    def table(self, stage: str, number: int, names: tuple[str, ...]) -> pa.Table:
        """The same as an Arrow table."""
        file = self.file(stage, number)
        try:
            with pq.ParquetFile(file) as opened:
                there = set(opened.schema_arrow.names)
                return opened.read([name for name in names if name in there], use_threads=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise StoreError(
                f"{file} cannot be read ({error}): delete it, then `medprm resume {self.directory}` makes it again; "
                "answers come from the journal"
            ) from error


@lru_cache(maxsize=64)
def schema_of(names: tuple[str, ...]) -> pa.Schema:
    """`schema.arrow_schema`, made once."""
    return arrow_schema(names)


def table_of(columns: Mapping[str, list[Any]]) -> pa.Table:
    """Plain values as an Arrow table of the schema's types; equal values give equal tables."""
    names = tuple(columns)
    try:
        return pa.Table.from_pydict(dict(columns), schema=schema_of(names))
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError):  # what needs encoding: pictures, arrays
        return Dataset.from_dict(dict(columns), features=features(names)).data.table


def write_fast(table: pa.Table, file: Path) -> None:
    """A working file: read whole or by column, once or twice, so that time counts more than size.

    Of 1,000 rows of 0.8 KB text: 0.8 ms and 250 KB; with zstd, dictionaries and statistics 1.7 ms and 165 KB.
    """
    pq.write_table(table, file, compression="snappy", use_dictionary=False, write_statistics=False)


def cannot_write(file: Path, error: OSError, run: Path) -> StoreError:
    """What the system said of a write, with the way out."""
    said = os.strerror(error.errno) if error.errno else str(error)
    return StoreError(
        f"cannot write {file}: {said}; what was finished before is kept: make room or mend the "
        f"permissions, then `medprm resume {run}`"
    )


_REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


@contextmanager
def kept_whole(run: Path) -> Iterator[None]:
    """Turns what the system says of a full disk, or of files of the run that may not be written, into a StoreError."""
    try:
        yield
    except OSError as error:
        file = Path(error.filename) if isinstance(error.filename, str | os.PathLike) else run
        if error.errno not in _REFUSED or not file.absolute().is_relative_to(run.absolute()):
            raise
        raise cannot_write(file, error, run) from error


def replace_file(file: Path, write: Callable[[Path], Any]) -> None:
    """Lets `write` make the file beside its place, then renames it: a reader sees the old or the new, never half."""
    temporary = file.with_suffix(f"{file.suffix}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(file: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    replace_file(file, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(file: Path, value: Any) -> None:
    """Writes JSON whole or not at all."""
    write_text(file, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_parquet(file: Path, columns: Mapping[str, list[Any]], schema: Features) -> None:
    """Writes a Parquet file that `load_dataset` reads with the right features; equal rows give equal bytes."""
    table = Dataset.from_dict(dict(columns), features=schema).data.table
    replace_file(file, lambda temporary: pq.write_table(table, temporary, compression="zstd"))
