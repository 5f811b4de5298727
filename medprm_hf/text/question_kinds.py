"""What a question asks for: a diagnosis, a next step, a finding, or only yes/no, a count, technique, anatomy.

    >>> question_kind("What diseases are included in the picture?")
    'diagnosis'
    >>> question_kind("Does the picture contain lung?", answer="Yes")
    'yes_no'

The diagnostic filter keeps DIAGNOSTIC kinds. Rules on words, measured on hand-labelled SLAKE questions
(tests/text/test_question_kinds.py); a kind is told by what is asked, and a yes/no answer outweighs the words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

DIAGNOSTIC = ("diagnosis", "next_step", "finding")
"""Kinds that need reasoning about the patient."""
_YES_NO = frozenset(("yes", "no", "true", "false", "maybe"))
_RULES: tuple[tuple[str, str], ...] = (
    ("count", r"\bhow many\b|\bnumber of\b|\bcount\b"),
    ("next_step", r"\bnext (?:best )?step\b|\bmanage(?:ment|d)?\b|\btreat(?:ment|ed)?\b|\btherapy\b|"
                  r"\bmost appropriate\b|\bshould be (?:done|given|ordered|performed)\b|\binitial (?:test|step)\b"),
    ("diagnosis", r"\bdiagnos\w*|\bdiseases?\b|\bcondition\b|\bdisorder\b|\bsyndrome\b|\bmost likely\b|\bcause[sd]?\b|"
                  r"\bpatholog(?:y|ical)\b|\bpneumonia\b|\btumou?r\b|\bcancer\b|\bwhat type of lesion\b"),
    ("technique", r"\bmodality\b|\bweighting\b|\bimaging (?:technique|plane|method)\b|\bwhat plane\b|\bwhich plane\b|"
                  r"\bscanning\b|\bhow (?:was|is) (?:this|the) (?:image|picture|scan)\b|\bstain\w*|\bcontrast phase\b|"
                  r"\btaken\b"),
    ("finding", r"\babnormal\w*|\blesions?\b|\bfindings?\b|\bopaci\w+|\beffusion\b|\bfracture\w*|\bnodules?\b|"
                r"\bmass(?:es)?\b|\bhealthy\b|\bnormal\b|\bseen\b|\bsuggest\w*|\bindicate\w*|\bdensit(?:y|ies)\b|\bappearance\b|\bedema\b|"
                r"\binfiltrat\w+|\batelecta\w+|\bcardiomegal\w+|\bpneumothora\w+|\bemphysem\w+|\bconsolidat\w+|"
                r"\bhyperdense\b|\bshadows?\b"),
)  # fmt: skip
_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _RULES)
_ASKS_YES_NO = re.compile(
    r"^\s*(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should)\b(?!.*\bor\b)", re.IGNORECASE
)


def question_kind(question: str, options: Sequence[str] = (), answer: str | None = None) -> str:
    """diagnosis, next_step, finding; or yes_no, count, technique, anatomy (what is left: organs, places, sizes)."""
    if _is_yes_no(question, options, answer):
        return "yes_no"
    asked = re.split(r"(?<=[.!])\s+(?=[A-Z])", question.strip())[-1]  # a vignette's last sentence is what it asks
    return next((kind for kind, pattern in _COMPILED if pattern.search(asked)), "anatomy")


def _is_yes_no(question: str, options: Sequence[str], answer: str | None) -> bool:
    if options:
        return {option.strip(" .").casefold() for option in options} <= _YES_NO
    if answer is not None:
        return answer.strip(" .").casefold() in _YES_NO
    return bool(_ASKS_YES_NO.match(question))
