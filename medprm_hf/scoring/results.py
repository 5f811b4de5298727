"""What a scorer says of one solution: a score for each step, or why there is none, and response scores by name.

    scores = StepScores.of_logits([[1.2, -0.3], [0.1, 2.0]], steps=3, settings=settings)
    scores.p_plus      ->  (0.82, 0.13, None)
    scores.reasons     ->  (None, None, "truncated")
    scores.aggregates  ->  {"mean": 0.47, "min": 0.13, "last": None, "product": 0.11, "max": 0.82}

P(+) is P(+) / (P(+) + P(-)), from the logits of the two tokens alone. An advantage model (tokens + = -) is aggregated
over its expectation of +1, 0 and -1 (VisualPRM, arXiv 2503.10291, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medprm_hf.labels.aggregate import AGGREGATORS, aggregate
from medprm_hf.schema import Label
from medprm_hf.scoring.settings import PRMSettings

TRUNCATED = "truncated"
"""The step lies beyond max_length."""
OUTCOME = "outcome"
"""The model scores the solution as a whole; its one score stands at the last step."""
NOT_LISTED = "not_listed"
"""The server did not list both + and - among its likeliest tokens."""
NO_NUMBER = "nan"
"""The model gives no number: its weights or its dtype (float16) cannot work."""

Score = float | None


@dataclass(frozen=True)
class StepScores:
    """The scores of one solution; what is not known is None and has a reason."""

    p_plus: tuple[Score, ...]
    """P(step is right), 0..1, [num_steps]."""
    reasons: tuple[str | None, ...]
    """Why a step has no score, [num_steps]: truncated, outcome, not_listed, nan, a failure's kind; else None."""
    scores: tuple[Score, ...] = ()
    """What is aggregated, [num_steps]: p_plus, or an advantage model's expectation, -1..1."""
    labels: tuple[str, ...] = ()
    """`+` where p_plus is above the model's threshold, else `-`; `?` where unknown, [num_steps]."""
    aggregates: Mapping[str, Score] = field(default_factory=dict)
    """Response scores by aggregator; `product` is left out for advantage models, whose scores may be negative."""
    aggregator: str = "min"
    """The aggregator that the model was published with."""

    @property
    def score(self) -> Score:
        """The response score by the model's own aggregator; None where nothing (or the needed step) is known."""
        return self.aggregates.get(self.aggregator)

    @property
    def known(self) -> int:
        """Steps that have a score."""
        return sum(value is not None for value in self.p_plus)

    @classmethod
    def of_logits(
        cls,
        logits: Sequence[Sequence[float]],
        steps: int,
        settings: PRMSettings,
        reasons: Mapping[int, str] | None = None,
    ) -> StepScores:
        """From the logits of + and - (and =) of the first steps, (kept, C), of a solution of so many steps.

        Log-probabilities serve as well. `reasons` names steps (from 0) whose row of logits holds nothing.
        """
        told = dict(reasons or {})
        if settings.layout.unit == "solution" and steps > 1:
            logits = [*([[0.0, 0.0]] * (steps - 1)), *logits]
            told |= dict.fromkeys(range(steps - 1), OUTCOME)
        told |= dict.fromkeys(range(len(logits), steps), TRUNCATED)
        logits = [[0.0] * len(row) if place in told else row for place, row in enumerate(logits)]
        p_plus = settings.scores([row[0] - row[1] for row in logits])
        advantage = bool(settings.layout.equal)
        scores = _expectations(logits, settings) if advantage else p_plus
        return cls.of_scores(p_plus, scores, steps, settings, told)

    @classmethod
    def of_scores(
        cls,
        p_plus: Sequence[float],
        scores: Sequence[float],
        steps: int,
        settings: PRMSettings,
        reasons: Mapping[int, str],
    ) -> StepScores:
        """From the scores of the first steps; those that have a reason are blanked."""

        def known(values: Sequence[float]) -> tuple[Score, ...]:
            return tuple(None if place in reasons else values[place] for place in range(steps))

        right, counted = known(p_plus), known(scores)
        signed = bool(settings.layout.equal)
        names = [name for name in AGGREGATORS if not (signed and name == "product")]
        return cls(
            right,
            tuple(reasons.get(place) for place in range(steps)),
            counted,
            tuple(_label(value, settings.threshold) for value in right),
            {name: aggregate(counted, name) for name in names},
            settings.aggregator,
        )

    @classmethod
    def unknown(cls, steps: int, reason: str, settings: PRMSettings) -> StepScores:
        """A solution of which nothing is known, and why."""
        return cls.of_scores((), (), steps, settings, dict.fromkeys(range(steps), reason))

    def as_dict(self) -> dict[str, Any]:
        """Plain values: p_plus, reasons, labels and aggregates; `scores` where they are not p_plus."""
        found: dict[str, Any] = {
            "step_scores": list(self.p_plus),
            "step_labels": list(self.labels),
            "step_reasons": list(self.reasons),
            "score": self.score,
            "aggregates": dict(self.aggregates),
        }
        if self.scores != self.p_plus:
            found["step_expectations"] = list(self.scores)
        return found


def _label(value: Score, threshold: float) -> str:
    if value is None:
        return Label.UNKNOWN.value
    return (Label.RIGHT if value > threshold else Label.WRONG).value


def _expectations(logits: Sequence[Sequence[float]], settings: PRMSettings) -> list[float]:
    """Of +1, -1 and 0 over the tokens +, - and =; a balance offset is taken half from + and half from -."""
    offsets = settings.offsets or (0.0,)
    found = []
    for place, row in enumerate(logits):
        half = offsets[min(place, len(offsets) - 1)] / 2
        plus, minus, equal = row[0] - half, row[1] + half, row[2] if len(row) > 2 else -math.inf
        top = max(plus, minus, equal)
        shares = [math.exp((value - top) / settings.temperature) for value in (plus, minus, equal)]
        found.append((shares[0] - shares[1]) / sum(shares))
    return found
