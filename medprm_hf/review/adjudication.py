"""Where people differ, and the word that ends it. A disagreement is seen from the decisions that stand, never stored.

disagreements(store)                                       [{item_id, step, labels: {"ann": "+", "bob": "-"}, …}]
adjudicate(store, key, "prof", "q1-s0", 2, "-", "see the lateral view")
settled(words)                                             the label that counts: adjudicator, else most, else ?
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from medprm_hf.errors import ReviewError
from medprm_hf.review.decisions import (
    ADJUDICATE,
    LABEL,
    LABELS,
    Place,
    append,
    check_key,
    check_text,
    heads,
    known,
    settle,
    stand,
)  # fmt: skip
from medprm_hf.review.reviewers import majority
from medprm_hf.review.showing import moment, proof
from medprm_hf.review.store import ReviewStore
from medprm_hf.schema import Label

UNKNOWN = Label.UNKNOWN.value
MOST = 500
"""Disagreements that are listed at once."""


class Word(NamedTuple):
    """One person's standing word on a step."""

    reviewer: str
    kind: str
    """label or adjudicate."""
    label: str
    round: int
    at: str


def settled(words: Iterable[Word]) -> str:
    """The label that counts: the last adjudicator's word; else what most say in the latest round; ? on a tie."""
    words = list(words)
    last = max((word.round for word in words), default=0)
    words = [word for word in words if word.round == last]
    final = [word for word in words if word.kind == ADJUDICATE]
    if final:
        return max(final, key=lambda word: word.at).label
    return majority([word.label for word in words if word.label != UNKNOWN])


_DIFFER = """
SELECT s.item_id, s.step FROM standing s JOIN items i ON i.item_id = s.item_id AND i.round = s.round
WHERE s.kind = 'label' AND s.label <> '?' {only}
GROUP BY s.item_id, s.step HAVING count(DISTINCT s.label) > 1 ORDER BY i.rank, s.step LIMIT ?
"""


def disagreements(
    store: ReviewStore, *, answered_by: str | None = None, resolved: bool = False, most: int = MOST
) -> list[dict[str, Any]]:
    """Steps on which standing labels differ, in the queue's order; `resolved` adds those with an adjudicator's word.

    `answered_by` leaves out steps which that reviewer has not decided: the list would tell them what others said.
    """
    only = "AND EXISTS (SELECT 1 FROM standing m WHERE m.item_id = s.item_id AND m.step = s.step AND m.reviewer = :me)"
    db = store.database.read()
    query = _DIFFER.format(only=only if answered_by else "").replace("LIMIT ?", "LIMIT :most")
    found = []
    for row in db.execute(query, {"me": answered_by, "most": most}).fetchall():
        entry = _differing(store, row["item_id"], row["step"])
        if entry and (resolved or entry["adjudicated"] is None):
            found.append(entry)
    return found


def _differing(store: ReviewStore, item_id: str, step: int) -> dict[str, Any] | None:
    """What people said of a step in its present words; None where they do not differ on these."""
    db = store.database.read()
    item = db.execute("SELECT * FROM items WHERE item_id = ?", (item_id,)).fetchone()
    identities = json.loads(item["identities"])
    rows = [
        row
        for row in db.execute(
            "SELECT d.*, s.kind AS standing FROM standing s JOIN decisions d ON d.key = s.key "
            "WHERE s.item_id = ? AND s.step = ? AND s.round = ? ORDER BY d.at", (item_id, step, item["round"]),
        )
        if step < len(identities) and row["identity"] == identities[step]
    ]  # fmt: skip
    labels = [row for row in rows if row["kind"] == LABEL]
    if len({row["label"] for row in labels if row["label"] != UNKNOWN}) < 2:
        return None
    content = json.loads(item["content"])
    final = [row for row in rows if row["kind"] == ADJUDICATE]
    return {
        "item_id": item_id, "version": item["version"], "step": step, "question": content["question"],
        "text": content["steps"][step], "modality": item["modality"], "difficulty": item["difficulty"],
        "labels": _named(labels),
        "words": [_word(row) for row in labels],
        "adjudicated": {name: final[-1][name] for name in ("reviewer", "label", "note", "at")} if final else None,
    }  # fmt: skip


def _word(row: Any) -> dict[str, Any]:
    plain = {name: row[name] for name in ("reviewer", "label", "error_type", "severity", "note", "at")}
    return {**plain, "box": json.loads(row["box"]) if row["box"] else None, "blind": bool(row["blind"])}


def _named(rows: Sequence[Any]) -> dict[str, str]:
    """{reviewer: label}; a person who stands beside themselves (two copies of a store) is told apart by the copy."""
    names = [row["reviewer"] for row in rows]
    return {
        row["reviewer"] if names.count(row["reviewer"]) == 1 else f"{row['reviewer']} ({row['origin']})": row["label"]
        for row in rows
    }


def adjudicate(
    store: ReviewStore, key: str, adjudicator: str, item: str, step: int, label: str, note: str | None = None
) -> str:
    """Stores the word that counts on a step, and gives it. Idempotent by key; a later word goes before an earlier."""
    check_key(key)
    check_text("note", note)
    if label not in LABELS[:3]:
        raise ReviewError("value", f"label {label!r}: an adjudicator says one of {' '.join(LABELS[:3])}")
    place = Place(item, step, adjudicator)
    with store.database.write() as db:
        row = store.row(db, item, step)
        if not known(db, key, ADJUDICATE, place, label):
            identity = json.loads(row["identities"])[step]
            before = [head["key"] for head in heads(db, place, ADJUDICATE)]
            append(
                db, key=key, kind=ADJUDICATE, **place._asdict(), at=moment(store.clock()), label=label, note=note,
                shown=proof(row["content_hash"], identity, None, store.settings.show_answer), identity=identity,
                version=row["version"], round=row["round"], origin=store.origin, supersedes=json.dumps(before),
            )  # fmt: skip
            stand(db, place)
            settle(db, item)
    return label


def words_on(store: ReviewStore, item_id: str) -> dict[int, list[Word]]:
    """Every standing word on each step of an item, in its present words."""
    db = store.database.read()
    item = db.execute("SELECT identities FROM items WHERE item_id = ?", (item_id,)).fetchone()
    identities = json.loads(item["identities"]) if item else []
    found: dict[int, list[Word]] = {}
    for row in db.execute("SELECT * FROM standing WHERE item_id = ? ORDER BY at, key", (item_id,)):
        if 0 <= row["step"] < len(identities) and row["identity"] == identities[row["step"]]:
            found.setdefault(row["step"], []).append(
                Word(row["reviewer"], row["kind"], row["label"], row["round"], row["at"])
            )
    return found
