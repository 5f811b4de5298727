"""Files of records, one record at a time: JSON (array, object by id, lines), JSONL, CSV, TSV and Parquet, also .gz.

    for key, record in stream(Path("train.json")): …     key is the record's name in an object by id, else null

A JSON array is read piece by piece; memory is that of its largest element.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from medprm_hf.errors import DataError
from medprm_hf.formats.parquet import batches

SUFFIXES = (".parquet", ".jsonl", ".json", ".csv", ".tsv")
_CHUNK = 1 << 20
Keyed = tuple[str | None, Any]


def suffix_of(file: Path) -> str:
    """`.csv` for a.csv and a.csv.gz; empty for what has none."""
    return Path(file.name.removesuffix(".gz")).suffix.lower()


def stream(file: Path) -> Iterator[Keyed]:
    """(key or null, record) of every record, in file order; a file without suffix (Dataverse, figshare) is CSV.

    Raises DataError with the file and the place.
    """
    kind = suffix_of(file) or ".csv"
    if kind == ".parquet":
        yield from ((None, row) for row in _parquet(file))
        return
    if kind not in SUFFIXES:
        raise DataError(f"{file} is {kind or 'without suffix'}; a table is one of {', '.join(SUFFIXES)}")
    try:
        with _opened(file) as lines:
            if kind == ".jsonl" or (kind == ".json" and _is_lines(file)):
                yield from ((None, json.loads(line)) for line in lines if line.strip())
            elif kind == ".json":
                yield from _Json(lines).items()
            else:
                yield from ((None, row) for row in _csv(lines, "\t" if kind == ".tsv" else ","))
    except (json.JSONDecodeError, UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{file} is no {kind[1:].upper()}: {error}") from error


def _opened(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return cast(TextIO, gzip.open(file, "rt", encoding="utf-8-sig", newline=""))
    return file.open(encoding="utf-8-sig", newline="")


def _csv(lines: TextIO, delimiter: str) -> Iterator[dict[str, Any]]:
    import csv

    csv.field_size_limit(1 << 24)  # captions and reports are longer than the module's own limit
    yield from csv.DictReader(lines, delimiter=delimiter)


def _parquet(file: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            for batch in batches(table):
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise DataError(f"{file} is no Parquet, or damaged: {error}") from error


def _is_lines(file: Path) -> bool:
    """Whether a .json file holds one object a line (MedMCQA's does)."""
    with _opened(file) as lines:
        first, second = lines.readline(_CHUNK), lines.readline(_CHUNK)
    if not first.lstrip().startswith("{") or not second.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(first), dict)
    except json.JSONDecodeError:
        return False


class _Json:
    """The elements of a top-level array or object, decoded one after another from a growing buffer."""

    def __init__(self, lines: TextIO) -> None:
        self._lines, self._buffer, self._at = lines, "", 0
        self._decode = json.JSONDecoder().raw_decode

    def items(self) -> Iterator[Keyed]:
        opened = self._next()
        if opened not in ("[", "{"):
            raise json.JSONDecodeError("neither an array nor an object", self._buffer, self._at)
        self._at += 1
        closing = "]" if opened == "[" else "}"
        while (sign := self._next()) != closing:
            if sign == ",":
                self._at += 1
                continue
            key = None
            if opened == "{":
                key = str(self._value())
                if self._next() != ":":
                    raise json.JSONDecodeError("a colon is missing", self._buffer, self._at)
                self._at += 1
            self._next()
            yield key, self._value()

    def _next(self) -> str:
        """The next character that is no space."""
        while True:
            while self._at < len(self._buffer):
                if not self._buffer[self._at].isspace():
                    return self._buffer[self._at]
                self._at += 1
            if not self._more():
                raise json.JSONDecodeError("the file ends early", self._buffer, self._at)

    def _value(self) -> Any:
        while True:
            try:
                value, end = self._decode(self._buffer, self._at)
            except json.JSONDecodeError:
                if not self._more():
                    raise
                continue
            self._at = end
            return value

    def _more(self) -> bool:
        """Reads on, twice as far each time that one value did not fit, and lets go of what was used."""
        self._buffer = self._buffer[self._at :]
        self._at = 0
        piece = self._lines.read(max(_CHUNK, len(self._buffer)))
        self._buffer += piece
        return bool(piece)
