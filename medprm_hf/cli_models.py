"""The words about reward models: `medprm train`, `medprm score`, `medprm serve` (eval joins here)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Settings = Annotated[
    list[str],
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one setting, e.g. train.epochs=2."),
]


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe file with a `train` section.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the checkpoint; default runs/NAME/prm.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="A run, or any file of labelled solutions; default the run.")
    ] = None,
    settings: Settings = [],  # noqa: B006 - typer reads the default
) -> None:
    """Train a process reward model on a run's labels, or on any file that `convert` reads.

    Says before it starts how many labels there are and how many steps have no room; goes on where it was stopped.
    Example: medprm train recipe.yaml --set train.form=marker
    """
    from medprm_hf.training.commands import train_recipe

    train_recipe(recipe, out, data, tuple(settings))


def score(
    file: Annotated[Path, typer.Argument(help="Solutions: any file that `convert` reads, a dataset, or a run.")],
    model: Annotated[str, typer.Option(help="Folder, Hub id, phantom:prm, or a server: openai:NAME?base_url=…")],
    out: Annotated[
        Path | None, typer.Option(help="JSON lines, or .parquet for the rows themselves; default beside FILE.")
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Format id of FILE; detected if left out.")] = None,
    settings: Annotated[
        Path | None,
        typer.Option("--settings", help="Folder with medprm.json: for a server's model."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …; default a GPU if there is one.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    batch_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of one pass at most.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Score only the first solutions.")] = None,
    fresh: Annotated[bool, typer.Option(help="Score all again; else what is done is kept.")] = False,
) -> None:
    """Score every step of a file of solutions with a process reward model: P(step is right), 0 to 1.

    One JSON line a solution; a run that was stopped goes on where it was. Steps that could not be scored are null, with
    the reason. Example: medprm score runs/demo --model runs/demo/prm --out scores.jsonl
    """
    from medprm_hf.scoring import commands

    lines = commands.score(
        file, model, out, format=from_, settings=settings, device=device, dtype=dtype, batch_tokens=batch_tokens,
        limit=limit, fresh=fresh,
    )  # fmt: skip
    typer.echo("\n".join(lines))


def serve(
    model: Annotated[str, typer.Argument(help="Folder, Hub id, phantom:prm, or a server: openai:NAME?base_url=…")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
    settings: Annotated[
        Path | None,
        typer.Option("--settings", help="Folder with medprm.json: for a server's model."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …; default a GPU if there is one.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
) -> None:
    """Answer scoring requests over HTTP (POST /score, /score/batch), in the shape that VMP calls.

    It knows no users and no keys: keep it on your own machine, or behind something that does. Not for clinical use.
    Example: medprm serve phantom:prm --port 8080
    """
    from medprm_hf.scoring import commands

    commands.serve(model, host, port, settings=settings, device=device, dtype=dtype)


def register(app: typer.Typer) -> None:
    """Adds these words to the command line."""
    app.command()(train)
    app.command()(score)
    app.command()(serve)
