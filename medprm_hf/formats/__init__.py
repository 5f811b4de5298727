"""Every data format of the field, both ways: files to canonical rows and back.

    from medprm_hf import formats
    report = formats.write(rows, "visualprm.jsonl", format="visualprm")
    for row in formats.read("visualprm.jsonl"):
        print(row["steps"], row["labels"])

The rows stream: a file of a million rows needs no more memory than one of ten thousand.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from medprm_hf.errors import ConfigError, FormatError
from medprm_hf.formats.base import Format, Problem, Refused, Report, Row
from medprm_hf.registry import near, resolve

if TYPE_CHECKING:
    from medprm_hf.formats.images import ImageMode, LoadMode

__all__ = [
    "FORMATS", "Format", "Problem", "Refused", "Report", "detect", "items", "open_format", "read", "write",
]

FORMATS: dict[str, str] = {
    "raw-json": "medprm_hf.formats.raw_json:RawJSON",
    "visualprm-raw": "medprm_hf.formats.visualprm_raw:VisualPRMRaw",
    "visualprm": "medprm_hf.formats.visualprm:VisualPRM",
    "visualprocessbench": "medprm_hf.formats.visualprocessbench:VisualProcessBench",
    "vmp-result": "medprm_hf.formats.vmp_result:VMPResult",
    "vmp-solutions": "medprm_hf.formats.vmp_result:VMPSolutions",
    "steps-jsonl": "medprm_hf.formats.vmp_steps:StepsJSONL",
    "steps-json": "medprm_hf.formats.vmp_steps:StepsJSON",
    "vmp-browser": "medprm_hf.formats.vmp_app:VMPBrowser",
    "vmp-app": "medprm_hf.formats.vmp_app:VMPApp",
    "medprm": "medprm_hf.formats.medprm:MedPRM",
    "question-json": "medprm_hf.formats.question_json:QuestionJSON",
    "case-json": "medprm_hf.formats.case_json:CaseJSON",
    "stepwise": "medprm_hf.formats.trl:Stepwise",
    "preference": "medprm_hf.formats.trl:Preference",
    "prm800k": "medprm_hf.formats.prm800k:PRM800K",
    "math-shepherd": "medprm_hf.formats.math_shepherd:MathShepherd",
    "math-aps": "medprm_hf.formats.math_aps:MathAPS",
    "mm-prm": "medprm_hf.formats.mm_prm:MMPRM",
    "processbench": "medprm_hf.formats.benchmarks:ProcessBench",
    "prmbench": "medprm_hf.formats.benchmarks:PRMBench",
}
"""Format ids and where they live. A third party adds one through the entry points `medprm_hf.format`."""

_log = logging.getLogger(__name__)
_SHOWN = 20
"""Problems that `read` writes to the log one by one; the rest it only counts."""


def open_format(name: str, **options: Any) -> Format:
    """The format of that id with its options set; ConfigError with near names for an unknown id or option."""
    kind = resolve("format", FORMATS, name)
    known = [item.name for item in fields(kind)]
    for option in options:
        if option not in known:
            raise ConfigError(f"{name} has no option {option!r}{near(option, known) if known else ''}")
    opened = kind(**options)
    if not isinstance(opened, Format):
        raise ConfigError(f"the entry point of format {name!r} is no Format: it must subclass formats.Format")
    _check_choices(opened, options)
    return opened


def _check_choices(opened: Format, options: dict[str, Any]) -> None:
    """Refuses an option whose value is none of those that it may have."""
    hints = get_type_hints(type(opened)) if options else {}
    for option, value in options.items():
        choices = get_args(hints[option]) if get_origin(hints[option]) is Literal else ()
        if choices and value not in choices:
            raise ConfigError(f"{opened.id}: {option} is {value!r}{near(str(value), choices)}")


def write(
    rows: Iterable[Row],
    path: str | Path,
    format: str,
    *,
    images: ImageMode = "files",
    include_dropped: bool = False,
    **options: Any,
) -> Report:
    """Writes canonical rows (dicts, or a `datasets` table) as one file and says what became of them.

    Rows of one question must be neighbours. Rows with `keep` false are left out unless `include_dropped`
    (raw-json always writes them). `images`: `files` beside the output, `none`, or `inline` (raw-json).
    Rejected rows go to `<path>.rejected.jsonl`. Further options are the format's own fields.
    """
    from medprm_hf.formats.writing import write_rows

    opened = open_format(format, **options)
    return write_rows(_undecoded(rows), Path(path), opened, images, include_dropped or format == "raw-json")


def _undecoded(rows: Iterable[Row]) -> Iterable[Row]:
    """Rows with their images as bytes: a `datasets` table would hand them out as decoded pictures."""
    features: Any = getattr(rows, "features", None)
    if not features or not hasattr(features.get("image"), "decode"):
        return rows
    table: Any = rows
    undecoded: Iterable[Row] = table.cast_column("image", type(features["image"])(decode=False))
    return undecoded


def detect(path: str | Path) -> str:
    """The id of a file's format, told by its first record; raises FormatError if it is none of ours."""
    from medprm_hf.formats.detecting import detect as told

    return told(Path(path), FORMATS)


def items(
    path: str | Path,
    format: str | None = None,
    *,
    images: LoadMode = "load",
    image_root: str | Path | None = None,
    keep: bool = True,
    **options: Any,
) -> Iterator[dict[str, Any] | Problem]:
    """Rows of a file (or of a run or dataset: its folder) and, among them in order, what is wrong with it.

    `images`: `load` the bytes of those that are there, or keep the `reference`. Paths are relative to
    `image_root`, by default the file's folder. `keep` false leaves `extra` empty and reads faster.
    """
    from medprm_hf.formats.reading import FileReading, read_rows

    opened = open_format(format or detect(path), **options)
    if not opened.reads:
        raise FormatError(f"{opened.id} is written only: there is nothing that reads it")
    root = None if image_root is None else Path(image_root)
    yield from read_rows(FileReading(opened, Path(path), images, root, keep))


def read(
    path: str | Path,
    format: str | None = None,
    *,
    strict: bool = False,
    problems: list[Problem] | None = None,
    **options: Any,
) -> Iterator[dict[str, Any]]:
    """Canonical rows of a file, run or dataset (its folder), one at a time; the format is detected when not given.

    What is wrong with the file goes to `problems`, or to the log; with `strict` the first problem raises
    FormatError. Options: `images`, `image_root`, `keep` (see `items`) and the format's own fields.
    """
    met = 0
    for item in items(path, format, **options):
        if not isinstance(item, Problem):
            yield item
        elif strict:
            raise FormatError(f"{path}: {item}")
        elif problems is not None:
            problems.append(item)
        else:
            met += 1
            if met <= _SHOWN:
                _log.warning("%s: %s", path, item)
    if met > _SHOWN:
        _log.warning("%s: %d problems in all; `medprm validate` lists them", path, met)
