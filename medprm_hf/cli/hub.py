"""The words of the Hub: import, publish, contribute, review-pr."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Adds these words to the command line."""
