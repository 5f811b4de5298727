"""Free text that may name a patient: names, dates, numbers, addresses. Finds and masks; what it misses stays possible.

    >>> [(found.kind, found.text) for found in find_identifiers("Mrs. Jane Doe, MRN 4711223, seen 03/14/2019.")]
    [('name', 'Mrs. Jane Doe'), ('record_number', 'MRN 4711223'), ('date', '03/14/2019')]
    >>> mask("Mrs. Jane Doe, MRN 4711223.")
    '[name], [record_number].'

Kinds follow the 18 identifiers of the HIPAA safe harbour (45 CFR 164.514(b)(2)) as far as text patterns can tell
them; ages up to 89 and bare years are not identifiers. A pattern is no proof: it flags, a person decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?)"
)
_NUMBERED = r"MRN|medical record|record|accession|patient id|case id|chart|hospital (?:no|number)|NHS"
_TITLED = r"patient(?:'s)? name|name of patient|surname|referring physician|name"
_STREET = r"Street|St\.|Avenue|Ave\.|Road|Rd\.|Lane|Drive|Boulevard"
_NAME = r"[A-Z][a-zà-öø-ÿ]+(?:[-'’][A-Z][a-z]+)*"
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("email", r"\b[\w.+-]+@[\w-]+\.[\w.-]*\w"),
        ("url", r"\bhttps?://\S+[\w/]"),
        ("social_security", r"\b\d{3}-\d{2}-\d{4}\b"),
        ("date", r"\b(?:19|20)\d{2}[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])\b"),
        ("date", r"\b(?:0?[1-9]|[12]\d|3[01])[-/.](?:0?[1-9]|[12]\d|3[01])[-/.](?:19|20)\d{2}\b"),
        ("date", rf"\b(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}\.?,?\s+(?:19|20)\d{{2}}\b"),
        ("date", rf"\b{_MONTH}\.?\s+(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?,?\s+(?:19|20)\d{{2}}\b"),
        (
            "record_number",
            rf"(?i:\b(?:{_NUMBERED})(?:\s*(?:no\.?|number|id|#))?\s*[:#]?\s*)(?=[A-Z-]*\d)[A-Z0-9-]{{4,}}\b",
        ),
        ("phone", r"(?<![\d.])(?:\+\d{1,3}[\s.-]?)?(?:\(\d{3}\)\s?|\d{3}[.-])\d{3}[.-]\d{4}\b"),
        ("phone", r"(?<![\d.])\+\d{1,3}(?:[\s.-]?\d{2,4}){3,4}\b"),
        ("name", rf"\b(?:Mr|Mrs|Ms|Miss|Mister|Herr|Frau|Madame)\.?[ ]+{_NAME}(?:[ ]+{_NAME})?"),
        ("name", rf"\b(?:Dr|Prof|Doctor|Professor)\.?[ ]+{_NAME}(?:[ ]+{_NAME})?"),
        ("name", rf"(?i:\b(?:{_TITLED})\s*:\s*){_NAME}(?:[,^]?\s*{_NAME})*"),
        ("name", r"\b[A-Z][A-Za-z]+\^[A-Z][A-Za-z]+(?:\^[A-Za-z]*)*"),
        ("address", rf"\b\d{{1,5}}\s+{_NAME}(?:\s+{_NAME})?\s+(?:{_STREET})\b"),
        ("age_over_89", r"(?i:\b(?:9\d|1[0-2]\d)[- ]?(?:years?|yrs?|y)(?:[- ]?old|/o)\b)"),
        ("network_address", r"\b(?:\d{1,3}\.){3}\d{1,3}\b"),
        ("dicom_uid", r"\b[012](?:\.\d+){6,}\b"),
    )
)
KINDS = tuple(dict.fromkeys(kind for kind, _ in _PATTERNS))


class Identifier(NamedTuple):
    """One place in a text that may identify somebody."""

    kind: str
    text: str
    start: int
    """Characters from the text's beginning."""
    end: int


def find_identifiers(text: str, planted: Iterable[str] = ()) -> list[Identifier]:
    """Every suspected place, in order, none inside another; `planted` are known strings that must not occur
    (a header's names and numbers), found whatever their case."""
    found: list[Identifier] = []
    for one in sorted(_all(text, planted), key=lambda item: (item.start, -item.end)):
        if not found or one.start >= found[-1].end:
            found.append(one)
    return found


def _all(text: str, planted: Iterable[str]) -> Iterator[Identifier]:
    for word in planted:
        for match in re.finditer(re.escape(word), text, re.IGNORECASE) if len(word) > 2 else ():
            yield Identifier("known", match.group(), *match.span())
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            yield Identifier(kind, match.group(), *match.span())


def mask(text: str, planted: Iterable[str] = ()) -> str:
    """The text with each suspected place replaced by its kind in brackets."""
    out, at = [], 0
    for one in find_identifiers(text, planted):
        out += [text[at : one.start], f"[{one.kind}]"]
        at = one.end
    return "".join([*out, text[at:]])
