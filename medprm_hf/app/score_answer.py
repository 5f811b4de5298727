"""Step scores as the Score tab shows them: a level for each step, where they fall first, and the best of several.

    told = answer(asked, [scores, scores], settings)
    told["solutions"][0]["steps"][2]   ->  {"text": "…", "score": 0.21, "level": "low", "label": "-", "reason": null}
    told["solutions"][0]["falls_at"]   ->  2          the first step below the model's own threshold, from 0
    told["best"]                       ->  {"mean": 1, "min": 1, "last": 0, "product": 1, "max": 0}

Levels are the Space's colours: high above 0.7 (green), mid above 0.4 (amber), else low (red); unknown is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medprm_hf.app.score_request import Asked
from medprm_hf.labels.aggregate import best_of, majority, weighted_vote
from medprm_hf.schema import Label
from medprm_hf.scoring.results import StepScores
from medprm_hf.scoring.settings import PRMSettings
from medprm_hf.text.steps import Step

HIGH, MID = 0.7, 0.4
"""A step above the first is green, above the second amber, else red."""


def level(score: float | None) -> str:
    """high, mid, low, or unknown.

    >>> [level(value) for value in (0.71, 0.7, 0.41, 0.4, None)]
    ['high', 'mid', 'mid', 'low', 'unknown']
    """
    if score is None:
        return "unknown"
    return "high" if score > HIGH else "mid" if score > MID else "low"


def answer(asked: Asked, scores: Sequence[StepScores], settings: PRMSettings) -> dict[str, Any]:
    """All that the tab shows of one request, as plain values."""
    solutions = [
        _solution(steps, found, final)
        for steps, found, final in zip(asked.solutions, scores, asked.answers, strict=True)
    ]
    names = list(scores[0].aggregates) if scores else []
    return {
        "solutions": solutions,
        "aggregator": settings.aggregator,
        "threshold": settings.threshold,
        "signed": bool(settings.layout.equal),
        "best": {name: best_of([one.aggregates.get(name) for one in scores]) for name in names},
        "majority": majority(asked.answers),
        "weighted": {
            name: weighted_vote(asked.answers, [one.aggregates.get(name) for one in scores]) for name in names
        },
    }


def _solution(steps: Sequence[Step], found: StepScores, final: str | None) -> dict[str, Any]:
    """One solution with its steps."""
    falls = [place for place, label in enumerate(found.labels) if label == Label.WRONG]
    return {
        "steps": [
            {
                "title": step.title if step.text else "",
                "text": step.text or step.title,
                "score": found.p_plus[place],
                "level": level(found.p_plus[place]),
                "label": found.labels[place],
                "reason": found.reasons[place],
            }
            for place, step in enumerate(steps)
        ],
        "aggregates": dict(found.aggregates),
        "score": found.score,
        "known": found.known,
        "falls_at": falls[0] if falls else None,
        "answer": final,
    }
