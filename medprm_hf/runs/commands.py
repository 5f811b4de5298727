"""What `medprm demo|build|resume|status|report|export` do, with what a person sees while they do it."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from medprm_hf.errors import BudgetError, PendingError, StoreError
from medprm_hf.recipe import Recipe
from medprm_hf.runs.finish import export_file, finish, is_kept, solution_rows
from medprm_hf.runs.money import said, spending
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.progress import show_progress
from medprm_hf.runs.report import Facts, write_report

console = Console(soft_wrap=True)


def build_run(directory: Path, recipe: Recipe) -> dict[str, Any]:
    """Builds a run, then writes dataset, exports and report; gives the report."""
    return _carry_out(Run.open(directory, recipe))


def resume_run(directory: Path, settings: tuple[str, ...] = ()) -> dict[str, Any]:
    """The same for the run that a directory holds, with settings such as `budget=40` changed."""
    return _carry_out(Run.resume(directory, settings))


def remove_run(directory: Path) -> None:
    """Deletes an earlier run, and nothing that is not one."""
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not (directory / "recipe.yaml").is_file():
        raise StoreError(f"{directory} is not empty and holds no run: name another directory with --out")
    shutil.rmtree(directory)


def _carry_out(run: Run) -> dict[str, Any]:
    started = time.perf_counter()
    console.print(f"[bold]{run.recipe.name}[/bold] → {run.directory}  ({' → '.join(run.recipe.stages)})")
    try:
        with _one_at_a_time(run.directory), show_progress(run, console) as progress:
            run.build(progress)
    except BudgetError as error:
        _say_spent(run, error)
        raise
    except PendingError:
        console.print("\n[yellow]stopped[/yellow]: answers are on their way")
        _status_table(run)
        _say_batches(run)
        console.print(f"all answers are kept. Come back with: medprm resume {run.directory}")
        raise
    except KeyboardInterrupt:
        console.print(
            f"\n[yellow]stopped[/yellow]: finished shards are kept. Go on with: medprm resume {run.directory}"
        )
        raise
    return _finish(run, started)


def _finish(run: Run, started: float) -> dict[str, Any]:
    with console.status("writing dataset, exports and report"):
        facts = Facts(run)
        report = write_report(run, facts, finish(run, facts.add))
    _show(run, report, time.perf_counter() - started)
    return report


def _say_spent(run: Run, error: BudgetError) -> None:
    """What was spent and done when the money ran out, and how to go on."""
    accounts = spending(run.directory)
    models = sorted({model for _, model in accounts})
    parts = [f"{model} {said(t for (_, m), t in accounts.items() if m == model)}" for model in models]
    console.print(f"\n[yellow]stopped[/yellow]: {error}", highlight=False)
    console.print(f"spent: {said(accounts.values())} ({', '.join(parts) or 'nothing'})", highlight=False)
    _status_table(run)
    more = f" --budget {max(1, math.ceil(2 * run.recipe.budget))}" if run.recipe.budget is not None else ""
    console.print(f"finished shards and all answers are kept. Go on with: medprm resume {run.directory}{more}")


def report_run(directory: Path) -> dict[str, Any]:
    """Writes dataset, exports and report of a finished run once more."""
    run = Run.resume(directory)
    if not run.finished():
        lacking = [str(stage.name) for i, stage in enumerate(run.stages) if run.todo(i) or not run.shard_count()]
        raise StoreError(f"{directory} is not finished ({', '.join(lacking)}): medprm resume {directory}")
    return _finish(run, time.perf_counter())


def export_run(directory: Path, format: str, out: Path | None, **options: Any) -> None:
    """Writes the kept solutions of a run in one format (with its options), and says what the format cannot hold."""
    from medprm_hf.formats import write

    file = out or directory / export_file(format)
    run = Run.resume(directory)
    done = write((row for row in solution_rows(run) if is_kept(row)), file, format=format, **options)
    console.print("\n".join(done.lines()), markup=False)


def show_status(directory: Path) -> None:
    """Prints stages × shards with rows, errors, seconds and money."""
    run = Run.resume(directory)
    _status_table(run)
    _say_batches(run)
    if not run.finished():
        console.print(f"go on with: medprm resume {directory}")


def _say_batches(run: Run) -> None:
    """Names the providers' batches that are under way."""
    from medprm_hf.backends.batches.batch_notes import BatchNotes, age
    from medprm_hf.backends.journals.journal import Journal

    file = run.directory / "journal.sqlite"
    if not file.is_file():
        return
    with Journal(file, readonly=True) as journal:
        for batch in BatchNotes(journal).under_way():
            name = batch.provider or "not confirmed"
            console.print(
                f"batch under way: {batch.identity}, {name}: {batch.requests:,} requests, {age(batch)}; last heard: "
                f"{batch.said}",
                highlight=False,
            )


def _status_table(run: Run) -> None:
    count, accounts = run.shard_count(), spending(run.directory)
    table = Table(title=f"{run.recipe.name} in {run.directory}")
    for heading in ("stage", "shards", "rows", "errors", "seconds", "cost"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for index, stage in enumerate(run.stages):
        markers = [marker for number, marker in run.shards.markers(str(stage.name)) if number < count]
        sums = [sum(marker.get(name, 0) for marker in markers) for name in ("rows", "errors", "seconds")]
        cost = said(tally for (name, _), tally in accounts.items() if name == stage.name)
        done = f"{run.done(index)} / {count}"
        table.add_row(str(stage.name), done, str(sums[0]), str(sums[1]), f"{sums[2]:.1f}", cost)
    console.print(table)
    for (name, model), tally in sorted(accounts.items()):
        kinds = ", ".join(f"{kind} {number:,}" for kind, number in sorted(tally.failures.items()))
        console.print(
            f"{name}: {model}: {tally.completions:,} answers, {tally.prompt_tokens:,} + {tally.completion_tokens:,} "
            f"tokens, {said([tally])}{f'; failures: {kinds}' if kinds else ''}",
            highlight=False,
        )


@contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """A second process on the same run is refused; the lock of a process that died is taken over."""
    lock = directory / ".lock"
    try:
        handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        owner = lock.read_text(encoding="utf-8").strip()
        if owner.isdigit() and _alive(int(owner)):
            raise StoreError(
                f"{directory} is being worked on by process {owner}: wait for it, or stop it first"
            ) from None
        handle = os.open(lock, os.O_TRUNC | os.O_WRONLY)
    os.write(handle, str(os.getpid()).encode())
    os.close(handle)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()


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
