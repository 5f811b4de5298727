"""Votes: majority, tie, unread ballots, confidence from agreement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.labels.votes import mean_p_plus, vote
from medprm_hf.schema import Label
from medprm_hf.text.verdict_fields import Verdict, unread


def ballot(label: str, confidence: str | None = "medium", reason: str = "") -> Verdict:
    return unread("x") if label == "?" else Verdict(Label(label), confidence, reason=reason)


@pytest.mark.parametrize(
    ("ballots", "label", "share", "confidence"),
    [
        ("+", "+", 1.0, "medium"),  # alone: its own confidence
        ("?", "?", None, None),
        ("++-", "+", 2 / 3, "medium"),
        ("+++++", "+", 1.0, "high"),
        ("++++-", "+", 0.8, "high"),
        ("+-", "?", 0.5, None),
        ("++--?", "?", 0.4, None),
        ("+-0", "?", 1 / 3, None),
        ("00-", "0", 2 / 3, "medium"),
        ("+?", "+", 0.5, "low"),  # an unread ballot is no vote, but no agreement either
        ("-????", "-", 0.2, "low"),
        ("???", "?", None, None),
    ],
)
def test_table(ballots: str, label: str, share: float | None, confidence: str | None) -> None:
    voted = vote([ballot(one) for one in ballots])
    assert (voted.verdict.label, voted.share, voted.verdict.confidence) == (label, share, confidence)


def test_the_reason_is_that_of_the_surest_ballot_for_the_label() -> None:
    said = [ballot("-", "high", "no"), ballot("+", "low", "perhaps"), ballot("+", "high", "seen"), ballot("+", "high")]
    assert vote(said).verdict.reason == "seen"
    assert vote([ballot("+"), ballot("-")]).verdict.reason == "unread: a tie: 1 + and 1 -"


@given(st.lists(st.sampled_from("+-0?"), min_size=1, max_size=9), st.randoms())
def test_the_order_of_ballots_does_not_decide(labels: list[str], random: object) -> None:
    first = vote([ballot(label) for label in labels])
    again = vote([ballot(label) for label in sorted(labels)])
    assert (first.verdict.label, first.share) == (again.verdict.label, again.share)


def test_mean_p_plus_leaves_out_what_is_unknown() -> None:
    assert mean_p_plus([None, 0.5, 1.0]) == 0.75 and mean_p_plus([None]) is None
