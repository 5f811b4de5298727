"""questions: which questions are worth asking, and in which split. Reads the source's columns, adds question_status,
question_reason and split; where it masks identifiers or a model writes the question, it also settles those columns.

    kept           goes on                                   dropped       is gone, with its reason
    written        goes on; a model wrote it from the image  needs_review  is sent to no model until a person looked

Dropped: what cannot be worked on (question_checks.py), what repeats an earlier question, what stands in two splits,
what is over the mix. Learns over the whole run which questions belong together (question_groups.py). With `reviewer`
people's words from the review store count (question_verdicts.py): they lift a hold, correct, or reject.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

from medprm_hf.backends import open_backend
from medprm_hf.errors import ConfigError
from medprm_hf.review.from_store import question_words
from medprm_hf.review.reviewers import open_reviewer
from medprm_hf.schema import written_by
from medprm_hf.specs import QuestionsSpec
from medprm_hf.stages.base import Batch, Row, columns_of, rows_of
from medprm_hf.stages.question_checks import drop_reason, hold_reason
from medprm_hf.stages.question_groups import STRICTNESS, Groups, own_group, place_of
from medprm_hf.stages.question_mix import Ticket, check_mix, left_out, limits_of
from medprm_hf.stages.question_verdicts import settle
from medprm_hf.stages.question_writing import lacks_question, write_questions
from medprm_hf.text.domains import domain_of
from medprm_hf.text.identifiers import mask
from medprm_hf.together import split_by_hash

SETTLED = ("question", "turns", "options", "answer", "answer_index", "clinical_context", "difficulty")
"""Source columns that are given on as the questions stage leaves them."""


@dataclass(frozen=True)
class Questions(QuestionsSpec):
    """Keeps the questions that can be worked on; see the module."""

    reads: ClassVar[tuple[str, ...]] = ("question_id", "question", "image", "options", "answer", "answer_index")
    uses: ClassVar[tuple[str, ...]] = (
        "split", "image_sha256", "image_notes", "turns", "clinical_context", "group", "modality", "difficulty",
    )  # fmt: skip
    writes: ClassVar[tuple[str, ...]] = (*written_by("questions"), *SETTLED)

    learnt: str = field(default="", repr=False)
    """JSON of what belongs together over the run; learnt within each batch where it is empty."""

    def check(self) -> None:
        """Refuses shares that are none; opens the model that writes."""
        if self.write.backend:
            open_backend(self.write.backend)
        if self.reviewer:
            open_reviewer(self.reviewer)
        if self.hold_written and not (self.reviewer or "").startswith("store:"):
            raise ConfigError(
                f"questions.hold_written=true with reviewer={self.reviewer}: nobody could let them go on; "
                f"write reviewer: store:PATH"
            )
        check_mix(self.domains, self.difficulties)
        for name in self.splits or {}:
            if name not in STRICTNESS:
                raise ConfigError(f"questions.splits: {name!r} is none of {', '.join(STRICTNESS)}")
        if self.splits and abs(sum(self.splits.values()) - 1) > 1e-6:
            raise ConfigError(f"questions.splits: the shares add up to {sum(self.splits.values()):g}: make it 1")

    def state(self) -> str:
        """Changes with people's words on questions; empty where there are none."""
        words = question_words(self.reviewer)
        return json.dumps(words, sort_keys=True) if words else ""

    def learn(self, batches: Iterable[Batch]) -> str:
        """Which questions of the run belong together, which repeat another, and where the mixes end."""
        groups, tickets = Groups(self.image_distance), {}
        for batch in batches:
            for row in map(self._masked, rows_of(self, batch)):
                if self.write.backend and lacks_question(row):
                    groups.add(row)
                elif drop_reason(self, row) is None:
                    groups.add(row)
                    tickets[row["question_id"]] = self._ticket(row)
        known = groups.learnt()
        if self.duplicates == "keep":
            known["twins"] = {}
        asked = [ticket for name, ticket in tickets.items() if name not in known["twins"]]
        known["limits"] = limits_of(asked, self.domains, self.difficulties)
        words = question_words(self.reviewer)
        return json.dumps(known | ({"words": words} if words else {}), sort_keys=True)

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds status, reason and split to each question of the batch."""
        rows = [self._masked(row) for row in rows_of(self, batch)]
        known = _known(self.learnt or self.learn([dict(batch)]))
        if self.write.backend:
            rows = write_questions(self.write, rows)
        return columns_of(self, rows, [self._row(row, known) for row in rows])

    def _row(self, row: Row, known: dict[str, Any]) -> Row:
        problem, writer = row.get("write_problem"), row.get("question_writer")
        row, rejected, held, spoken = settle(row, known.get("words", {}))
        reason = f"unwritten: {problem}" if problem else drop_reason(self, row)
        root = known["roots"].get(row["question_id"], own_group(row))
        split = known["wishes"].get(root) or self.split or self._drawn(root)
        reason = reason or rejected or self._place_reason(row, split, known)
        if not reason and not spoken:
            held = held or hold_reason(self, row) or self._unseen(writer)
        return {
            **{name: row.get(name) for name in SETTLED},
            "question_status": "dropped" if reason else "needs_review" if held else _good(writer),
            "question_reason": reason or held,
            "split": row.get("split") or split,
            "question_writer": writer,
            "errors": row.get("write_errors", []),
        }

    def _unseen(self, writer: Any) -> str | None:
        """Why a written question waits, where it should."""
        return f"written: by {writer['model']}, nobody has looked at it" if self.hold_written and writer else None

    def _drawn(self, root: str) -> str:
        return split_by_hash(self.splits, "split", self.seed, root) if self.splits else "train"

    def _place_reason(self, row: Row, split: str, known: dict[str, Any]) -> str | None:
        """Why a question that could be asked has no place in the run."""
        twin = known["twins"].get(row["question_id"])
        if twin:
            return f"duplicate: says the same as {twin}"
        if row.get("split") and row["split"] != split:
            return f"leak: its patient, image or text stands in {split} too, so it cannot be in {row['split']}"
        if row.get("question_writer"):
            return None  # it had no difficulty when the mix was drawn
        return left_out(self._ticket(row), known["limits"], self.domains, self.difficulties)

    def _ticket(self, row: Row) -> Ticket:
        return Ticket(place_of(row["question_id"], self.seed), domain_of(row.get("modality")), row.get("difficulty"))

    def _masked(self, row: Row) -> Row:
        """The row with every suspected identifier replaced by its kind, where that is asked for."""
        if self.identifiers != "mask":
            return row
        texts = {name: mask(row[name]) for name in ("question", "clinical_context", "answer") if row.get(name)}
        options = [mask(option) for option in row.get("options") or []]
        turns = [{**turn, "text": mask(turn["text"])} for turn in row.get("turns") or []] or row.get("turns")
        return {**row, **texts, "options": options, "turns": turns}


@lru_cache(maxsize=2)
def _known(learnt: str) -> dict[str, Any]:
    """What was learnt of the run; of 100,000 questions it is megabytes, and every shard asks for it."""
    found: dict[str, Any] = json.loads(learnt)
    return found


def _good(writer: Any) -> str:
    """The status of a question that goes on."""
    return "written" if writer else "kept"
