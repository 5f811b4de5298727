"""The words of the Hub: import, publish, contribute, review-pr."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_(
    source: Annotated[str | None, typer.Argument(help="Name of the source; all are listed if left out.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Table to write, .parquet or .jsonl; default SOURCE.parquet.")
    ] = None,
    settings: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Option of the source, such as path=copy/of/vqa-rad."),
    ] = [],  # noqa: B006
    limit: Annotated[int | None, typer.Option(min=1, help="Read only the first N rows.")] = None,
) -> None:
    """Turn a published dataset, or a folder of your own, into a question table; says what is skipped and why.

    Without --set path=… it is read from the Hub, where the source is there. Skipped rows go to OUT's .skipped.jsonl;
    exit code 1 if none is left.
    Example: medprm import vqa_rad --set split=train --limit 200 --out questions.parquet
    """
    from medprm_hf.loading import scripts_folder
    from medprm_hf.runs.importing import import_source
    from medprm_hf.sources.commands import listing, options_of

    if source is None:
        return typer.echo("\n".join(listing(scripts_folder())))
    report = import_source(source, options_of(settings), out or Path(f"{source}.parquet"), limit)
    typer.echo("\n".join(report.lines()))
    raise typer.Exit(report.kept == 0)


def register(app: typer.Typer) -> None:
    """Adds these words to the command line."""
    app.command("import")(import_)
