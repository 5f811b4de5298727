"""What a person sees while a run goes on: per stage a bar over its shards, and the live figures of its requests.

       rollout ━━━━━━━━━━━━━╸       14/40 0:02:10 eta 0:03:51  212/s  $0.84 of $25.00  $0.00031/label  timeout 3

Where the output is no terminal the same stands in a plain line, every half minute and at the end of each stage. The
figures are read from the meter twice a second; nothing is added to the path of a request.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from medprm_hf.backends.books import books
from medprm_hf.backends.money.tally import Tally, money
from medprm_hf.runs.money import said
from medprm_hf.runs.pipeline import Progress as Advance
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.shards import SOURCE

LOOK_EVERY = 0.5
"""Seconds between two looks at the meter."""
SAY_EVERY = 30.0
"""Seconds between two plain lines."""
_WINDOW = 20.0
"""Seconds over which the rate is taken."""


@dataclass
class Figures:
    """The live figures of one stage."""

    stage: str
    done: int
    total: int
    part: float
    """Shards done, the one in work by its share of a mean shard's completions."""
    asked: Tally
    rate: float
    """Completions per second, lately."""
    eta: float | None
    """Seconds; None before anything can be said."""
    spent: float
    """USD of the run, over all sessions."""
    budget: float | None
    per_label: float | None
    """USD per step label, over the stages so far."""

    def words(self) -> str:
        """Rate, money and failures in a few words; nothing where nothing was asked."""
        if not self.asked.requests and not self.asked.from_journal and not self.asked.failures:
            return ""
        cost = said([self.asked]) if self.asked.local or self.asked.cost is None else money(self.spent)
        parts = [f"{self.rate:.0f}/s" if self.rate >= 10 else f"{self.rate:.1f}/s", cost + self._limit()]
        if self.per_label and not self.asked.local:
            parts.append(f"{money(self.per_label)}/label")
        if self.asked.from_journal:
            parts.append(f"{self.asked.from_journal:,} from journal")
        parts += [f"{kind} {count:,}" for kind, count in self.asked.failures.most_common(3)]
        return "  ".join(parts)

    def _limit(self) -> str:
        return "" if self.budget is None else f" of {money(self.budget)}"


@dataclass
class Watch:
    """Follows a run: which shard of which stage it is at, and what the meter says of it."""

    run: Run
    stage: str = ""
    done: int = 0
    total: int = 0
    _began: float = 0.0
    _done_before: int = 0
    _asked_at_shard: int = 0
    _points: deque[tuple[float, int]] = field(default_factory=deque)
    _steps: dict[int, int] = field(default_factory=dict)

    def advance(self, stage: str, done: int, total: int) -> None:
        """The run's own call after each shard."""
        if stage != self.stage:
            self.stage, self._began, self._done_before = stage, time.monotonic(), done
            self._points.clear()
        self.done, self.total = done, total
        self._asked_at_shard = _completions(self._asked())

    def figures(self) -> Figures:
        """What can be said now."""
        asked, now = self._asked(), time.monotonic()
        part = self.done + self._share_of_shard(_completions(asked))
        meter = books().meter
        return Figures(
            self.stage,
            self.done,
            self.total,
            part,
            asked,
            self._rate(now, _completions(asked)),
            self._eta(now, part),
            meter.spent,
            meter.budget,
            self._label_cost(part),
        )

    def _asked(self) -> Tally:
        """The stage's tallies over all models, this session."""
        found = Tally()
        for (stage, _), tally in books().meter.totals().items():
            if stage == self.stage:
                found.add(tally)
        return found

    def _share_of_shard(self, completions: int) -> float:
        finished = self.done - self._done_before
        if not finished or not self._asked_at_shard:
            return 0.0
        return min(0.99, (completions - self._asked_at_shard) / (self._asked_at_shard / finished))

    def _rate(self, now: float, completions: int) -> float:
        points = self._points
        points.append((now, completions))
        while len(points) > 2 and now - points[0][0] > _WINDOW:
            points.popleft()
        seconds = now - points[0][0]
        if seconds < LOOK_EVERY / 2:
            return completions / max(now - self._began, 1e-3)
        return (completions - points[0][1]) / seconds

    def _eta(self, now: float, part: float) -> float | None:
        made = part - self._done_before if self.stage != SOURCE else 0
        return (now - self._began) / made * (self.total - part) if made > 0 else None

    def _label_cost(self, part: float) -> float | None:
        """USD per label: each stage's cost, earlier sessions included, over the steps that it has worked on."""
        steps = self._count_steps()
        if not steps or not part:
            return None
        found = 0.0
        for (stage, _), tally in books().meter.sessions().items():
            found += (tally.cost or 0.0) / (steps * (part / self.total if stage == self.stage else 1.0))
        return found or None

    def _count_steps(self) -> int:
        """Steps of the run's solutions, as far as they are generated."""
        names = [stage.name for stage in self.run.stages]
        if "generate" not in names:
            return 0
        count, made = self.run.shard_count(), self.done if self.stage == "generate" else self.total
        for number in range(count):
            if number not in self._steps and self.run.shards.marker("generate", number):
                file = self.run.directory / "shards" / "generate" / f"{number:05d}.parquet"
                self._steps[number] = sum(map(len, pq.read_table(file, columns=["steps"])["steps"].to_pylist()))
        known = len(self._steps)
        return round(sum(self._steps.values()) * (self.total / known)) if known and made else 0


def _completions(asked: Tally) -> int:
    return asked.completions + asked.from_journal


@contextmanager
def show_progress(run: Run, console: Console) -> Iterator[Advance]:
    """One bar a stage with live figures; plain lines where the output is no terminal."""
    watch = Watch(run)
    with _bars(watch, console) if console.is_terminal else _lines(watch, console) as advance:
        yield advance


@contextmanager
def _lines(watch: Watch, console: Console) -> Iterator[Advance]:
    def say() -> None:
        figures = watch.figures()
        if figures.stage == SOURCE and figures.done < figures.total:
            console.print(f"  {SOURCE}: {figures.done} shards so far")  # how many there will be, nobody knows yet
        elif figures.stage and figures.done < figures.total:
            eta = "" if figures.eta is None else f", eta {_clock(figures.eta)}"
            console.print(f"  {figures.stage}: {figures.done}/{figures.total} shards{eta}  {figures.words()}".rstrip())

    def advance(stage: str, done: int, total: int) -> None:
        watch.advance(stage, done, total)
        if done == total:
            words = "" if stage == SOURCE else watch.figures().words()
            console.print(f"  {stage}: {total} shards  {words}".rstrip())

    with _every(SAY_EVERY, say):
        yield advance


@contextmanager
def _bars(watch: Watch, console: Console) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[live]}"),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def look() -> None:
            figures = watch.figures()
            if figures.stage in tasks and figures.done < figures.total:
                eta = "" if figures.eta is None else f"eta {_clock(figures.eta)}  "
                bars.update(tasks[figures.stage], completed=int(figures.part), live=eta + figures.words())

        def advance(stage: str, done: int, total: int) -> None:
            watch.advance(stage, done, total)
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, live="")
            bars.update(tasks[stage], completed=done, live="" if stage == SOURCE else watch.figures().words())

        with _every(LOOK_EVERY, look):
            yield advance


@contextmanager
def _every(seconds: float, work: Callable[[], None]) -> Iterator[None]:
    """Calls `work` from a thread of its own until the block ends."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            work()

    thread = threading.Thread(target=repeat, name="medprm-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
