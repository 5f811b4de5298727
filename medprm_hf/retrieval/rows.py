"""Rows of an index in Arrow files that are mapped, not read; more rows are one more file.

A manifest beside them says how many files count, so an addition that was cut off never happened.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError, StoreError

MANIFEST = "manifest.json"


class Rows:
    """Rows of plain strings, by number."""

    def __init__(self, folder: Path, names: Sequence[str], files: int) -> None:
        self.folder, self.names, self.files = folder, tuple(names), files
        self._table: Any = None

    def append(self, rows: Iterable[Mapping[str, str | None]]) -> None:
        """Writes one more file."""
        import pyarrow as pa

        columns: dict[str, list[str | None]] = {name: [] for name in self.names}
        for row in rows:
            for name in self.names:
                columns[name].append(row[name])
        table = pa.table(columns, schema=pa.schema([(name, pa.large_string()) for name in self.names]))
        path = self.folder / f"rows-{self.files:04d}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        self.files += 1
        self._table = None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def take(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """The rows of these numbers, in this order."""
        rows: list[dict[str, Any]] = self.table.take(list(numbers)).to_pylist() if len(numbers) else []
        return rows

    def column(self, name: str) -> list[Any]:
        """One column, whole."""
        values: list[Any] = self.table.column(name).to_pylist()
        return values

    @property
    def table(self) -> Any:
        """All files as one Arrow table."""
        import pyarrow as pa

        if self._table is None:
            parts = [_mapped(self.folder / f"rows-{number:04d}.arrow") for number in range(self.files)]
            self._table = pa.concat_tables(parts)
        return self._table


def _mapped(path: Path) -> Any:
    import pyarrow as pa

    if not path.is_file():
        raise StoreError(f"{path} is missing: build the index again")
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """What an index says of itself; StoreError where the folder holds none of this kind."""
    path = folder / MANIFEST
    if not path.is_file():
        raise StoreError(f"{folder} holds no {kind} index (no {MANIFEST}): build one with `medprm index`")
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if manifest.get("kind") != kind:
        raise StoreError(f"{folder} holds a {manifest.get('kind')} index, needed is a {kind} index: give its folder")
    return manifest


@contextmanager
def in_one_move(folder: Path) -> Iterator[Path]:
    """A folder to build in, which becomes `folder` once all is written; another worker may have been faster.

    Raises ConfigError where an index is there already.
    """
    if folder.exists():
        raise ConfigError(f"{folder} is there already: extend it, or give another folder")
    work = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
        os.rename(work, folder)
    except OSError:
        if not (folder / MANIFEST).is_file():
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Replaces the manifest in one move."""
    new = folder / f"{MANIFEST}.new"
    new.write_text(json.dumps(manifest, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(new, folder / MANIFEST)
