"""The words about reward models: `medprm train`, `medprm score`, `medprm serve`, `medprm eval`."""

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


def evaluate(
    data: Annotated[Path, typer.Option(help="Solutions: any file that `convert` reads, a dataset, a run, a suite's.")],
    model: Annotated[str | None, typer.Option(help="Folder, Hub id, phantom:prm, or openai:NAME?base_url=…")] = None,
    development: Annotated[
        Path | None, typer.Option(help="Other questions, for threshold and temperature; else DATA is split.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the report; default runs/eval/NAME.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Scores of DATA, from `medprm score`: no model.")] = None,
    development_scores: Annotated[Path | None, typer.Option(help="The same of the development data.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Format id of DATA; detected if left out.")] = None,
    suite: Annotated[str | None, typer.Option(help="Medical Best-of-N suite: medqa, medmcqa, vqa-rad, …, own.")] = None,
    beside: Annotated[
        list[str], typer.Option(metavar="NAME=FILE", help="Scores of another model, e.g. an outcome model's.")
    ] = [],  # noqa: B006 - typer reads the default
    ablate: Annotated[str, typer.Option(help="Take away, separated by commas: image, evidence, labels.")] = "",
    recipe: Annotated[Path | None, typer.Option(help="For --ablate labels: whose run is trained on.")] = None,
    truth: Annotated[str, typer.Option(help="Labels that are the truth: final, review, judge, rollouts.")] = "final",
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="A fixed one: nothing is held back.")] = None,
    seed: Annotated[int, typer.Option(help="Of the split and of shuffled images.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first solutions.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …; default a GPU if there is one.")] = None,
    skip_seen: Annotated[bool, typer.Option(help="Leave out rows that the model was trained on.")] = False,
    force: Annotated[bool, typer.Option(help="Evaluate what would be refused; the report says so.")] = False,
) -> None:
    """Measure a process reward model: its steps, the answers it chooses, and how far its scores can be trusted.

    The threshold is fixed on development data. Rows of the training are refused, by question and image.
    Example: medprm eval --model phantom:prm --data processbench.json
    """
    from medprm_hf.evaluation.commands import request_of
    from medprm_hf.runs.label_ablation import evaluate_all

    evaluate_all(
        request_of(
            data=data, model=model, development=development, out=out, scores=scores,
            development_scores=development_scores, format=from_, suite=suite, beside=beside, ablate=ablate,
            truth=truth, threshold=threshold, seed=seed, limit=limit, device=device, skip_seen=skip_seen, force=force,
        ),
        recipe,
    )  # fmt: skip


def ablate(
    file: Annotated[Path | None, typer.Argument(help="File of variants; the shipped one if left out.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs and their common journal.")] = Path("runs/ablations"),
    settings: Settings = [],  # noqa: B006 - typer reads the default
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a figure and line.")] = False,
) -> None:
    """Change one thing of the pipeline at a time, and measure each variant against the phantom world's truth.

    Signals, estimators, evidence, images and training targets, in one table with intervals; nothing is asked twice.
    Example: medprm ablate --set source.n=40 --set test.questions=40
    """
    from medprm_hf.runs.ablations_commands import ablate_file

    ablate_file(file, out, tuple(settings), json_)


def register(app: typer.Typer) -> None:
    """Adds these words to the command line."""
    app.command()(train)
    app.command()(score)
    app.command()(serve)
    app.command()(ablate)
    app.command("eval")(evaluate)
