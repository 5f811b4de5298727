"""What each format is, takes and cannot hold, told from its class alone: for `medprm formats` and docs/formats.md.

    medprm formats               one line a format
    medprm formats visualprm     its options with their meaning, the columns it keeps, what it cannot hold
    python -m medprm_hf.formats.describing     the tables of docs/formats.md, which a test compares
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from medprm_hf.formats import FORMATS, Format, open_format
from medprm_hf.schema import COLUMNS

_SHOWN = 40
"""Characters of a default that are shown."""


def listing() -> list[str]:
    """One line a format."""
    lines = [f"{'id':<20} {'ways':<11} {'file':<7} what it is"]
    lines += [
        f"{one.id:<20} {ways(one):<11} {one.extension:<7} {one.text}" for one in map(open_format, FORMATS)
    ]
    return [*lines, "", "`medprm formats ID` tells the options of one, and what it cannot hold."]


def page(format_id: str) -> list[str]:
    """All about one format."""
    one = open_format(format_id)
    lines = [f"{one.id}: {one.text}", f"  {ways(one)}, {one.extension}; {_container(one)}"]
    told = list(options(one))
    lines.append("  options (--set key=value):" if told else "  no options")
    lines += [f"    {name}={default}  {kind}. {text}" for name, kind, default, text in told]
    lines.append(f"  columns it keeps: {', '.join(kept(one))}")
    lines += [f"  cannot hold: {loss}" for loss in one.losses]
    return [wrapped for line in lines for wrapped in _wrapped(line)]


def options(one: Format) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and meaning of each option."""
    hints, texts = get_type_hints(type(one)), _texts(type(one))
    for item in fields(one):
        default = str(item.default).lower() if isinstance(item.default, bool) else str(item.default)
        shown = default if len(default) <= _SHOWN else f"{default[:_SHOWN]}…"
        yield item.name, _kind(hints[item.name]), shown, texts.get(item.name, "")


def ways(one: Format) -> str:
    """Whether it is read, written or both."""
    return "read, write" if one.reads and one.writes else "read" if one.reads else "write"


def kept(one: Format) -> list[str]:
    """Columns that survive, in the order of the table."""
    return [column.name for column in COLUMNS if column.name in one.carries]


def markdown() -> str:
    """The tables of docs/formats.md."""
    formats = [open_format(name) for name in FORMATS]
    lines = ["| format | ways | file | what it is |", "|---|---|---|---|"]
    lines += [f"| `{one.id}` | {ways(one)} | {one.extension} | {one.text} |" for one in formats]
    lines += ["", "| format | columns it keeps | what is lost within them |", "|---|---|---|"]
    for one in formats:
        columns = "all" if len(kept(one)) == len(COLUMNS) else ", ".join(f"`{name}`" for name in kept(one))
        lines.append(f"| `{one.id}` | {columns} | {'; '.join(one.losses) or '(read only)'} |")
    lines += ["", "| option | type | default | meaning |", "|---|---|---|---|"]
    for one in formats:
        for name, kind, default, text in options(one):
            lines.append(f"| `{one.id}` `{name}` | {kind} | {f'`{default}`' if default else ''} | {text} |")
    return "\n".join(lines)


def _container(one: Format) -> str:
    told = {
        "lines": "one record a line", "array": "one JSON array", "either": "a JSON array under .json, else lines",
        "object": "one JSON object around a list", "object or lines": "one JSON object under .json, else lines",
    }
    return told[one.container] + (", one record a question" if one.unit == "question" else "")


def _kind(hint: Any) -> str:
    return " or ".join(map(str, get_args(hint))) if get_origin(hint) is Literal else hint.__name__


def _texts(kind: type[Format]) -> dict[str, str]:
    """The string under each field of a dataclass."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    found: dict[str, str] = {}
    before = ""
    for node in body.body if isinstance(body, ast.ClassDef) else ():
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            before = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and before:
            found[before] = " ".join(str(node.value.value).split())
    return found


def _wrapped(line: str) -> list[str]:
    pad = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line, 110, subsequent_indent=pad, drop_whitespace=True, initial_indent="")


if __name__ == "__main__":
    print(markdown())
