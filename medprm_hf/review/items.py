"""Items: what a reviewer is shown of one solution (or of one question), made from a canonical row.

    row (one solution)  →  Item(item_id="q1-s0", content={question, options, steps, …}, machine={labels, judge, …})

`content` is what the page shows to everyone, `machine` what it shows only to those who may see it: merged label, judge
and rollouts of each step, and which words of the evidence the judge relied on. A question that waits for a person
(question_status `needs_review`, or `written` by a model) is an item without steps, called `question:ID`.

`identities` name each step by its question, image and the steps up to it: a decision counts for the very words it was
made on, also when a run is built again under the same ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medprm_hf.errors import ImageError
from medprm_hf.ids import content_hash
from medprm_hf.imaging.load import load_image
from medprm_hf.imaging.loaded import LoadedImage
from medprm_hf.labels.sampling import draw_of
from medprm_hf.review.citations import spans
from medprm_hf.schema import Label
from medprm_hf.text.domains import domain_of

Row = Mapping[str, Any]
QUESTION = "question:"
"""How the id of an item begins that asks about a question, not about a solution."""
WAITING = ("needs_review", "written")
"""question_status of questions that a person should look at."""
_PLAIN = re.compile(r"\s+")


@dataclass(frozen=True)
class Item:
    """One row as the store keeps it; `content` and `machine` hold plain JSON values."""

    item_id: str
    question_id: str
    kind: str
    """solution or question."""
    modality: str | None
    domain: str | None
    difficulty: str | None
    source: str | None
    content: dict[str, Any]
    machine: dict[str, Any]
    identities: tuple[str, ...]
    """Of each step, [num_steps]; of a question item the question's."""
    draw: float
    """0..1: by it the quality sample is drawn, the same in every process."""
    image: LoadedImage | None = None

    @property
    def steps(self) -> int:
        """Number of steps; 1 for a question item, which asks one thing."""
        return len(self.identities)

    @property
    def content_hash(self) -> str:
        """Hash of what is shown to everyone."""
        return content_hash(_dumps(self.content))

    @property
    def stratum(self) -> str:
        """Modality, difficulty and source, as the calibrate stage's default strata have it."""
        return " / ".join(str(value) for value in (self.modality, self.difficulty, self.source))


def items_of(row: Row, seed: int = 0, images: bool = True) -> list[Item]:
    """The items of a row: its solution, and its question where that waits for a person. Empty for neither."""
    image, problem = _image(row.get("image")) if images else (None, None)
    found = []
    if row.get("solution_id") and row.get("steps"):
        found.append(_solution(row, image, problem, seed))
    if row.get("question_status") in WAITING and row.get("solution_index") in (None, 0):
        found.append(_question(row, image, problem, seed))
    return found


def _solution(row: Row, image: LoadedImage | None, problem: str | None, seed: int) -> Item:
    steps = list(row["steps"])
    content = {
        **_shared(row, image, problem),
        "steps": steps,
        "titles": list(row.get("step_titles") or [""] * len(steps)),
    }
    name = str(row["solution_id"])
    return _item(
        row, name, "solution", content, machine_of(row), identities(row, image), draw_of(seed, "calibrate", name), image
    )


def _question(row: Row, image: LoadedImage | None, problem: str | None, seed: int) -> Item:
    name = QUESTION + str(row["question_id"])
    writer = row.get("question_writer") or {}
    content = {
        **_shared(row, image, problem),
        "steps": [], "titles": [], "evidence": [], "similar_cases": [],
        "asked_because": row.get("question_reason") or f"written by {writer.get('model', 'a model')}",
        "explanation": writer.get("explanation"),
    }  # fmt: skip
    named = (content["question_identity"],)
    return _item(row, name, "question", content, {}, named, draw_of(seed, "calibrate", name), image)


def _item(
    row: Row, name: str, kind: str, content: dict[str, Any], machine: dict[str, Any], named: tuple[str, ...],
    draw: float, image: LoadedImage | None,
) -> Item:  # fmt: skip
    modality = row.get("modality")
    return Item(
        name, str(row["question_id"]), kind, modality, domain_of(modality), row.get("difficulty"), row.get("source"),
        content, machine, named, draw, image,
    )  # fmt: skip


def _shared(row: Row, image: LoadedImage | None, problem: str | None) -> dict[str, Any]:
    """What every item of a question shows."""
    return {
        "question": row.get("question") or "",
        "turns": list(row.get("turns") or []),
        "options": list(row.get("options") or []),
        "answer": row.get("answer"),
        "answer_index": row.get("answer_index"),
        "clinical_context": row.get("clinical_context"),
        "license": row.get("license"),
        "image": image and {"sha256": image.sha256, "width": image.width, "height": image.height},
        "image_problem": problem,
        "question_identity": _question_identity(row, image),
        "evidence": [
            {name: passage.get(name) for name in ("id", "text", "source", "license")}
            for passage in row.get("evidence") or []
        ],
        "similar_cases": [dict(case) for case in row.get("similar_cases") or []],
    }


def _image(value: Any) -> tuple[LoadedImage | None, str | None]:
    """The image as it is sent, or why it cannot be."""
    if value is None:
        return None, None
    try:
        return load_image(value), None
    except ImageError as error:
        return None, str(error)


def _sha(row: Row, image: LoadedImage | None) -> str | None:
    """Names the image also where its bytes are left out."""
    return row.get("image_sha256") or (image.sha256 if image else None)


# --- names of what is judged -----------------------------------------------------------------------------------


def question_identity(question: str, options: Sequence[str], image_sha256: str | None) -> str:
    """Names a question by its words and image; white space does not count."""
    return content_hash(_words(question), [_words(option) for option in options], image_sha256)


def _question_identity(row: Row, image: LoadedImage | None) -> str:
    return question_identity(row.get("question") or "", row.get("options") or [], _sha(row, image))


def identities(row: Row, image: LoadedImage | None = None) -> tuple[str, ...]:
    """Names each step of a row by question, image and the steps up to it, [num_steps]."""
    last = _question_identity(row, image)
    found = []
    for step in row.get("steps") or []:
        last = content_hash(last, _words(step))
        found.append(last)
    return tuple(found)


def _words(text: str) -> str:
    return _PLAIN.sub(" ", text).strip()


# --- what machines said ----------------------------------------------------------------------------------------


def machine_of(row: Row) -> dict[str, Any]:
    """Merged labels, judge and rollouts of each step, and the passages' words that the judge cites for it."""
    count = len(row["steps"])
    lists: dict[str, list[Any] | None] = {
        "labels": [Label.UNKNOWN.value], "label_p": [None], "needs_review": [True],
        "judge_labels": None, "judge_confidence": [None], "judge_reasons": [None], "judge_citations": [[]],
        "judge_errors": [None], "rollout_correct": None, "rollout_total": None, "expected_accuracy": [None],
    }  # fmt: skip
    machine: dict[str, Any] = {
        name: list(row[name]) if row.get(name) else default and default * count for name, default in lists.items()
    }
    return {**machine, "cited": _cited(row)}


def _cited(row: Row) -> list[dict[str, list[tuple[int, int]]]]:
    """Of each step: {passage: [[start, end], …]}, whole passages where the judge gave no words. [num_steps]."""
    passages = {str(passage["id"]): str(passage["text"]) for passage in row.get("evidence") or []}
    checks = row.get("judge_citation_checks") or [[] for _ in row["steps"]]
    plain = row.get("judge_citations") or [[] for _ in row["steps"]]
    found = []
    for step, named in zip(checks, plain, strict=False):
        marks: dict[str, list[tuple[int, int]]] = {str(name): [] for name in named or [] if str(name) in passages}
        for citation in step or []:
            text = passages.get(str(citation["id"]))
            if text is not None and citation.get("quote") and citation["status"] == "quoted":
                marks.setdefault(str(citation["id"]), []).extend(spans(text, citation["quote"]))
        found.append(marks)
    return found


def signals_of(machine: Mapping[str, Any], step: int) -> dict[str, Any]:
    """What the page may be told of one step: label, label_p, judge, rollouts (null where there is none)."""
    judge = machine.get("judge_labels") and {
        "label": machine["judge_labels"][step],
        "confidence": machine["judge_confidence"][step],
        "reason": machine["judge_reasons"][step],
        "citations": list(machine["judge_citations"][step] or []),
    }
    rollouts = machine.get("rollout_total") and {
        "correct": machine["rollout_correct"][step],
        "total": machine["rollout_total"][step],
        "expected_accuracy": machine["expected_accuracy"][step],
    }
    return {
        "label": machine["labels"][step], "label_p": machine["label_p"][step],
        "judge": judge or None, "rollouts": rollouts or None,
    }  # fmt: skip


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
