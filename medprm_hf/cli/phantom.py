"""`medprm phantom sample|train|card`: the world whose every step's truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

phantom = typer.Typer(help="The phantom world: images and questions whose every step's truth is known.")


@phantom.command("sample")
def phantom_sample(
    out: Annotated[Path, typer.Argument(help="Folder for PNG images and questions.jsonl.")],
    n: Annotated[int, typer.Option(min=1, help="How many questions.")] = 12,
    split: Annotated[str, typer.Option(help="train, development or test.")] = "test",
    seed: Annotated[int, typer.Option(help="Other seeds give other questions.")] = 0,
) -> None:
    """Draw phantom questions: images, options, answers and the true steps."""
    from medprm_hf.phantom.commands import sample

    typer.echo(f"wrote {sample(out, n, split, seed)} questions to {out}")


@phantom.command("train")
def phantom_train(
    out: Annotated[Path, typer.Argument(help="Folder for the two checkpoints, base/ and policy/.")],
    seed: Annotated[int, typer.Option(help="Seed of weights and data.")] = 0,
) -> None:
    """Train the two shipped checkpoints from scratch (needs the train extra; tens of minutes on two cores)."""
    from medprm_hf.phantom.commands import train

    train(out, seed)


@phantom.command("card")
def phantom_card(
    name: Annotated[str, typer.Argument(help="base or policy.")] = "policy",
) -> None:
    """Print the model card of a shipped checkpoint: how it was made and how well it does."""
    from medprm_hf.phantom.commands import card

    typer.echo(card(name))
