"""A judge's answer as one verdict per step. What cannot be read is `?` with its reason, never `-`.

The answer is expected as JSON (judging.py asks for it); fences, words around it and a cut-off end are
tolerated. Verdicts are taken by their step number. An answer whose numbers do not fit the solution (a step 7
of 6, or too few or too many verdicts without numbers) has judged another list of steps: all its verdicts are
`?`. Prose is not searched for labels.

    >>> [str(v.label) for v in parse_verdicts('{"steps": [{"step": 1, "label": "+"}, {"step": 2, "label": "+/-"}]}', 2)]
    ['+', '?']
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from medprm_hf.schema import Label
from medprm_hf.text.jsonish import find_json, list_items
from medprm_hf.text.verdict_fields import Verdict, label_of, read_verdict, unread


def parse_verdicts(text: str, num_steps: int, only: int | None = None) -> list[Verdict]:
    """One verdict per step, always `num_steps` of them.

    `only` (from 1) is the one step that was asked about: the answer must hold one verdict, with its number or
    without; all others are unread.
    """
    found = _numbered(text, num_steps, only)
    if isinstance(found, str):
        return _spread(unread(found), num_steps, only)
    by_step: dict[int, list[Verdict]] = {}
    for number, entry in found:
        by_step.setdefault(number, []).append(read_verdict(entry))
    if only is not None:
        return _spread(_one(by_step.get(only, [])), num_steps, only)
    return [_one(by_step.get(n, [])) for n in range(1, num_steps + 1)]


def complaint(verdicts: Sequence[Verdict], only: int | None = None, cut: bool = False) -> str | None:
    """What is wrong with an answer, in words that its judge can act on; None where every verdict was read."""
    asked = [only] if only is not None else range(1, len(verdicts) + 1)
    reasons: dict[str, list[int]] = {}
    for number in asked:
        if verdicts[number - 1].label == Label.UNKNOWN:
            reasons.setdefault(verdicts[number - 1].reason.removeprefix("unread: "), []).append(number)
    if not reasons:
        return None
    parts = [f"step {', '.join(map(str, numbers))}: {reason}" for reason, numbers in reasons.items()]
    return "; ".join(["the answer was cut off, be shorter"] * cut + parts)


def label_places(text: str, num_steps: int, only: int | None = None) -> list[int | None]:
    """Where in an answer the label of each step stands, as index of its character; None where that is not certain."""
    found = _numbered(text, num_steps, only)
    places: list[int | None] = [None] * num_steps
    starts = [match.end() for match in _LABEL_KEY.finditer(text)]
    if isinstance(found, str) or len(starts) != len(found):
        return places
    numbers = [number for number, _ in found]
    for number, start in zip(numbers, starts, strict=True):
        if numbers.count(number) == 1 and 1 <= number <= num_steps:
            places[number - 1] = start
    return places


_LABEL_KEY = re.compile(r'(?<!\\)"label"\s{0,20}:\s{0,20}"(?=[+\-0]")')  # inside a JSON string its quotes are escaped


def _spread(verdict: Verdict, num_steps: int, only: int | None) -> list[Verdict]:
    if only is None:
        return [verdict] * num_steps
    return [verdict if n == only else unread("not asked") for n in range(1, num_steps + 1)]


class _Numbered(NamedTuple):
    """An entry and the step that it is about, from 1."""

    step: int
    entry: dict[str, Any]


def _numbered(text: str, num_steps: int, only: int | None) -> list[_Numbered] | str:
    """The entries by step, or why they are verdicts on nothing."""
    entries = _entries(text)
    if not entries:
        return "no verdicts in JSON"
    numbers = [_number(entry) for entry in entries]
    if only is not None:
        return _alone(numbers, entries, only)
    if all(number is None for number in numbers):
        if len(entries) != num_steps:
            return f"{len(entries)} verdicts without numbers for {num_steps} steps"
        return [_Numbered(n, entry) for n, entry in enumerate(entries, start=1)]
    if sorted(n for n in numbers if n is not None) == list(range(num_steps)) and None not in numbers:
        numbers = [n + 1 for n in numbers if n is not None]  # it counted from 0, and completely: no doubt
    outside = sorted({n for n in numbers if n is not None and not 1 <= n <= num_steps})
    if outside:
        return f"a verdict for step {outside[-1]} of {num_steps}"
    return [_Numbered(n, entry) for n, entry in zip(numbers, entries, strict=True) if n is not None]


def _alone(numbers: Sequence[int | None], entries: Sequence[dict[str, Any]], only: int) -> list[_Numbered] | str:
    if len(entries) > 1:
        return f"{len(entries)} verdicts where step {only} alone was asked about"
    if numbers[0] not in (None, only):
        return f"a verdict for step {numbers[0]} where step {only} was asked about"
    return [_Numbered(only, entries[0])]


def _one(verdicts: list[Verdict]) -> Verdict:
    if not verdicts:
        return unread("no verdict for this step")
    labels = sorted({verdict.label for verdict in verdicts})
    if len(labels) > 1:
        return unread(f"verdicts that disagree: {' and '.join(labels)}")
    return verdicts[0]


# --- finding the entries -------------------------------------------------------------------------------------

_LISTS = ("steps", "verdicts", "labels", "judgements", "judgments", "results")


_DOCUMENTS = 32  # JSON documents of one answer that are looked at


def _entries(text: str) -> list[dict[str, Any]]:
    """The entries of all documents that hold verdicts; of several that do not number them, only if all are alike.

    Verdicts that a judge merely quotes, from a step that imitates them, thus meet its own and make the step unread.
    """
    listed = [_listed(value) for value in _documents(text)]
    found = [entries for entries in listed if any(label_of(entry) is not None for entry in entries)]
    if len(found) > 1 and any(_number(entry) is None for entries in found for entry in entries):
        found = found[:1] if all(entries == found[0] for entries in found) else [[]]
    if found:
        return [entry for entries in found for entry in entries]
    cut = [item.value for item in list_items(text, *_LISTS)]  # what arrived whole
    return [_entry(item) for item in cut] if all(map(_is_verdict, cut)) else []


def _documents(text: str) -> Iterator[Any]:
    for _ in range(_DOCUMENTS):
        found = find_json(text)
        if found is None:
            return
        yield found.value
        text = text[found.end :]


def _listed(value: Any) -> list[dict[str, Any]]:
    """A document's entries; none where it is no list of verdicts."""
    if isinstance(value, dict):
        named = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
        value = named if named is not None else _by_key(value)
    return [_entry(item) for item in value] if value and all(map(_is_verdict, value)) else []


def _by_key(value: dict[str, Any]) -> list[Any]:
    """{"1": {…}, "step 2": "+"}: verdicts by step number; a lone verdict is a list of one."""
    if label_of(value) is not None:
        return [value]
    numbered = [(_leading_number(key), inner) for key, inner in value.items()]
    if not numbered or any(number is None for number, _ in numbered):
        return []
    return [{**_entry(inner), "step": number} for number, inner in numbered if _is_verdict(inner)]


def _is_verdict(item: Any) -> bool:
    return isinstance(item, dict | str | bool) or type(item) is int


def _entry(item: Any) -> dict[str, Any]:
    return item if isinstance(item, dict) else {"label": item}


def _number(entry: dict[str, Any]) -> int | None:
    for key in ("step", "step_id", "step_index", "index", "number", "n"):
        value = entry.get(key)
        if type(value) is int:
            return value
        if isinstance(value, str):
            return _leading_number(value)
    return None


def _leading_number(text: str) -> int | None:
    match = re.fullmatch(r"\s*(?:step)?[\s_#]*(\d{1,4})\.?\s*", text, re.IGNORECASE)
    return int(match[1]) if match else None
