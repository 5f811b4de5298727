"""Every machine-readable kind that the code writes, read from its source: what docs/troubleshooting.md has to explain.

found()["failures"]     {"timeout", "http_400", "no_gold", …}: in the column `errors`
found()["hub"]          kinds of HubError; so "review", "space" (refusals over HTTP) and "formats"
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "medprm_hf"
_KIND = re.compile(r"[a-z][a-z0-9_]*")

# section: folders, {called name: which argument is the kind}
PLACES: dict[str, tuple[tuple[str, ...], dict[str, int]]] = {
    "failures": (
        ("backends", "stages", "phantom", "scoring"),
        {"Failure": 0, "Retryable": 0, "Refusal": 0, "BackendError": 1, "AuthError": 1, "BudgetError": 1, "add": 0},
    ),
    "hub": (("hub",), {"HubError": 1, "HubConflict": 1}),
    "review": (("review", "app"), {"ReviewError": 0}),
    "space": (("app",), {"Refusal": 1, "Busy": 1}),
    "formats": (("formats",), {"Refused": 0, "Problem": 2, "_after": 1, "note": 0}),
}


def found() -> dict[str, set[str]]:
    """The kinds of each section."""
    return {name: set(_kinds(folders, calls)) for name, (folders, calls) in PLACES.items()}


def _kinds(folders: tuple[str, ...], calls: dict[str, int]) -> Iterator[str]:
    for file in (file for folder in folders for file in (PACKAGE / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and "Failure" in calls and _name(node.targets[0]) == "kind":
                yield from _texts(getattr(getattr(node.value, "func", None), "value", node.value))
            if isinstance(node, ast.Call) and (name := _name(node.func)) in calls:
                if name == "add" and len(node.args) != 2:
                    continue  # of a set, not of a row's errors
                given = [
                    *node.args[calls[name] : calls[name] + 1],
                    *(k.value for k in node.keywords if k.arg == "kind"),
                ]
                yield from (kind for one in given for kind in _texts(one))


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _texts(node: ast.expr) -> Iterator[str]:
    """The literal kinds of an argument: a text, either side of a condition, or `http_` of an f-string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _KIND.fullmatch(node.value):
        yield node.value
    elif isinstance(node, ast.IfExp | ast.BoolOp | ast.Dict):
        parts = [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.values
        yield from (kind for part in parts for kind in _texts(part))
    elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        yield f"{node.values[0].value}NNN"
