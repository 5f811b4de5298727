"""Other ways to show a question's options: in another order, or not at all; and what an answer in words names.

A model that likes a letter looks as if it knew the answer wherever that letter is the right one. Shown in several
orders, the letter helps no more often than guessing does; without options there is no letter to like.

    >>> [option_order(3, turn, seed=1) for turn in range(3)]        # each option stands once in each place
    [(1, 2, 0), (2, 0, 1), (0, 1, 2)]
    >>> in_words("a solid nodule of the left lung", ["Right lung", "Left lung"])
    (1,)

Where a prefix names a letter ("Answer: B", "option C"), or an option names others ("all of the above"), another
order would change what is said: `order_matters` tells, and such a prompt has to stay as it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from medprm_hf.ids import stable_seed
from medprm_hf.text.choices import contains_phrase, normalise, option_keys
from medprm_hf.text.prompts import letter


@lru_cache(4096)
def option_order(n: int, turn: int, seed: int) -> tuple[int, ...]:
    """The order in which turn 0, 1, … shows n options, (n,): place p shows option order[p].

    Each n turns rotate one random order, so that every option stands in every place equally often.
    """
    cycle, rotation = divmod(turn, n)
    rng = np.random.Generator(np.random.Philox(key=stable_seed("options", seed, n, cycle)))
    order = rng.permutation(n).tolist()
    return tuple(order[rotation:] + order[:rotation])


_OTHERS = re.compile(
    r"\b(?:[Aa]ll|[Nn]one|[Bb]oth|[Aa]ny|[Nn]either|[Ee]ither|[Tt]wo|[Ss]ome) of (?:the|these|those)\b"
    r"|\b(?:[Tt]he|[Ll]isted) (?:above|below|others?)\b"
    r"|\b[A-Z]\s*(?:and|or|&|\+|,)\s*[A-Z]\b"
)
_PLACE_WORD = re.compile(
    r"\b(?:first|second|third|fourth|fifth|last|former|latter|previous|next)\s+(?:option|choice|answer|alternative)s?\b",
    re.IGNORECASE,
)
_PLACE_NOUN = re.compile("option|choice|answer|alternative", re.IGNORECASE)
"""In every match of _PLACE_WORD; much faster to look for."""
_LONE_LETTER = re.compile(r"(?<![\w'’/-])([A-Z]{1,2})(?![\w'’/-])")
_ARTICLE = re.compile(r"A\s+[a-z(]")
_NAMED_BEFORE = re.compile(r"\b(?:option|choice|answer|letter|is|choose|select|pick)s?[\s:*(]{1,4}$", re.IGNORECASE)


def order_matters(text: str, options: Sequence[str]) -> bool:
    """Whether a prefix names an option by letter or place, or an option speaks of others.

    Errs on the side of yes: "vitamin B" counts as a letter. The article in "A nodule" does not.
    """
    if _speak_of_others(tuple(options)) or _PLACE_NOUN.search(text) and _PLACE_WORD.search(text):
        return True
    letters = _letters(len(options))
    return any(found[1] in letters and not _is_article(text, found) for found in _LONE_LETTER.finditer(text))


@lru_cache(256)
def _speak_of_others(options: tuple[str, ...]) -> bool:
    return any(_OTHERS.search(option) for option in options)


@lru_cache(64)
def _letters(count: int) -> frozenset[str]:
    return frozenset(letter(i) for i in range(count))


def _is_article(text: str, found: re.Match[str]) -> bool:
    if not _ARTICLE.match(text, found.start()):
        return False
    return not _NAMED_BEFORE.search(text[max(0, found.start() - 12) : found.start()])


def in_words(answer: str, options: Sequence[str]) -> tuple[int, ...] | None:
    """Indices of the option that a free-text answer names (several where their texts are equal); () where it names
    none, None where it names two.

    An answer equal to an option names it; else the option that stands in it as a whole phrase, not denied right
    before it; where one option's text holds another's ("left lung", "upper left lung"), the longer one.
    """
    said, keys = normalise(answer), option_keys(tuple(options))
    found = {key for key in keys if key and contains_phrase(said, key)}
    inside = {key for key in found if any(key != other and contains_phrase(other, key) for other in found)}
    named = {said} if said and said in keys else found - inside
    return None if len(named) > 1 else tuple(i for i, key in enumerate(keys) if key in named)
