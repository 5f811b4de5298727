"""People's decisions of the review store, put into rows as the review stage would: for Explore and Export.

    join = joining(Path("review.sqlite"))         # as the store stands now
    join(row)["review_labels"]                    ->  ["?", "-", …]     an adjudicator's word before a majority's

A decision counts for the words it was made on, so it holds for the same step of other solutions too. What a dataset
already holds of other reviewers stays beside it; nothing that a machine said is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from medprm_hf.review.from_store import StoreReviewer, question_words
from medprm_hf.review.items import identities, question_identity
from medprm_hf.review.reviewers import Asked, label_of
from medprm_hf.schema import Label

Row = dict[str, Any]
Join = Callable[[Row], Row]


def unchanged(row: Row) -> Row:
    """A row as its dataset has it."""
    return row


def joining(store: Path) -> Join:
    """A function that gives rows with the store's decisions; rows that nobody spoke on come back as they are."""
    if not store.is_file():
        return unchanged
    reviewer = StoreReviewer(store)
    reviewer = reviewer.at(reviewer.state())
    verdicts = question_words(f"store:{store}")

    def join(row: Row) -> Row:
        steps = row.get("steps") or []
        named = identities(row)
        asked = [
            Asked(str(row.get("question_id")), str(row.get("solution_id")), tuple(steps), step, identity)
            for step, identity in enumerate(named)
        ]
        words = [[word.as_row() for word in said] for said in reviewer.words(asked)]
        verdict = _verdict(row, verdicts)
        if not any(words) and verdict is None:
            return row
        return {**row, **_spoken(row, words), "question_verdict": verdict}

    return join


def _spoken(row: Row, words: list[list[Row]]) -> Row:
    """The two review columns with the words put in, [num_steps]."""
    count = len(words)
    earlier = row.get("reviews") or [[] for _ in range(count)]
    before = row.get("review_labels") or [Label.UNKNOWN.value] * count
    reviews, labels = [], []
    for had, label, said in zip(earlier, before, words, strict=True):
        who = {one["reviewer"] for one in said}
        both = [*(one for one in had or [] if one["reviewer"] not in who), *said]
        reviews.append(both)
        labels.append(label_of(both) if said else label)
    return {"reviews": reviews, "review_labels": labels}


def _verdict(row: Row, verdicts: dict[str, list[dict[str, Any]]]) -> str | None:
    """keep, correct or reject: the last word on the row's question; None where nobody gave one."""
    if not verdicts:
        return None
    named = question_identity(str(row.get("question") or ""), row.get("options") or [], row.get("image_sha256"))
    said = verdicts.get(f"{row.get('question_id')} {named}")
    return str(said[-1]["verdict"]) if said else None
