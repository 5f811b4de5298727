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
    store: Annotated[Path | None, typer.Option(help="File of the review store; default RUN/review.sqlite.")] = None,
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


def review(
    source: Annotated[Path, typer.Argument(metavar="RUN", help="A run, a dataset's folder, or a file of solutions.")],
    store: Annotated[Path | None, typer.Option(help="File of the store; default RUN/review.sqlite.")] = None,
    reviewers: Annotated[int | None, typer.Option(min=1, help="People who answer each step.")] = None,
    sample: Annotated[float | None, typer.Option(min=0, max=1, help="Share of steps for quality control.")] = None,
    blind: Annotated[bool | None, typer.Option(help="Signals are shown after the answer only.")] = None,
    order: Annotated[str | None, typer.Option(help="value, doubt or random.")] = None,
    study: Annotated[int, typer.Option(help="Raters of a rater study; 0 for none.")] = 0,
    status: Annotated[bool, typer.Option("--status", help="How far it is, how reviewers agree; nothing else.")] = False,
    sync: Annotated[
        str | None, typer.Option(metavar="REPO", help="Take and bring decisions: a dataset on the Hub, or a folder.")
    ] = None,
) -> None:
    """Make or update the review store of a run: the steps that people should look at, and what they have said.

    Open it with `medprm space RUN`; decisions return to the run with `medprm resume`.
    Example: medprm review runs/demo --reviewers 2 --blind
    """
    from medprm_hf.app import review_commands as commands

    file = store or (source / commands.STORE if source.is_dir() else source.with_suffix(f".{commands.STORE}"))
    if sync is not None:
        lines = commands.sync(file, sync)
    elif status:
        lines = commands.status(file)
    else:
        asked = commands.ReviewOptions(store, reviewers, sample, blind, order, study)
        lines = commands.review(source, asked)
    typer.echo("\n".join(lines))


def register(app: typer.Typer) -> None:
    """Adds these words to the command line."""
    app.command()(space)
    app.command()(review)
