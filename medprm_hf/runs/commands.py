"""What `medprm demo|build|resume|status|report|export` do, with what a person sees while they do it."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from medprm_hf.backends.stopping import stoppable
from medprm_hf.errors import BudgetError, PendingError, StoppedError, StoreError
from medprm_hf.recipe import Recipe
from medprm_hf.runs import status
from medprm_hf.runs.finish import export_file, is_kept, solution_rows
from medprm_hf.runs.hub import HubTarget, bring, followed
from medprm_hf.runs.lock import one_at_a_time
from medprm_hf.runs.money import said, spending
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.progress import show_progress
from medprm_hf.runs.seal import complete, unseal
from medprm_hf.runs.shards import kept_whole
from medprm_hf.runs.ways import ALONE, Way, at_work

console = Console(soft_wrap=True)


def build_run(directory: Path, recipe: Recipe, hub: HubTarget | None = None, way: Way = ALONE) -> dict[str, Any]:
    """Builds a run, or goes on with it, then writes dataset, exports and report.

    Args:
        directory: of the run; made where it is missing.
        recipe: what to do; a recipe that differs from an earlier one's redoes only what depends on the change.
        hub: where checkpoints go and come from; None keeps everything here.
        way: whether other processes work on the run too.

    Returns:
        The report, as in `report.json`: plain values.

    Raises:
        ConfigError: the recipe cannot work.
        BudgetError: the money is spent; what is paid for is kept.
        PendingError: a provider's batch is under way.
        StoreError: the directory cannot be used.
        BackendError: nothing gets through to a model.
    """
    run = Run.open(directory, recipe)
    if hub is not None:
        bring(directory, hub, _say_plain)
    return _carry_out(run, hub, way)


def resume_run(
    directory: Path, settings: tuple[str, ...] = (), hub: HubTarget | None = None, way: Way = ALONE
) -> dict[str, Any]:
    """The same for the run that a directory (or `hub`) holds, with settings such as `budget=40` changed."""
    if hub is not None:
        bring(directory, hub, _say_plain)
    return _carry_out(Run.resume(directory, settings), hub, way)


def remove_run(directory: Path) -> None:
    """Deletes an earlier run, and nothing that is not one."""
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not (directory / "recipe.yaml").is_file():
        raise StoreError(f"{directory} is not empty and holds no run: name another directory with --out")
    shutil.rmtree(directory)


def _carry_out(run: Run, hub: HubTarget | None, way: Way) -> dict[str, Any]:
    started = time.perf_counter()
    console.print(f"[bold]{run.recipe.name}[/bold] → {run.directory}  ({' → '.join(run.recipe.stages)})")
    _say_changed(run)
    try:
        with kept_whole(run.directory), at_work(run, way) as work, followed(run, hub, _say_plain) as counting:
            with stoppable(_say_stopping), show_progress(run, console) as progress:
                work.build(counting(progress))
            with work.finishing():
                return _finish(run, started)
    except BudgetError as error:
        _say_spent(run, error)
        raise
    except PendingError:
        console.print("\n[yellow]stopped[/yellow]: answers are on their way")
        status.status_table(run, console)
        status.say_batches(run, console)
        console.print(f"all answers are kept. Come back with: medprm resume {run.directory}")
        raise
    except (KeyboardInterrupt, StoppedError) as error:
        console.print(
            f"\n[yellow]stopped[/yellow]: finished shards are kept, and every answer that arrived. Go on with: medprm "
            f"resume {run.directory}"
        )
        raise KeyboardInterrupt from error


def _say_plain(line: str) -> None:
    console.print(line, markup=False, highlight=False)


def _say_changed(run: Run) -> None:
    """Names input files whose content is another than when the source was read."""
    for file in run.source().changed():
        console.print(
            f"[yellow]changed[/yellow] since it was read: {file}. The source is read again; shards whose rows are the "
            "same stay done",
            highlight=False,
        )


def _say_stopping() -> None:
    console.print("\n[yellow]stopping[/yellow]: what is in flight may end. Ctrl-C again stops at once", highlight=False)


def _finish(run: Run, started: float) -> dict[str, Any]:
    """Writes what a run leaves for people, or finds that all of it is written."""
    with console.status("writing dataset, exports and report"):
        report, written = complete(run)
    if not written:
        console.print("nothing was to be done: dataset, exports and report are those of this run")
    _show(run, report, time.perf_counter() - started)
    return report


def _say_spent(run: Run, error: BudgetError) -> None:
    """What was spent and done when the money ran out, and how to go on."""
    accounts = spending(run.directory)
    models = sorted({model for _, model in accounts})
    parts = [f"{model} {said(t for (_, m), t in accounts.items() if m == model)}" for model in models]
    console.print(f"\n[yellow]stopped[/yellow]: {error}", highlight=False)
    console.print(f"spent: {said(accounts.values())} ({', '.join(parts) or 'nothing'})", highlight=False)
    status.status_table(run, console)
    more = f" --budget {max(1, math.ceil(2 * run.recipe.budget))}" if run.recipe.budget is not None else ""
    console.print(f"finished shards and all answers are kept. Go on with: medprm resume {run.directory}{more}")


def report_run(directory: Path) -> dict[str, Any]:
    """Writes dataset, exports and report of a finished run once more."""
    run = Run.resume(directory)
    if not run.finished():
        lacking = [str(stage.name) for i, stage in enumerate(run.stages) if run.todo(i) or not run.shard_count()]
        raise StoreError(f"{directory} is not finished ({', '.join(lacking)}): medprm resume {directory}")
    with kept_whole(directory), one_at_a_time(directory):
        unseal(run)
        return _finish(run, time.perf_counter())


def export_run(directory: Path, format: str, out: Path | None, **options: Any) -> None:
    """Writes the kept solutions of a run in one format (with its options), and says what the format cannot hold."""
    from medprm_hf.formats import write

    file = out or directory / export_file(format)
    run = Run.resume(directory)
    try:
        done = write((row for row in solution_rows(run) if is_kept(row)), file, format=format, **options)
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror or error}; name another file with --out") from error
    console.print("\n".join(done.lines()), markup=False)


def show_status(directory: Path) -> None:
    """Prints how far a run is; see `status.py`."""
    status.show_status(directory, console)


def _show(run: Run, report: dict[str, Any], seconds: float) -> None:
    counts = report["counts"]
    console.print(
        f"\n{counts['questions_in']} questions → {counts['solutions']} solutions, {counts['steps']} steps; "
        f"kept {counts['solutions_kept']}, dropped: {report['drop_reasons'] or 'none'}"
    )
    if report["reviewed_steps"]:
        share, copied = report["reviewed_steps"] / counts["steps"], report.get("copied_reviews", 0)
        console.print(f"reviewed: {report['reviewed_steps']} steps ({share:.0%}); their word holds for {copied} copies")
    if report["signals"]:
        console.print(_signals_table(report))
        console.print(_recall_table(report))
    if report["policy"]:
        policy = report["policy"]
        console.print(
            f"policy on {policy['questions']} unseen questions: pass@1 {policy['pass@1']:.3f}, majority of 8 "
            f"{policy['majority@8']:.3f}, pass@8 {policy['pass@8']:.3f}, unreadable {policy['unreadable']:.3f}"
        )
    files = [
        "dataset/",
        *(entry["file"] for entry in report["exports"].values()),
        "report.html",
        "report.json",
    ]
    console.print(f"[bold]{seconds:.0f} s[/bold]; in {run.directory}: {', '.join(files)}")


def _signals_table(report: dict[str, Any]) -> Table:
    """Macro-F1 of each signal; narrow enough for 80 columns."""
    table = Table(title="step labels against the truth (phantom world; judge and expert are simulated)")
    for heading in ("signal", "macro-F1", "95 % interval", "steps", "skipped"):
        table.add_column(heading, justify="left" if heading == "signal" else "right", no_wrap=True)
    for entry in report["signals"]:
        low, high = entry["interval"] or (None, None)
        table.add_row(
            entry["signal"],
            _number(entry["macro_f1"]),
            f"{_number(low)} to {_number(high)}",
            str(entry["n_steps"]),
            str(entry["skipped"]),
        )
    return table


def _recall_table(report: dict[str, Any]) -> Table:
    """Share of the wrong steps of each kind that each signal labels wrong."""
    kinds = sorted({kind for entry in report["signals"] for kind in entry["error_recall"]})
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title="share of the wrong steps found, by kind of error")
    table.add_column("signal", no_wrap=True)
    for kind in kinds:
        table.add_column(kind, justify="right", no_wrap=True)
    for entry in report["signals"]:
        table.add_row(entry["signal"], *(_number(entry["error_recall"].get(kind), 2) for kind in kinds))
    return table


def _number(value: float | None, digits: int = 3) -> str:
    return "none" if value is None else f"{value:.{digits}f}"
