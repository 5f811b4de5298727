"""`medprm <word>`: the command line. Each word is a thin layer over a function of the package."""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from medprm_hf.cli_journal import journal
from medprm_hf.cli_models import register
from medprm_hf.cli_phantom import phantom
from medprm_hf.errors import BudgetError, ConfigError, MedPRMError, PendingError
from medprm_hf.registry import near

app = typer.Typer(
    name="medprm",
    help="Step labels and process reward models for medical reasoning with images.\n\n"
    "Begin with `medprm demo` (offline, minutes), then `medprm init hybrid` and `medprm build recipe.yaml`. "
    "Research software, not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.add_typer(phantom, name="phantom", no_args_is_help=True)
app.add_typer(journal, name="journal", no_args_is_help=True)
register(app)

RECIPES = resources.files("medprm_hf") / "recipes"

BUDGET_SPENT = 3
"""Exit code when the budget, or the account's quota, is spent."""
COME_BACK = 4
"""Exit code when a provider's batch is under way."""

Settings = Annotated[
    list[str],
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one setting, e.g. rollout.k=16."),
]
FormatOptions = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Option of the format to write; see `medprm formats ID`."),
]
RunDir = Annotated[Path, typer.Argument(help="Directory of a run, e.g. runs/demo.")]
Budget = Annotated[
    float | None,
    typer.Option(metavar="USD", help="Stop cleanly when the run has spent this much, over all its sessions."),
]
Prices = Annotated[Path | None, typer.Option(metavar="FILE", help="Prices that go before the shipped list (YAML).")]
OutDir = Annotated[Path | None, typer.Option("--out", help="Directory of the run; default runs/NAME.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Directory of the run.")] = Path("runs/demo"),
    settings: Settings = [],  # noqa: B006 - typer reads the default
    fresh: Annotated[bool, typer.Option(help="Delete what an earlier demo left.")] = True,
    budget: Budget = None,
    prm: Annotated[bool, typer.Option(help="Train two reward models on the labels and measure them.")] = True,
) -> None:
    """The whole pipeline on the phantom world: questions to labels, report and reward models, offline, in minutes.

    Example: medprm demo --set generate.solutions=8 --no-prm
    """
    from medprm_hf.recipe import load
    from medprm_hf.runs.commands import build_run, console, remove_run

    recipe = load(str(RECIPES / "phantom.yaml"), (*settings, *_money(budget)))
    if fresh:
        remove_run(out)
    build_run(out, recipe)
    if prm:
        from medprm_hf.runs.prm_demo import demo_prms

        demo_prms(out, recipe, console)


@app.command()
def init(
    kind: Annotated[str, typer.Argument(help="phantom, visualprm, medprm or hybrid.")] = "hybrid",
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("recipe.yaml"),
) -> None:
    """Write a recipe to start from, with its reasons beside the settings."""
    known = sorted(file.name.removesuffix(".yaml") for file in RECIPES.iterdir() if file.name.endswith(".yaml"))
    if kind not in known:
        raise ConfigError(f"no recipe is called {kind!r}{near(kind, known)}")
    if out.exists():
        raise ConfigError(f"{out} is there already: name another file with --out")
    out.write_text((RECIPES / f"{kind}.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    typer.echo(f"wrote {out}; next: medprm build {out}")


@app.command()
def estimate(
    recipe: Annotated[Path | None, typer.Argument(help="Recipe file; see `medprm init`.")] = None,
    settings: Settings = [],  # noqa: B006
    assume: Annotated[
        list[str], typer.Option(metavar="NAME=VALUE", help="Replace an assumption: steps=7, or steps=5:7:9.")
    ] = [],  # noqa: B006
    prices: Prices = None,
    published: Annotated[bool, typer.Option(help="The costs that others have published, done again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print plain values.")] = False,
) -> None:
    """What a recipe will cost, before anything is asked: tokens and USD per stage, with what was assumed.

    Example: medprm estimate recipe.yaml --set rollout.k=32 --assume questions=10000
    """
    from medprm_hf.recipe import load
    from medprm_hf.runs.costs_commands import show_estimate, show_published

    if published:
        return show_published(as_json)
    if recipe is None:
        raise ConfigError("estimate needs a recipe file (see `medprm init`), or --published")
    show_estimate(load(recipe, (*settings, *_money(None, prices))), assume, as_json)


@app.command()
def build(
    recipe: Annotated[Path, typer.Argument(help="Recipe file; see `medprm init`.")],
    out: OutDir = None,
    settings: Settings = [],  # noqa: B006
    budget: Budget = None,
    prices: Prices = None,
) -> None:
    """Carry out a recipe: questions, solutions, rollouts, verdicts, labels, exports and a report.

    What is done is kept shard by shard, and every answer as it arrives; the same command again, or `medprm resume`,
    does the rest. With --budget it stops when the money is spent and leaves with exit code 3.
    """
    from medprm_hf.recipe import load
    from medprm_hf.runs.commands import build_run

    loaded = load(recipe, (*settings, *_money(budget, prices)))
    build_run(out or Path("runs") / loaded.name, loaded)


@app.command()
def resume(run: RunDir, budget: Budget = None, prices: Prices = None) -> None:
    """Go on with a run that was interrupted or out of money; what is done or answered is not asked again.

    Example: medprm resume runs/hybrid --budget 40
    """
    from medprm_hf.runs.commands import resume_run

    resume_run(run, _money(budget, prices))


@app.command()
def status(run: RunDir) -> None:
    """Which shards of which stage are done, with rows, errors and seconds."""
    from medprm_hf.runs.commands import show_status

    show_status(run)


@app.command()
def report(run: RunDir) -> None:
    """Write dataset, exports, report.html and report.json of a finished run once more."""
    from medprm_hf.runs.commands import report_run

    report_run(run)


@app.command()
def doctor(
    recipe: Annotated[Path | None, typer.Argument(help="Recipe whose models are asked.")] = None,
    backend: Annotated[list[str], typer.Option(metavar="SPEC", help="Backend to ask, e.g. openai:gpt-4o-mini.")] = [],  # noqa: B006
    as_json: Annotated[bool, typer.Option("--json", help="Print plain values.")] = False,
) -> None:
    """What is installed, which keys are there, which backends answer and what they can do. Exit code 1 if one is mute.

    Keys are never shown. Each backend is sent at most six requests of a few tokens.
    Example: medprm doctor --backend "openai:tiny?base_url=http://127.0.0.1:8000/v1"
    """
    from medprm_hf.recipe import load
    from medprm_hf.runs.doctor import examine, show

    if not show(examine(backend, load(recipe) if recipe else None), as_json):
        raise typer.Exit(1)


@app.command()
def export(
    run: RunDir,
    format: Annotated[str, typer.Option("--format", help="Format id, e.g. visualprm, steps-jsonl, medprm.")],
    out: Annotated[Path | None, typer.Option(help="File to write; default in the run directory.")] = None,
    options: FormatOptions = [],  # noqa: B006
) -> None:
    """Write a run's kept solutions in one more format.

    Example: medprm export runs/demo --format visualprm --set labels=value --set threshold=0.25
    """
    from medprm_hf.formats.commands import options_of
    from medprm_hf.runs.commands import export_run

    export_run(run, format, out, **options_of(format, options))


@app.command()
def index(
    corpus: Annotated[list[str], typer.Argument(help="Files or folders of passages; with --images tables of cases.")],
    out: Annotated[Path, typer.Option(help="Folder of the index; one that is there is extended.")],
    license: Annotated[str | None, typer.Option(help="Licence of rows that name none, e.g. CC-BY-4.0.")] = None,
    source: Annotated[str | None, typer.Option(help="Source of rows that name none.")] = None,
    encoder: Annotated[str | None, typer.Option(help="medcpt, minilm (offline), none, a name or a path.")] = None,
    images: Annotated[bool, typer.Option("--images", help="Index images with their diagnoses.")] = False,
) -> None:
    """Build or extend an index that the retrieve stage searches (retrieve.index, retrieve.cases).

    Example: medprm index textbook.jsonl --out textbook-index --license CC-BY-4.0 --encoder minilm
    """
    from medprm_hf.stages.indexes import build_index

    lines = build_index(corpus, out, images=images, license=license, source=source, encoder=encoder)
    typer.echo("\n".join(lines))


@app.command()
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


@app.command()
def formats(
    format: Annotated[str | None, typer.Argument(help="Format id; all in one list if left out.")] = None,
) -> None:
    """Which formats there are; of one: its options, the columns it keeps and what it cannot hold.

    Example: medprm formats visualprm
    """
    from medprm_hf.formats.describing import listing, page

    typer.echo("\n".join(page(format) if format else listing()))


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="File to check.")],
    from_: Annotated[str | None, typer.Option("--from", help="Its format id; detected if left out.")] = None,
) -> None:
    """Check a file of any format: line, key and reason of each problem, then a summary. Exit code 1 if any."""
    from medprm_hf.formats import commands

    found = commands.validate(file, from_)
    typer.echo("\n".join(found.lines()))
    raise typer.Exit(not found.good)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="File to look at.")],
    row: Annotated[int, typer.Option(min=1, help="Which row to show.")] = 1,
    from_: Annotated[str | None, typer.Option("--from", help="Its format id; detected if left out.")] = None,
) -> None:
    """Show one row as a person wants to see it, and the statistics of the file's labels."""
    from rich.console import Console

    from medprm_hf.formats import commands

    Console().print(commands.inspect(file, row, from_))


def _money(budget: float | None, prices: Path | None = None) -> tuple[str, ...]:
    """The recipe settings that stand for --budget and --prices."""
    said = () if budget is None else (f"budget={budget!r}",)
    return said if prices is None else (*said, f"prices={json.dumps(str(prices))}")


def main() -> None:
    """Entry point: our own errors are messages, not tracebacks; a spent budget leaves with 3, Ctrl-C with 130,
    and a run that waits for a provider's batch with 4."""
    try:
        sys.exit(app(standalone_mode=False))  # Ctrl-C comes back as 130
    except MedPRMError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        later = COME_BACK if isinstance(error, PendingError) else 1
        sys.exit(BUDGET_SPENT if isinstance(error, BudgetError) else later)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # click's usage errors
            error.show()
            sys.exit(error.exit_code)
        raise


if __name__ == "__main__":
    main()
