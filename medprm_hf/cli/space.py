"""The words of the browser: space and review."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def space(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Runs, dataset folders, Parquet files or Hub ids to explore."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    prm: Annotated[str | None, typer.Option(help="Folder, Hub id, phantom:prm, or openai:NAME?base_url=…")] = None,
    writer: Annotated[str | None, typer.Option(help="Backend that may write solutions, e.g. openai:NAME.")] = None,
    store: Annotated[Path | None, typer.Option(help="File of the review store; default review.sqlite.")] = None,
    blind: Annotated[bool, typer.Option(help="Reviewers see no signal of a step before they answer it.")] = False,
    lang: Annotated[str | None, typer.Option(help="Language of the interface: en, ko or zh.")] = None,
    write_folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the folder of a Hugging Face Space, and stop.")
    ] = None,
) -> None:
    """Open the Space in a browser: score solutions, review steps, explore and export a dataset.

    What is not given is read from MEDPRM_* variables. Research software, not for clinical use.
    Example: medprm space runs/demo --port 7860
    """
    from medprm_hf.app.commands import serve, write_space

    if write_folder is not None:
        typer.echo("\n".join(write_space(write_folder)))
        return
    given = {
        "datasets": tuple(runs or ()), "prm": prm, "writer": writer, "store": store, "blind": blind, "lang": lang,
    }  # fmt: skip
    serve(host, port, {name: value for name, value in given.items() if value})


def register(app: typer.Typer) -> None:
    """Adds these words to the command line."""
    app.command()(space)
