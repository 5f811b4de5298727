"""The worst errors as cases a person can read: wrong steps that scored high, right steps that scored low.

worst_cases(table, scores, 0.5, 12)[0]
    {"question": "Which side?", "worst_step": 2, "gap": 0.97, "steps": [{"text": "…", "truth": "-", "score": 0.97}, …]}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medprm_hf.evaluation.table import Score, Table
from medprm_hf.schema import Label

_KNOWN = {Label.RIGHT.value: 1.0, Label.WRONG.value: 0.0}


def worst_cases(
    table: Table, scores: Sequence[Sequence[Score]], threshold: float, most: int = 12
) -> list[dict[str, Any]]:
    """The solutions whose worst step lies farthest from its truth, one a question, on the wrong side of the threshold.

    `place` is the solution's number in the table, for its image.
    """
    gaps = []
    for place, (own, truth) in enumerate(zip(scores, table.truth, strict=True)):
        missed = [
            (abs(score - _KNOWN[label]), step)
            for step, (score, label) in enumerate(zip(own, truth, strict=True))
            if score is not None and label in _KNOWN and (score > threshold) != (label == Label.RIGHT)
        ]
        if missed:
            gap, step = max(missed, key=lambda one: (one[0], -one[1]))
            gaps.append((gap, place, step))
    found: dict[str, dict[str, Any]] = {}
    for gap, place, step in sorted(gaps, key=lambda one: (-one[0], one[1])):
        if len(found) == most:
            break
        if table.questions[place] not in found:
            found[table.questions[place]] = _case(table, scores[place], place, step, gap)
    return list(found.values())


def _case(table: Table, scores: Sequence[Score], place: int, step: int, gap: float) -> dict[str, Any]:
    row = table.rows[place]
    return {
        "place": place,
        "solution_id": row.get("solution_id"),
        "question": row["question"],
        "options": list(row.get("options") or ()),
        "answer": row.get("answer"),
        "final_answer": row.get("final_answer"),
        "is_correct": table.right[place],
        "modality": row.get("modality"),
        "difficulty": row.get("difficulty"),
        "worst_step": step,
        "gap": gap,
        "steps": [
            {"text": text, "truth": label, "score": score}
            for text, label, score in zip(row["steps"], table.truth[place], scores, strict=True)
        ],
    }
