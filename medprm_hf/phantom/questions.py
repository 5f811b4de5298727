"""The rows that the phantom world offers as a source: question columns, no truth beyond the answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from medprm_hf.ids import bytes_hash
from medprm_hf.phantom.render import png_bytes
from medprm_hf.phantom.steps import QUESTION
from medprm_hf.phantom.world import OPTIONS, Split, question_ids, scene_of


def question_rows(split: Split, n: int, seed: int = 0, context: str | None = None) -> Iterator[dict[str, Any]]:
    """The first `n` questions of a split as rows of the `sources` stage; `context` is each one's clinical context."""
    for question_id in question_ids(split, n, seed):
        yield question_row(question_id) | {"clinical_context": context}


def question_row(question_id: str) -> dict[str, Any]:
    """One question with its image."""
    scene = scene_of(question_id)
    png = png_bytes(scene)
    return {
        "question_id": question_id,
        "image": {"bytes": png, "path": None},
        "image_sha256": bytes_hash(png),
        "question": QUESTION,
        "turns": None,
        "options": list(OPTIONS),
        "answer": scene.answer,
        "answer_index": OPTIONS.index(scene.answer),
        "modality": f"phantom_{scene.look}",
        "difficulty": scene.difficulty,
        "clinical_context": None,
        "group": scene.scene_id,
        "source": "phantom",
        "license": "CC0-1.0",
    }
