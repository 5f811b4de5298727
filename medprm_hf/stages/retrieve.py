"""retrieve: passages and similar cases for each question, by its text and its image, never by its answer.

Reads question, options and image (and earlier turns, context, steps where they are); adds evidence and similar_cases.

    question "Which drug lowers potassium?"  ->  evidence [{id "m46106#3", text "…", source, license, score}, …]
    image                                    ->  similar_cases [{question_id "q7", diagnosis "…", similarity 0.91}, …]

All questions of a batch are searched together. Passages fill their share of the prompt (4,096 tokens in all, 3,072
for documents, 1,024 kept for question and solution), best first. A question without words gets no passages, one
without an image no cases; neither is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from medprm_hf.errors import ConfigError, ImageError
from medprm_hf.imaging.load import load_image
from medprm_hf.retrieval.cases import Asked, CaseIndex
from medprm_hf.retrieval.chunking import count_tokens, fit
from medprm_hf.retrieval.index import Hit
from medprm_hf.retrieval.queries import query_text
from medprm_hf.schema import written_by
from medprm_hf.specs import RetrieveSpec
from medprm_hf.stages.base import Batch, Row, RowErrors, by_question, columns_of, rows_of
from medprm_hf.stages.indexes import RUN, case_index, cases_of_run, open_cases, text_index

_CASE_COLUMNS = ("question_id", "image", "answer", "group", "split", "question_status", "source", "license")


@dataclass(frozen=True)
class Retrieve(RetrieveSpec):
    """Passages and similar cases; see the module."""

    reads: ClassVar[tuple[str, ...]] = ("question_id", "image", "question", "options")
    uses: ClassVar[tuple[str, ...]] = (
        "turns", "clinical_context", "group", "split", "question_status", "answer", "source", "license", "steps",
    )  # fmt: skip
    writes: ClassVar[tuple[str, ...]] = written_by("retrieve")

    learnt: str = field(default="", repr=False, compare=False)
    """JSON: the folder of the index of the run's own cases."""

    def check(self) -> None:
        """Builds or opens the indexes and their encoders."""
        self.budget()
        text_index(self)
        case_index(self)

    def learn(self, batches: Iterable[Batch]) -> str:
        """Indexes the run's own cases, where the recipe wants them: those of other splits than the held-out ones."""
        if self.cases != RUN:
            return ""
        rows = (row for batch in batches for row in _cases_in(batch))
        return json.dumps({"cases": cases_of_run(rows, self)})

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Adds evidence and similar cases to each row; rows of one question get the same."""
        rows, budget = rows_of(self, batch), self.budget()
        groups = list(by_question(rows))
        asked = [rows[group[0]] for group in groups]
        errors = [RowErrors(self.name) for _ in groups]
        room = [self._room([rows[i] for i in group], budget) for group in groups]
        evidence = self._evidence(asked, room)
        similar = self._similar(asked, self._cases(batch), errors)
        results: list[Row] = [{} for _ in rows]
        for number, group in enumerate(groups):
            found = {"evidence": evidence[number], "similar_cases": similar[number], "errors": errors[number].entries}
            for i in group:
                results[i] = found
        return columns_of(self, rows, results)

    def _room(self, rows: Sequence[Row], budget: int) -> int:
        """Tokens for passages: less where question and longest solution need more than is kept for them."""
        steps = max(count_tokens(" ".join(row.get("steps") or [])) for row in rows)
        needed = count_tokens(query_text(rows[0])) + steps
        return max(0, min(budget, self.total_tokens - max(self.reserved_tokens, needed)))

    def _evidence(self, rows: Sequence[Row], room: Sequence[int]) -> list[list[Row]]:
        index = text_index(self)
        if index is None:
            return [[] for _ in rows]
        weights = {"lexical": self.lexical_weight, "dense": self.dense_weight}
        found = index.search([query_text(row) for row in rows], self.passages, weights)
        return [_shown(hits, tokens) for hits, tokens in zip(found, room, strict=True)]

    def _cases(self, batch: Mapping[str, list[Any]]) -> CaseIndex | None:
        if self.cases != RUN:
            return case_index(self)
        learnt = self.learnt or self.learn([dict(batch)])
        folder = json.loads(learnt)["cases"]
        if folder and not Path(folder).is_dir():
            raise ConfigError(f"the run's case index {folder} is gone: delete the retrieve shards and resume")
        return open_cases(Path(folder), self.image_encoder) if folder else None

    def _similar(self, rows: Sequence[Row], index: CaseIndex | None, errors: Sequence[RowErrors]) -> list[list[Row]]:
        """Similar cases of each question; [] without an image, or where it cannot be read."""
        found: list[list[Row]] = [[] for _ in rows]
        images = _images(rows, errors) if index is not None else {}
        if index is None or not images:
            return found
        asked = [
            Asked(str(rows[i]["question_id"]), _text(rows[i].get("group")), sha, tuple(self.held_out))
            for i, (_, sha) in images.items()
        ]
        vectors = index.encoder.images([data for data, _ in images.values()])
        for i, cases in zip(images, index.similar(asked, vectors, self.similar), strict=True):
            found[i] = [
                {"question_id": case.question_id, "diagnosis": case.diagnosis, "similarity": round(score, 6)}
                for case, score in cases
            ]
        return found


def _shown(hits: Sequence[Hit], tokens: int) -> list[Row]:
    """What fits into the budget, as the column holds it."""
    kept = fit([hit.passage.text for hit in hits], tokens)
    return [
        {
            "id": hits[i].passage.id,
            "text": hits[i].passage.text,
            "source": hits[i].passage.source,
            "license": hits[i].passage.license,
            "score": round(hits[i].score, 6),
        }
        for i in kept
    ]


def _images(rows: Sequence[Row], errors: Sequence[RowErrors]) -> dict[int, tuple[bytes, str]]:
    """Bytes and hash of the images that can be read, by row."""
    found = {}
    for i, row in enumerate(rows):
        if row.get("image"):
            try:
                image = load_image(row["image"])
                found[i] = (image.data, image.sha256)
            except ImageError as error:
                errors[i].add("image", str(error))
    return found


def _cases_in(batch: Mapping[str, list[Any]]) -> list[Row]:
    """One row a question with what a case is made of; columns that are not there are left out."""
    names = [name for name in _CASE_COLUMNS if name in batch]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*(batch[name] for name in names), strict=True)]
    return [rows[group[0]] for group in by_question(rows)]


def _text(value: Any) -> str | None:
    return str(value) if value else None
