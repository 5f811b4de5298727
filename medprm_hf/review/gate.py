"""The gate before export: a batch whose sample shows too many errors goes back whole.

    gate(store, sample=100, threshold=0.05)      {"verdict": "open", "labels": {…}, "reviewers": {…}}
    reject(store, key, "lead", "run-7", "judge misreads laterality")      every step of the batch is asked again

Two samples are held against the same plan (labels/acceptance.py):

    labels       labels that nobody reviews go out as machines made them: on the quality sample, where a machine's label
                 that would stand differs from the experts' is an error
    reviewers    of steps that a second person or an adjudicator looked at: a reviewer who differs from what counts

The sample's steps are taken in the order of their draw, so that nobody chooses which are read. A rejected batch begins
a new round: earlier decisions stay in the history and no longer count.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from medprm_hf.errors import ConfigError, ReviewError
from medprm_hf.labels.acceptance import ACCEPTED, REJECTED, Check, check
from medprm_hf.labels.sampling import draw_of
from medprm_hf.review.adjudication import UNKNOWN, Word, settled, words_on
from medprm_hf.review.decisions import LABEL, check_key, check_text, settle
from medprm_hf.review.opinions import Rated, ratings
from medprm_hf.review.ranking import rank
from medprm_hf.review.reviewers import majority
from medprm_hf.review.showing import moment
from medprm_hf.review.store import ReviewStore
from medprm_hf.schema import Label

RISK = 0.05
"""Chance with which a batch at the threshold is let through."""
BACK_PRIORITY = 0.5
"""Least priority of an item that was sent back."""
_PLAIN = (Label.RIGHT.value, Label.WRONG.value)


class Found(NamedTuple):
    """One checked step."""

    item_id: str
    step: int
    error: bool


def gate(
    store: ReviewStore, sample: int = 100, threshold: float = 0.05, *, batch: str | None = None, risk: float = RISK,
    blind: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Both checks and the verdict: rejected where one is, accepted where the labels' is, else open.

    ReviewError `value` for a plan that cannot prove anything.
    """
    rated = ratings(store, blind=blind, batch=batch)
    checks = {"labels": list(_labels(rated)), "reviewers": list(_reviewers(store, rated))}
    try:
        held = {name: check(*_taken(store, found, sample), threshold, risk, sample) for name, found in checks.items()}
    except ConfigError as error:
        raise ReviewError("value", str(error)) from error
    return {
        "batch": batch, "sample": sample, "threshold": threshold, "risk": risk, "verdict": _verdict(held),
        "reason": next((held[name].reason for name in held if held[name].verdict == REJECTED), held["labels"].reason),
        **{name: held[name]._asdict() | {"examples": _examples(checks[name])} for name in held},
        "batches": _batches(store), "history": history(store),
    }  # fmt: skip


def _labels(rated: Iterable[Rated]) -> Iterable[Found]:
    """Quality-sample steps whose label would go out as a machine made it, against the experts'."""
    for one in rated:
        expert = majority([label for label in one.labels.values() if label != UNKNOWN])
        machine = one.item["machine"]["labels"][one.step]
        if one.sampled and one.item["doubt"][one.step] == "0" and expert in _PLAIN and machine in _PLAIN:
            yield Found(one.item_id, one.step, machine != expert)


def _reviewers(store: ReviewStore, rated: Iterable[Rated]) -> Iterable[Found]:
    """Steps with two words or more: an error where a reviewer differs from the label that counts."""
    known: dict[str, dict[int, list[Word]]] = {}
    for one in rated:
        if one.item_id not in known:
            known[one.item_id] = words_on(store, one.item_id)
        last = one.item["round"]
        said = [word for word in known[one.item_id].get(one.step, []) if word.round == last]
        if len(said) < 2:
            continue
        right = settled(said)
        yield Found(one.item_id, one.step, any(word.kind == LABEL and word.label != right for word in said))


def _taken(store: ReviewStore, found: Sequence[Found], sample: int) -> tuple[int, int]:
    """(steps, errors) of the first `sample` steps by their draw."""
    order = sorted(found, key=lambda one: draw_of(store.settings.seed, "gate", one.item_id, one.step))[:sample]
    return len(order), sum(one.error for one in order)


def _examples(found: Iterable[Found]) -> list[dict[str, Any]]:
    return [{"item_id": one.item_id, "step": one.step} for one in found if one.error][:20]


def _verdict(held: dict[str, Check]) -> str:
    if any(one.verdict == REJECTED for one in held.values()):
        return REJECTED
    return ACCEPTED if held["labels"].verdict == ACCEPTED else held["labels"].verdict


def _batches(store: ReviewStore) -> list[dict[str, Any]]:
    rows = store.database.read().execute(
        "SELECT batch, count(*) AS items, max(round) AS round FROM items GROUP BY batch ORDER BY batch"
    )
    return [dict(row) for row in rows]


def history(store: ReviewStore) -> list[dict[str, Any]]:
    """Batches that were sent back, oldest first: who, when, why, and the figures at that time."""
    rows = store.database.read().execute("SELECT at, who, batch, reason, result FROM gates ORDER BY id")
    return [{**dict(row), "result": json.loads(row["result"])} for row in rows]


def reject(
    store: ReviewStore, key: str, who: str, batch: str | None, reason: str, result: dict[str, Any] | None = None
) -> int:
    """Sends a batch back whole (None: everything): each of its steps is asked again, in a new round; gives the items.

    Kept with its reason. The same key again does nothing. ReviewError `value` without a reason or such a batch.
    """
    check_key(key)
    check_text("note", reason)
    if not reason.strip():
        raise ReviewError("value", "a batch goes back with a reason: say what was wrong")
    where, values = ("WHERE batch = ?", (batch,)) if batch is not None else ("", ())
    with store.database.write() as db:
        items = [row["item_id"] for row in db.execute(f"SELECT item_id FROM items {where}", values)]
        if not items:
            raise ReviewError("value", f"no batch is called {batch!r}: see `batches` of the gate")
        send_back(db, Back(key, moment(store.clock()), who, batch, reason, result or {}), items)
        rank(db, store.settings.seed)
    return len(items)


class Back(NamedTuple):
    """A batch that was sent back."""

    key: str
    at: str
    who: str
    batch: str | None
    reason: str
    result: dict[str, Any]


def send_back(db: sqlite3.Connection, back: Back, items: Sequence[str]) -> None:
    """Notes it and begins a new round for the items; nothing where that key has done so before.

    Items that are not in the store begin in their round when they come (`adding`).
    """
    added = db.execute(
        "INSERT OR IGNORE INTO gates (key, at, who, batch, result, reason, rejected) VALUES (?, ?, ?, ?, ?, ?, 1)",
        (back.key, back.at, back.who, back.batch, json.dumps(back.result), back.reason),
    )
    if not added.rowcount:
        return
    db.executemany("INSERT OR IGNORE INTO gate_items VALUES (?, ?)", [(item, back.key) for item in items])
    for item in items:
        db.execute(
            "UPDATE items SET round = round + 1, doubt = replace(doubt, '0', '1'), asked = replace(asked, '0', '1'), "
            "asked_n = length(asked), priority = max(priority, ?) WHERE item_id = ?", (BACK_PRIORITY, item),
        )  # fmt: skip
        db.execute("DELETE FROM visits WHERE item_id = ? AND unblinded = 0", (item,))
        db.execute("UPDATE visits SET state = 'opened' WHERE item_id = ?", (item,))
        db.execute("DELETE FROM leases WHERE item_id = ?", (item,))
        settle(db, item)
