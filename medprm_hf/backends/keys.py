"""Keys: from the environment, else from a file `.env` in the working directory. Nothing here shows or keeps one.

    # .env
    OPENAI_API_KEY=…
    GEMINI_API_KEY="…"      # what the environment already has stays as it is

Only names that end in _KEY or _TOKEN are taken, so that a stray `.env` cannot change how programs run.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")
_ENDINGS = ("_KEY", "_TOKEN")


def load_keys(folder: Path | None = None) -> list[str]:
    """Puts the keys of `.env` into the environment where it has none; gives the names that were taken, never values.

    A file that is missing or cannot be read gives nothing.
    """
    file = (folder or Path.cwd()) / ".env"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    found = {name: value for name, value in map(_read, text.splitlines()) if name.endswith(_ENDINGS) and value}
    taken = [name for name in found if not os.environ.get(name)]
    os.environ.update({name: found[name] for name in taken})
    return taken


def has_key(*names: str) -> str | None:
    """The first of these environment variables that holds something; None where none does."""
    return next((name for name in names if os.environ.get(name)), None)


def _read(line: str) -> tuple[str, str]:
    """Name and value of one line, quotes and a comment behind the value taken off; empty for anything else."""
    matched = _LINE.match(line)
    if not matched:
        return "", ""
    name, value = matched.groups()
    if value[:1] in ("'", '"'):
        return name, value[1:].partition(value[0])[0]
    return name, re.split(r"\s+#", value)[0].strip()
