"""What of a question is asked for: its text, earlier turns, context and options; never its answer.

A query is made from named columns only, and the gold answer is none of them. Options say what the question is about,
unless they are yes, no, maybe, numbers or single letters, which every passage holds.

    >>> query_text({"question": "Which drug lowers potassium?", "options": ["Furosemide", "Amiloride"]})
    'Which drug lowers potassium? Furosemide Amiloride'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

READS = ("question", "turns", "options", "clinical_context")
"""The columns that a query is made of."""

_SAYS_NOTHING = frozenset({"yes", "no", "maybe", "true", "false", "none of the above", "all of the above"})


def query_text(row: Mapping[str, Any]) -> str:
    """The query of a question; empty where it has no words (an image alone)."""
    turns = [str(turn["text"]) for turn in row.get("turns") or [] if turn.get("role") == "user"]
    options = [str(option) for option in row.get("options") or [] if _tells(str(option))]
    parts = [row.get("clinical_context") or "", *turns, row.get("question") or "", *options]
    return " ".join(part.strip() for part in parts if part.strip())


def _tells(option: str) -> bool:
    word = option.strip().strip(".").lower()
    return word not in _SAYS_NOTHING and sum(sign.isalpha() for sign in word) > 2
