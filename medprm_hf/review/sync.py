"""Decisions to and from a dataset on the Hub, so that a Space whose disk is empty after a restart has them all again.

    sync = Sync(store, HubRepo("org/decisions"))
    sync.push()          # decisions made here since the last push, as one file in one commit; nothing new: no commit
    sync.pull()          # files of others, and of this store's earlier lives
    Every(sync, 300).start()                     # both, every five minutes, in a thread; `stop()` pushes the rest

    review/store.json                                settings
    review/items.jsonl.gz, review/images/SHA256      what is asked (sync_items.py)
    review/decisions/ORIGIN/000000001-000000040.jsonl      one line a decision, never changed
    review/gates/ORIGIN-KEY.json                     a batch that was sent back

Files are only added, so two Spaces never overwrite one another; a file that is pushed twice is read once, since every
decision has its key. What two people, or one person in two Spaces, said without seeing each other stands side by side:
a disagreement, for an adjudicator.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from medprm_hf.errors import HubError, MedPRMError
from medprm_hf.review.decisions import LABEL, RETRACT, VERDICT, Place, append, settle, stand, tally
from medprm_hf.review.gate import Back, send_back
from medprm_hf.review.ranking import rank
from medprm_hf.review.showing import moment
from medprm_hf.review.store import ReviewStore
from medprm_hf.review.sync_items import pull_items, push_items

FOLDER = "review"
_log = logging.getLogger(__name__)
_TEXTS = ("key", "kind", "item_id", "reviewer", "at", "origin", "supersedes")
"""Fields of a decision that must be texts."""


class Repo(Protocol):
    """What of hub.HubRepo is used; `FolderRepo` is another."""

    def commit(self, files: Mapping[str, bytes | Path | None], message: str) -> Any:
        """Writes files, all or none."""
        ...

    def read(self, path: str) -> bytes:
        """One file's bytes."""
        ...

    def files(self, revision: str = "main", under: str = "") -> list[str]:
        """Paths of the files below a folder."""
        ...


class Pulled(NamedTuple):
    """What a pull brought."""

    decisions: int
    """Decisions that were not here."""
    items: int
    """Items that were not here."""
    broken: int
    """Lines that are no decisions; they are left out, and told in the log."""


@dataclass
class Sync:
    """One store and the repo that it is kept in."""

    store: ReviewStore
    repo: Repo
    items: bool = True
    """Whether items and images are kept there too, so that an empty disk needs nothing else."""

    def both(self) -> tuple[Pulled, int]:
        """Pulls, then pushes; (what came, decisions that went)."""
        return self.pull(), self.push()

    def push(self) -> int:
        """Writes what is new here in one commit; gives the number of decisions. HubError where the Hub refuses."""
        last = int(self.store.meta("pushed") or 0)
        rows = [row for row in self.store.decisions(last) if row["origin"] == self.store.origin]
        gates = self._gates()
        files: dict[str, bytes | Path | None] = {f"{FOLDER}/gates/{name}.json": data for name, data in gates.items()}
        if rows:
            name = f"{rows[0]['id']:09d}-{rows[-1]['id']:09d}"
            files[f"{FOLDER}/decisions/{self.store.origin}/{name}.jsonl"] = b"".join(map(_line, rows))
        stamp = push_items(self.store, self.repo, FOLDER, files) if self.items else None
        if files:
            self.repo.commit(files, f"{len(rows)} decisions of {self.store.origin}")
        if rows:
            self.store.write_meta("pushed", str(rows[-1]["id"]))
        if gates:
            self.store.write_meta("pushed_gates", json.dumps(sorted({*self._pushed_gates(), *gates})))
        if stamp:
            self.store.write_meta("pushed_items", stamp)
        return len(rows)

    def pull(self) -> Pulled:
        """Takes in what others have pushed, and what an earlier life of this store has."""
        there = self._there()
        new = pull_items(self.store, self.repo, FOLDER, there) if self.items else 0
        self._pull_gates(path for path in there if path.startswith(f"{FOLDER}/gates/"))
        done = {row["path"] for row in self.store.database.read().execute("SELECT path FROM parts")}
        own = f"{FOLDER}/decisions/{self.store.origin}/"
        came = broken = 0
        for path in sorted(there):
            if path.startswith(f"{FOLDER}/decisions/") and path not in done and not path.startswith(own):
                added, odd = self._take(path)
                came, broken = came + added, broken + odd
        return Pulled(came, new, broken)

    def _there(self) -> list[str]:
        try:
            return self.repo.files(under=FOLDER)
        except HubError as error:
            if error.kind in ("repo", "revision", "file"):  # nobody has pushed yet
                return []
            raise

    def _take(self, path: str) -> tuple[int, int]:
        """(decisions added, broken lines) of one file; all of it in one transaction."""
        rows, broken = _read(self.repo.read(path), path)
        with self.store.database.write() as db:
            added = [row for row in rows if append(db, **row)]
            places = {Place(row["item_id"], row["step"], row["reviewer"]) for row in added}
            for row in added:
                if row["kind"] != RETRACT:
                    tally(db, row["reviewer"], decisions=int(row["kind"] in (LABEL, VERDICT)), seconds=row["seconds"])
            for place in places:
                stand(db, place)
            for item in {place.item_id for place in places}:
                settle(db, item)
            db.execute("INSERT OR IGNORE INTO parts VALUES (?, ?)", (path, moment(self.store.clock())))
        return len(added), broken

    # --- batches that were sent back ---------------------------------------------------------------------------

    def _pushed_gates(self) -> list[str]:
        known: list[str] = json.loads(self.store.meta("pushed_gates") or "[]")
        return known

    def _gates(self) -> dict[str, bytes]:
        db = self.store.database.read()
        found, done = {}, set(self._pushed_gates())
        for row in db.execute("SELECT key, at, who, batch, reason, result FROM gates ORDER BY id"):
            name = row["key"]
            if name not in done:
                items = [item[0] for item in db.execute("SELECT item_id FROM gate_items WHERE key = ?", (name,))]
                found[name] = json.dumps({**dict(row), "items": items}, ensure_ascii=False).encode()
        return found

    def _pull_gates(self, paths: Iterable[str]) -> None:
        done = set(self._pushed_gates())
        for path in sorted(paths):
            name = path.rsplit("/", 1)[-1].removesuffix(".json")
            if name in done:
                continue
            data = json.loads(self.repo.read(path))
            items = data.pop("items")
            with self.store.database.write() as db:
                send_back(db, Back(**{**data, "result": json.loads(data["result"])}), items)
                rank(db, self.store.settings.seed)
            done.add(name)
        self.store.write_meta("pushed_gates", json.dumps(sorted(done)))


def _line(row: Mapping[str, Any]) -> bytes:
    plain = {name: value for name, value in row.items() if name != "id" and value is not None}
    return json.dumps(plain, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def _read(data: bytes, path: str) -> tuple[list[dict[str, Any]], int]:
    """(decisions, number of broken lines) of a file."""
    rows, broken = [], 0
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
        try:
            rows.append(_checked(json.loads(line)))
        except (ValueError, TypeError, KeyError, sqlite3.Error) as error:
            broken += 1
            _log.warning("%s line %d is no decision and is left out: %s", path, number, error)
    return rows, broken


_FIELDS = {
    "key", "kind", "item_id", "step", "reviewer", "at", "label", "error_type", "severity", "note", "box", "seconds",
    "blind", "shown", "identity", "version", "round", "supersedes", "retracts", "body", "origin",
}  # fmt: skip


def _checked(row: Any) -> dict[str, Any]:
    """A line that is a decision; ValueError else."""
    if not isinstance(row, dict) or any(not isinstance(row.get(name), str) for name in _TEXTS):
        raise ValueError(f"it lacks one of {', '.join(_TEXTS)}")
    if not isinstance(row.get("step"), int) or not isinstance(json.loads(row["supersedes"]), list):
        raise ValueError("its step is no number, or what it supersedes no list")
    return {name: row[name] for name in row if name in _FIELDS} | {"seconds": row.get("seconds")}


class Every:
    """Syncs in a thread, every so often; what fails is logged and tried again next time."""

    def __init__(self, sync: Sync, seconds: float = 300.0) -> None:
        self._sync, self._seconds = sync, seconds
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._loop, name="review-sync", daemon=True)

    def start(self) -> None:
        """Begins; the first sync comes at once."""
        self._thread.start()

    def now(self) -> tuple[Pulled, int]:
        """Syncs on demand; raises what goes wrong."""
        with self._lock:
            return self._sync.both()

    def stop(self) -> None:
        """Pushes the rest and ends."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(30)
        self._quietly()

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._quietly()
            self._stop.wait(self._seconds)

    def _quietly(self) -> None:
        try:
            self.now()
        except (MedPRMError, OSError, ValueError) as error:
            _log.warning("decisions are kept here, but not synced: %s", error)
