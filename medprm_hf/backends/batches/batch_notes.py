"""What the journal's file knows of provider batches: which are under way, and which places each of them is to fill.

    notes = BatchNotes(journal)
    notes.intend(intent, "openai:gpt-4o-mini", lines, worst=0.4)      before anything is sent
    notes.submitted(intent, "batch_abc")                              the provider's name for it
    notes.open_of(names)                                              {intent: batch} that hold some of these places

Two tables beside the journal's own, made when first needed. A place has one row at most: `open` (in a batch), `lost`
(sent, not answered: to be sent again) or `failed` (with its reason); one that is answered has none.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medprm_hf.backends.journals.journal import Journal
from medprm_hf.backends.protocol import Failure
from medprm_hf.backends.servers.http_errors import scrub

_TABLES = (
    "CREATE TABLE IF NOT EXISTS batches (intent TEXT PRIMARY KEY, identity TEXT NOT NULL, provider TEXT NOT NULL, "
    "requests INTEGER NOT NULL, worst REAL NOT NULL, at REAL NOT NULL, said TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS batch_places (name TEXT PRIMARY KEY, intent TEXT NOT NULL, line TEXT NOT NULL, "
    "state TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL, attempt INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS batch_places_of ON batch_places (intent)",
)
_AT_ONCE = 500


@dataclass(frozen=True)
class Batch:
    """One batch that was intended, and perhaps submitted."""

    intent: str
    identity: str
    provider: str
    """The provider's name for it; empty: the process ended before it was known."""
    requests: int
    worst: float
    """USD that it may cost at most; 0 where the price is not known."""
    at: float
    """Seconds since 1970."""
    said: str
    """What the provider said of it when it was last asked."""


class BatchNotes:
    """Reads and writes the notes of one journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def intend(self, batch: Batch, lines: Mapping[str, Sequence[str]]) -> None:
        """Notes a batch before it is sent: its lines, each with the names of its places."""
        rows = [(name, batch.intent, line) for line, names in lines.items() for name in names]
        with self._journal.writing() as link:
            for table in _TABLES:
                link.execute(table)
            values = (batch.intent, batch.identity, batch.provider, batch.requests, batch.worst, batch.at, batch.said)
            link.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            link.executemany(
                "INSERT INTO batch_places VALUES (?, ?, ?, 'open', '', '', 1) ON CONFLICT (name) DO UPDATE SET "
                "intent = excluded.intent, line = excluded.line, state = 'open', attempt = attempt + 1",
                rows,
            )

    def submitted(self, intent: str, provider: str) -> None:
        """Notes what the provider calls it."""
        with self._journal.writing() as link:
            link.execute("UPDATE batches SET provider = ? WHERE intent = ?", (provider, intent))

    def said(self, intent: str, said: str) -> None:
        """Notes what the provider says of it."""
        with self._journal.writing() as link:
            link.execute("UPDATE batches SET said = ? WHERE intent = ?", (said, intent))

    def settle(self, names: Iterable[str]) -> None:
        """These places are done with: answered, or their failure was handed over."""
        if self._there():
            with self._journal.writing() as link:
                link.executemany("DELETE FROM batch_places WHERE name = ?", [(name,) for name in names])

    def fail(self, failures: Mapping[str, Failure], again: int) -> None:
        """Notes failed places; those of kind `lost` are sent again until that has been done `again` times."""
        rows = [
            (again if failure.kind in RETRIED else 0, failure.kind, scrub(failure.message), name)
            for name, failure in failures.items()
        ]
        with self._journal.writing() as link:
            link.executemany(
                "UPDATE batch_places SET state = CASE WHEN attempt < ? THEN 'lost' ELSE 'failed' END, kind = ?, "
                "message = ? WHERE name = ?",
                rows,
            )

    def forget(self, intent: str) -> None:
        """A batch that never reached the provider: its places are to be sent again."""
        with self._journal.writing() as link:
            link.execute("UPDATE batch_places SET state = 'lost', attempt = attempt - 1 WHERE intent = ?", (intent,))
            link.execute("DELETE FROM batches WHERE intent = ?", (intent,))

    def open_of(self, names: Sequence[str]) -> dict[str, Batch]:
        """Batches under way that hold some of the named places, by intent."""
        intents = {intent for _, intent, _, state, *_ in self._places(names) if state == "open"}
        return {intent: batch for intent, batch in self._batches().items() if intent in intents}

    def lines_of(self, intent: str) -> dict[str, list[str]]:
        """Open places of a batch by line, in the order in which they were asked for."""
        found: dict[str, list[str]] = {}
        rows = self._journal.query(
            "SELECT line, name FROM batch_places WHERE intent = ? AND state = 'open' ORDER BY rowid", (intent,)
        )
        for line, name in sorted(rows, key=lambda row: int(row[1].rpartition(":")[2])):
            found.setdefault(line, []).append(name)
        return found

    def failed(self, names: Sequence[str]) -> dict[str, Failure]:
        """Places that have failed for good."""
        return {
            name: Failure(kind, message, attempt)
            for name, _, _, state, kind, message, attempt in self._places(names)
            if state == "failed"
        }

    def under_way(self) -> list[Batch]:
        """Every batch that still holds open places, oldest first."""
        if not self._there():
            return []
        intents = {row[0] for row in self._journal.query("SELECT intent FROM batch_places WHERE state = 'open'")}
        return sorted((b for b in self._batches().values() if b.intent in intents), key=lambda b: b.at)

    def _batches(self) -> dict[str, Batch]:
        if not self._there():
            return {}
        return {row[0]: Batch(*row) for row in self._journal.query("SELECT * FROM batches")}

    def _places(self, names: Sequence[str]) -> list[tuple[str, str, str, str, str, str, int]]:
        if not self._there():
            return []
        found: list[tuple[str, str, str, str, str, str, int]] = []
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            rows = self._journal.query(f"SELECT * FROM batch_places WHERE name IN ({marks})", list(some))
            found += [(r[0], r[1], r[2], r[3], r[4], r[5], r[6]) for r in rows]
        return found

    def _there(self) -> bool:
        return bool(self._journal.query("SELECT 1 FROM sqlite_master WHERE name = 'batch_places'"))


RETRIED = frozenset(("lost", "expired", "cancelled", "http_429", "http_500", "http_502", "http_503", "no_choices"))
"""Kinds of failure of a line that may pass: it is sent again in another batch."""


def age(batch: Batch) -> str:
    """How long ago it was submitted, in words."""
    minutes = max(0.0, time.time() - batch.at) / 60
    return f"{minutes:.0f} min ago" if minutes < 120 else f"{minutes / 60:.0f} h ago"
