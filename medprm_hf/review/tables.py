"""The review store's file: SQLite in WAL mode, its tables, and how an older file becomes a newer one.

    database = Database(Path("review.sqlite"))
    with database.write() as db:                   # one transaction: all of it, or nothing
        db.execute("INSERT …")
    database.run(lambda db: db.execute("INSERT …"))      # the same; several threads share one commit
    database.read().execute("SELECT …")            # a connection of the thread's own, never in the writer's way

`user_version` counts the migrations that a file has been through; each runs in a transaction of its own. Decisions are
only ever added: triggers refuse to change or delete one, whoever asks. `standing` is derived from them and can be made
anew. A commit is on the disk before it returns (synchronous=FULL), so a kill or a power cut loses nothing that was
acknowledged.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from medprm_hf.errors import StoreError

T = TypeVar("T")
_FIRST = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE images (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL, mime TEXT, width INTEGER, height INTEGER);
CREATE TABLE items (
  item_id TEXT PRIMARY KEY, question_id TEXT NOT NULL, kind TEXT NOT NULL, batch TEXT,
  modality TEXT, domain TEXT, difficulty TEXT, source TEXT, image_sha256 TEXT,
  content TEXT NOT NULL, machine TEXT NOT NULL, identities TEXT NOT NULL, content_hash TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  doubt TEXT NOT NULL, sample TEXT NOT NULL, asked TEXT NOT NULL,
  priority REAL NOT NULL, draw REAL NOT NULL, rank REAL NOT NULL DEFAULT 2,
  needed INTEGER NOT NULL DEFAULT 1, round INTEGER NOT NULL DEFAULT 1,
  asked_n INTEGER NOT NULL, settled_n INTEGER NOT NULL DEFAULT 0, begun INTEGER NOT NULL DEFAULT 0,
  open INTEGER NOT NULL
);
CREATE INDEX items_queue ON items (begun, rank) WHERE open = 1;
CREATE INDEX items_domain ON items (domain, begun, rank) WHERE open = 1;
CREATE INDEX items_modality ON items (modality, begun, rank) WHERE open = 1;
CREATE INDEX items_question ON items (question_id);
CREATE TABLE decisions (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
  item_id TEXT NOT NULL, step INTEGER NOT NULL, reviewer TEXT NOT NULL, at TEXT NOT NULL,
  label TEXT, error_type TEXT, severity TEXT, note TEXT, box TEXT, seconds REAL,
  blind INTEGER NOT NULL DEFAULT 0, shown TEXT, identity TEXT, version INTEGER, round INTEGER NOT NULL DEFAULT 1,
  supersedes TEXT NOT NULL DEFAULT '[]', retracts TEXT, body TEXT, origin TEXT NOT NULL
);
CREATE INDEX decisions_step ON decisions (item_id, step, reviewer);
CREATE INDEX decisions_reviewer ON decisions (reviewer, at);
CREATE TRIGGER decisions_stay BEFORE UPDATE ON decisions BEGIN SELECT RAISE(ABORT, 'decisions are never changed'); END;
CREATE TRIGGER decisions_last BEFORE DELETE ON decisions BEGIN SELECT RAISE(ABORT, 'decisions are never deleted'); END;
CREATE TABLE standing (
  item_id TEXT NOT NULL, step INTEGER NOT NULL, kind TEXT NOT NULL, reviewer TEXT NOT NULL, key TEXT NOT NULL,
  label TEXT, identity TEXT, round INTEGER NOT NULL, blind INTEGER NOT NULL, at TEXT NOT NULL,
  PRIMARY KEY (item_id, step, kind, reviewer, key)
) WITHOUT ROWID;
CREATE TABLE leases (item_id TEXT PRIMARY KEY, reviewer TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX leases_reviewer ON leases (reviewer);
CREATE TABLE visits (
  reviewer TEXT NOT NULL, item_id TEXT NOT NULL, state TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (reviewer, item_id)
) WITHOUT ROWID;
CREATE TABLE reviewers (
  name TEXT PRIMARY KEY, decisions INTEGER NOT NULL DEFAULT 0, timed INTEGER NOT NULL DEFAULT 0,
  seconds REAL NOT NULL DEFAULT 0, steps INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO totals VALUES ('asked', 0), ('settled', 0), ('open_items', 0), ('items', 0);
CREATE TRIGGER items_in AFTER INSERT ON items BEGIN
  UPDATE totals SET value = value + CASE name WHEN 'asked' THEN new.asked_n WHEN 'settled' THEN new.settled_n
    WHEN 'open_items' THEN new.open ELSE 1 END;
END;
CREATE TRIGGER items_change AFTER UPDATE OF asked_n, settled_n, open ON items
WHEN old.asked_n <> new.asked_n OR old.settled_n <> new.settled_n OR old.open <> new.open BEGIN
  UPDATE totals SET value = value + CASE name WHEN 'asked' THEN new.asked_n - old.asked_n
    WHEN 'settled' THEN new.settled_n - old.settled_n WHEN 'open_items' THEN new.open - old.open ELSE 0 END;
END;
"""
_BLIND = "ALTER TABLE visits ADD COLUMN unblinded INTEGER NOT NULL DEFAULT 0;"
"""2: who has been sent the signals of an item is known, also after a change of the blind setting."""
_GATES = """
CREATE TABLE gates (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, at TEXT NOT NULL, who TEXT NOT NULL, batch TEXT,
  result TEXT NOT NULL, reason TEXT, rejected INTEGER NOT NULL
);
CREATE TABLE gate_items (item_id TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (item_id, key)) WITHOUT ROWID;
CREATE INDEX items_batch ON items (batch);
"""
"""3: batches that were let through or sent back."""
_PARTS = "CREATE TABLE parts (path TEXT PRIMARY KEY, at TEXT NOT NULL) WITHOUT ROWID;"
"""4: files on the Hub whose decisions are here."""
_URGENCY = "ALTER TABLE items ADD COLUMN urgency TEXT;"
"""5: how much each step is worth asking, so that a share of all steps can be asked."""
MIGRATIONS = (_FIRST, _BLIND, _GATES, _PARTS, _URGENCY)
WAIT = 30.0
"""Seconds that a writer waits for another process to finish."""


class _Connection(sqlite3.Connection):
    """A connection that ends with its thread: nothing but the thread holds on to it."""


class _Job:
    """Work that waits for its turn, and what came of it."""

    def __init__(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        self.work = work
        self.value: Any = None
        self.error: BaseException | None = None
        self.done = False

    def do(self, db: sqlite3.Connection) -> None:
        """Does it within a savepoint; what it raises is kept for the thread that waits."""
        db.execute("SAVEPOINT job")
        try:
            self.value = self.work(db)
        except Exception as error:
            self.error = error
            db.execute("ROLLBACK TO job")
        db.execute("RELEASE job")


class Database:
    """One SQLite file: a writer's connection behind a lock, and a reader's connection for each thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._owner: int | None = None
        self._queue: list[_Job] = []
        self._queue_lock = threading.Lock()
        self._local = threading.local()
        self._opened: weakref.WeakSet[_Connection] = weakref.WeakSet()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            migrate(self._writer, path)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{path} cannot be opened as a review store ({error}): name another file") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=WAIT, isolation_level=None, check_same_thread=False, factory=_Connection
        )
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-32000"):
            connection.execute(f"PRAGMA {pragma}")
        self._opened.add(connection)
        return connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """The writer's connection inside a transaction, which an exception rolls back; may be nested."""
        with self._lock:
            if self._writes_here():  # part of a larger one
                yield self._writer
                return
            try:
                self._writer.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                raise StoreError(f"{self.path} is held by another program ({error}): close it, or wait") from error
            self._owner = threading.get_ident()
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            finally:
                self._owner = None

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Does some work in a transaction and gives what it gives; on the disk when this returns.

        Work of several threads that wait for the disk goes into one commit, each within a savepoint: what one raises
        undoes that one alone.
        """
        if self._writes_here():
            return work(self._writer)
        job = _Job(work)
        with self._queue_lock:
            self._queue.append(job)
        with self._lock:
            if not job.done:  # else the one before did it along with its own
                with self._queue_lock:
                    jobs, self._queue = self._queue, []
                self._commit(jobs)
        if job.error is not None:
            raise job.error
        return cast(T, job.value)

    def _commit(self, jobs: Sequence[_Job]) -> None:
        try:
            with self.write() as db:
                for job in jobs:
                    job.do(db)
        except BaseException as error:
            for job in jobs:  # nothing of it is on the disk: nobody may believe that it is
                job.error = job.error or error
            if not isinstance(error, Exception):
                raise
        finally:
            for job in jobs:
                job.done = True

    def _writes_here(self) -> bool:
        """Whether this thread is inside `write`."""
        return self._owner == threading.get_ident()

    def read(self) -> sqlite3.Connection:
        """This thread's own connection for reading: it sees what is committed."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = self._connect()
        return found

    def close(self) -> None:
        """Closes all connections; the write-ahead log is taken into the file."""
        with self._lock:
            for connection in list(self._opened):
                connection.close()


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Brings a file up to date; StoreError for one that a newer medprm-hf has written, or that is something else."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} is a review store of version {version}, this medprm-hf knows {len(MIGRATIONS)}: update"
        )
    tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
    if version == 0 and tables:
        raise StoreError(f"{path} is a database, but no review store: name another file")
    for number in range(version, len(MIGRATIONS)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if int(connection.execute("PRAGMA user_version").fetchone()[0]) == number:  # nobody was quicker
                for statement in statements(MIGRATIONS[number]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def statements(script: str) -> Iterator[str]:
    """The statements of a script one by one; `executescript` would commit the transaction around them."""
    pending = ""
    for line in script.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
