"""Which format a file has, told by the keys of its first record.

    detect(Path("steps.jsonl"))  ->  "steps-jsonl"
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medprm_hf.errors import FormatError
from medprm_hf.formats.base import Format, Problem
from medprm_hf.formats.records import scan
from medprm_hf.registry import resolve

_LIMIT = 20
"""Broken or foreign records that are passed over before giving up."""


def detect(path: Path, table: dict[str, str]) -> str:
    """The format's id; raises FormatError if the file is none that the table knows."""
    kinds: list[type[Format]] = [resolve("format", table, name) for name in table]
    kinds.sort(key=lambda kind: kind.id == "raw-json")  # last: it asks for little
    inner = tuple({key for kind in kinds for key in kind.inner})
    reasons: list[str] = []
    for tried, item in enumerate(scan(path, inner)):
        if isinstance(item, Problem):
            reasons.append(str(item))
        elif isinstance(item.record, dict):
            for kind in kinds:
                if kind.reads and _recognised(kind, item.record, item.head):
                    return kind.id
            reasons.append(f"row {item.line}: keys {', '.join(list(item.record)[:12])}")
        if tried >= _LIMIT:
            break
    seen = reasons[0] if reasons else "no record in it"
    raise FormatError(f"{path} has none of the known formats ({seen}): name one of {', '.join(table)}")


def _recognised(kind: type[Format], record: dict[str, Any], head: dict[str, Any]) -> bool:
    try:
        return kind.recognises(record, head)
    except (TypeError, AttributeError, KeyError, IndexError):
        return False
