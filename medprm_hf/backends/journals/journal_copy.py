"""A journal carried elsewhere: a snapshot while it is being written to, and taking another journal's answers in.

    packed(Path("runs/demo/journal.sqlite"), Path("journal.sqlite.zst"))     # a whole, consistent copy, compressed
    take_in(Path("runs/here/journal.sqlite"), Path("journal.sqlite.zst"))    # 1204: answers that were new here

The copy is made by SQLite's backup in one step: readers and writers of the journal go on meanwhile. What a journal
already answers is never overwritten.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from medprm_hf.backends.journals.journal import Journal
from medprm_hf.backends.journals.journal_file import open_journal, store_error

_REQUESTS = """
INSERT INTO requests (hash, identity, copy) SELECT hash, identity, copy FROM other.requests WHERE true
ON CONFLICT DO NOTHING
"""
_ANSWERS = """
INSERT INTO answers
SELECT here.id, number, text, finish, tokens, logprobs, top_logprobs, prompt_tokens, continuation, at
FROM other.answers JOIN other.requests AS there ON there.id = request JOIN requests AS here ON here.hash = there.hash
WHERE true ON CONFLICT DO NOTHING
"""


def packed(journal: Path, to: Path) -> Path:
    """Writes a compressed copy (zstd) of the journal as it is now; StoreError where it cannot be read."""
    with tempfile.TemporaryDirectory(prefix=".journal-", dir=to.parent) as folder:
        copy = Path(folder) / "journal.sqlite"
        with closing(open_journal(journal, readonly=True)) as source, closing(sqlite3.connect(copy)) as target:
            try:
                source.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")  # one file, without helpers beside it
            except sqlite3.Error as error:
                raise store_error(journal, error) from error
        with copy.open("rb") as plain, pa.CompressedOutputStream(str(copy) + ".zst", "zstd") as out:
            shutil.copyfileobj(plain, out, 1 << 20)
        os.replace(str(copy) + ".zst", to)
    return to


def take_in(journal: Path, other: Path) -> int:
    """Adds the answers of a packed journal; gives how many were new. A journal that is not there yet becomes it."""
    with tempfile.TemporaryDirectory(prefix=".journal-", dir=journal.parent) as folder:
        copy = Path(folder) / "other.sqlite"
        with pa.CompressedInputStream(str(other), "zstd") as packed_copy, copy.open("wb") as plain:
            shutil.copyfileobj(packed_copy, plain, 1 << 20)
        return merge_in(journal, copy)


def merge_in(journal: Path, other: Path) -> int:
    """The same of a journal file that is at rest; it is only read."""
    open_journal(other, readonly=True).close()  # refuses what is no journal, or one of another version
    with Journal(journal) as own:
        before = own.query("SELECT count(*) FROM answers")[0][0]
        own.query("ATTACH DATABASE ? AS other", (str(other),))
        with own.writing() as link:
            link.execute(_REQUESTS)
            link.execute(_ANSWERS)
        own.query("DETACH DATABASE other")
        return int(own.query("SELECT count(*) FROM answers")[0][0]) - int(before)
