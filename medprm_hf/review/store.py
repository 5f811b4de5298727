"""The review store: items to look at, who holds them, and every decision ever made. One SQLite file.

    store = ReviewStore(Path("review.sqlite"))
    store.add(rows)                                            # canonical rows; a second time changes nothing
    item = store.next("ann")                                   # dict as the page gets it, or None
    store.save("b0f2…", "ann", item["item_id"], item["version"], step=2, judged=Judged("-", "factual_error"))
    store.undo("77aa…", "ann", item["item_id"], step=2)        # appends; nothing is ever deleted

Safe for many threads, and for several processes on one file. Disagreement, agreement, gates and the Hub have files of
their own that take a store.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from medprm_hf.errors import ReviewError
from medprm_hf.review import queue
from medprm_hf.review.adding import How, add_rows
from medprm_hf.review.decisions import (
    LABEL,
    RETRACT,
    Judged,
    Place,
    answered,
    append,
    check_key,
    check_version,
    heads,
    known,
    settle,
    stand,
    tally,
)  # fmt: skip
from medprm_hf.review.items import Row, signals_of
from medprm_hf.review.outcomes import Added, Saved
from medprm_hf.review.settings import StoreSettings
from medprm_hf.review.showing import Shown, moment, proof, shown_item, visible_steps
from medprm_hf.review.tables import Database


class ReviewStore:
    """One review store; see the module. `clock` gives seconds since 1970."""

    def __init__(
        self, path: Path, settings: StoreSettings | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = Path(path)
        self.database = Database(self.path)
        self.clock = clock
        if settings is not None:
            self.write_meta("settings", json.dumps(asdict(settings)))
        self.settings = settings or self._known_settings()
        self.origin = self.meta("origin") or self._named()

    def close(self) -> None:
        """Closes the file."""
        self.database.close()

    # --- settings ----------------------------------------------------------------------------------------------

    def meta(self, name: str) -> str | None:
        """A note that the store keeps under a name; None for none."""
        found = self.database.read().execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def write_meta(self, name: str, value: str) -> None:
        """Keeps a note under a name."""
        with self.database.write() as db:
            db.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
            )

    def _known_settings(self) -> StoreSettings:
        kept = json.loads(self.meta("settings") or "{}")
        return StoreSettings(**{f.name: kept[f.name] for f in fields(StoreSettings) if f.name in kept})

    def change(self, **settings: Any) -> None:
        """Changes settings of the store, from now on."""
        self.settings = replace(self.settings, **settings)
        self.write_meta("settings", json.dumps(asdict(self.settings)))

    def _named(self) -> str:
        """This copy of the store, as its decisions are marked."""
        self.database.read()
        with self.database.write() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('origin', ?)", (uuid4().hex[:12],))
            return str(db.execute("SELECT value FROM meta WHERE name = 'origin'").fetchone()[0])

    # --- items -------------------------------------------------------------------------------------------------

    def add(
        self, rows: Iterable[Row], *, images: bool = True, batch: str | None = None, whole: bool = False,
        complete: bool = False,
    ) -> Added:  # fmt: skip
        """Takes canonical rows in: one item a solution, and one a question that waits for a person.

        Rows of a question should follow one another. `whole` asks every step (a rater study). With `complete` these
        are all rows of the batch: of its other items nothing is asked any more. Idempotent.
        """
        how = How(images, batch, whole, complete)
        return Added(*add_rows(self.database, rows, self.settings, how))

    def next(
        self, reviewer: str, *, seconds: float | None = None, item: str | None = None, skip: bool = False,
        specialty: str | None = None, blind: bool | None = None,
    ) -> Shown | None:  # fmt: skip
        """The item that the reviewer holds from now on, for `seconds`; None where nothing is left for them.

        The same again until it is finished, released or skipped. ReviewError `held` or `unknown_item` for one by id.
        """
        hidden, lease, now = self._blind(blind), seconds or self.settings.lease, self.clock()

        def work(db: sqlite3.Connection) -> Shown | None:
            if skip:
                for row in db.execute("SELECT item_id FROM leases WHERE reviewer = ?", (reviewer,)).fetchall():
                    queue.visit(db, reviewer, row[0], queue.SKIPPED, now)
                queue.release(db, reviewer)
            found = queue.claim(db, reviewer, now, lease, item, specialty)
            if found is None:
                return None
            shown = self._shown(db, found, reviewer, hidden, now + lease)
            if not hidden:
                db.execute("UPDATE visits SET unblinded = 1 WHERE reviewer = ? AND item_id = ?", (reviewer, found))
            return shown

        return self.database.run(work)

    def show(self, reviewer: str, item: str, *, blind: bool | None = None) -> Shown:
        """The item as the reviewer would see it, without a lease; ReviewError `unknown_item`."""
        db = self.database.read()
        if db.execute("SELECT 1 FROM items WHERE item_id = ?", (item,)).fetchone() is None:
            raise ReviewError("unknown_item", f"no item is called {item!r}: it may belong to another store")
        return self._shown(db, item, reviewer, True if blind is None else blind, None)

    def _shown(self, db: sqlite3.Connection, item: str, reviewer: str, blind: bool, until: float | None) -> Shown:
        return shown_item(db, item, reviewer, blind=blind, show_answer=self.settings.show_answer, until=until)

    def _blind(self, blind: bool | None) -> bool:
        return self.settings.blind if blind is None else blind or self.settings.blind

    def finish(self, reviewer: str, item: str) -> None:
        """The reviewer is done with the item, also where they left steps unanswered."""
        with self.database.write() as db:
            self.row(db, item)
            queue.visit(db, reviewer, item, queue.FINISHED, self.clock())
            queue.release(db, reviewer, item)

    def release(self, reviewer: str, item: str) -> None:
        """Gives the item back, to be offered again."""
        with self.database.write() as db:
            queue.release(db, reviewer, item)

    def beat(self, reviewer: str, item: str, seconds: float | None = None) -> float | None:
        """Holds on to the item; until when (seconds since 1970), or None where somebody else has it by now."""
        with self.database.write() as db:
            self.row(db, item)
            return queue.renew(db, reviewer, item, self.clock(), seconds or self.settings.lease)

    def image(self, item: str) -> tuple[bytes, str] | None:
        """(bytes, mime type) of the item's image; None for a question without one, ReviewError for no such item."""
        db = self.database.read()
        sha256 = self.row(db, item)["image_sha256"]
        found = db.execute("SELECT data, mime FROM images WHERE sha256 = ?", (sha256,)).fetchone()
        return (bytes(found["data"]), str(found["mime"])) if found else None

    # --- decisions ---------------------------------------------------------------------------------------------

    def save(
        self, key: str, reviewer: str, item: str, version: int, step: int, judged: Judged, *, blind: bool | None = None
    ) -> Saved:
        """Stores one decision; on the disk when this returns. The same key again changes nothing and says the same.

        Raises ReviewError: `value`, `unknown_item`, `unknown_step`, `changed` (the item has other words by now), `key`.
        """
        judged.check()
        check_key(key)
        hidden, place = self._blind(blind), Place(item, step, reviewer)

        def work(db: sqlite3.Connection) -> Saved:
            row = self.row(db, item, step)
            machine = json.loads(row["machine"])
            if not known(db, key, LABEL, place, judged.label):
                check_version(row, version)
                self._append_label(db, key, place, row, judged, machine, hidden)
            return self._saved(db, row, place, machine)

        return self.database.run(work)

    def _append_label(
        self,
        db: sqlite3.Connection,
        key: str,
        place: Place,
        row: sqlite3.Row,
        judged: Judged,
        machine: Row,
        blind: bool,
    ) -> None:
        identity = json.loads(row["identities"])[place.step]
        seen = place.step in visible_steps(db, place.reviewer, place.item_id, len(row["asked"]), blind)
        signals = signals_of(machine, place.step) if seen else None
        append(
            db, key=key, kind=LABEL, **place._asdict(), at=moment(self.clock()), label=judged.label,
            error_type=judged.error_type, severity=judged.severity, note=judged.note,
            box=json.dumps(judged.box) if judged.box else None, seconds=judged.seconds, blind=int(not seen),
            shown=proof(row["content_hash"], identity, signals, self.settings.show_answer), identity=identity,
            version=row["version"], round=row["round"], origin=self.origin,
            supersedes=json.dumps([head["key"] for head in heads(db, place, LABEL)]),
        )  # fmt: skip
        tally(db, place.reviewer, decisions=1, seconds=judged.seconds)
        self._settle(db, place)

    def _settle(self, db: sqlite3.Connection, place: Place) -> None:
        stand(db, place)
        settle(db, place.item_id)
        state = queue.FINISHED if answered(db, place.reviewer, place.item_id) else queue.OPENED
        queue.visit(db, place.reviewer, place.item_id, state, self.clock())

    def undo(self, key: str, reviewer: str, item: str, step: int, *, blind: bool | None = None) -> Saved:
        """Takes the reviewer's last word on a step back; what they said before it stands again, if anything.

        Raises ReviewError: `nothing` to undo, `unknown_item`, `unknown_step`, `key`.
        """
        check_key(key)
        place = Place(item, step, reviewer)

        def work(db: sqlite3.Connection) -> Saved:
            row = self.row(db, item, step)
            if not known(db, key, RETRACT, place, None):
                standing = heads(db, place, LABEL)
                if not standing:
                    raise ReviewError("nothing", f"step {step + 1} of {item} has no label of yours: nothing to undo")
                append(
                    db, key=key, kind=RETRACT, **place._asdict(), at=moment(self.clock()), retracts=standing[-1]["key"],
                    version=row["version"], round=row["round"], origin=self.origin,
                )  # fmt: skip
                self._settle(db, place)
            return self._saved(db, row, place, json.loads(row["machine"]))

        return self.database.run(work)

    def _saved(self, db: sqlite3.Connection, row: sqlite3.Row, place: Place, machine: Row) -> Saved:
        until = queue.renew(db, place.reviewer, place.item_id, self.clock(), self.settings.lease)
        standing = heads(db, place, LABEL)
        cited = machine["cited"][place.step] if place.step < len(machine["cited"]) else {}
        label = standing[-1]["label"] if standing else None
        return Saved(row["version"], signals_of(machine, place.step), until is not None, label, cited)

    def row(self, db: sqlite3.Connection, item: str, step: int | None = None) -> sqlite3.Row:
        """The item's row; ReviewError where it, or the step, does not exist."""
        row: sqlite3.Row | None = db.execute("SELECT * FROM items WHERE item_id = ?", (item,)).fetchone()
        if row is None:
            raise ReviewError("unknown_item", f"no item is called {item!r}: it may belong to another store")
        if step is not None and (row["kind"] != "solution" or not 0 <= step < len(row["asked"])):
            count = len(row["asked"]) if row["kind"] == "solution" else 0
            raise ReviewError("unknown_step", f"{item} has {count} steps, counted from 0: there is no step {step}")
        return row

    def decisions(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """Every decision ever stored, in order, as plain values; those whose `id` is above `after`."""
        rows = self.database.read().execute("SELECT * FROM decisions WHERE id > ? ORDER BY id", (after,))
        return (dict(row) for row in rows)

    def head(self) -> str:
        """Changes with every decision, every batch that goes back and every `add`."""
        last, gates, adds = (
            self.database.read()
            .execute(
                "SELECT (SELECT max(id) FROM decisions), (SELECT max(id) FROM gates), "
                "(SELECT value FROM meta WHERE name = 'adds')"
            )
            .fetchone()
        )
        return f"{self.origin}:{last or 0}:{gates or 0}:{adds or 0}"
