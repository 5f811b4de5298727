"""The words of the formats: convert, formats, validate, inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FormatOptions = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Option of the format to write; see `medprm formats ID`."),
]


def convert(
    source: Annotated[Path, typer.Argument(help="File to read.")],
    target: Annotated[Path, typer.Argument(help="File to write.")],
    to: Annotated[str, typer.Option(help="Format id to write, e.g. visualprm, medprm, stepwise, raw-json.")],
    from_: Annotated[str | None, typer.Option("--from", help="Format id of the source; detected if left out.")] = None,
    strict: Annotated[bool, typer.Option(help="Exit with 1 when any row was rejected.")] = False,
    options: FormatOptions = [],  # noqa: B006
) -> None:
    """Turn a file of one format (or a run, or a dataset) into another; says what the new format cannot hold.

    Rejected rows go, with their reasons, to TARGET.rejected.jsonl; the rest is kept.
    Example: medprm convert runs/demo prm.jsonl --to visualprm --set early_stop=true
    """
    from medprm_hf.formats import commands

    report = commands.convert(source, target, to, from_, strict, **commands.options_of(to, options))
    typer.echo("\n".join(report.lines()))
    raise typer.Exit(commands.failed(report, strict))


def formats(
    format: Annotated[str | None, typer.Argument(help="Format id; all in one list if left out.")] = None,
) -> None:
    """Which formats there are; of one: its options, the columns it keeps and what it cannot hold.

    Example: medprm formats visualprm
    """
    from medprm_hf.formats.describing import listing, page

    typer.echo("\n".join(page(format) if format else listing()))


def validate(
    file: Annotated[Path, typer.Argument(help="File to check.")],
    from_: Annotated[str | None, typer.Option("--from", help="Its format id; detected if left out.")] = None,
) -> None:
    """Check a file of any format: line, key and reason of each problem, then a summary. Exit code 1 if any."""
    from medprm_hf.formats import commands

    found = commands.validate(file, from_)
    typer.echo("\n".join(found.lines()))
    raise typer.Exit(not found.good)


def inspect(
    file: Annotated[Path, typer.Argument(help="File to look at.")],
    row: Annotated[int, typer.Option(min=1, help="Which row to show.")] = 1,
    from_: Annotated[str | None, typer.Option("--from", help="Its format id; detected if left out.")] = None,
) -> None:
    """Show one row as a person wants to see it, and the statistics of the file's labels."""
    from rich.console import Console

    from medprm_hf.formats import commands

    Console().print(commands.inspect(file, row, from_))


def register(app: typer.Typer) -> None:
    """Adds these words to the command line."""
    for word in (convert, formats, validate, inspect):
        app.command()(word)
