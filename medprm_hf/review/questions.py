"""People's word on questions: keep, correct or reject, with an answer, a difficulty, a feedback.

    decide_question(store, key, "ann", "question:q1", "correct", answer="B", feedback="two options are right")
    verdicts(store)["q1"]     ->  Verdict("correct", …): the last word that stands, an adjudicator's before a reviewer's

It may be given on a question that waits for a person, or beside any of its solutions.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from medprm_hf.errors import ReviewError
from medprm_hf.review.decisions import (
    VERDICT,
    VERDICTS,
    Place,
    append,
    check_key,
    check_text,
    heads,
    known,
    settle,
    stand,
    tally,
)
from medprm_hf.review.items import QUESTION
from medprm_hf.review.showing import Shown, moment, proof, verdict_of
from medprm_hf.review.store import ReviewStore

DIFFICULTIES = ("easy", "medium", "hard")


@dataclass(frozen=True)
class QuestionJudged:
    """What a reviewer says of a question."""

    verdict: str
    """keep, correct or reject."""
    answer: str | None = None
    """correct: the gold answer as it should be, the option's text or its letter; None leaves it."""
    difficulty: str | None = None
    """easy, medium or hard; None leaves it."""
    feedback: str | None = None
    """What should change, or why it is rejected."""
    question: str | None = None
    """correct: the question's words as they should be; None leaves them."""

    def check(self) -> None:
        """ReviewError `value` for what cannot be kept."""
        if self.verdict not in VERDICTS:
            raise ReviewError("value", f"verdict {self.verdict!r} is none of {', '.join(VERDICTS)}")
        if self.difficulty is not None and self.difficulty not in DIFFICULTIES:
            raise ReviewError("value", f"difficulty {self.difficulty!r} is none of {', '.join(DIFFICULTIES)}")
        check_text("answer", self.answer)
        check_text("feedback", self.feedback)
        check_text("feedback", self.question)


def decide_question(store: ReviewStore, key: str, reviewer: str, item: str, judged: QuestionJudged) -> Shown | None:
    """Stores a verdict on the item's question; gives the reviewer's word as it stands. Idempotent by key."""
    judged.check()
    check_key(key)
    with store.database.write() as db:
        row = db.execute("SELECT * FROM items WHERE item_id = ?", (item,)).fetchone()
        if row is None:
            raise ReviewError("unknown_item", f"no item is called {item!r}: it may belong to another store")
        place = Place(QUESTION + row["question_id"], -1, reviewer)
        if not known(db, key, VERDICT, place, judged.verdict):
            identity = json.loads(row["content"])["question_identity"]
            body = {name: value for name, value in asdict(judged).items() if name != "verdict"}
            append(
                db, key=key, kind=VERDICT, **place._asdict(), at=moment(store.clock()), label=judged.verdict,
                shown=proof(row["content_hash"], identity, None, store.settings.show_answer), identity=identity,
                version=row["version"], round=_round(db, place.item_id), origin=store.origin,
                supersedes=json.dumps([head["key"] for head in heads(db, place, VERDICT)]),
                body=json.dumps({**body, "via": item}, ensure_ascii=False),
            )  # fmt: skip
            tally(db, reviewer, decisions=1)
            stand(db, place)
            settle(db, place.item_id)
        return verdict_of(db, row["question_id"], reviewer)


def _round(db: Any, item: str) -> int:
    found = db.execute("SELECT round FROM items WHERE item_id = ?", (item,)).fetchone()
    return int(found["round"]) if found else 1


@dataclass(frozen=True)
class Verdict:
    """The word that counts on a question."""

    reviewer: str
    judged: QuestionJudged
    identity: str
    """Of the question as it was shown (`items.question_identity`)."""
    at: str
    agreed: bool
    """Whether all reviewers who spoke gave the same verdict."""


def verdicts(store: ReviewStore) -> dict[str, Verdict]:
    """By question_id: the latest word that stands. Where people differ, `agreed` is False."""
    found: dict[str, Verdict] = {}
    said: dict[str, set[str]] = {}
    rows = store.database.read().execute(
        "SELECT d.* FROM standing s JOIN decisions d ON d.key = s.key WHERE s.kind = ? ORDER BY d.at, d.key", (VERDICT,)
    )
    for row in rows:
        name = row["item_id"].removeprefix(QUESTION)
        said.setdefault(name, set()).add(row["label"])
        body = {key: value for key, value in json.loads(row["body"]).items() if key != "via"}
        found[name] = Verdict(
            row["reviewer"], QuestionJudged(row["label"], **body), row["identity"], row["at"], len(said[name]) == 1
        )
    return found
