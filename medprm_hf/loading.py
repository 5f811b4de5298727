"""Sources: finds a converter and reads its rows into the canonical question columns.

A converter is one file of `loading_scripts/` with `rows(**options) -> Iterator[dict]`; a third party adds one
through the entry-point group `medprm_hf.source`. The phantom world is built in.

    rows = list(open_source("pubmedqa", path="pqal.json", limit=50))
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.imaging.intake import take_in
from medprm_hf.registry import near, resolve
from medprm_hf.schema import written_by

Converter = Callable[..., Iterator[dict[str, Any]]]
BUILT_IN = {"phantom": "medprm_hf.phantom.questions:question_rows"}
QUESTION_COLUMNS = written_by("sources")


def scripts_folder() -> Path:
    """`loading_scripts/`: inside the package in a wheel, beside it in a checkout."""
    here = Path(__file__).parent
    inside = here / "loading_scripts"
    return inside if inside.is_dir() else here.parent / "loading_scripts"


def source_names() -> list[str]:
    """Every source that can be named in a recipe."""
    scripts = [file.stem for file in scripts_folder().glob("*.py")]
    return sorted({*BUILT_IN, *scripts, *(point.name for point in entry_points(group="medprm_hf.source"))})


def open_source(name: str, **options: Any) -> Iterator[dict[str, Any]]:
    """Canonical question rows of a source; raises ConfigError before reading where the options do not fit."""
    convert = _converter(name)
    try:
        inspect.signature(convert).bind(**options)
    except TypeError as error:
        takes = ", ".join(str(p) for p in inspect.signature(convert).parameters.values())
        raise ConfigError(f"source {name}: {error}; it takes: {takes}") from None
    return (complete_row(row) for row in convert(**options))


def _converter(name: str) -> Converter:
    if name in BUILT_IN:
        built_in: Converter = resolve("source", BUILT_IN, name)
        return built_in
    file = scripts_folder() / f"{name}.py"
    if file.is_file():
        spec = importlib.util.spec_from_file_location(f"medprm_source_{name}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        converter: Converter = module.rows
        return converter
    for point in entry_points(group="medprm_hf.source"):
        if point.name == name:
            offered: Converter = point.load()
            return offered
    raise ConfigError(f"unknown source {name!r}{near(name, source_names())}")


def complete_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row with every question column, absent ones null, its image taken in (imaging/intake.py); refuses columns
    that the table does not have."""
    for name in row:
        if name not in QUESTION_COLUMNS and name != "split":
            raise DataError(f"a source wrote the column {name!r}{near(name, QUESTION_COLUMNS)}")
    if not row.get("question_id"):
        raise DataError(f"a source row has no question_id: {str(row)[:200]}")
    full = {name: row.get(name) for name in (*QUESTION_COLUMNS, "split")}
    full["options"] = list(full["options"] or [])
    taken = take_in(full["image"])
    full["image"], full["image_sha256"] = taken.cell, taken.sha256
    full["image_notes"] = [*(full["image_notes"] or []), *taken.notes]
    return full


@contextmanager
def files_noted(note: Callable[[Path], None]) -> Iterator[None]:
    """Calls `note` with every image file that a converter reads meanwhile, so that a run knows what it hangs on."""
    before = _NOTE[0]
    _NOTE[0] = note
    try:
        yield
    finally:
        _NOTE[0] = before


_NOTE: list[Callable[[Path], None] | None] = [None]


def image_value(file: Path) -> dict[str, Any]:
    """An image file as a source hands it over, of any kind that can be taken in; an unreadable file keeps its path,
    so that the row can be dropped with the reason."""
    if _NOTE[0] is not None and file.is_file():
        _NOTE[0](file)
    try:
        return {"bytes": file.read_bytes(), "path": file.name}
    except OSError:
        return {"bytes": None, "path": str(file)}
