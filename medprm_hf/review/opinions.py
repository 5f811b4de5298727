"""What people said, as tables for the measures: ratings of each step, and the experts' word on the quality sample.

    ratings(store)            [Rated("q1-s0", 2, "q1", "ct_scan", {"ann": "+", "bob": "-"}), …]
    blind_words(store, …)     the last label of each person that they gave before they saw what machines said

Adjudicators' words are no ratings. Only decisions on an item's present words and round count.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from medprm_hf.review.decisions import LABEL
from medprm_hf.review.store import ReviewStore

_STANDING = """
SELECT s.item_id, s.step, s.reviewer, s.label, s.identity, d.error_type FROM standing s
JOIN decisions d ON d.key = s.key JOIN items i ON i.item_id = s.item_id AND i.round = s.round
WHERE s.kind = 'label' {batch} ORDER BY s.item_id, s.step, s.at
"""
_BLIND = """
SELECT d.item_id, d.step, d.reviewer, d.label, d.identity, d.error_type FROM decisions d
JOIN items i ON i.item_id = d.item_id AND i.round = d.round
WHERE d.kind = 'label' AND d.blind = 1 {batch}
AND NOT EXISTS (SELECT 1 FROM decisions r INDEXED BY decisions_step
                WHERE r.item_id = d.item_id AND r.step = d.step AND r.reviewer = d.reviewer
                AND r.kind = 'retract' AND r.retracts = d.key)
ORDER BY d.item_id, d.step, d.at
"""


@dataclass
class Rated:
    """One step and what people said of it."""

    item_id: str
    step: int
    item: dict[str, Any] = field(repr=False)
    """question_id, modality, difficulty, machine (signals of the whole item), sample and doubt masks."""
    labels: dict[str, str] = field(default_factory=dict)
    """{reviewer: label}, the latest of each."""
    errors: dict[str, str] = field(default_factory=dict)
    """{reviewer: kind of error} of those who named one."""

    @property
    def sampled(self) -> bool:
        """Whether the step belongs to the quality sample."""
        return bool(self.item["sample"][self.step] == "1")


def ratings(store: ReviewStore, *, blind: bool = False, batch: str | None = None) -> list[Rated]:
    """Every step that somebody has labelled; with `blind` only what was said before machines' signals were seen."""
    found: dict[tuple[str, int], Rated] = {}
    items: dict[str, dict[str, Any]] = {}
    db = store.database.read()
    query = (_BLIND if blind else _STANDING).format(batch="AND i.batch = :batch" if batch else "")
    for row in db.execute(query, {"batch": batch}):
        name, step = row["item_id"], row["step"]
        item = items.get(name) or items.setdefault(name, _item(db, name))
        if step >= len(item["identities"]) or row["identity"] != item["identities"][step]:
            continue
        rated = found.setdefault((name, step), Rated(name, step, item))
        rated.labels[row["reviewer"]] = row["label"]
        if row["error_type"]:
            rated.errors[row["reviewer"]] = row["error_type"]
    return list(found.values())


def _item(db: sqlite3.Connection, name: str) -> dict[str, Any]:
    row = dict(db.execute("SELECT * FROM items WHERE item_id = ?", (name,)).fetchone())
    row["identities"] = json.loads(row["identities"])
    row["machine"] = json.loads(row["machine"])
    del row["content"]
    return row


def decided(store: ReviewStore) -> Iterator[tuple[str, int]]:
    """(item, step) of every step that has a standing label."""
    rows = store.database.read().execute("SELECT DISTINCT item_id, step FROM standing WHERE kind = ?", (LABEL,))
    return ((row["item_id"], row["step"]) for row in rows)
