"""Decisions: written once, never changed. What counts follows from them by one rule.

    save     appends a decision and names those of the same person that it takes the place of (`supersedes`)
    undo     appends a retraction that names the decision (`retracts`)
    standing of a person on a step = their decisions that are not retracted, and that no unretracted one supersedes

The rule needs no clock and no order, so decisions that come back from the Hub, or from two copies of a store, count
alike everywhere. Two that stand beside each other (made in two copies, neither seen by the other) are a disagreement,
also of a person with themselves.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from medprm_hf.errors import ReviewError
from medprm_hf.review.items import QUESTION
from medprm_hf.schema import Label

LABEL, RETRACT, ADJUDICATE, VERDICT = "label", "retract", "adjudicate", "question"
"""Kinds: a reviewer's label, an undo, an adjudicator's word, a verdict on a question."""
VERDICTS = ("keep", "correct", "reject")
LABELS = tuple(label.value for label in Label)
"""+ - 0, and ? for `cannot tell`, which is an answer but no label."""
LONGEST = {"note": 4000, "error_type": 100, "severity": 40, "feedback": 4000, "answer": 4000, "key": 100}
"""Characters."""
SLOWEST = 24 * 3600.0
"""Seconds that a step may be said to have taken."""
_COLUMNS = (
    "key", "kind", "item_id", "step", "reviewer", "at", "label", "error_type", "severity", "note", "box", "seconds",
    "blind", "shown", "identity", "version", "round", "supersedes", "retracts", "body", "origin",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """What a reviewer says of one step; plain values as they came in."""

    label: str
    error_type: str | None = None
    severity: str | None = None
    note: str | None = None
    box: tuple[float, float, float, float] | None = None
    """x0, y0, x1, y1 of the place in the image, 0..1 of its width and height."""
    seconds: float | None = None
    """Time it took; None where nobody measured."""

    def check(self) -> None:
        """ReviewError `value` for what cannot be kept."""
        if self.label not in LABELS:
            raise ReviewError("value", f"label {self.label!r} is none of {' '.join(LABELS)}")
        for name in ("note", "error_type", "severity"):
            check_text(name, getattr(self, name))
        if self.seconds is not None and not 0 <= self.seconds <= SLOWEST:
            raise ReviewError("value", f"seconds={self.seconds:g} is outside 0..{SLOWEST:g}")
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
                raise ReviewError("value", f"box {self.box} is not x0 < x1, y0 < y1 within 0..1")


def check_text(name: str, text: str | None) -> None:
    """ReviewError `value` for a text over its limit."""
    if text is not None and len(text) > LONGEST[name]:
        raise ReviewError("value", f"{name} has {len(text)} characters, {LONGEST[name]} are kept: shorten it")


def check_key(key: str) -> None:
    """ReviewError `value` for a key that is none."""
    if not 8 <= len(key) <= LONGEST["key"]:
        raise ReviewError("value", f"key has {len(key)} characters: 8 to {LONGEST['key']}, such as a UUID")


def check_version(row: sqlite3.Row, version: int) -> None:
    """ReviewError `changed` where the item is no longer what was shown."""
    if row["version"] != version:
        raise ReviewError(
            "changed", f"{row['item_id']} is version {row['version']} by now, you were shown {version}: load it again"
        )


class Place(NamedTuple):
    """Whose word on what."""

    item_id: str
    step: int
    """From 0; -1 for a question."""
    reviewer: str


def append(db: sqlite3.Connection, **values: Any) -> bool:
    """Adds one row to `decisions`; False where its key is there already."""
    row = {**dict.fromkeys(_COLUMNS), "blind": 0, "round": 1, "supersedes": "[]", **values}
    marks = ", ".join("?" for _ in _COLUMNS)
    added = db.execute(
        f"INSERT OR IGNORE INTO decisions ({', '.join(_COLUMNS)}) VALUES ({marks})", [row[name] for name in _COLUMNS]
    )
    return added.rowcount == 1


def known(db: sqlite3.Connection, key: str, kind: str, place: Place, label: str | None) -> bool:
    """Whether this very decision is stored; ReviewError `key` where the key belongs to another one."""
    found = db.execute("SELECT kind, item_id, step, reviewer, label FROM decisions WHERE key = ?", (key,)).fetchone()
    if found is None:
        return False
    if tuple(found) != (kind, *place, label):
        raise ReviewError("key", f"key {key!r} was used for another decision: draw a new one for each")
    return True


def heads(db: sqlite3.Connection, place: Place, kind: str) -> list[sqlite3.Row]:
    """The decisions that stand at a place, oldest first."""
    return _heads(_history(db, place), kind)


# Left to itself SQLite would walk everything the reviewer has ever decided, as that stands in the order of time.
_HISTORY = """
SELECT * FROM decisions INDEXED BY decisions_step WHERE item_id = ? AND step = ? AND reviewer = ? ORDER BY at, key
"""


def _history(db: sqlite3.Connection, place: Place) -> list[sqlite3.Row]:
    return db.execute(_HISTORY, place).fetchall()


def _heads(history: Iterable[sqlite3.Row], kind: str) -> list[sqlite3.Row]:
    history = list(history)
    retracted = {row["retracts"] for row in history if row["kind"] == RETRACT}
    alive = [row for row in history if row["kind"] == kind and row["key"] not in retracted]
    superseded = {key for row in alive for key in json.loads(row["supersedes"])}
    return [row for row in alive if row["key"] not in superseded]


def stand(db: sqlite3.Connection, place: Place) -> None:
    """Makes `standing` at a place what follows from its decisions, and the reviewer's tally with it."""
    history = _history(db, place)
    had = db.execute(
        "SELECT count(*) FROM standing WHERE item_id = ? AND step = ? AND reviewer = ? AND kind <> ?",
        (*place, ADJUDICATE),
    ).fetchone()[0]
    db.execute("DELETE FROM standing WHERE item_id = ? AND step = ? AND reviewer = ?", place)
    rows = [
        (
            *place[:2],
            kind,
            place.reviewer,
            row["key"],
            row["label"],
            row["identity"],
            row["round"],
            row["blind"],
            row["at"],
        )
        for kind in (LABEL, ADJUDICATE, VERDICT)
        for row in _heads(history, kind)
    ]
    db.executemany("INSERT INTO standing VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    has = any(row[2] != ADJUDICATE for row in rows)
    tally(db, place.reviewer, steps=int(has) - int(had > 0))


def tally(
    db: sqlite3.Connection, reviewer: str, steps: int = 0, decisions: int = 0, seconds: float | None = None
) -> None:
    """Adds to what a reviewer has done: steps that have their word, decisions, seconds of those that were timed."""
    db.execute(
        "INSERT INTO reviewers (name, steps, decisions, timed, seconds) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) "
        "DO UPDATE SET steps = steps + excluded.steps, decisions = decisions + excluded.decisions, "
        "timed = timed + excluded.timed, seconds = seconds + excluded.seconds",
        (reviewer, steps, decisions, int(seconds is not None), seconds or 0.0),
    )


_SOLUTIONS = "SELECT item_id FROM items WHERE question_id = ? AND kind = 'solution'"
_SMALL = "SELECT question_id, asked, identities, needed, round, asked_n FROM items WHERE item_id = ?"
_VERDICTS = "SELECT label, identity FROM standing WHERE item_id = ? AND kind = 'question'"


def _is_rejected(db: sqlite3.Connection, item_id: str, question_id: str) -> bool:
    """Whether people have rejected the question in its present words: nobody need look at its solutions."""
    said = db.execute(_VERDICTS, (QUESTION + question_id,)).fetchall()
    if not said or {row["label"] for row in said} != {"reject"}:
        return False
    content = json.loads(db.execute("SELECT content FROM items WHERE item_id = ?", (item_id,)).fetchone()["content"])
    return bool(said[-1]["identity"] == content.get("question_identity"))


def settle(db: sqlite3.Connection, item_id: str) -> None:
    """Makes an item's counts what follows from the decisions that stand: settled steps, begun, open."""
    if item_id.startswith(QUESTION):  # a word on a question may end the work on its solutions
        for row in db.execute(_SOLUTIONS, (item_id.removeprefix(QUESTION),)).fetchall():
            settle(db, row["item_id"])
    item = db.execute(_SMALL, (item_id,)).fetchone()
    if item is None:
        return  # decisions on an item that has not come (yet)
    identities = json.loads(item["identities"])
    voices: dict[int, set[str]] = {}
    final: set[int] = set()
    for row in db.execute("SELECT * FROM standing WHERE item_id = ?", (item_id,)):
        step = max(row["step"], 0)
        if step < len(identities) and row["identity"] == identities[step] and row["round"] == item["round"]:
            voices.setdefault(step, set()).add(row["reviewer"])
            if row["kind"] == ADJUDICATE:
                final.add(step)
    asked = [step for step, mark in enumerate(item["asked"]) if mark == "1"]
    settled = sum(step in final or len(voices.get(step, ())) >= item["needed"] for step in asked)
    if _is_rejected(db, item_id, item["question_id"]):
        settled = item["asked_n"]
    db.execute(
        "UPDATE items SET settled_n = ?, begun = ?, open = ? WHERE item_id = ?",
        (settled, int(bool(voices)), int(settled < item["asked_n"]), item_id),
    )


def answered(db: sqlite3.Connection, reviewer: str, item_id: str) -> bool:
    """Whether a reviewer has answered every step of the item that is asked, in its present round and words."""
    item = db.execute("SELECT asked, identities, round FROM items WHERE item_id = ?", (item_id,)).fetchone()
    identities = json.loads(item["identities"])
    done = {
        max(row["step"], 0)
        for row in db.execute(
            "SELECT step, identity FROM standing WHERE item_id = ? AND reviewer = ? AND round = ? AND kind <> ?",
            (item_id, reviewer, item["round"], ADJUDICATE),
        )
        if row["step"] < len(identities) and row["identity"] == identities[max(row["step"], 0)]
    }
    return all(step in done for step, mark in enumerate(item["asked"]) if mark == "1")
