"""Versions of our own table: an older file is brought up to date as it is read, a newer one is refused.

    version_of(parquet_schema)          ->  2, from the file's metadata; None in a file that no run has written
    migrated(row, 1)["image_notes"]     ->  what version 1 did not have yet

What each step changes stands beside `STEPS`; a file keeps its bytes, only the rows that are read change.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medprm_hf.errors import FormatError
from medprm_hf.imaging.intake import take_in
from medprm_hf.schema import SCHEMA_KEY, SCHEMA_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
PUBLISHED_KEY = b"medprm"
"""What published files carry instead (publishing/tables.py)."""


def version_of(schema: pa.Schema) -> int | None:
    """The table's version that a Parquet file tells; None where it tells none.

    Runs of version 1 told none: their table is known by having solutions and images, but no `image_notes`.
    """
    metadata = schema.metadata or {}
    if SCHEMA_KEY in metadata:
        return int(metadata[SCHEMA_KEY])
    if PUBLISHED_KEY in metadata:
        return int(json.loads(metadata[PUBLISHED_KEY])["schema"])
    names = set(schema.names)
    return 1 if {"solution_id", "image", "image_sha256", "split"} <= names and "image_notes" not in names else None


def check_version(version: int | None, where: str) -> None:
    """Refuses a table of a later version than ours, or of one that never was."""
    if version is not None and not 1 <= version <= SCHEMA_VERSION:
        raise FormatError(
            f"{where} has the table's version {version}, this medprm-hf reads 1 to {SCHEMA_VERSION}: "
            "pip install -U medprm-hf, or write it again with the version that reads it (medprm convert FILE raw-json)"
        )


def migrated(row: Row, version: int | None) -> Row:
    """A row as today's table has it."""
    for step in range(version or SCHEMA_VERSION, SCHEMA_VERSION):
        row = STEPS[step](row)
    return row


def _images_by_one_door(row: Row) -> Row:
    """1 to 2: images are taken in by one door, which renders, strips what may name a patient, and says what it did."""
    taken = take_in(row["image"])
    return {**row, "image": taken.cell, "image_sha256": taken.sha256, "image_notes": taken.notes}


STEPS: dict[int, Callable[[Row], Row]] = {1: _images_by_one_door}
"""By the version that a row has, what makes it the next one."""
