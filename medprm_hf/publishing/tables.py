"""Rows into Parquet files of bounded size: `data/<config>/<split>-00000.parquet`, the same bytes for the same rows.

    tables = Tables(folder, max_bytes=400 << 20)
    tables.add(CONFIGS["solutions"], "train", rows)
    tables.close()       →  {"solutions": {"train": Written(files=2, rows=1600, bytes=…)}}

A row group holds at most 1,000 rows or 16 MB of texts and images: small enough for a viewer and for streaming by
range. An image that several rows of a group share is stored once in it (dictionary encoding), and uncompressed, since
PNG and JPEG are compressed already; content-defined chunks let the Hub store what two versions share once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import medprm_hf
from medprm_hf.publishing.configs import Config, Row
from medprm_hf.schema import SCHEMA_VERSION

GROUP_ROWS = 1000
GROUP_BYTES = 16 << 20
ROW_BYTES = 4 << 10
"""Of a row without its image, roughly."""
MAX_FILE_BYTES = 400 << 20
METADATA_KEY = b"medprm"
"""In a Parquet file's metadata: {"schema": 2, "config": "steps", "version": "0.1.0"}."""


@dataclass
class Written:
    """What one split of one config came to."""

    files: int = 0
    rows: int = 0
    bytes: int = 0


@dataclass
class _Split:
    """One split of one config while it is written."""

    config: Config
    split: str
    folder: Path
    max_bytes: int
    done: Written = field(default_factory=Written)
    _rows: list[Row] = field(default_factory=list)
    _size: int = 0
    _images: set[int] = field(default_factory=set)
    _writer: Any = None
    _file: Path | None = None

    def add(self, row: Row) -> None:
        self._rows.append(row)
        self._size += _weight(row, self._images)
        if len(self._rows) >= GROUP_ROWS or self._size >= GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        schema = _schema(self.config)
        table = pa.Table.from_pylist(self._rows, schema=schema)
        if self._writer is None:
            self._open(schema)
        self._writer.write_table(table, row_group_size=GROUP_ROWS)
        self.done.rows += len(self._rows)
        self._rows, self._size = [], 0
        self._images.clear()
        if self._file is not None and self._file.stat().st_size >= self.max_bytes:
            self.close()

    def _open(self, schema: Any) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._file = self.folder / self.config.name / f"{self.split}-{self.done.files:05d}.parquet"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        # Older pyarrow cannot: the file is the same to read, only two versions share less on the Hub.
        chunks = {"use_content_defined_chunking": True} if int(pa.__version__.split(".")[0]) >= 21 else {}
        self._writer = pq.ParquetWriter(
            self._file, schema, compression=_compression(schema), dictionary_pagesize_limit=GROUP_BYTES * 2, **chunks
        )
        self.done.files += 1

    def close(self) -> None:
        self.flush()
        if self._writer is not None and self._file is not None:
            self._writer.close()
            self.done.bytes += self._file.stat().st_size
            self._writer = self._file = None


class Tables:
    """Every file of a published dataset while it is written."""

    def __init__(self, folder: Path, max_bytes: int = MAX_FILE_BYTES) -> None:
        self._folder, self._max = folder / "data", max_bytes
        self._splits: dict[tuple[str, str], _Split] = {}

    def add(self, config: Config, split: str, rows: list[Row], phash: dict[str, str]) -> None:
        """All published rows of one question."""
        key = (config.name, split)
        if key not in self._splits:
            self._splits[key] = _Split(config, split, self._folder, self._max)
        for record in config.records(rows, phash):
            self._splits[key].add(record)

    def close(self) -> dict[str, dict[str, Written]]:
        """Finishes all files; what was written by config and split (splits without rows are left out)."""
        found: dict[str, dict[str, Written]] = {}
        for (name, split), one in self._splits.items():
            one.close()
            if one.done.rows:
                found.setdefault(name, {})[split] = one.done
        return found


def _schema(config: Config) -> Any:
    schema = config.columns().arrow_schema
    about = {"schema": SCHEMA_VERSION, "config": config.name, "version": medprm_hf.__version__}
    return schema.with_metadata({**(schema.metadata or {}), METADATA_KEY: json.dumps(about).encode()})


def _compression(schema: Any) -> dict[str, str]:
    """zstd for all columns but the bytes of images."""
    return {path: "none" if path.split(".")[-1] == "bytes" else "zstd" for path in _leaves(schema)}


def _leaves(schema: Any) -> list[str]:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([], schema=schema), buffer)
    found = pq.ParquetFile(buffer).schema
    return [found.column(n).path for n in range(len(found))]


def _weight(row: Row, images: set[int]) -> int:
    """Bytes of a row's images that the group does not hold yet, and a little for its texts."""
    cells = [row.get("image"), *(row.get("images") or ())]
    size = ROW_BYTES
    for data in (cell["bytes"] for cell in cells if cell and cell.get("bytes")):
        key = hash(data)
        if key not in images:
            images.add(key)
            size += len(data)
    return size
