"""What people have said of questions, put to work: kept, corrected or rejected.

    verdict    a question that waits (needs_review, or written and held)     one that goes on anyway
    keep       goes on                                                       goes on, its difficulty as they say
    correct    goes on with their answer, difficulty, words                  the same
    reject     dropped, `rejected: …`                                        the same

A correction that cannot be carried out (an answer that is none of the options, or no answer at all) and people who say
different things hold the question back, with the reason. A verdict counts for the words that it was given on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from medprm_hf.review.items import question_identity
from medprm_hf.stages.base import Row

Words = Mapping[str, Sequence[Mapping[str, Any]]]
"""{"question_id identity": what stands}; review/from_store.py reads it."""


class Settled(NamedTuple):
    """What people's word makes of a question."""

    row: Row
    """With corrections."""
    dropped: str | None
    """Why it is gone."""
    held: str | None
    """Why it waits on."""
    spoken: bool
    """Whether somebody spoke, and it may go on."""


def settle(row: Row, words: Words) -> Settled:
    """The question as people would have it."""
    identity = question_identity(row["question"] or "", row["options"] or [], row.get("image_sha256"))
    said = words.get(f"{row['question_id']} {identity}", ())
    if not said:
        return Settled(row, None, None, False)
    verdicts = sorted({str(one["verdict"]) for one in said})
    if len(verdicts) > 1:
        who = ", ".join(f"{one['reviewer']}: {one['verdict']}" for one in said)
        return Settled(row, None, f"verdicts: people differ ({who}): agree on one in the Space", False)
    last = said[-1]
    if verdicts[0] == "reject":
        return Settled(
            row, f"rejected: by {last['reviewer']}: {last.get('feedback') or 'no reason given'}", None, False
        )
    if verdicts[0] == "keep":
        return Settled({**row, "difficulty": last.get("difficulty") or row.get("difficulty")}, None, None, True)
    return _corrected(row, last)


def _corrected(row: Row, said: Mapping[str, Any]) -> Settled:
    """The row with what somebody corrected; held where that cannot be carried out."""
    changes = {name: said[name] for name in ("question", "difficulty") if said.get(name)}
    if said.get("answer"):
        found = _answer(row, str(said["answer"]))
        if found is None:
            known = f"none of the {len(row['options'])} options"
            return Settled(row, None, f"correction: answer {said['answer']!r} is {known}: name one of them", False)
        changes |= found
    if not changes:
        wish = said.get("feedback") or "no words"
        return Settled(row, None, f"correction: {said['reviewer']} asks for one ({wish}) but gives none", False)
    return Settled({**row, **changes}, None, None, True)


def _answer(row: Row, said: str) -> Row | None:
    """Columns of a gold answer given as text or letter; None where it is none of the options."""
    options = list(row["options"] or [])
    if not options:
        return {"answer": said, "answer_index": None}
    texts = [option.strip().casefold() for option in options]
    word = said.strip().casefold()
    if word in texts:
        index = texts.index(word)
    elif len(word.strip("().")) == 1 and 0 <= ord(word.strip("().")) - ord("a") < len(options):
        index = ord(word.strip("().")) - ord("a")
    else:
        return None
    return {"answer": options[index], "answer_index": index}
