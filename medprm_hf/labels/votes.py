"""Several judges, or one asked several times: their verdicts on one solution become one verdict a step.

    ballots      + + -      + -        + ?        - (alone)
    label        +          ? (tie)    +          -
    share        2/3        1/2        1/2        1
    confidence   medium     null       low        its own

The label is the one that most of those who gave one chose; a tie is `?`. Confidence comes from agreement: the share of
all ballots, those that could not be read too, that went to the label: high from 0.8, medium above 0.5, else low.
Reason, error, citations, checks and correction are those of the surest ballot for the label, the first of equals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from medprm_hf.schema import Label
from medprm_hf.text.verdict_fields import CONFIDENCES, Verdict, unread

HIGH, MEDIUM = 0.8, 0.5
"""Shares from which, and above which, agreement is high and medium."""


@dataclass(frozen=True)
class Voted:
    """One step after the vote."""

    verdict: Verdict
    """What stands in the judge's columns."""
    share: float | None
    """Share of all ballots that the label got, 0..1; of a tie that of each side; null where no ballot was read."""


def vote(ballots: Sequence[Verdict]) -> Voted:
    """The verdict of some ballots (at least one) on one step."""
    counts: Counter[Label] = Counter(ballot.label for ballot in ballots if ballot.label != Label.UNKNOWN)
    if len(ballots) == 1 or not counts:
        return Voted(ballots[0], 1.0 if counts else None)
    most = max(counts.values())
    first = [label for label in Label if counts[label] == most]
    share = most / len(ballots)
    if len(first) > 1:
        return Voted(unread(f"a tie: {' and '.join(f'{most} {label}' for label in first)}"), share)
    chosen = min((b for b in ballots if b.label == first[0]), key=_doubt)
    return Voted(replace(chosen, confidence=_agreement(share)), share)


def _doubt(ballot: Verdict) -> int:
    return CONFIDENCES.index(ballot.confidence) if ballot.confidence in CONFIDENCES else len(CONFIDENCES)


def _agreement(share: float) -> str:
    return "high" if share >= HIGH else "medium" if share > MEDIUM else "low"


def mean_p_plus(values: Sequence[float | None]) -> float | None:
    """Mean P(+) of the ballots that have one; None where none has."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
