"""Small pictures, tables and archives, as published datasets hold them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

Options = dict[str, Any]


def png(grey: int = 90, size: tuple[int, int] = (12, 10)) -> bytes:
    """A small picture; another grey is another picture."""
    out = io.BytesIO()
    Image.new("RGB", size, (grey, 255 - grey, 40)).save(out, "PNG")
    return out.getvalue()


def jpg(grey: int = 90) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (12, 10), (grey, 20, 40)).save(out, "JPEG")
    return out.getvalue()


def put(file: Path, data: bytes | str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file


def parquet(file: Path, records: Sequence[Mapping[str, Any]], image: bool = False) -> Path:
    """Parquet as the Hub has it, with its features."""
    from datasets import Dataset, Features
    from datasets import Image as Picture

    file.parent.mkdir(parents=True, exist_ok=True)
    table = Dataset.from_list([dict(one) for one in records])
    if image:
        others = {name: kind for name, kind in table.features.items() if name != "image"}
        table = Dataset.from_list([dict(one) for one in records], features=Features({"image": Picture(), **others}))
    table.to_parquet(str(file))
    return file


def table(file: Path, records: Sequence[Mapping[str, Any]], delimiter: str = ",") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    opened = gzip.open(file, "wt", newline="") if file.suffix == ".gz" else file.open("w", newline="")
    with opened as lines:
        writer = csv.DictWriter(lines, list(records[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(records)
    return file


def lines(file: Path, records: Sequence[Any]) -> Path:
    return put(file, "\n".join(json.dumps(one) for one in records) + "\n")


def zipped(file: Path, members: Mapping[str, bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file


def cell(grey: int) -> dict[str, Any]:
    return {"bytes": png(grey), "path": None}
