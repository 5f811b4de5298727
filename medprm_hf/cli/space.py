"""The words of the browser: space and review."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Adds these words to the command line."""
