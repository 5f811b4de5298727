"""A document cut into passages by tokens, with overlap; and the token budget of a prompt.

A token here is a run of at most six letters or digits, or one other sign: it needs no model, and counts medical
English 1.1 times as high as a WordPiece tokenizer does (docs/evidence.md has the spread). A passage is a slice of its
document, so a quote from it can be found in the source.

    >>> [text for _, text in chunks("One two three. Four five six. Seven.", size=5, overlap=0)]
    ['One two three.', 'Four five six.', 'Seven.']
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from medprm_hf.errors import ConfigError

TOTAL_TOKENS, DOCUMENT_TOKENS, RESERVED_TOKENS = 4096, 3072, 1024
"""The prompt of a judge: in all, for documents, kept for question and solution (Med-PRM, arXiv 2506.11474)."""

_TOKEN = re.compile(r"[^\W_]{1,6}|[^\w\s]|_")
_SENTENCE_END = re.compile(r"[.!?…](?=[\"')\]]*\s)|\n\s*\n|$")


def count_tokens(text: str) -> int:
    """Tokens of a text, as this module counts them."""
    return sum(1 for _ in _TOKEN.finditer(text))


def chunks(text: str, size: int = 256, overlap: int = 32) -> Iterator[tuple[int, str]]:
    """(offset in characters, passage) of each passage: at most `size` tokens, the next begins ~`overlap` before.

    A cut falls on the end of a sentence where one lies in the last half of the passage, else between tokens.
    Raises ConfigError where the overlap leaves no way forward.
    """
    if size < 1 or not 0 <= overlap <= size // 2:
        raise ConfigError(f"chunk overlap {overlap} must lie in 0 to half the chunk size {size}: change one of the two")
    spans = [match.span() for match in _TOKEN.finditer(text)]
    ends = [match.end() for match in _SENTENCE_END.finditer(text)] if len(spans) > size else []
    starts = [start for start, _ in spans]
    first = 0
    while first < len(spans):
        last = _last(starts, ends, first, min(first + size, len(spans)))
        yield spans[first][0], text[spans[first][0] : _tail(text, spans, last)].strip()
        if last >= len(spans):
            return
        first = max(_sentence_start(starts, ends, last - overlap, last), first + 1)


def _last(starts: Sequence[int], ends: Sequence[int], first: int, limit: int) -> int:
    """Index behind the passage's last token: at a sentence's end if one lies in its last half."""
    if limit == len(starts):
        return limit
    end = bisect_right(ends, starts[limit]) - 1
    cut = bisect_right(starts, ends[end] - 1) if end >= 0 else 0
    return cut if cut > (first + limit) // 2 else limit


def _sentence_start(starts: Sequence[int], ends: Sequence[int], wanted: int, last: int) -> int:
    """First token of a sentence that begins in [wanted, last], else `wanted`; nothing is left out either way."""
    end = bisect_right(ends, starts[wanted])
    if end < len(ends):
        begin = bisect_right(starts, ends[end] - 1)
        if begin <= last:
            return begin
    return wanted


def _tail(text: str, spans: Sequence[tuple[int, int]], last: int) -> int:
    """Where a passage ends: with its last token, or with the text."""
    return len(text) if last >= len(spans) else spans[last - 1][1]


def fit(texts: Sequence[str], budget: int) -> list[int]:
    """Indices of the texts that fit into `budget` tokens, best first; one that is too long is left out, not cut."""
    kept, left = [], budget
    for index, text in enumerate(texts):
        tokens = count_tokens(text)
        if tokens <= left:
            kept.append(index)
            left -= tokens
    return kept
