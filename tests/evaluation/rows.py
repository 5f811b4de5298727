"""Rows that evaluation tests share."""

from __future__ import annotations

import random
from typing import Any

Row = dict[str, Any]


def row(question: str, number: int = 0, labels: str = "+-", scores: list[Any] | None = None, **columns: Any) -> Row:
    """One solution; `labels` one character a step."""
    own: Row = {
        "question_id": question,
        "solution_id": f"{question}/{number}",
        "question": f"Which side, {question}?",
        "options": ["Left", "Right"],
        "answer": "Left",
        "answer_index": 0,
        "steps": [f"Step {i} of {number}." for i in range(len(labels))],
        "labels": list(labels),
        "final_answer": "A",
        "is_correct": True,
        "source": "table",
        "modality": "ct_scan",
        "image": None,
    }
    if scores is not None:
        own["step_scores"] = scores
    return own | columns


def noisy_rows(questions: int, solutions: int = 4, seed: int = 0, skill: float = 0.3) -> list[Row]:
    """Random labels with scores that know something of them; a solution is right if its last step is."""
    rng = random.Random(seed)
    rows = []
    for q in range(questions):
        for s in range(solutions):
            labels = "".join(rng.choice("++-") for _ in range(4))
            scores = [min(1.0, max(0.0, 0.5 + (skill if one == "+" else -skill) + rng.gauss(0, 0.2))) for one in labels]
            right = labels[-1] == "+"
            rows.append(
                row(f"q{q}", s, labels, scores, is_correct=right, final_answer="A" if right else "B",
                    modality=["ct_scan", "chest_xray"][q % 2], source=["a", "b"][q % 2])
            )  # fmt: skip
    return rows
