"""`medprm journal stats|export|prune`: what was asked, what was answered, what failed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

journal = typer.Typer(help="The journal of a run's requests: every answer that was paid for, every failure.")

Where = Annotated[Path, typer.Argument(help="A run's directory, or a journal file.")]
Model = Annotated[str | None, typer.Option("--model", help="Only this one, as `stats` names it.")]


@journal.command("stats")
def journal_stats(where: Where) -> None:
    """Requests, answers, failures, tokens and dates, one line a model.

    Example: medprm journal stats runs/demo
    """
    from rich.console import Console

    from medprm_hf.backends.journals.journal_commands import stats_table

    Console().print(stats_table(where))


@journal.command("export")
def journal_export(
    where: Where,
    out: Annotated[Path | None, typer.Option(help="File to write; default beside the journal.")] = None,
    model: Model = None,
) -> None:
    """Write the journal as JSON lines: one request a line, with its answers and failures. Images are hashes.

    Example: medprm journal export runs/demo --out answers.jsonl
    """
    from medprm_hf.backends.journals.journal_commands import export_journal

    typer.echo(export_journal(where, out, model))


@journal.command("prune")
def journal_prune(
    where: Where,
    older_than: Annotated[float | None, typer.Option(min=0, help="Days; what is younger stays.")] = None,
    model: Model = None,
    failures: Annotated[bool, typer.Option("--failures", help="Only failures; answers stay.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only the figures are shown.")] = False,
) -> None:
    """Take old answers, one model's, or failures out of a journal. Shows the figures first; --yes does it.

    Example: medprm journal prune runs/demo --older-than 90 --failures --yes
    """
    from medprm_hf.backends.journals.journal_commands import prune_journal

    typer.echo(prune_journal(where, older_than, model, failures, yes))
