"""Journals of several processes that cannot share one file: each writes its own, and reads those that are at rest.

    own = OwnJournal(Path("runs/demo/journals/node7-4711.sqlite"), [Path("runs/demo/journal.sqlite")])
    settle(Path("runs/demo/journals/node3-99.sqlite"))       # its process died: brought to rest, to be read by all

SQLite's write-ahead log lives in memory that processes of one machine share; on a network file system two machines
would damage the file. A journal of one's own is opened with `locking_mode=EXCLUSIVE`, which needs no such memory.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from medprm_hf.backends.journals.journal import Journal, Recorded
from medprm_hf.backends.journals.journal_file import open_journal, store_error
from medprm_hf.backends.protocol import Failure


class OwnJournal(Journal):
    """A journal that this process alone writes; what it lacks is looked up in older ones."""

    def __init__(self, path: Path, older: Sequence[Path]) -> None:
        super().__init__(path)
        self.older: list[Journal] = []
        self.read_too(older)

    def read_too(self, files: Sequence[Path]) -> None:
        """Looks into these journals as well from now on; they must be at rest."""
        known = {journal.path for journal in self.older}
        self.older += [Journal(file, readonly=True) for file in files if file not in known]

    def recall(self, names: Sequence[str]) -> dict[str, Recorded]:
        """Answers of this journal, and of the older ones where it has none."""
        found = super().recall(names)
        for journal in self.older:
            if lacking := [name for name in names if name not in found]:
                found |= journal.recall(lacking)
        return found

    def failures(self, names: Sequence[str]) -> dict[str, Failure]:
        """The latest failure of each place; this journal's are the later ones."""
        found: dict[str, Failure] = {}
        for journal in self.older:
            found |= journal.failures(names)
        return found | super().failures(names)

    def close(self) -> None:
        """Closes this journal and the older ones; this one is left at rest, without helpers beside it."""
        with self._lock:
            if self._link is not None and self._owner == os.getpid():
                _rest(self._link, self.path)
        super().close()
        for journal in self.older:
            journal.close()

    def _open(self) -> sqlite3.Connection:
        if self._link is None:
            self._link, self._owner = _open_alone(self.path), os.getpid()
        return super()._open()


def open_with_older(path: Path, older: str) -> Journal:
    """The journal at `path`: one's own where there are older ones to be read (`os.pathsep` between them)."""
    if not older:
        return Journal(path)
    return OwnJournal(path, [file for file in map(Path, older.split(os.pathsep)) if file.is_file()])


def settle(path: Path) -> None:
    """Brings the journal of a process that ended to rest, so that many may read it; nobody else may write it."""
    link = _open_alone(path)
    try:
        _rest(link, path)
    finally:
        link.close()


def _open_alone(path: Path) -> sqlite3.Connection:
    """Makes tables where there are none; from then on without shared memory."""
    if not path.is_file():
        open_journal(path, readonly=False).close()
    link = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
            link.execute(f"PRAGMA {pragma}")
    except sqlite3.Error as error:
        link.close()
        raise store_error(path, error) from error
    return link


def _rest(link: sqlite3.Connection, path: Path) -> None:
    try:
        link.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise store_error(path, error) from error
