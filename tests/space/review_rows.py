"""Rows for the review page's tests: solutions of a phantom-like question with image, evidence and both signals.

rows(10, steps=5)      # 10 solutions, every step in doubt, each with its own picture
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

PASSAGE = "A nodule smaller than 6 mm needs no follow-up. 🩺 One of 8 mm or more does."
QUOTE = "One of 8 mm or more does"
SECRET = "judge-says-so"
"""Stands in every judge's reason: blind pages and their network must not hold it."""


def picture(seed: int, width: int = 96, height: int = 64) -> Image.Image:
    """A grey picture with a bright and a dark half and some texture."""
    noise = np.random.default_rng(seed).integers(0, 60, (height, width))
    ramp = np.linspace(20, 190, width)[None, :] + noise
    return Image.fromarray(ramp.clip(0, 255).astype(np.uint8), "L")


def row(number: int, steps: list[str], image: bool = True) -> dict[str, Any]:
    """One canonical solution row; rollouts and judge disagree everywhere, so that every step is asked."""
    count = len(steps)
    question = f"test-{number:04d}"
    return {
        "question_id": question, "question": f"Which finding fits case {number}?", "turns": None,
        "image": picture(number) if image else None, "image_sha256": None,
        "options": ["Nodule", "Effusion", "Fracture", "None of these"], "answer": "Nodule", "answer_index": 0,
        "modality": "chest_xray" if number % 2 else "ct_scan", "difficulty": "medium", "clinical_context": "Cough.",
        "source": "test", "license": "CC0-1.0", "split": "train",
        "question_status": "kept", "question_reason": None,
        "solution_id": f"{question}-s0", "solution_index": 0, "solution": "\n".join(steps), "final_answer": "A",
        "is_correct": True, "steps": steps, "step_titles": [""] * count,
        "rollout_correct": [14] * count, "rollout_total": [16] * count, "expected_accuracy": [14 / 16] * count,
        "judge_labels": ["-"] * count, "judge_confidence": ["low"] * count,
        "judge_reasons": [f"{SECRET} {number}.{step}" for step in range(count)],
        "judge_citations": [["guide#1"]] * count, "judge_errors": [None] * count,
        "judge_citation_checks": [[{"id": "guide#1", "quote": QUOTE, "status": "quoted"}]] * count,
        "evidence": [{"id": "guide#1", "text": PASSAGE, "source": "Guide", "license": "CC0-1.0", "score": 1.0}],
        "similar_cases": [{"question_id": "other-1", "diagnosis": "Nodule, 8 mm", "similarity": 0.91}],
        "labels": ["?"] * count, "label_p": [0.5] * count, "label_method": ["uncertain"] * count,
        "needs_review": [True] * count, "keep": True, "drop_reason": None,
    }  # fmt: skip


def rows(count: int, steps: int = 3, image: bool = True) -> list[dict[str, Any]]:
    """Solutions of different questions with `steps` steps each."""
    return [
        row(n, [f"Case {n}, step {s + 1}: the lung shows one finding." for s in range(steps)], image)
        for n in range(count)
    ]
