"""Citations checked: was the passage given, and does it hold the words that are said to stand in it?

Quotes are compared without regard to case, white space, dashes, quotation marks and marks at their ends; `…` or `...`
in a quote stands for anything left out.

    >>> given = {"g1": "Nodules  <6 mm: no follow-up."}
    >>> [c.status for c in check_citations([("g1", "nodules <6 mm"), ("g1", "CT at once"), ("g2", None)], given)]
    ['quoted', 'not_in_passage', 'not_given']
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

CITED, QUOTED, NOT_IN_PASSAGE, NOT_GIVEN = "cited", "quoted", "not_in_passage", "not_given"
SOUND = (CITED, QUOTED)
"""What a citation must be to count; the rest is a judge's invention."""
_SAME = {"-": "‐‑‒–—―−﹣－", '"': "“”„«»", "'": "‘’‚"}  # noqa: RUF001
_PLAIN = str.maketrans({odd: plain for plain, odds in _SAME.items() for odd in odds})
_LEFT_OUT = re.compile(r"\s*\[?(?:\.\.\.|…)\]?\s*")
_SHORTEST = 3  # characters of a quote that say anything


class Citation(NamedTuple):
    """One citation and what became of it."""

    id: str
    """Id of the passage, as the evidence has it; as the judge wrote it where it was not given."""
    quote: str | None
    """Words that it is said to hold."""
    status: str
    """cited (an id that was given, without a quote), quoted (and the quote stands there), not_in_passage, not_given."""


def check_citations(said: Iterable[tuple[str, str | None]], given: Mapping[str, str]) -> list[Citation]:
    """Each (id, quote) against {id: text of the passage}."""
    return [Citation(name, quote, _status(name, quote, given)) for name, quote in said]


def _status(name: str, quote: str | None, given: Mapping[str, str]) -> str:
    if name not in given:
        return NOT_GIVEN
    if quote is None or not quote.strip():
        return CITED
    return QUOTED if holds(given[name], quote) else NOT_IN_PASSAGE


def holds(passage: str, quote: str) -> bool:
    """Whether a passage holds a quote; its parts around `…` in their order."""
    text, parts = plain(passage), [plain(part) for part in _LEFT_OUT.split(quote)]
    parts = [part.strip(" .,;:!?\"'()[]") for part in parts]
    if sum(map(len, parts)) < _SHORTEST:
        return False
    position = 0
    for part in parts:
        found = text.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return True


def plain(text: str) -> str:
    """The words alone: compatibility forms, case, dashes, quotation marks and white space made one."""
    folded = unicodedata.normalize("NFKC", text).translate(_PLAIN).casefold().replace("\u00ad", "")
    return " ".join(folded.split())
