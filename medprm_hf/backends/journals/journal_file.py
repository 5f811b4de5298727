"""The journal's file: its tables, how it is opened by many processes at once, and what its errors mean.

requests   one row a distinct request: hash, identity, and a readable copy of what was hashed (JSON)
answers    one row a draw of a request that arrived whole
failures   one row a draw that did not, with kind, message and attempts; a list that only grows

What it costs, and why it is opened as it is, stands beside `PRAGMAS`.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from medprm_hf.errors import StoreError

VERSION = 1
"""Of the tables below; stands in the file as `user_version`."""
APPLICATION = 0x4D50524A
"""`MPRJ`: stands in the file as `application_id`, so that no other database is taken for a journal."""
PATIENCE = 60.0
"""Seconds to wait for another process that is writing."""

_TABLES = """
CREATE TABLE requests (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, identity TEXT NOT NULL, copy TEXT NOT NULL
);
CREATE TABLE answers (
    request INTEGER NOT NULL REFERENCES requests(id), number INTEGER NOT NULL, text, finish TEXT NOT NULL,
    tokens INTEGER NOT NULL, logprobs BLOB, top_logprobs TEXT, prompt_tokens INTEGER NOT NULL,
    continuation TEXT NOT NULL, at REAL NOT NULL, UNIQUE (request, number)
);
CREATE TABLE failures (
    request INTEGER NOT NULL REFERENCES requests(id), number INTEGER NOT NULL, kind TEXT NOT NULL,
    message TEXT NOT NULL, attempts INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, at REAL NOT NULL
);
CREATE INDEX failures_of ON failures (request);
CREATE INDEX requests_of ON requests (identity);
"""

PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL")
"""WAL with `synchronous=NORMAL`: a commit is a write into the operating system's memory, so what is committed survives
any end of this process, kill -9 included. Only a power cut can take the last seconds (it never damages the file).

CPU per 1,000 answers of 2 KB, one a request, names and lookup included (tests/benchmarks/journal_cost.py): NORMAL 75 ms
where each answer is committed alone, 43 ms in groups of 16 (`journal_group.py`), 14 and 12 ms where a request has 16
answers; FULL, which an fsync a commit makes safe from power cuts too, 421 and 68 ms, and alone 5 s of waiting for the
disk; OFF 62 and 38 ms, but a power cut could damage the file. So: NORMAL, and groups wherever responses come in bursts.
"""


def open_journal(path: Path, readonly: bool) -> sqlite3.Connection:
    """A connection to a journal; a new file gets its tables. Raises StoreError, which names the way out."""
    try:
        return _open_to_read(path) if readonly else _open_to_write(path)
    except sqlite3.Error as error:
        raise store_error(path, error) from error
    except OSError as error:
        raise StoreError(f"cannot write the journal {path}: {error.strerror or error}; name another place") from error


def _open_to_write(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    link = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        if _is_new(link, path):
            _patiently(link, lambda: _make(link, path))
        for pragma in PRAGMAS:
            _patiently(link, lambda pragma=pragma: link.execute(f"PRAGMA {pragma}"))
    except BaseException:
        link.close()
        raise
    return link


def _open_to_read(path: Path) -> sqlite3.Connection:
    """Writes nothing, so it also reads a journal in a folder that is not ours, as the one of an installed demo."""
    if not path.is_file():
        raise StoreError(f"there is no journal {path}: a run writes its own as RUN/journal.sqlite")
    where = path.resolve().as_uri()
    for mode in ("mode=ro", "immutable=1"):  # WAL needs its two helper files, which a read-only folder cannot get
        link = sqlite3.connect(
            f"{where}?{mode}", timeout=PATIENCE, uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            _check(link, path)
        except sqlite3.OperationalError:
            link.close()
            if mode == "immutable=1" or _unsaved(path):
                raise
        except BaseException:
            link.close()
            raise
        else:
            return link
    raise StoreError(f"the journal {path} cannot be read")  # the loop has returned or raised


def _unsaved(path: Path) -> bool:
    """Whether answers still lie in the write-ahead file: read without it, the journal would lack them."""
    beside = path.with_name(path.name + "-wal")
    return beside.exists() and beside.stat().st_size > 0


def _make(link: sqlite3.Connection, path: Path) -> None:
    link.execute("BEGIN IMMEDIATE")  # two processes may open a new journal at once: one makes it
    try:
        if _is_new(link, path):
            for statement in filter(str.strip, _TABLES.split(";")):
                link.execute(statement)
            link.execute(f"PRAGMA application_id={APPLICATION}")
            link.execute(f"PRAGMA user_version={VERSION}")
    finally:
        link.execute("COMMIT")


def _is_new(link: sqlite3.Connection, path: Path) -> bool:
    if link.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        return True
    _check(link, path)
    return False


def _check(link: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError for a database that is no journal, or one of another version."""
    application = link.execute("PRAGMA application_id").fetchone()[0]
    version = link.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION:
        raise StoreError(f"{path} is a database of something else, not a journal of requests: name another file")
    if version != VERSION:
        raise StoreError(
            f"the journal {path} has schema version {version}, this medprm-hf reads {VERSION}: use the medprm-hf "
            "that wrote it, or move the file away to begin a new one (its answers will be asked for again)"
        )


def _patiently(link: sqlite3.Connection, act: object) -> None:
    """Does what SQLite refuses at once, without its own waiting, while another process does the same."""
    assert callable(act)
    until = time.monotonic() + PATIENCE
    while True:
        try:
            act()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)


_WAYS_OUT = (
    ("not a database", "is not a journal, or its beginning was overwritten: move it away or name another file"),
    ("malformed", "is damaged: move it away (`sqlite3 FILE .recover` saves what can be read), then go on"),
    ("readonly", "may not be written: change its permissions, or copy it and name the copy"),
    ("unable to open", "cannot be opened: does the folder exist, and may it be written?"),
    ("full", "cannot grow, the disk is full: make room and go on (`medprm resume`); what was answered is kept"),
    ("locked", f"is kept busy by another process for over {PATIENCE:g} s: wait for it or stop it, then go on"),
    (
        "disk I/O",
        "cannot be read or written (disk error): free space, quota, or a disk that was taken away? Mend it and go on "
        "(`medprm resume`)",
    ),
    ("no such table", "lacks a table: move it away or name another file"),
)


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """What SQLite said, with the way out."""
    said = str(error)
    way = next((way for mark, way in _WAYS_OUT if mark in said), "cannot be used")
    return StoreError(f"the journal {path} {way} (SQLite: {said})")
