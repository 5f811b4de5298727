"""Small tables for the review tests, and a clock that stands still."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from medprm_hf.review.settings import StoreSettings
from medprm_hf.review.store import ReviewStore

SECRET = "SIGNAL-SECRET"
"""Stands in every text that a machine wrote: a blind page must not have been sent it."""


PASSAGE = "Nodules below 6 mm: no follow-up."


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def png(shade: int = 90, size: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("L", (size, size), shade).save(out, "PNG")
    return out.getvalue()


def row(question: int = 0, solution: int = 0, steps: int = 3, **changes: Any) -> dict[str, Any]:
    """A solution whose steps are all doubtful, as merge leaves it."""
    name = f"q{question}"
    return {
        "question_id": name, "question": f"What is shown in {name}?", "options": ["cyst", "nodule"], "answer": "nodule",
        "answer_index": 1, "modality": "ct_scan", "difficulty": ("easy", "hard")[question % 2], "source": "test",
        "license": "CC0-1.0", "clinical_context": None, "image": None, "image_sha256": None, "turns": None,
        "question_status": "kept", "question_reason": None,
        "solution_id": f"{name}-s{solution}", "solution_index": solution,
        "steps": [f"Step {i} of {name}-s{solution}" for i in range(steps)], "step_titles": [""] * steps,
        "is_correct": solution % 2 == 0,
        "judge_labels": ["-"] * steps, "judge_confidence": ["high"] * steps, "judge_reasons": [SECRET] * steps,
        "judge_citations": [["g1"]] * steps, "judge_errors": ["size"] * steps,
        "judge_citation_checks": [[{"id": "g1", "quote": "6 mm", "status": "quoted"}]] * steps,
        "rollout_correct": [3] * steps, "rollout_total": [16] * steps, "expected_accuracy": [0.1875] * steps,
        "evidence": [{"id": "g1", "text": PASSAGE, "source": "book", "license": "x", "score": 1.0}],
        "similar_cases": [{"question_id": "q9", "diagnosis": "nodule", "similarity": 0.9}],
        "labels": ["-"] * steps, "label_p": [0.4375] * steps, "needs_review": [True] * steps,
    } | changes  # fmt: skip


def rows(questions: int, solutions: int = 1, **changes: Any) -> list[dict[str, Any]]:
    return [row(q, s, **changes) for q in range(questions) for s in range(solutions)]


def store(folder: Path, questions: int = 3, clock: Clock | None = None, **settings: Any) -> ReviewStore:
    """A store without a quality sample, unless asked for."""
    found = ReviewStore(folder / "review.sqlite", StoreSettings(**({"sample": 0.0} | settings)), clock or Clock())
    found.add(rows(questions))
    return found
