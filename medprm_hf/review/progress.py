"""How far the store is: steps open, done and mine, how fast each reviewer goes. All read off kept counts.

open + done = steps that are asked; a step is done when enough people have answered it, or an adjudicator has.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from medprm_hf.review.store import ReviewStore

RECENT = 600.0
"""Seconds over which the pace is measured."""


def counts(store: ReviewStore, reviewer: str) -> dict[str, int]:
    """{open, done, mine}: steps."""
    db = store.database.read()
    totals = dict(db.execute("SELECT name, value FROM totals").fetchall())
    mine = db.execute("SELECT steps FROM reviewers WHERE name = ?", (reviewer,)).fetchone()
    return {
        "open": totals["asked"] - totals["settled"],
        "done": totals["settled"],
        "mine": mine["steps"] if mine else 0,
    }


def progress(store: ReviewStore, reviewer: str) -> dict[str, Any]:
    """Counts, the reviewer's pace in the last ten minutes, and what each reviewer has done."""
    db = store.database.read()
    people = {
        row["name"]: {
            "steps": row["steps"],
            "decisions": row["decisions"],
            "seconds_per_step": round(row["seconds"] / row["timed"], 2) if row["timed"] else None,
        }
        for row in db.execute("SELECT * FROM reviewers WHERE decisions > 0 ORDER BY name")
    }
    open_items = db.execute("SELECT value FROM totals WHERE name = 'open_items'").fetchone()[0]
    return {
        **counts(store, reviewer),
        "open_items": open_items,
        "labels_per_minute": _pace(store, reviewer),
        "seconds_per_step": people.get(reviewer, {}).get("seconds_per_step"),
        "by_reviewer": people,
    }


def _pace(store: ReviewStore, reviewer: str) -> float | None:
    """Labels a minute since the first of the last ten minutes; None for fewer than two."""
    now = datetime.fromtimestamp(store.clock(), UTC)
    since = (now - timedelta(seconds=RECENT)).isoformat(timespec="microseconds")
    first, number = (
        store.database.read()
        .execute(
            "SELECT min(at), count(*) FROM decisions WHERE reviewer = ? AND at > ? AND kind = 'label'",
            (reviewer, since),
        )
        .fetchone()
    )
    if number < 2:
        return None
    minutes = (now - datetime.fromisoformat(first)).total_seconds() / 60
    return round(float(number) / minutes, 2) if minutes > 0 else None
