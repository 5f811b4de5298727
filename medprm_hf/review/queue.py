"""Who holds which item, and which comes next. An item is held by one reviewer at a time, until the lease runs out.

    claim(db, "ann", now, lease=600)                    the item that ann holds still, else the best free one, or None
    claim(db, "ann", now, lease=600, item="q1-s0")      this very item; ReviewError `held` where somebody else has it

The best free item is found on an index, never by a scan: one look for an item nobody has begun, and one for an item
that waits for a second reader, among the first `WINDOW` of these. A skipped item comes back when nothing else is left.
"""

from __future__ import annotations

import sqlite3

from medprm_hf.errors import ReviewError
from medprm_hf.text.domains import DOMAINS

WINDOW = 300
"""Items begun by others that are looked through for one this reviewer has not read."""
SKIPPED, OPENED, FINISHED = "skipped", "opened", "finished"

_FREE = """
NOT EXISTS (SELECT 1 FROM leases l WHERE l.item_id = i.item_id AND l.until > :now AND l.reviewer <> :reviewer)
AND NOT EXISTS (SELECT 1 FROM visits v WHERE v.reviewer = :reviewer AND v.item_id = i.item_id
                AND v.state IN ('finished', 'skipped'))
"""
_FRESH = """
SELECT i.item_id, i.rank FROM items i WHERE i.open = 1 AND i.begun = 0 {where} AND {free} ORDER BY i.rank LIMIT 1
"""
_BEGUN = """
SELECT i.item_id, i.rank FROM (
  SELECT item_id, rank FROM items i WHERE i.open = 1 AND i.begun = 1 {where} ORDER BY i.rank LIMIT :window
) i WHERE {free} ORDER BY i.rank LIMIT 1
"""
_SKIPPED = """
SELECT v.item_id FROM visits v JOIN items i ON i.item_id = v.item_id
WHERE v.reviewer = :reviewer AND v.state = 'skipped' AND i.open = 1 {where}
AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.item_id = v.item_id AND l.until > :now AND l.reviewer <> :reviewer)
ORDER BY v.at LIMIT 1
"""
_HOLD = """
INSERT INTO leases VALUES (?, ?, ?)
ON CONFLICT (item_id) DO UPDATE SET reviewer = excluded.reviewer, until = excluded.until
"""


def claim(
    db: sqlite3.Connection,
    reviewer: str,
    now: float,
    lease: float,
    item: str | None = None,
    specialty: str | None = None,
) -> str | None:
    """Id of the item that the reviewer holds from now on; None where nothing is left for them.

    Runs inside a write transaction. ReviewError `unknown_item` or `held` where an item is named.
    """
    if item is None:
        item = _held(db, reviewer, now) or _best(db, reviewer, now, specialty)
    else:
        _check_free(db, item, reviewer, now)
    release(db, reviewer)  # also where nothing is left for them: others wait for what they have read
    if item is None:
        return None
    db.execute(_HOLD, (item, reviewer, now + lease))
    visit(db, reviewer, item, OPENED, now)
    return item


def _held(db: sqlite3.Connection, reviewer: str, now: float) -> str | None:
    """An item that the reviewer holds and has not finished: after a reload they go on where they were."""
    found = db.execute(
        "SELECT l.item_id FROM leases l JOIN items i ON i.item_id = l.item_id "
        "LEFT JOIN visits v ON v.item_id = l.item_id AND v.reviewer = l.reviewer "
        "WHERE l.reviewer = ? AND l.until > ? AND i.open = 1 AND coalesce(v.state, 'opened') = 'opened'",
        (reviewer, now),
    ).fetchone()
    return str(found[0]) if found else None


def _best(db: sqlite3.Connection, reviewer: str, now: float, specialty: str | None) -> str | None:
    where, values = "", {"reviewer": reviewer, "now": now, "window": WINDOW}
    if specialty:
        where = f"AND i.{'domain' if specialty in DOMAINS else 'modality'} = :specialty"
        values["specialty"] = specialty
    found = [db.execute(_FRESH.format(where=where, free=_FREE), values).fetchone()]
    for window in (WINDOW, -1):  # a long look only where a short one and the fresh ones give nothing
        found.append(db.execute(_BEGUN.format(where=where, free=_FREE), {**values, "window": window}).fetchone())
        ranked = [(row["rank"], row["item_id"]) for row in found if row]
        if ranked:
            return str(min(ranked)[1])
    skipped = db.execute(_SKIPPED.format(where=where), values).fetchone()
    return str(skipped[0]) if skipped else None


def _check_free(db: sqlite3.Connection, item: str, reviewer: str, now: float) -> None:
    if db.execute("SELECT 1 FROM items WHERE item_id = ?", (item,)).fetchone() is None:
        raise ReviewError("unknown_item", f"no item is called {item!r}: it may belong to another store")
    held = db.execute(
        "SELECT reviewer, until FROM leases WHERE item_id = ? AND until > ? AND reviewer <> ?", (item, now, reviewer)
    ).fetchone()
    if held:
        left = max(1, round(held["until"] - now))
        raise ReviewError("held", f"{item} is with another reviewer for at most {left} s more: take another, or wait")


def visit(db: sqlite3.Connection, reviewer: str, item: str, state: str, now: float) -> None:
    """Notes what a reviewer did with an item last."""
    db.execute(
        "INSERT INTO visits (reviewer, item_id, state, at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (reviewer, item_id) DO UPDATE SET state = excluded.state, at = excluded.at",
        (reviewer, item, state, now),
    )


def release(db: sqlite3.Connection, reviewer: str, item: str | None = None) -> None:
    """Gives back one item of the reviewer, or all."""
    if item is None:
        db.execute("DELETE FROM leases WHERE reviewer = ?", (reviewer,))
    else:
        db.execute("DELETE FROM leases WHERE reviewer = ? AND item_id = ?", (reviewer, item))


def renew(db: sqlite3.Connection, reviewer: str, item: str, now: float, lease: float) -> float | None:
    """Holds on to an item; the time until which, or None where somebody else has it by now."""
    other = db.execute(
        "SELECT 1 FROM leases WHERE item_id = ? AND reviewer <> ? AND until > ?", (item, reviewer, now)
    ).fetchone()
    if other:
        return None
    db.execute(_HOLD, (item, reviewer, now + lease))
    return now + lease
