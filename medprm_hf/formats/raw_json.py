"""`raw-json`: our own table as JSON, lossless: every column of every row, one row a line (or one array).

    {"question_id": "q1", "image": {"bytes": null, "path": "table_images/3f1c….png"}, "steps": ["Look."], …}

Images are files beside it (default) or, with `images="inline"`, base64 in `bytes`. Also read: our table as
Parquet, by the name of a file, of a dataset's folder or of a run.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Refused, Row, Writing
from medprm_hf.formats.images import inline
from medprm_hf.schema import BY_NAME, COLUMNS


@dataclass(frozen=True)
class RawJSON(Format):
    """Our table as JSON."""

    id: ClassVar[str] = "raw-json"
    text: ClassVar[str] = "our table as JSON, lossless: every column of every row"
    container: ClassVar[Any] = "either"
    needs_steps: ClassVar[bool] = False
    carries: ClassVar[frozenset[str]] = frozenset(BY_NAME)
    losses: ClassVar[tuple[str, ...]] = ("the name of the image file, which becomes its hash",)

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """The row itself, its image as a reference or as base64."""
        record = dict(rows[0])
        if record.get("image") is not None:
            if writing.image_mode == "inline":
                record["image"] = inline(record["image"])
            else:
                path = writing.image(record)
                record["image"] = None if path is None else {"bytes": None, "path": path}
        yield record

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """The row itself, its image loaded."""
        if "question" not in record:
            raise Refused("missing_key", "question is missing: this is no row of our table", "question")
        row = dict(record)
        image = row.get("image")
        if isinstance(image, Mapping) and isinstance(image.get("bytes"), bytes):
            pass  # from Parquet, as it stands in the table
        elif isinstance(image, Mapping) and image.get("bytes") is not None:
            row["image"] = {"bytes": base64.b64decode(image["bytes"], validate=True), "path": image.get("path")}
        elif image is not None:
            sha256 = row.get("image_sha256")
            reading.image(image["path"] if isinstance(image, Mapping) else image, row)
            if "image_sha256" not in record:
                del row["image_sha256"]
            elif sha256 is not None:
                row["image_sha256"] = sha256
        yield row

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """Mostly columns of ours, `question_id` and `question` among them."""
        ours = sum(column.name in record for column in COLUMNS)
        return {"question_id", "question"} <= record.keys() and "solutions" not in record and 2 * ours > len(record)
