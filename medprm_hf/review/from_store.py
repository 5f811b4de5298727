"""Decisions of people for a run: the reviewer `store:PATH` of a recipe.

    StoreReviewer(Path("runs/x/review.sqlite")).words([Asked("q1", "q1-s0", steps, 2, identity)])
    [[Decision("ann", "-", "factual_error", …), Decision("bob", "+", …)]]

A decision counts for the very words it was made on: it is found by the step's identity, so it also holds for the same
step in other solutions (with a note), and not for a step that says something else under the same id. A file that does
not exist yet is a store in which nobody has decided anything: the first build makes what people will look at.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError, StoreError
from medprm_hf.review.decisions import ADJUDICATE, LABEL, RETRACT, VERDICT
from medprm_hf.review.items import QUESTION
from medprm_hf.review.reviewers import ADJUDICATOR, Asked, Decision, copied

_LAST = "SELECT id FROM decisions WHERE kind IN ('label', 'retract', 'adjudicate') ORDER BY id DESC LIMIT 1"
_UPTO = "SELECT * FROM decisions WHERE id <= ? ORDER BY at, key"


class StoreReviewer:
    """People's decisions in a review store, at one state of it (default: now)."""

    def __init__(self, path: Path, state: str | None = None) -> None:
        self.path = path
        self._state = state

    @classmethod
    def from_spec(cls, options: str, seed: int = 0) -> StoreReviewer:
        """From the store's path; ConfigError where it cannot be a review store."""
        if not options:
            raise ConfigError("reviewer store: names no file: write store:runs/NAME/review.sqlite")
        found = cls(Path(options))
        if found.path.exists():
            try:
                found.state()
            except (sqlite3.Error, StoreError) as error:
                raise ConfigError(
                    f"reviewer store:{options} is no review store ({error}): name another file"
                ) from error
        return found

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30)
        connection.row_factory = sqlite3.Row
        return connection

    def state(self) -> str:
        """Changes when a label, an undo, an adjudicator's word or a batch that goes back comes."""
        if self._state is not None:
            return self._state
        if not self.path.exists():
            return "none"
        db = self._connect()
        try:
            last = db.execute(_LAST).fetchone()
            return f"{last['id'] if last else 0}:{_gates(db)}"
        finally:
            db.close()

    def at(self, state: str) -> StoreReviewer:
        """The decisions as they stood at that state."""
        there = self.path.stat().st_ino if self.path.exists() else 0
        return _at(self.path.resolve(), state, there)

    def words(self, asked: Sequence[Asked]) -> list[list[Decision]]:
        """Everybody's standing decision on each request, in order; empty where nobody has answered."""
        return [self._on(one, self._standing) for one in asked]

    def sampled(self, asked: Sequence[Asked]) -> list[list[Decision]]:
        """Blind decisions on steps of the quality sample; copies of such a step were not drawn, so they have none."""
        return [self._blind.get(one.identity, {}).get(one.solution_id, []) for one in asked]

    def _on(self, asked: Asked, table: dict[str, dict[str, list[Decision]]]) -> list[Decision]:
        """Its own decisions, else those on the first copy of the step."""
        found = table.get(asked.identity, {})
        if asked.solution_id in found:
            return found[asked.solution_id]
        if not found:
            return []
        first = min(found)
        return [copied(decision, first) for decision in found[first]]

    # --- reading -----------------------------------------------------------------------------------------------

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        """Decisions up to the state that nobody took back, of the item's present round, oldest first."""
        state = self.state()
        if state == "none":
            return []
        last, gates = (int(part) for part in state.split(":"))
        db = self._connect()
        try:
            rounds = _rounds(db, gates)
            rows = [dict(row) for row in db.execute(_UPTO, (last,))]
        finally:
            db.close()
        retracted = {row["retracts"] for row in rows if row["kind"] == RETRACT}
        return [row for row in rows if row["key"] not in retracted and row["round"] == rounds.get(row["item_id"], 1)]

    @cached_property
    def _standing(self) -> dict[str, dict[str, list[Decision]]]:
        """{identity: {item: decisions}} of what stands."""
        spoken = [row for row in self._rows if row["kind"] in (LABEL, ADJUDICATE)]
        superseded = {key for row in spoken for key in json.loads(row["supersedes"])}
        return _table(row for row in spoken if row["key"] not in superseded)

    @cached_property
    def _blind(self) -> dict[str, dict[str, list[Decision]]]:
        """The same of the quality sample, the last blind word of each person; `cannot tell` left out."""
        if self.state() == "none":
            return {}
        db = self._connect()
        try:
            sample = {row["item_id"]: row["sample"] for row in db.execute("SELECT item_id, sample FROM items")}
        finally:
            db.close()
        last = {
            (row["item_id"], row["step"], row["reviewer"]): row
            for row in self._rows
            if row["kind"] == LABEL and row["blind"] and sample.get(row["item_id"], "")[row["step"] :][:1] == "1"
        }
        return _table(row for row in last.values() if row["label"] != "?")


@lru_cache(maxsize=4)
def _at(path: Path, state: str, file: int) -> StoreReviewer:
    """What one state holds is read once, not once a shard; `file` tells a new file under an old name."""
    return StoreReviewer(path, state)


def _gates(db: sqlite3.Connection) -> int:
    there = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'gates'").fetchone()
    return int(db.execute("SELECT coalesce(max(id), 0) FROM gates").fetchone()[0]) if there else 0


def _rounds(db: sqlite3.Connection, gates: int) -> dict[str, int]:
    """The round of each item that was sent back."""
    if not gates:
        return {}
    rows = db.execute(
        "SELECT i.item_id, 1 + count(*) AS round FROM gate_items i JOIN gates g ON g.key = i.key WHERE g.id <= ? "
        "GROUP BY i.item_id", (gates,),
    )  # fmt: skip
    return {row["item_id"]: row["round"] for row in rows}


def _table(rows: Any) -> dict[str, dict[str, list[Decision]]]:
    found: dict[str, dict[str, list[Decision]]] = defaultdict(dict)
    for row in rows:
        found[row["identity"]].setdefault(row["item_id"], []).append(_decision(row))
    return found


def _decision(row: dict[str, Any]) -> Decision:
    decision = Decision(
        row["reviewer"], row["label"], row["error_type"], row["severity"], row["note"], bool(row["blind"]),
        row["seconds"], row["at"],
    )  # fmt: skip
    return replace(decision, reviewer=row["reviewer"] + ADJUDICATOR) if row["kind"] == ADJUDICATE else decision


# --- questions -------------------------------------------------------------------------------------------------


def question_words(spec: str | None) -> dict[str, list[dict[str, Any]]]:
    """{identity of the question: [{reviewer, verdict, answer, difficulty, feedback, question}]} of what stands.

    Of the reviewer `store:PATH`; empty for any other, and where nothing is decided.
    """
    if not spec or not spec.startswith("store:"):
        return {}
    reviewer = StoreReviewer.from_spec(spec.partition(":")[2])
    if not reviewer.path.exists():
        return {}
    db = reviewer._connect()
    try:
        rows = [dict(row) for row in db.execute("SELECT * FROM decisions WHERE kind = ? ORDER BY at, key", (VERDICT,))]
    finally:
        db.close()
    superseded = {key for row in rows for key in json.loads(row["supersedes"])}
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["key"] not in superseded:
            said = {"reviewer": row["reviewer"], "verdict": row["label"], **json.loads(row["body"])}
            found[f"{row['item_id'].removeprefix(QUESTION)} {row['identity']}"].append(said)
    return dict(found)
