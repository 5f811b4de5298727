"""P(+) of a verdict, from the candidates that the backend lists for the token in which its label stands.

Tokens carry no positions, so the answer is walked from its front (and, where that is lost, from its end): each token
is the candidate whose log-probability is that of the token drawn and which stands in the text at this place. Then

    P(+) = sum of exp(logprob) of candidates that write + there / the same of those that write + or -

A sign that no candidate writes counts with the least probability listed: it is below that, but not zero. A place that
cannot be reached, or whose token is no sign, gives None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_SAME = 1e-4
"""Difference within which two log-probabilities are one: servers round."""
Candidates = Sequence[Mapping[str, float]]


def p_plus_at(
    text: str, top: Candidates, drawn: Sequence[float] | None, places: Sequence[int | None]
) -> list[float | None]:
    """P(+) at each place of a text, 0..1; `top` and `drawn` are [tokens], `places` index the character of a label."""
    if drawn is None or len(drawn) != len(top):
        return [None for _ in places]
    spans = _spans(text, top, drawn)
    return [None if place is None else _at(text, top, spans, place) for place in places]


def _at(text: str, top: Candidates, spans: Mapping[int, tuple[int, int]], place: int) -> float | None:
    for token, (start, end) in spans.items():
        if start <= place < end:
            return _share(top[token], text[start:place])
    return None


def _share(candidates: Mapping[str, float], before: str) -> float | None:
    """P(+) among candidates that go on from `before` with a sign."""
    mass = {"+": 0.0, "-": 0.0}
    for token, logprob in candidates.items():
        sign = token[len(before) : len(before) + 1]
        if token.startswith(before) and sign in mass:
            mass[sign] += math.exp(logprob)
    if not any(mass.values()):
        return None
    left = max(0.0, 1 - sum(map(math.exp, candidates.values())))
    least = min(math.exp(min(candidates.values())), left)
    plus, minus = (mass[sign] or least for sign in "+-")
    return plus / (plus + minus)


def _spans(text: str, top: Candidates, drawn: Sequence[float]) -> dict[int, tuple[int, int]]:
    """(start, end) of each token that is found, by its number."""
    found: dict[int, tuple[int, int]] = {}
    at = 0
    for number, candidates in enumerate(top):
        fits = (token for token in _drawn(candidates, drawn[number]) if text.startswith(token, at))
        token = max(fits, key=len, default=None)
        if token is None:
            break
        found[number] = (at, at := at + len(token))
    else:
        return found
    at = len(text)
    for number in range(len(top) - 1, len(found) - 1, -1):
        fits = (token for token in _drawn(top[number], drawn[number]) if text.endswith(token, 0, at))
        token = max(fits, key=len, default=None)
        if token is None:
            break
        found[number] = (at - len(token), at)
        at -= len(token)
    return found


def _drawn(candidates: Mapping[str, float], logprob: float) -> list[str]:
    """The candidates that may be the token drawn; an end-of-turn token writes nothing."""
    same = [token for token, value in candidates.items() if abs(value - logprob) <= _SAME and token]
    return [*same, *("" for token in same if token.startswith("<|") or token == "</s>")]
