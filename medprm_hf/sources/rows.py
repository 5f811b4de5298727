"""Cells of the question table, from what datasets write: options, gold answers, splits, contexts.

    choice(["mole", "melanoma"], letter_of="B")  →  {"options": [both], "answer": "melanoma", "answer_index": 1}
    closed("Yes.")                               →  {"options": ["yes", "no"], "answer": "yes", "answer_index": 0}
    split_name("valid")                          →  "development"

Nothing here raises: an answer that fits no option keeps its text and has no index, and the questions stage (or
`medprm import`) leaves the row out with that as the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

YES_NO = ("yes", "no")
_SPLITS = {
    "train": "train", "training": "train",
    "dev": "development", "development": "development", "val": "development", "valid": "development",
    "validate": "development", "validation": "development",
    "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip
_NOTHING = {"", "nan", "none", "null", "na", "n/a", "unknown", "not reported", "unk", "--", "'--"}


def text(value: Any) -> str:
    """A cell's text without space around it; empty for null and NaN."""
    return "" if value is None or value != value else str(value).strip()


def optional(value: Any) -> str | None:
    """The same, but null for what datasets write where nothing is known (nan, unknown, not reported, '--)."""
    found = text(value)
    return None if found.casefold() in _NOTHING else found


def split_name(name: Any) -> str | None:
    """train, development or test for a dataset's own word (or file name); null where none of them is said."""
    for word in re.split(r"[^a-z]+", text(name).casefold()):
        if word in _SPLITS:
            return _SPLITS[word]
    return None


def choice(options: Sequence[Any], *, answer: Any = None, letter_of: Any = None, index: Any = None) -> dict[str, Any]:
    """The columns options, answer and answer_index, from the answer's text, letter (A is the first) or index (from 0).

    Where letter and text name two different options, the answer is both of them and fits none.
    """
    shown = [text(option) for option in options]
    by_text, said = _place(shown, text(answer)), text(answer)
    label = text(letter_of).strip("().").upper()
    by_label = ord(label) - ord("A") if re.fullmatch("[A-Z]", label) else _whole(index)
    if by_label is not None and not 0 <= by_label < len(shown):
        return {"options": shown, "answer": label or str(index), "answer_index": None}
    if by_label is not None and said and by_text != by_label:
        return {"options": shown, "answer": f"{label or index} / {said}", "answer_index": None}
    place = by_text if by_label is None else by_label
    return {"options": shown, "answer": (said or None) if place is None else shown[place], "answer_index": place}


def _place(options: list[str], said: str) -> int | None:
    if not said:
        return None
    if said in options:
        return options.index(said)
    folded = [option.casefold() for option in options]
    return folded.index(said.casefold()) if folded.count(said.casefold()) == 1 else None


def _whole(index: Any) -> int | None:
    """An index that may come as text, float or numpy's; null for null, NaN and the -1 of hidden answers."""
    try:
        found = int(index)
    except (TypeError, ValueError):
        return None
    return None if found < 0 else found


def closed(answer: Any, yes_no: bool = True) -> dict[str, Any]:
    """The same columns for free text: a yes/no answer becomes a choice of two (unless that is not wanted)."""
    said = text(answer)
    plain = said.strip(" .").casefold()
    if yes_no and plain in YES_NO:
        return choice(YES_NO, answer=plain)
    return {"options": [], "answer": said or None, "answer_index": None}


def context(**known: Any) -> str | None:
    """What is known of the patient as one line, `age: 45; sex: female`; null where nothing is."""
    said = [(name.replace("_", " "), _whole_text(value)) for name, value in known.items()]
    return "; ".join(f"{name}: {value}" for name, value in said if value) or None


def _whole_text(value: Any) -> str | None:
    found = optional(value)
    return found.removesuffix(".0") if found else None
