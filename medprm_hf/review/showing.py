"""What one reviewer is sent of one item: the rule of blindness stands here, in one place.

    signals of a step are sent   where the store is not blind · or this person has decided that step before
                                 · or was sent them earlier, when it was not blind

What is not to be seen is left out, not hidden: null instead of the signals, no marks in the evidence.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from medprm_hf.ids import content_hash
from medprm_hf.review.decisions import LABEL, VERDICT
from medprm_hf.review.items import QUESTION, signals_of

SIGNALS = ("label", "judge", "rollouts")
Shown = dict[str, Any]


_DECIDED = "SELECT DISTINCT step FROM decisions INDEXED BY decisions_step WHERE item_id = ? AND reviewer = ?"


def visible_steps(db: sqlite3.Connection, reviewer: str, item_id: str, steps: int, blind: bool) -> set[int]:
    """Steps of which this person may see what machines said."""
    seen = db.execute("SELECT unblinded FROM visits WHERE reviewer = ? AND item_id = ?", (reviewer, item_id)).fetchone()
    if not blind or (seen and seen["unblinded"]):
        return set(range(steps))
    found = db.execute(_DECIDED, (item_id, reviewer))
    return {row["step"] for row in found} & set(range(steps))


def shown_item(
    db: sqlite3.Connection, item_id: str, reviewer: str, *, blind: bool, show_answer: bool, until: float | None
) -> Shown:
    """The item as the page gets it; see the contract in docs/reviewing.md."""
    item = db.execute("SELECT * FROM items WHERE item_id = ?", (item_id,)).fetchone()
    content, machine = json.loads(item["content"]), json.loads(item["machine"])
    steps = content["steps"]
    visible = visible_steps(db, reviewer, item_id, len(steps), blind)
    mine = _mine(db, item, reviewer)
    return {
        "item_id": item_id,
        "version": item["version"],
        "kind": item["kind"],
        "question_id": item["question_id"],
        **{name: content[name] for name in ("question", "turns", "options", "clinical_context", "license")},
        **{name: item[name] for name in ("modality", "difficulty", "source")},
        "image": _image(item_id, content["image"]),
        "image_problem": content["image_problem"],
        "answer_shown": content["answer"] if show_answer else None,
        "asked_because": content.get("asked_because"),
        "explanation": content.get("explanation"),
        "steps": [
            {
                "text": text,
                "title": content["titles"][step],
                "asked": item["asked"][step] == "1",
                "mine": mine.get(step),
                "signals": signals_of(machine, step) if step in visible else None,
            }
            for step, text in enumerate(steps)
        ],
        "evidence": [{**passage, "cited": _marks(machine, passage["id"], visible)} for passage in content["evidence"]],
        "similar_cases": content["similar_cases"],
        "question_review": verdict_of(db, item["question_id"], reviewer),
        "lease_until": moment(until) if until else None,
        "blind": blind,
    }


def _image(item_id: str, image: Mapping[str, Any] | None) -> Shown | None:
    if image is None:
        return None
    url = f"/review/api/image/{quote(item_id, safe='')}"
    return {"url": url, "width": image["width"], "height": image["height"]}


def _mine(db: sqlite3.Connection, item: sqlite3.Row, reviewer: str) -> dict[int, Shown]:
    """This person's word on each step, in the item's present words and round."""
    identities = json.loads(item["identities"])
    rows = db.execute(
        "SELECT d.* FROM standing s JOIN decisions d ON d.key = s.key "
        "WHERE s.item_id = ? AND s.kind = ? AND s.reviewer = ? AND s.round = ? ORDER BY d.at",
        (item["item_id"], LABEL, reviewer, item["round"]),
    )
    return {
        row["step"]: {
            **{name: row[name] for name in ("label", "error_type", "severity", "note")},
            "box": json.loads(row["box"]) if row["box"] else None,
        }
        for row in rows
        if row["step"] < len(identities) and row["identity"] == identities[row["step"]]
    }


def _marks(machine: Mapping[str, Any], passage: str, visible: Collection[int]) -> list[list[int]]:
    """[[start, end], …] of what the judge cites of a passage for the steps that may be seen."""
    cited = machine.get("cited") or []
    shown = [cited[step].get(passage, []) for step in sorted(visible) if step < len(cited)]
    return [list(span) for span in sorted({tuple(span) for spans in shown for span in spans})]


def verdict_of(db: sqlite3.Connection, question_id: str, reviewer: str) -> Shown | None:
    """What this person has said of the question: verdict, answer, difficulty, feedback."""
    row = db.execute(
        "SELECT d.label, d.body FROM standing s JOIN decisions d ON d.key = s.key "
        "WHERE s.item_id = ? AND s.kind = ? AND s.reviewer = ? ORDER BY d.at DESC LIMIT 1",
        (QUESTION + question_id, VERDICT, reviewer),
    ).fetchone()
    return {"verdict": row["label"], **json.loads(row["body"])} if row else None


def proof(content: str, identity: str, signals: Mapping[str, Any] | None, answer: bool) -> str:
    """JSON of what was on the screen when a step was decided: a hash of it, and which signals were part of it."""
    there = [name for name in SIGNALS if signals and signals.get(name) not in (None, "?")]
    shown_hash = content_hash(content, identity, json.dumps(signals, sort_keys=True), answer)
    return json.dumps({"hash": shown_hash, "signals": there, "answer": answer})


def moment(seconds: float) -> str:
    """ISO 8601 in UTC, to the microsecond, so that text order is time order."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
