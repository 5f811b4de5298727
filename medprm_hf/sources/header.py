"""What a converter's header says of its dataset: read from the docstring's `Field: text` lines, without running it.

    VQA-RAD: questions of clinicians about radiology images (Lau et al. 2018).

    Hub: flaviagiammarino/vqa-rad
    Licence: CC0 1.0
    Redistribution: yes
    Needs: nothing to sign
    Columns: image, question, answer
    Checked: dataset card

`medprm import` lists it, docs/sources.md is written from it, and a test compares the licence with the rows'.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from medprm_hf.errors import DataError

FIELDS = ("Hub", "Licence", "Redistribution", "Needs", "Columns", "Checked")
"""All but Hub must be there."""
_LINE = re.compile(rf"^({'|'.join(FIELDS)}): (.*)$")


@dataclass(frozen=True)
class Header:
    """A converter's header."""

    name: str
    """What it is called in a recipe and after `medprm import`."""
    title: str
    """Its first line."""
    hub: str
    """Hub id that it reads by default; empty where only a local copy can be read."""
    license: str
    """Licence that its rows carry."""
    redistribution: str
    """yes, no, or under which condition its rows may be published."""
    needs: str
    """What one must sign, fetch or install."""
    columns: str
    """Columns that are taken from it."""
    checked: str
    """What the columns were checked against."""


def read_header(file: Path) -> Header | None:
    """The header of a converter; null where it has none (a script of one's own). Raises DataError for half a one."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    found: dict[str, str] = {}
    field = None
    for line in docstring.splitlines():
        match = _LINE.match(line)
        if match:
            field = match[1]
            found[field] = match[2].strip()
        elif field and line.startswith("  ") and line.strip():
            found[field] += " " + line.strip()
        else:
            field = None
    if not found:
        return None
    lacking = [name for name in FIELDS[1:] if name not in found]
    if lacking:
        raise DataError(f"{file.name}: its header lacks {', '.join(lacking)}")
    title = docstring.split("\n\n")[0].replace("\n", " ").strip()
    return Header(file.stem, title, found.get("Hub", ""), *(found[name] for name in FIELDS[1:]))


def headers(folder: Path) -> list[Header]:
    """Headers of all converters of a folder, by name."""
    return [header for file in sorted(folder.glob("*.py")) if (header := read_header(file)) is not None]


def markdown_table(found: list[Header]) -> str:
    """The table of docs/sources.md."""
    lines = ["| source | Hub id | licence | may be published | what it needs | columns taken | checked against |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for one in found:
        hub = f"`{one.hub}`" if one.hub else "local copy"
        cells = (f"`{one.name}`", hub, one.license, one.redistribution, one.needs, one.columns, one.checked)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
