"""The store's file: older ones are brought up to date, others refused, and a killed writer leaves nothing half done."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medprm_hf.errors import StoreError
from medprm_hf.review.adjudication import words_on
from medprm_hf.review.decisions import Judged
from medprm_hf.review.items import items_of
from medprm_hf.review.progress import counts
from medprm_hf.review.store import ReviewStore
from medprm_hf.review.tables import MIGRATIONS, Database, statements
from tests.review.rows import row, store

FIRST = 1
"""Version of the file that `old_file` makes."""


def old_file(path: Path) -> None:
    """A store as version 1 wrote it: one item, one decision."""
    connection = sqlite3.connect(path)
    for statement in statements(MIGRATIONS[0]):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FIRST}")
    [item] = items_of(row(0))
    connection.execute(
        "INSERT INTO items (item_id, question_id, kind, content, machine, identities, content_hash, doubt, sample, "
        "asked, priority, draw, asked_n, open) "
        "VALUES ('q0-s0', 'q0', 'solution', ?, ?, ?, ?, '111', '000', '111', 1, 0.5, 3, 1)",
        (json.dumps(item.content), json.dumps(item.machine), json.dumps(item.identities), item.content_hash),
    )
    connection.execute(
        "INSERT INTO decisions (key, kind, item_id, step, reviewer, at, label, identity, origin) "
        "VALUES ('old-key-1', 'label', 'q0-s0', 0, 'ann', '2026-01-01T00:00:00+00:00', '-', ?, 'here')",
        (item.identities[0],),
    )
    connection.execute(
        "INSERT INTO standing VALUES ('q0-s0', 0, 'label', 'ann', 'old-key-1', '-', ?, 1, 0, ?)",
        (item.identities[0], "2026-01-01T00:00:00+00:00"),
    )
    connection.commit()
    connection.close()


def test_a_file_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    old_file(tmp_path / "old.sqlite")
    found = ReviewStore(tmp_path / "old.sqlite")
    assert found.database.read().execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    assert found.show("ann", "q0-s0", blind=True)["steps"][0]["mine"]["label"] == "-"
    found.save("new-key-1", "ann", "q0-s0", 1, 0, Judged("+"))
    assert [word.label for word in words_on(found, "q0-s0")[0]] == ["+"]
    assert len(list(found.decisions())) == 2


def test_a_migration_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_file(tmp_path / "old.sqlite")
    broken = (*MIGRATIONS[:2], "CREATE TABLE fine (a);\nCREATE TABLE fine (a);")
    monkeypatch.setattr("medprm_hf.review.tables.MIGRATIONS", broken)
    with pytest.raises(StoreError, match="fine"):
        Database(tmp_path / "old.sqlite")
    connection = sqlite3.connect(tmp_path / "old.sqlite")
    assert connection.execute("PRAGMA user_version").fetchone()[0] == 2  # the second was done, the third not at all
    assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'fine'").fetchall()


def test_files_that_are_something_else_are_refused(tmp_path: Path) -> None:
    newer, other, text = (tmp_path / name for name in ("newer.sqlite", "other.sqlite", "text.sqlite"))
    for path, statement in ((newer, "PRAGMA user_version = 99"), (other, "CREATE TABLE mine (a)")):
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.commit()
        connection.close()
    text.write_text("no database at all " * 100)
    for path, said in ((newer, "version 99"), (other, "no review store"), (text, "not a database")):
        with pytest.raises(StoreError, match=said):
            ReviewStore(path)


def test_settings_stay_with_the_file(tmp_path: Path) -> None:
    found = store(tmp_path, blind=True, reviewers_per_item=3)
    found.close()
    again = ReviewStore(found.path)
    assert again.settings == found.settings and again.origin == found.origin
    again.change(blind=False)
    assert ReviewStore(found.path).settings.blind is False


WRITER = """
import sys
from pathlib import Path
from medprm_hf.review.decisions import Judged
from medprm_hf.review.store import ReviewStore
store = ReviewStore(Path(sys.argv[1]))
for number in range(100_000):
    store.save(f"key-{number:06d}", "ann", "q0-s0", 1, number % 3, Judged("+-0"[number % 3]))
    print(number, flush=True)
"""
HALFWAY = """
import os, signal, sys
from pathlib import Path
from medprm_hf.review import store as module
from medprm_hf.review.decisions import Judged
store = module.ReviewStore(Path(sys.argv[1]))
store.save("whole-key", "ann", "q0-s0", 1, 0, Judged("+"))
module.settle = lambda db, item: os.kill(os.getpid(), signal.SIGKILL)
store.save("half-key-", "ann", "q0-s0", 1, 1, Judged("-"))
"""


def test_what_was_acknowledged_outlives_kill_9(tmp_path: Path) -> None:
    path = store(tmp_path).path
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        said += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    found = ReviewStore(path)
    kept = [int(one["key"].removeprefix("key-")) for one in found.decisions()]
    assert kept == list(range(len(kept))) and len(said) <= len(kept) <= len(said) + 1


def test_a_kill_inside_a_transaction_leaves_nothing_half_done(tmp_path: Path) -> None:
    path = store(tmp_path).path
    process = subprocess.run([sys.executable, "-c", HALFWAY, str(path)], timeout=60)
    assert process.returncode == -signal.SIGKILL
    found = ReviewStore(path)
    assert [one["key"] for one in found.decisions()] == ["whole-key"]
    assert counts(found, "ann") == {"open": 8, "done": 1, "mine": 1}
    assert found.database.read().execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_another_writer_is_waited_for(tmp_path: Path) -> None:
    found = store(tmp_path)
    code = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
    code += "c.execute('BEGIN IMMEDIATE'); "
    holder = subprocess.Popen(
        [sys.executable, "-c", code + "print(1, flush=True); time.sleep(0.7)", str(found.path)], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None and holder.stdout.readline()
    started = time.monotonic()
    found.save("wait-key-1", "ann", "q0-s0", 1, 0, Judged("+"))
    assert time.monotonic() - started > 0.2
    holder.wait(timeout=10)
