"""`case-json`: the benchmark's shape, one object a case and solution (formats.md 4.16).

    {"case_id": "q1", "modality": "chest_xray", "metadata": {…}, "clinical_context": {…}, "image": {"path": …},
     "question": "Which side?", "gold_standard": {"diagnosis": "Left", …}, "solution_steps": [
       {"step_id": 0, "category": "observation", "content": "The left angle is blunted.", "label": "correct",
        "confidence": 0.9, "annotation_method": "consensus", "rag_label": "+", "mc_score": 0.875}], …}

What nobody has stated (approval, de-identification, specialty) is null, never assumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Refused, Row, Writing
from medprm_hf.formats.keeping import all_texts, counted, plain_columns
from medprm_hf.formats.marks import (
    NEUTRAL,
    RIGHT,
    UNKNOWN,
    WRONG,
    answer_place,
    shown_question,
    step_labels,
)

CATEGORIES = ("observation", "analysis", "integration", "diagnosis")
_CATEGORIES = {*CATEGORIES, None}
_STEP = ("step_id", "category", "content", "label", "confidence", "annotation_method", "rag_label", "mc_score")
_WORDS = {RIGHT: "correct", WRONG: "incorrect", UNKNOWN: "uncertain", NEUTRAL: "uncertain"}
_LABELS = {"correct": RIGHT, "incorrect": WRONG, "uncertain": UNKNOWN}


@dataclass(frozen=True)
class CaseJSON(Format):
    """The case JSON."""

    id: ClassVar[str] = "case-json"
    text: ClassVar[str] = "one object a case and solution, every step with category, label and provenance"
    container: ClassVar[Any] = "either"
    carries: ClassVar[frozenset[str]] = frozenset(
        {"question_id", "image", "question", "options", "answer", "answer_index", "modality", "difficulty",
         "clinical_context", "source", "steps", "step_titles", "labels", "label_p", "label_method",
         "judge_labels", "expected_accuracy"}
    )
    losses: ClassVar[tuple[str, ...]] = (
        "solution names: the order within the case is kept",
        "an option with a line break is read back as part of the question",
        "turns of a consultation become part of the question",
        "neutral labels become uncertain ones",
        "titles that are none of " + ", ".join(CATEGORIES),
        "the probability of wrong steps is kept as 1 - p, to 12 digits",
        "rollout counts: only their share",
        "review and merge are one label",
    )

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One record a solution."""
        yield self._around(rows[0], writing.image(rows[0]), list(self._steps(rows[0])))

    def _around(self, row: Row, image: str | None, steps: list[dict[str, Any]]) -> Record:
        context = row.get("clinical_context")
        return {
            "case_id": row["question_id"],
            "modality": row.get("modality"),
            "metadata": {
                "source": row.get("source"),
                "difficulty": row.get("difficulty"),
                "specialty": None,
                "requires_specialist": None,
                "irb_approved": None,
                "phi_removed": None,
            },
            "clinical_context": {
                "age_group": None,
                "sex": None,
                "symptoms": [],
                "history": [context] if context else [],
                "vitals": {},
            },
            "image": {"path": image, "view": None, "quality": None},
            "question": shown_question(row, with_context=False),
            "gold_standard": {"findings": [], "diagnosis": row.get("answer"), "icd10": None, "confidence": None},
            "solution_steps": steps,
            "annotation_metadata": _annotation(row, steps),
        }

    def _steps(self, row: Row) -> Iterator[dict[str, Any]]:
        nothing = [None] * len(row["steps"])
        names = ("label_p", "label_method", "judge_labels", "expected_accuracy", "step_titles")
        columns = (row.get(name) or nothing for name in names)
        labels = step_labels(row)
        for place, (text, label, p, method, judged, mc, title) in enumerate(
            zip(row["steps"], labels, *columns, strict=True)
        ):
            yield {
                "step_id": place,
                "category": title if title in CATEGORIES else None,
                "content": text,
                "label": _WORDS[label],
                "confidence": _other(p) if label == WRONG else p,
                "annotation_method": method,
                "rag_label": judged if judged in (RIGHT, WRONG) else None,
                "mc_score": mc,
                **_cited(row, place),
            }

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """One solution a record."""
        steps = record["solution_steps"]
        if not steps:
            raise Refused("no_steps", "solution_steps is empty", "solution_steps")
        told, gold = record.get("metadata") or {}, record.get("gold_standard") or {}
        question, options, _ = reading.asked(record["question"])
        row = reading.row(question=question, options=options, answer=gold.get("diagnosis"))
        row.update(
            modality=record.get("modality"), difficulty=told.get("difficulty"), source=told.get("source"),
            clinical_context=_context(record.get("clinical_context") or {}),
            answer_index=answer_place(gold.get("diagnosis"), options),
            step_titles=[step.get("category") or "" for step in steps],
            steps=[step["content"] for step in steps],
            labels=[_LABELS.get(step["label"], step["label"]) for step in steps],
            label_p=[_probability(step) for step in steps],
            label_method=[step.get("annotation_method") for step in steps],
            judge_labels=[step.get("rag_label") or UNKNOWN for step in steps],
            expected_accuracy=[step.get("mc_score") for step in steps],
        )
        image = record.get("image")
        reading.image(image.get("path") if isinstance(image, dict) else image, row)
        reading.name(row, str(record["case_id"]))
        if reading.keeps:
            self._keep(row, record, reading)
        yield row

    def _keep(self, row: dict[str, Any], record: Record, reading: Reading) -> None:
        """Keeps what our writer would not write; steps that come back as they stand are not looked at again."""
        steps = record["solution_steps"]
        if not _plain(steps):
            reading.keep([row], [record])
            return
        ours = self._around(row, row["image"] and row["image"]["path"], steps)
        reading.keep([row], [{**record, "solution_steps": None}], [{**ours, "solution_steps": None}])

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """A case with `solution_steps`."""
        return record.keys() >= {"case_id", "solution_steps"}


def _plain(steps: Any) -> bool:
    """Whether our writer is sure to give these steps back as they stand."""
    columns = plain_columns(steps, _STEP) if type(steps) is list else None
    if columns is None:
        return False
    numbers, categories, texts, labels, p, _, judged, _ = columns
    return (
        counted(numbers, 0)
        and (categories.count(None) == len(steps) or {*categories} <= _CATEGORIES)
        and all_texts(texts, labels)
        and _LABELS.keys() >= {*labels}
        and judged.count(RIGHT) + judged.count(WRONG) + judged.count(None) == len(steps)
        and all(_comes_back(share) for share, label in zip(p, labels, strict=True) if label == "incorrect")
    )


def _comes_back(share: Any) -> bool:
    return share is None or (type(share) is float and share > 0 and _other(_other(share)) == share)


def _probability(step: Mapping[str, Any]) -> float | None:
    confidence: float | None = step.get("confidence")
    return _other(confidence) if step["label"] == "incorrect" else confidence


def _other(share: float | None) -> float | None:
    """1 - share; rounded, so that there and back gives the same number."""
    return None if share is None else round(1 - share, 12)


def _cited(row: Row, place: int) -> dict[str, Any]:
    """`medical_evidence` of a step: the passages that the judge relied on, if it named any."""
    cited = (row.get("judge_citations") or {place: None})[place] or []
    passages = [passage for passage in row.get("evidence") or [] if passage["id"] in cited]
    if not passages:
        return {}
    return {
        "medical_evidence": [
            {"source": found.get("source") or found["id"], "quote": found["text"], "relevance": found.get("score")}
            for found in passages
        ]
    }


def _context(found: Mapping[str, Any]) -> str | None:
    """The clinical context as one text; null if the object says nothing."""
    history = found.get("history") or []
    if len(history) == 1 and not any(found.get(key) for key in ("age_group", "sex", "symptoms", "vitals")):
        return str(history[0])
    said = [f"{key}: {found[key]}" for key in ("age_group", "sex") if found.get(key)]
    said += [f"{key}: {', '.join(map(str, found[key]))}" for key in ("symptoms", "history") if found.get(key)]
    said += [f"{key}: {value}" for key, value in (found.get("vitals") or {}).items()]
    return "; ".join(said) or None


def _annotation(row: Row, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    reviewers = [one["reviewer"] for step in row.get("reviews") or [] for one in step or []]
    totals = [total for total in row.get("rollout_total") or [] if total is not None]
    uncertain = sum(step["label"] == "uncertain" for step in steps)
    return {
        "annotation_date": None,
        "rag_model": (row.get("judge") or {}).get("model"),
        "mc_model": (row.get("rollout_method") or {}).get("completer"),
        "mc_samples": max(totals, default=None),
        "expert_verified_steps": [
            place for place, label in enumerate(row.get("review_labels") or []) if label != UNKNOWN
        ],
        "primary_annotator": None,
        "expert_reviewer": reviewers[0] if reviewers else None,
        "total_steps": len(steps),
        "confident_steps": len(steps) - uncertain,
        "uncertain_steps": uncertain,
    }
