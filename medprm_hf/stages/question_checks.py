"""Why a question is dropped, and why one is held back: what can be said of a row by itself.

Dropped questions are gone (with their reason in `dropped.jsonl`). Held ones (`needs_review`) are sent to no model: a
person looks at them, mends the source or says `ignore`.
"""

from __future__ import annotations

from collections.abc import Iterator

from medprm_hf.errors import ImageError
from medprm_hf.imaging.burned_in import suspect_writing
from medprm_hf.imaging.intake import refusal_of
from medprm_hf.imaging.load import load_image
from medprm_hf.specs import QuestionsSpec
from medprm_hf.stages.base import Row
from medprm_hf.text.identifiers import find_identifiers
from medprm_hf.text.question_kinds import DIAGNOSTIC, question_kind


def drop_reason(spec: QuestionsSpec, row: Row) -> str | None:
    """Why the question cannot be worked on, or is not asked for; None where it can."""
    if not (row["question"] or "").strip():
        return "no_question: the question is empty"
    return image_reason(row) or _options_reason(spec, row) or _kind_reason(spec, row)


def image_reason(row: Row) -> str | None:
    """Why the image cannot be used. One that was taken in (imaging/intake.py) was decoded there."""
    image, notes = row["image"], row.get("image_notes")
    refusal = refusal_of(notes)
    if refusal:
        return f"image: {refusal}"
    if image is None or (notes is not None and row.get("image_sha256")):
        return None
    try:
        load_image(image)
    except ImageError as error:
        return f"image: {error}"
    return None


def _options_reason(spec: QuestionsSpec, row: Row) -> str | None:
    options, index = row["options"] or [], row["answer_index"]
    texts = [option.strip().casefold() for option in options]
    if "" in texts:
        return f"options: option {texts.index('') + 1} of {len(texts)} is empty"
    if len(set(texts)) < len(texts):
        return f"options: {len(texts) - len(set(texts))} of {len(texts)} options are doubled"
    if len(options) == 1 or len(options) > spec.max_options:
        return f"options: {len(options)} options; 2 to {spec.max_options} can be asked (questions.max_options)"
    if options and index is None and row["answer"] is not None:
        return f"answer: {row['answer']!r} is none of the {len(options)} options"
    if index is not None and not 0 <= index < len(options):
        return f"answer: answer_index {index} is outside the {len(options)} options"
    if spec.needs_answer and row["answer"] is None and index is None:
        return "no_gold: no gold answer, which rollouts need (questions.needs_answer=false for a judge alone)"
    return None


def _kind_reason(spec: QuestionsSpec, row: Row) -> str | None:
    if spec.keep == "all":
        return None
    kind = question_kind(row["question"], row["options"] or (), row["answer"])
    return None if kind in DIAGNOSTIC else f"kind: {kind} is not diagnostic (questions.keep=diagnostic)"


def hold_reason(spec: QuestionsSpec, row: Row) -> str | None:
    """Why a person should look before any model is asked; names kinds and columns, never what was found."""
    if spec.identifiers == "hold":
        kinds = sorted({f"{one.kind} in {column}" for column, text in texts_of(row) for one in find_identifiers(text)})
        if kinds:
            return f"identifiers: {', '.join(kinds)} (questions.identifiers: mask or ignore)"
    if spec.burned_in == "hold" and row["image"] is not None:
        lines = suspect_writing(row["image"]["bytes"])
        if lines:
            return f"burned_in: {len(lines)} lines of writing suspected in the image (questions.burned_in: ignore)"
    return None


def texts_of(row: Row) -> Iterator[tuple[str, str]]:
    """(column, text) of everything in a row that a model would be shown or that is published."""
    for column in ("question", "clinical_context", "answer"):
        if row.get(column):
            yield column, str(row[column])
    yield from (("options", option) for option in row.get("options") or [])
    yield from (("turns", turn["text"]) for turn in row.get("turns") or [])
