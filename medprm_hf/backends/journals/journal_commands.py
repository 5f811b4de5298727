"""What `medprm journal stats|export|prune` do; a journal is named by its file or by its run's directory."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from rich.table import Table

from medprm_hf.backends.journals.journal import Journal
from medprm_hf.backends.journals.journal_care import DAY, Filter, export, prune, stats
from medprm_hf.errors import StoreError

FILE = "journal.sqlite"
"""Name of the journal in a run directory."""


def journal_file(where: Path) -> Path:
    """The journal that a file or a run's directory names; StoreError where there is none."""
    file = where / FILE if where.is_dir() else where
    if not file.is_file():
        raise StoreError(f"there is no journal {file}: name a run's directory or a journal file")
    return file


def stats_table(where: Path) -> Table:
    """What a journal holds, one line a model."""
    file = journal_file(where)
    with Journal(file, readonly=True) as journal:
        kept = stats(journal)
    table = Table(title=f"{file.name}, {file.stat().st_size / 1e6:.1f} MB")
    for heading in ("model", "requests", "answers", "failures", "lacking", "tokens", "last"):
        table.add_column(heading, justify="left" if heading == "model" else "right", overflow="fold")
    for entry in kept:
        counts = (entry.requests, entry.answers, entry.failures, entry.lacking)
        tokens = f"{entry.prompt_tokens} + {entry.completion_tokens}"
        table.add_row(entry.identity, *map(str, counts), tokens, _day(entry.last))
    table.caption = "failures: each time a draw failed; lacking: draws that have not been answered since"
    return table


def export_journal(where: Path, out: Path | None, model: str | None) -> str:
    """Writes a journal as JSON lines; gives a line that says what was written."""
    file = journal_file(where)
    target = out or file.with_suffix(".jsonl")
    with Journal(file, readonly=True) as journal:
        count = export(journal, target, model)
    return f"wrote {count} requests to {target}"


def prune_journal(where: Path, days: float | None, model: str | None, failures: bool, yes: bool) -> str:
    """Takes out what the filter names if `yes`; gives a line that says what went, or would."""
    wanted = Filter(None if days is None else days * DAY, model, failures)
    file = journal_file(where)
    before = file.stat().st_size
    with Journal(file, readonly=False) as journal:
        gone = prune(journal, wanted, yes)
    figures = (
        f"{gone.answers} answers ({gone.completion_tokens} tokens, to be paid for again if they are asked for), "
        f"{gone.failures} failures, {gone.requests} requests of which nothing is left"
    )
    if not yes:
        return f"would take out {figures}; nothing is changed: add --yes to do it"
    return f"took out {figures}; the file has {file.stat().st_size / 1e6:.1f} MB, before {before / 1e6:.1f}"


def _day(seconds: float | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds).strftime("%Y-%m-%d")
