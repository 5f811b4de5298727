"""Where in a passage the words stand that a judge quotes: as `text/citing.py` compares them, but with their places.

>>> spans("Nodules  <6 mm: no follow-up.", "nodules <6 mm … follow\u2010up")
[(0, 14), (19, 28)]
>>> spans("Nodules", "cysts")
[]
"""

from __future__ import annotations

import re

from medprm_hf.text.citing import plain

_LEFT_OUT = re.compile(r"\s*\[?(?:\.\.\.|…)\]?\s*")
_EDGES = " .,;:!?\"'()[]"


def spans(passage: str, quote: str) -> list[tuple[int, int]]:
    """(start, end) of each part of a quote, in its order; empty where the passage does not hold it."""
    text, places = _folded(passage)
    found, position = [], 0
    for part in _LEFT_OUT.split(quote):
        words = plain(part).strip(_EDGES)
        if not words:
            continue
        start = text.find(words, position)
        if start < 0:
            return []
        position = start + len(words)
        found.append((places[start], places[position - 1] + 1))
    return found


def _folded(passage: str) -> tuple[str, list[int]]:
    """The passage as it is compared, and the place in the original of each of its characters."""
    letters: list[str] = []
    places: list[int] = []
    for place, letter in enumerate(passage):
        if letter.isspace():
            if letters and letters[-1] != " ":
                letters.append(" ")
                places.append(place)
            continue
        for folded in plain(letter):
            letters.append(folded)
            places.append(place)
    return "".join(letters), places
