"""Every data format of the field, both ways: files to canonical rows and back.

    from medprm_hf import formats
    report = formats.write(rows, "visualprm.jsonl", format="visualprm")
    for row in formats.read("visualprm.jsonl"):
        print(row["steps"], row["labels"])

The rows stream: a file of a million rows needs no more memory than one of ten thousand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medprm_hf.errors import ConfigError
from medprm_hf.formats.base import Format, Problem, Refused, Report, Row
from medprm_hf.registry import near, resolve

if TYPE_CHECKING:
    from medprm_hf.formats.images import ImageMode

__all__ = ["FORMATS", "Format", "Problem", "Refused", "Report", "open_format", "write"]

FORMATS: dict[str, str] = {
    "visualprm": "medprm_hf.formats.visualprm:VisualPRM",
    "steps-jsonl": "medprm_hf.formats.vmp_steps:StepsJSONL",
    "medprm": "medprm_hf.formats.medprm:MedPRM",
}
"""Format ids and where they live. A third party adds one through the entry points `medprm_hf.formats`."""


def open_format(name: str, **options: Any) -> Format:
    """The format of that id with its options set; ConfigError with near names for an unknown id or option."""
    kind = resolve("formats", FORMATS, name)
    known = [item.name for item in fields(kind)]
    for option in options:
        if option not in known:
            raise ConfigError(f"{name} has no option {option!r}{near(option, [*known, 'images', 'include_dropped'])}")
    opened = kind(**options)
    if not isinstance(opened, Format):
        raise ConfigError(f"the entry point of format {name!r} is no Format: it must subclass formats.Format")
    return opened


def write(
    rows: Iterable[Row],
    path: str | Path,
    format: str,
    *,
    images: ImageMode = "files",
    include_dropped: bool = False,
    **options: Any,
) -> Report:
    """Writes canonical rows as one file and says what became of them.

    Rows of one question must be neighbours. Rows with `keep` false are left out unless `include_dropped`
    (raw-json always writes them). `images`: `files` beside the output, `none`, or `inline` (raw-json).
    Rejected rows go to `<path>.rejected.jsonl`. Further options are the format's own fields.
    """
    from medprm_hf.formats.writing import write_rows

    opened = open_format(format, **options)
    return write_rows(rows, Path(path), opened, images, include_dropped or format == "raw-json")
