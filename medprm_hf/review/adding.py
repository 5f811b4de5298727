"""Rows come into the store: what is new, what has changed, what is the same. Images are kept once, by their hash.

An item whose words or image change gets a new version; decisions on the old words stay in the history and no longer
count. New machine labels change what is asked and in which order, not the version: the words are the same.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from medprm_hf.labels.review_value import Minutes
from medprm_hf.review.decisions import settle
from medprm_hf.review.items import Item, Row, items_of
from medprm_hf.review.ranking import chunks, cut, draw_sample, mask_of, merged, rank, urgencies
from medprm_hf.review.settings import StoreSettings
from medprm_hf.review.tables import Database

WAITING_PRIORITY = 1e6
"""Questions that wait for a person hold everything else up: they come first."""
COLUMNS = (
    "item_id", "question_id", "kind", "batch", "modality", "domain", "difficulty", "source", "image_sha256",
    "content", "machine", "identities", "content_hash", "doubt", "sample", "asked", "priority", "draw", "needed",
    "asked_n", "open", "round", "urgency",
)  # fmt: skip
"""Columns of `items` that a row gives."""
_FIRST = ("item_id", "needed", "open", "batch", "round")
"""Columns that an item keeps as they came first."""


_COUNT = """
INSERT INTO meta VALUES ('adds', '1') ON CONFLICT (name) DO UPDATE SET value = CAST(value AS INTEGER) + 1
"""


_UNSETTLED = """
SELECT item_id FROM items WHERE open <> (settled_n < asked_n) OR (kind = 'solution' AND needed <> :needed)
"""
_NEEDED = "UPDATE items SET needed = :needed WHERE item_id = :item AND kind = 'solution'"


class How(NamedTuple):
    """How rows are taken in; see `ReviewStore.add`."""

    images: bool
    batch: str | None
    whole: bool
    complete: bool


def add_rows(database: Database, rows: Iterable[Row], settings: StoreSettings, how: How) -> tuple[int, int, int]:
    """(new, changed, same) items. Each chunk of rows is a transaction; order and sample are settled at the end."""
    done: Counter[str] = Counter()
    seen: set[str] = set()
    for piece in chunks(rows):
        urgent = urgencies(piece, settings.order, Minutes(), settings.seed, how.whole)
        with database.write() as db:
            for row, steps in zip(piece, urgent, strict=True):
                for item in items_of(row, settings.seed, how.images):
                    question = item.kind == "question"
                    urgency = [WAITING_PRIORITY] if question else steps
                    needed = 1 if question else settings.reviewers_per_item
                    done[_put(db, item, urgency, how.batch, needed)] += 1
                    seen.add(item.item_id)
    with database.write() as db:
        if how.complete:
            _retire(db, how.batch, seen)
        cut(db, 1.0 if how.whole else settings.share)
        draw_sample(db, 0.0 if how.whole else settings.sample, settings.sample_part, settings.seed)
        rank(db, settings.seed)
        db.execute(_COUNT)
        for row in db.execute(_UNSETTLED, {"needed": settings.reviewers_per_item}).fetchall():
            db.execute(_NEEDED, {"needed": settings.reviewers_per_item, "item": row["item_id"]})
            settle(db, row["item_id"])
    return done["new"], done["changed"], done["same"]


_NOTHING = """
UPDATE items SET doubt = replace(doubt, '1', '0'), sample = replace(sample, '1', '0'), urgency = NULL,
asked = replace(asked, '1', '0'), asked_n = 0, priority = 0, draw = 2 WHERE item_id = ?
"""


def _retire(db: sqlite3.Connection, batch: str | None, seen: set[str]) -> None:
    """Items of the batch that are no longer in its table: nothing is asked of them; what was said stays."""
    for row in db.execute("SELECT item_id FROM items WHERE batch IS ?", (batch,)).fetchall():
        if row["item_id"] not in seen:
            db.execute(_NOTHING, (row["item_id"],))
            settle(db, row["item_id"])


def _put(db: sqlite3.Connection, item: Item, urgency: list[float], batch: str | None, needed: int) -> str:
    """Inserts or updates one item; new, changed or same."""
    old = db.execute("SELECT * FROM items WHERE item_id = ?", (item.item_id,)).fetchone()
    if item.image is not None and (old is None or old["image_sha256"] != item.image.sha256):
        _keep_image(db, item)
    values = _values(item, urgency, batch, needed)
    if old is None:
        join_round(db, values)
        marks = ", ".join("?" for _ in COLUMNS)
        db.execute(f"INSERT INTO items ({', '.join(COLUMNS)}) VALUES ({marks})", [values[name] for name in COLUMNS])
        if db.execute("SELECT 1 FROM standing WHERE item_id = ? LIMIT 1", (item.item_id,)).fetchone():
            settle(db, item.item_id)  # its decisions were here first
        return "new"
    other = old["content_hash"] != values["content_hash"]
    if not other and old["machine"] == values["machine"] and old["urgency"] == values["urgency"]:
        return "same"
    _update(db, old, values, other)
    return "changed"


def _values(item: Item, urgency: list[float], batch: str | None, needed: int) -> dict[str, Any]:
    doubt = mask_of(urgency)
    plain = {name: getattr(item, name) for name in COLUMNS[:8] if name != "batch"}
    return {
        **plain,
        "batch": batch,
        "image_sha256": item.image.sha256 if item.image else None,
        "content": _json(item.content),
        "machine": _json(item.machine),
        "identities": json.dumps(item.identities),
        "content_hash": item.content_hash,
        "doubt": doubt,
        "sample": "0" * item.steps,
        "asked": doubt,
        "asked_n": doubt.count("1"),
        "priority": max(urgency, default=0.0),
        "urgency": json.dumps(urgency),
        "draw": item.draw,
        "needed": needed,
        "open": int("1" in doubt),
        "round": 1,
    }


def join_round(db: sqlite3.Connection, values: dict[str, Any]) -> None:
    """A new item whose batch was sent back before it came (a store that is rebuilt) begins in that round, whole."""
    sent = db.execute("SELECT count(*) FROM gate_items WHERE item_id = ?", (values["item_id"],)).fetchone()[0]
    if sent:
        whole = "1" * len(values["doubt"])
        values |= {"round": 1 + sent, "doubt": whole, "asked": whole, "asked_n": len(whole), "open": 1}


def _update(db: sqlite3.Connection, old: sqlite3.Row, values: dict[str, Any], other: bool) -> None:
    """An item that is there: the sample that was drawn stays drawn, a round that was begun stays begun."""
    sample = old["sample"] if len(old["sample"]) == len(values["sample"]) else values["sample"]
    if old["round"] > 1 and len(old["doubt"]) == len(values["doubt"]):  # sent back whole: it stays asked whole
        values = {**values, "doubt": "1" * len(old["doubt"]), "priority": max(values["priority"], old["priority"])}
    asked = merged(values["doubt"], sample)
    kept = {name: value for name, value in values.items() if name not in _FIRST}
    kept |= {"sample": sample, "asked": asked, "asked_n": asked.count("1"), "version": old["version"] + other}
    names = ", ".join(f"{name} = ?" for name in kept)
    db.execute(f"UPDATE items SET {names} WHERE item_id = ?", [*kept.values(), old["item_id"]])
    settle(db, old["item_id"])


def _keep_image(db: sqlite3.Connection, item: Item) -> None:
    image = item.image
    assert image is not None
    db.execute(
        "INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?, ?)",
        (image.sha256, image.data, image.mime, image.width, image.height),
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
