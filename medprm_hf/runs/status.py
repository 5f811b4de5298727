"""`medprm status`: how far a run is, what it costs, what failed and why; also while another process builds it.

    rollout: 14 of 40 shards, 2.1 a minute, about 0:12:30 left; process 4711 is at work
    rows with errors: rollout: http_500 12, timeout 3

The pace is told by the times of the last markers, so it counts every process that works on the run.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from medprm_hf.runs.lock import worker
from medprm_hf.runs.money import said, spending
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.seal import finished_report
from medprm_hf.runs.shards import SOURCE

LATELY = 20
"""Shards over which the pace is taken."""


class Pace(NamedTuple):
    """How a stage gets on."""

    stage: str
    done: int
    total: int
    per_minute: float | None
    """Shards a minute, lately; None before two are done."""
    left: float | None
    """Seconds; None where nothing can be said."""


def show_status(directory: Path, console: Console) -> None:
    """Prints stages × shards with rows, errors, seconds and money, then pace, failures and how to go on."""
    run = Run.resume(directory)
    status_table(run, console)
    say_batches(run, console)
    owner = worker(directory)
    if run.source().whole is None:
        read = len(run.shards.prints(SOURCE))
        console.print(f"the source is not read to its end: {read} shards so far", highlight=False)
    elif (pace := pace_of(run)) is not None:
        console.print(_words(pace) + (f"; process {owner} is at work" if owner else ""), highlight=False)
    for file in run.source().changed():
        console.print(f"changed since it was read: {file}; what hangs on changed rows is done again", highlight=False)
    if run.finished() and finished_report(run) is None and not owner:
        console.print("all shards are done; dataset, exports and report are not written")
    if not owner and (not run.finished() or finished_report(run) is None):
        console.print(f"go on with: medprm resume {directory}")


def pace_of(run: Run) -> Pace | None:
    """The pace of the first stage that is not done; None where all are."""
    for index, stage in enumerate(run.stages):
        todo, total = set(run.todo(index)), run.shard_count()
        if todo:
            folder = run.shards.folder(str(stage.name))
            done = [number for number in range(total) if number not in todo]
            times = sorted((folder / f"{number:05d}.json").stat().st_mtime for number in done)[-LATELY:]
            each = (max(times[-1], _now(run)) - times[0]) / (len(times) - 1) if len(times) > 1 else None
            each = each or None
            return Pace(str(stage.name), len(done), total, 60 / each if each else None, each and each * len(todo))
    return None


def _now(run: Run) -> float:
    """The time, while somebody works; a run that lies still is not getting slower."""
    return time.time() if worker(run.directory) else 0.0


def _words(pace: Pace) -> str:
    minute = "" if pace.per_minute is None else f", {pace.per_minute:.3g} a minute"
    left = "" if pace.left is None else f", about {clock(pace.left)} left"
    return f"{pace.stage}: {pace.done} of {pace.total} shards{minute}{left}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds as `0:12:30`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def status_table(run: Run, console: Console) -> None:
    """Stages × shards, what each model was asked, and what failed, by reason."""
    count, accounts = run.shard_count(), spending(run.directory)
    table = Table(title=f"{run.recipe.name} in {run.directory}")
    for heading in ("stage", "shards", "rows", "errors", "seconds", "cost"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    kinds: dict[str, Counter[str]] = {}
    for index, stage in enumerate(run.stages):
        name, sums, seconds = str(stage.name), Counter[str](), 0.0
        kinds[name] = Counter()
        for number, marker in run.shards.markers(name):
            if number < count:
                sums.update({key: marker.get(key, 0) for key in ("rows", "errors")})
                seconds += marker.get("seconds", 0.0)
                kinds[name].update(marker.get("error_kinds", {}))
        cost = said(tally for (stage_name, _), tally in accounts.items() if stage_name == name)
        done = f"{run.done(index)} / {count}"
        table.add_row(name, done, str(sums["rows"]), str(sums["errors"]), f"{seconds:.1f}", cost)
    console.print(table)
    for (name, model), tally in sorted(accounts.items()):
        console.print(
            f"{name}: {model}: {tally.completions:,} answers, {tally.prompt_tokens:,} + {tally.completion_tokens:,} "
            f"tokens, {said([tally])}{_failures('; failures', tally.failures)}",
            highlight=False,
        )
    for name, found in kinds.items():
        if found:
            console.print(_failures(f"rows with errors: {name}", found).removeprefix("; "), highlight=False)


def _failures(what: str, kinds: Counter[str]) -> str:
    listed = ", ".join(f"{kind} {number:,}" for kind, number in sorted(kinds.items()))
    return f"{what}: {listed}" if listed else ""


def say_batches(run: Run, console: Console) -> None:
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
