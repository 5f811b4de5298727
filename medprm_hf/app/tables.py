"""Datasets as the Explore and Export tabs see them: opened when they are first asked for, read a few rows at a time.

    table = Tables(("runs/demo", "org/medmm-prm")).table(0)
    table.index().facets()                 # table_index.py: what can be filtered
    table.rows([17, 40_312])               # some rows, without images
    table.image(17)                        # bytes of one image, or None
    for row in table.stream(): …           # all rows, for exports

A dataset is a run, a dataset folder, a Parquet file, or a dataset's id on the Hub (fetched once into the cache).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprm_hf.app import table_index
from medprm_hf.errors import ConfigError, DataError
from medprm_hf.formats.base import Problem
from medprm_hf.formats.parquet import batches, parquet_files, parquet_rows

LISTED = (
    "question_id", "solution_id", "question", "modality", "difficulty", "source", "steps", "labels", "review_labels",
    "label_p", "keep", "is_correct", "final_answer", "needs_review",
)  # fmt: skip
"""Columns of a row in the list."""
SEARCHED = ("question", "question_id", "solution_id")
BATCH = 256


class Tables:
    """The datasets that were named at the start; nothing else on the machine can be asked for."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._tables = [Table(name) for name in names]

    def table(self, number: Any) -> Table:
        """One of them; DataError for a number that is none."""
        if not isinstance(number, int) or not 0 <= number < len(self._tables):
            raise DataError(f"there is no dataset {number!r}; there are {len(self._tables)}")
        return self._tables[number]

    def titles(self) -> list[str]:
        """A short name for each: a run's or folder's own, a Hub id in full."""
        return [Path(name).resolve().name if Path(name).exists() else name for name in self.names]


class Table:
    """One dataset."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = Lock()
        self._index: table_index.Index | None = None
        self._found: dict[str, NDArray[np.int64]] = {}

    @cached_property
    def files(self) -> list[Path]:
        """Its Parquet files in order; ConfigError where there are none."""
        path = Path(self.name)
        found = parquet_files(path) if path.exists() else _from_hub(self.name)
        if not found:
            raise ConfigError(f"{self.name} holds no Parquet file: name a run, a dataset's folder, a file or a Hub id")
        return found

    def index(self) -> table_index.Index:
        """What can be filtered; built once."""
        with self._lock:
            if self._index is None:
                self._index = table_index.build(self.files)
            return self._index

    @cached_property
    def _groups(self) -> list[tuple[Path, int, int]]:
        """(file, row group, number of its first row) of every row group."""
        import pyarrow.parquet as pq

        found, first = [], 0
        for file in self.files:
            told = pq.read_metadata(file)
            for group in range(told.num_row_groups):
                found.append((file, group, first))
                first += told.row_group(group).num_rows
        return found

    def rows(self, places: Sequence[int], columns: Sequence[str] | None = LISTED) -> list[dict[str, Any]]:
        """Rows by their numbers, in order, with those columns (all but the image where none are named)."""
        found: dict[int, dict[str, Any]] = {}
        starts = [first for _, _, first in self._groups]
        by_group: dict[int, list[int]] = {}
        for place in places:
            if not 0 <= place < self.index().rows:
                raise DataError(f"there is no row {place}; there are {self.index().rows}")
            by_group.setdefault(bisect_right(starts, place) - 1, []).append(place)
        for number, wanted in by_group.items():
            found |= self._of_group(number, wanted, columns)
        return [found[place] for place in places]

    def _of_group(self, number: int, places: Sequence[int], columns: Sequence[str] | None) -> dict[int, dict[str, Any]]:
        """Rows of one row group, read batch by batch up to the last that is wanted."""
        import pyarrow.parquet as pq

        file, group, first = self._groups[number]
        found: dict[int, dict[str, Any]] = {}
        with pq.ParquetFile(file) as opened:
            there = opened.schema_arrow.names
            names = [name for name in there if (name in columns if columns is not None else name != "image")]
            begun = first
            for batch in opened.iter_batches(BATCH, row_groups=[group], columns=names):
                for place in places:
                    if begun <= place < begun + batch.num_rows:
                        found[place] = batch.slice(place - begun, 1).to_pylist()[0]
                begun += batch.num_rows
                if begun > max(places):
                    break
        return found

    def image(self, place: int) -> bytes | None:
        """Encoded bytes of a row's image; None where it has none."""
        (row,) = self.rows([place], ("image",))
        cell = row.get("image")
        data = cell.get("bytes") if isinstance(cell, dict) else None
        return data if isinstance(data, bytes) else None

    def containing(self, text: str) -> NDArray[np.int64]:
        """Numbers of rows whose question or names hold a text, in any case."""
        if text not in self._found:
            if len(self._found) > 16:
                self._found.clear()
            self._found[text] = self._search(text)
        return self._found[text]

    def _search(self, text: str) -> NDArray[np.int64]:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        found, first = [np.zeros(0, np.int64)], 0
        for file in self.files:
            with pq.ParquetFile(file) as opened:
                names = [name for name in SEARCHED if name in opened.schema_arrow.names]
                for batch in batches(opened, table_index.BATCH, names):
                    hits = np.zeros(batch.num_rows, bool)
                    for name in names:
                        matched = pc.match_substring(batch.column(name), text, ignore_case=True)
                        hits |= matched.fill_null(False).to_numpy(zero_copy_only=False)
                    found.append(np.flatnonzero(hits) + first)
                    first += batch.num_rows
        return np.concatenate(found)

    def filled(self) -> list[str]:
        """Columns that hold a value somewhere, told from the files' statistics alone."""
        import pyarrow.parquet as pq

        found: dict[str, None] = {}
        for file in self.files:
            metadata = pq.read_metadata(file)
            for group in range(metadata.num_row_groups):
                for place in range(metadata.num_columns):
                    leaf = metadata.row_group(group).column(place)
                    known = leaf.statistics
                    if known is None or not known.has_null_count or known.null_count < leaf.num_values:
                        found[leaf.path_in_schema.split(".")[0]] = None
        return list(found)

    def stream(self) -> Iterator[dict[str, Any]]:
        """All rows in order, images too; DataError where a file turns out to be damaged."""
        for row in parquet_rows(self.files):
            if isinstance(row, Problem):
                raise DataError(str(row))
            yield row


def _from_hub(name: str) -> list[Path]:
    """The Parquet files of a dataset on the Hub, in the cache of this machine."""
    from huggingface_hub.constants import HF_HOME

    from medprm_hf.hub import HubRepo

    if name.count("/") != 1 or name.startswith(("/", ".")):
        raise ConfigError(
            f"there is no {name!r}: name a run, a dataset's folder, a Parquet file, or a Hub id (ORG/NAME)"
        )
    repo, folder = HubRepo(name), Path(HF_HOME) / "medprm" / "datasets" / name.replace("/", "--")
    # Of what medprm-hf has published only the solutions are rows as we show them: the other configs repeat them.
    published = any(file.startswith("data/solutions/") for file in repo.files(under="data"))
    under = "data/solutions" if published else "data"
    return sorted(file for file in repo.snapshot(folder, under=under) if file.suffix == ".parquet")
