"""The words about reward models: `medprm train` (score, serve and eval join here)."""

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


def register(app: typer.Typer) -> None:
    """Adds these words to the command line."""
    app.command()(train)
