"""Tables of another version: older ones are brought up to date where they are read, newer ones refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from medprm_hf.errors import FormatError
from medprm_hf.formats import read
from medprm_hf.formats.versions import PUBLISHED_KEY, STEPS, migrated, version_of
from medprm_hf.schema import SCHEMA_KEY, SCHEMA_VERSION, arrow_schema
from medprm_hf.training.data import read_rows

COLUMNS = ("question_id", "image", "image_sha256", "image_notes", "question", "options", "split", "solution_id",
           "solution", "steps", "labels")  # fmt: skip


def jpeg() -> bytes:
    """A picture whose metadata name somebody."""
    image, out = Image.new("L", (8, 8), 90), io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe"
    image.save(out, "JPEG", exif=exif)
    return out.getvalue()


def row() -> dict[str, Any]:
    return {
        "question_id": "q", "image": {"bytes": jpeg(), "path": "doe.jpg"}, "image_sha256": "0" * 64, "image_notes": [],
        "question": "?", "options": ["a", "b"], "split": "train", "solution_id": "q/0", "solution": "One.",
        "steps": ["One."], "labels": ["+"],
    }  # fmt: skip


def table(file: Path, version: int | None, key: bytes = SCHEMA_KEY, without: tuple[str, ...] = ()) -> Path:
    names = tuple(name for name in COLUMNS if name not in without)
    schema = arrow_schema(names)
    metadata = dict(schema.metadata)
    del metadata[SCHEMA_KEY]
    told = str(version) if key == SCHEMA_KEY else json.dumps({"schema": version, "config": "solutions"})
    schema = schema.with_metadata(metadata if version is None else {**metadata, key: told.encode()})
    pq.write_table(pa.Table.from_pydict({name: [row()[name]] for name in names}, schema=schema), file)
    return file


@pytest.mark.parametrize("reader", [read, read_rows])
@pytest.mark.parametrize("key", [SCHEMA_KEY, PUBLISHED_KEY])
def test_a_newer_table_is_refused_with_both_versions_and_the_way_out(tmp_path: Path, reader: Any, key: bytes) -> None:
    file = table(tmp_path / "new.parquet", SCHEMA_VERSION + 1, key)
    with pytest.raises(FormatError, match=rf"version {SCHEMA_VERSION + 1}.*reads 1 to {SCHEMA_VERSION}.*pip install"):
        list(reader(file))


@pytest.mark.parametrize("reader", [read, read_rows])
@pytest.mark.parametrize("told", [1, None])
def test_version_1_is_brought_up_to_date(tmp_path: Path, reader: Any, told: int | None) -> None:
    (found,) = reader(table(tmp_path / "old.parquet", told, without=("image_notes",)))
    assert b"Jane Doe" in jpeg() and b"Jane Doe" not in found["image"]["bytes"]
    assert found["image"]["path"] != "doe.jpg" and found["image_sha256"] != "0" * 64
    assert "metadata removed" in found["image_notes"]


@pytest.mark.parametrize("told", [SCHEMA_VERSION, None])
def test_todays_table_is_left_as_it_is(tmp_path: Path, told: int | None) -> None:
    (found,) = read(table(tmp_path / "today.parquet", told))
    assert {name: found[name] for name in COLUMNS} == row()


def test_tables_of_others_have_no_version() -> None:
    assert version_of(pa.schema([("question", pa.string())])) is None
    assert version_of(arrow_schema(COLUMNS)) == SCHEMA_VERSION
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION)), "every older version has its step"
    assert migrated({"a": 1}, None) == {"a": 1}
