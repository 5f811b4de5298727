"""What is asked, and in which order: doubtful steps first, a quality sample strewn in where nobody can tell it apart.

    mask     one character a step: "010010" asks steps 2 and 5
    doubt    steps that `labels/review_value.py` would ask (its order `doubt`: marked needs_review, least sure first)
    sample   steps drawn by name alone, whatever the machines think: a stratified draw of solutions, and of each a part
             of its steps, so that every step of the store has the same chance (M8: 10 %)
    rank     0..1, the place in the queue: doubtful items by their quantile, others at a random place between them

A sampled solution asks some of its steps as a doubtful one does, so an item does not give away why it is asked.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from medprm_hf.ids import stable_seed
from medprm_hf.labels.review_value import Candidate, Minutes, queue
from medprm_hf.labels.sampling import cutoffs, draw_of
from medprm_hf.review.items import Row
from medprm_hf.schema import Label

CHUNK = 500
"""Rows that are ranked together: whole questions, so that equal steps after equal steps are asked once."""


def chunks(rows: Iterable[Row], size: int = CHUNK) -> Iterator[list[Row]]:
    """The rows in pieces of about `size`; rows of one question that follow one another stay together."""
    piece: list[Row] = []
    for _, group in groupby(rows, key=lambda row: row["question_id"]):
        piece.extend(group)
        if len(piece) >= size:
            yield piece
            piece = []
    if piece:
        yield piece


def urgencies(rows: Sequence[Row], order: str, minutes: Minutes, seed: int, whole: bool) -> list[list[float]]:
    """How urgent each step of each row is, 0 for one that is not asked, [rows][num_steps]. `whole` asks every step."""
    found = [[0.0] * len(row.get("steps") or []) for row in rows]
    if whole:  # a study is read in an order of its own, not by doubt
        return [[1 + draw_of(seed, "study", str(row.get("solution_id")))] * len(row.get("steps") or []) for row in rows]
    for ask in queue([_candidate(row) for row in rows], order, minutes, seed):
        found[ask.solution][ask.step] = ask.priority
    return found


def mask_of(urgency: Sequence[float], least: float = 0.0) -> str:
    """Asks the steps that are urgent, and at least this urgent."""
    return "".join("1" if value > 0 and value >= least else "0" for value in urgency)


def cut(db: sqlite3.Connection, share: float) -> None:
    """Asks the most urgent steps alone, up to that share of all; a batch that was sent back stays asked whole."""
    if share >= 1:
        return
    items = [
        (row["item_id"], json.loads(row["urgency"]), row["doubt"], row["sample"])
        for row in db.execute("SELECT * FROM items WHERE kind = 'solution' AND urgency NOT NULL AND round = 1")
    ]
    ranked = sorted((value for _, urgency, _, _ in items for value in urgency if value > 0), reverse=True)
    budget = round(share * sum(len(urgency) for _, urgency, _, _ in items))
    least = ranked[budget - 1] if 0 < budget <= len(ranked) else 0.0 if budget else float("inf")
    changed = []
    for item, urgency, before, sample in items:
        mask = mask_of(urgency, least)
        if mask != before:
            asked = merged(mask, sample)
            changed.append((mask, asked, asked.count("1"), max(urgency) if "1" in mask else 0.0, item))
    db.executemany("UPDATE items SET doubt = ?, asked = ?, asked_n = ?, priority = ? WHERE item_id = ?", changed)


def _candidate(row: Row) -> Candidate:
    steps: Sequence[str] = row.get("steps") or []
    question: Hashable = row["question_id"]
    return Candidate(
        question, str(row.get("solution_id")), steps, row.get("labels") or [Label.UNKNOWN.value] * len(steps),
        row.get("label_p") or [None] * len(steps), row.get("needs_review") or [True] * len(steps),
    )  # fmt: skip


def merged(*masks: str) -> str:
    """The mask that asks whatever one of these asks."""
    return "".join("1" if "1" in column else "0" for column in zip(*masks, strict=True))


def draw_sample(db: sqlite3.Connection, share: float, part: float, seed: int) -> None:
    """Marks the steps of the quality sample: `share` of all steps, `part` of the steps of each solution it falls on.

    What was drawn once stays drawn, so that rows which come later do not undo a sample that was reviewed.
    """
    if share <= 0:
        return
    draws: dict[str, list[float]] = defaultdict(list)
    places: list[tuple[str, str, float, int, str, str]] = []
    for row in db.execute(
        "SELECT item_id, modality, difficulty, source, draw, asked_n, sample, doubt FROM items "
        "WHERE kind = 'solution' AND draw <= 1"
    ):
        stratum = " / ".join(str(row[name]) for name in ("modality", "difficulty", "source"))
        draws[stratum].append(row["draw"])
        places.append((row["item_id"], stratum, row["draw"], len(row["doubt"]), row["sample"], row["doubt"]))
    part = max(part, share)
    upto = cutoffs(draws, round(share / part * len(places)), seed)
    changed = []
    for item, stratum, draw, count, before, doubt in places:
        if draw <= upto[stratum]:
            drawn = "".join("1" if draw_of(seed, "step", item, step) < part else "0" for step in range(count))
            mask = merged(before, drawn)
            if mask != before:
                asked = merged(mask, doubt)
                changed.append((mask, asked, asked.count("1"), item))
    db.executemany("UPDATE items SET sample = ?, asked = ?, asked_n = ? WHERE item_id = ?", changed)


def rank(db: sqlite3.Connection, seed: int) -> None:
    """Gives every item its place: doubtful ones by their quantile, those of the sample alone at random between them."""
    rows: list[Any] = db.execute("SELECT item_id, priority, rank FROM items ORDER BY priority DESC, item_id").fetchall()
    doubt = sum(row["priority"] > 0 for row in rows)
    places = []
    for number, row in enumerate(rows):
        strewn = (stable_seed(seed, "place", row["item_id"]) % 10**9) / 10**9
        place = (number + 0.5) / doubt if row["priority"] > 0 else strewn
        if place != row["rank"]:
            places.append((place, row["item_id"]))
    db.executemany("UPDATE items SET rank = ? WHERE item_id = ?", places)
