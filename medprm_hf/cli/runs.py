"""The words of the pipeline: demo, init, estimate, build, resume, status, diff, report, doctor, export, index."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medprm_hf.errors import ConfigError
from medprm_hf.registry import near

if TYPE_CHECKING:
    from medprm_hf.runs.hub import HubTarget

RECIPES = resources.files("medprm_hf") / "recipes"

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
Hub = Annotated[
    str | None,
    typer.Option(
        "--hub",
        metavar="ORG/NAME",
        help="Dataset repo on the Hub (made private where it is missing) that keeps checkpoints: finished shards are "
        "pushed to a branch of the run's own, and what it holds is fetched first. ORG/NAME@BRANCH: one of several.",
    ),
]
HubTokenEnv = Annotated[
    str | None, typer.Option(metavar="NAME", help="Environment variable with the Hub's token; else HF_TOKEN or login.")
]
HubJournal = Annotated[
    bool,
    typer.Option(
        "--hub-journal/--no-hub-journal",
        help="Push the journal of requests too: it holds the whole text of every question and answer (keys never). "
        "Without it answers of unfinished shards are asked for again elsewhere.",
    ),
]
HubEvery = Annotated[float, typer.Option(metavar="SECONDS", help="Time between two pushes.", min=1)]
HubPublic = Annotated[bool, typer.Option("--hub-public", help="Checkpoints may go to a public repo.")]
Share = Annotated[
    bool,
    typer.Option(
        "--share",
        help="Other processes may work on the run too, here or on machines that share its disk; start each with "
        "--share. Each takes shards that nobody else has.",
    ),
]
OwnJournal = Annotated[
    bool | None,
    typer.Option(
        "--own-journal/--one-journal",
        help="With --share: whether this process keeps a journal of its own; by itself on network file systems.",
    ),
]
Runner = Annotated[str, typer.Option(help="local, or ray: shards are worked on by the tasks of a Ray cluster.")]
RayAddress = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="local (the default: this machine), auto, or HOST:PORT of a cluster."),
]
RayCpus = Annotated[float, typer.Option(metavar="N", help="CPUs that Ray keeps for one shard.", min=0)]
RayGpus = Annotated[float, typer.Option(metavar="N", help="GPUs that Ray keeps for one shard.", min=0)]
OutDir = Annotated[Path | None, typer.Option("--out", help="Directory of the run; default runs/NAME.")]


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


def init(
    kind: Annotated[str, typer.Argument(help="hybrid, visualprm, medprm, cheap or phantom.")] = "hybrid",
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


def estimate(
    recipe: Annotated[Path | None, typer.Argument(help="Recipe file; see `medprm init`.")] = None,
    settings: Settings = [],  # noqa: B006
    assume: Annotated[
        list[str], typer.Option(metavar="NAME=VALUE", help="Replace an assumption: steps=7, or steps=5:7:9.")
    ] = [],  # noqa: B006
    prices: Prices = None,
    published: Annotated[bool, typer.Option(help="The costs that others have published, done again.")] = False,
    scale: Annotated[
        bool, typer.Option("--scale", help="Simulate a large run: files, bytes, memory, hours, what breaks first.")
    ] = False,
    like: Annotated[
        Path | None, typer.Option(metavar="RUN", help="With --scale: a finished run whose rows' sizes are taken.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print plain values.")] = False,
) -> None:
    """What a recipe will cost, before anything is asked: tokens and USD per stage, with what was assumed.

    With --scale its figures are questions, steps, image_kb, endpoints, tokens_per_second (of an endpoint),
    requests_per_second and processes.
    Examples: medprm estimate recipe.yaml --set rollout.k=32 --assume questions=10000;
    medprm estimate recipe.yaml --scale --assume questions=1000000 --assume endpoints=8
    """
    from medprm_hf.recipe import load
    from medprm_hf.runs.costs_commands import show_estimate, show_published, show_scale

    if published:
        return show_published(as_json)
    if recipe is None:
        raise ConfigError("estimate needs a recipe file (see `medprm init`), or --published")
    loaded = load(recipe, (*settings, *_money(None, prices)))
    if scale:
        return show_scale(loaded, assume, like, as_json)
    show_estimate(loaded, assume, as_json)


def build(
    recipe: Annotated[Path, typer.Argument(help="Recipe file; see `medprm init`.")],
    out: OutDir = None,
    settings: Settings = [],  # noqa: B006
    budget: Budget = None,
    prices: Prices = None,
    hub: Hub = None,
    hub_token_env: HubTokenEnv = None,
    hub_journal: HubJournal = True,
    hub_every: HubEvery = 300.0,
    hub_public: HubPublic = False,
    share: Share = False,
    own_journal: OwnJournal = None,
    runner: Runner = "local",
    ray_address: RayAddress = None,
    ray_cpus: RayCpus = 1.0,
    ray_gpus: RayGpus = 0.0,
) -> None:
    """Carry out a recipe: questions, solutions, rollouts, verdicts, labels, exports and a report.

    What is done is kept shard by shard, and every answer as it arrives; the same command again, or `medprm resume`,
    does the rest. With --budget it stops when the money is spent and leaves with exit code 3.
    """
    from medprm_hf.recipe import load
    from medprm_hf.runs.commands import build_run
    from medprm_hf.runs.ways import Way

    way = Way(share, own_journal, runner, ray_address, ray_cpus, ray_gpus)
    loaded = load(recipe, (*settings, *_money(budget, prices)))
    target = _hub(hub, hub_token_env, hub_journal, hub_every, hub_public)
    build_run(out or Path("runs") / loaded.name, loaded, target, way)


def resume(
    run: RunDir,
    budget: Budget = None,
    prices: Prices = None,
    hub: Hub = None,
    hub_token_env: HubTokenEnv = None,
    hub_journal: HubJournal = True,
    hub_every: HubEvery = 300.0,
    hub_public: HubPublic = False,
    share: Share = False,
    own_journal: OwnJournal = None,
    runner: Runner = "local",
    ray_address: RayAddress = None,
    ray_cpus: RayCpus = 1.0,
    ray_gpus: RayGpus = 0.0,
) -> None:
    """Go on with a run that was interrupted or out of money; what is done or answered is not asked again.

    With --hub the directory may be empty: the run is fetched from there, on whichever machine it was begun.
    Examples: medprm resume runs/hybrid --budget 40; medprm resume runs/hybrid --hub org/runs
    """
    from medprm_hf.runs.commands import resume_run
    from medprm_hf.runs.ways import Way

    way = Way(share, own_journal, runner, ray_address, ray_cpus, ray_gpus)
    resume_run(run, _money(budget, prices), _hub(hub, hub_token_env, hub_journal, hub_every, hub_public), way)


def status(run: RunDir) -> None:
    """Which shards of which stage are done, with rows, errors and seconds."""
    from medprm_hf.runs.commands import show_status

    show_status(run)


def diff(
    a: RunDir,
    b: RunDir,
    examples: Annotated[int, typer.Option(help="Steps to show of each kind of change.", min=0)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print plain values.")] = False,
) -> None:
    """What differs between two runs: settings, stages, and labels, with examples.

    Example: medprm diff runs/hybrid runs/hybrid-k16
    """
    from medprm_hf.runs.commands import console
    from medprm_hf.runs.diff import compare, show

    found = compare(a, b, examples)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), ensure_ascii=False))
    else:
        show(found, console)


def report(run: RunDir) -> None:
    """Write dataset, exports, report.html and report.json of a finished run once more."""
    from medprm_hf.runs.commands import report_run

    report_run(run)


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


def _money(budget: float | None, prices: Path | None = None) -> tuple[str, ...]:
    """The recipe settings that stand for --budget and --prices."""
    said = () if budget is None else (f"budget={budget!r}",)
    return said if prices is None else (*said, f"prices={json.dumps(str(prices))}")


def _hub(name: str | None, token_env: str | None, journal: bool, every: float, public: bool) -> HubTarget | None:
    """Where checkpoints go, or nowhere; the token is read from the variable that is named."""
    if name is None:
        return None
    from medprm_hf.runs.hub import HubTarget

    token = os.environ.get(token_env) if token_env else None
    if token_env and not token:
        raise ConfigError(f"--hub-token-env {token_env}: this environment variable is not set, or empty")
    return HubTarget.of(name, token, journal=journal, every=every, public=public)


def register(app: typer.Typer) -> None:
    """Adds these words to the command line."""
    for word in (demo, init, estimate, build, resume, status, diff, report, doctor, export, index):
        app.command()(word)
