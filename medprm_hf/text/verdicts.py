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
from dataclasses import dataclass
from typing import Any

from medprm_hf.schema import Label
from medprm_hf.text.jsonish import find_json, list_items

CONFIDENCES = ("high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of one step."""

    label: Label
    """+ right, - wrong, 0 neutral, ? unread."""
    confidence: str | None = None
    """high, medium or low; None where it gave none that can be read."""
    error: str | None = None
    """The kind of error it names; None for none."""
    reason: str = ""
    """Its reason; for ? why the verdict could not be read."""
    citations: tuple[str, ...] = ()
    """Ids of the passages it relied on, each once, unchecked."""


def unread(why: str) -> Verdict:
    """The verdict that says that there is none."""
    return Verdict(Label.UNKNOWN, reason=f"unread: {why}")


def parse_verdicts(text: str, num_steps: int) -> list[Verdict]:
    """One verdict per step, always `num_steps` of them."""
    entries = _entries(text)
    if not entries:
        return [unread("no verdicts in JSON")] * num_steps
    numbers = [_number(entry) for entry in entries]
    if all(number is None for number in numbers):
        if len(entries) != num_steps:
            return [unread(f"{len(entries)} verdicts without numbers for {num_steps} steps")] * num_steps
        return [_verdict(entry) for entry in entries]
    if sorted(n for n in numbers if n is not None) == list(range(num_steps)) and None not in numbers:
        numbers = [n + 1 for n in numbers if n is not None]  # it counted from 0, and completely: no doubt
    return _by_number(list(zip(numbers, entries, strict=True)), num_steps)


def _by_number(numbered: list[tuple[int | None, dict[str, Any]]], num_steps: int) -> list[Verdict]:
    outside = sorted({n for n, _ in numbered if n is not None and not 1 <= n <= num_steps})
    if outside:
        return [unread(f"a verdict for step {outside[-1]} of {num_steps}")] * num_steps
    found: dict[int, list[Verdict]] = {}
    for number, entry in numbered:
        if number is not None:
            found.setdefault(number, []).append(_verdict(entry))
    return [_one(found.get(n, [])) for n in range(1, num_steps + 1)]


def _one(verdicts: list[Verdict]) -> Verdict:
    if not verdicts:
        return unread("no verdict for this step")
    labels = sorted({verdict.label for verdict in verdicts})
    if len(labels) > 1:
        return unread(f"verdicts that disagree: {' and '.join(labels)}")
    return verdicts[0]


# --- finding the entries -------------------------------------------------------------------------------------

_LISTS = ("steps", "verdicts", "labels", "judgements", "judgments", "results")


def _entries(text: str) -> list[dict[str, Any]]:
    found = find_json(text)
    value = found.value if found else None
    if isinstance(value, dict):
        listed = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
        value = listed if listed is not None else _by_key(value)
    if not isinstance(value, list) or not value or not _is_verdict(value[0]):
        value = [item.value for item in list_items(text, *_LISTS)]  # cut off: what arrived whole
    return [_entry(item) for item in value] if all(map(_is_verdict, value)) else []


def _by_key(value: dict[str, Any]) -> list[Any]:
    """{"1": {…}, "step 2": "+"}: verdicts by step number; a lone verdict is a list of one."""
    if _label_of(value) is not None:
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


# --- reading one ---------------------------------------------------------------------------------------------

_WORDS: dict[str, Label] = {
    **dict.fromkeys(("+", "correct", "right", "true", "positive", "plus", "valid", "good", "1", "+1"), Label.RIGHT),
    **dict.fromkeys(
        ("-", "incorrect", "wrong", "false", "negative", "minus", "invalid", "bad", "-1", "error"), Label.WRONG
    ),
    **dict.fromkeys(("0", "neutral", "none", "no reasoning", "n/a"), Label.NEUTRAL),
}
_DASHES = str.maketrans("−–—＋", "---+")  # noqa: RUF001
_NUMERIC_CONFIDENCE = ((0.8, "high"), (0.5, "medium"), (0.0, "low"))


def _label_of(entry: dict[str, Any]) -> Any:
    keys = ("label", "verdict", "judgement", "judgment", "correctness", "rating")
    return next((entry[key] for key in keys if entry.get(key) is not None), None)


def _verdict(entry: dict[str, Any]) -> Verdict:
    said = _label_of(entry)
    if not isinstance(said, str | bool | int):
        return unread("no label")
    word = str(said).translate(_DASHES).strip(" .*`'\"()[]").casefold()
    label = _WORDS.get(word)
    if label is None:
        return unread(f"label {str(said)[:40]!r} is none of + - 0")
    return Verdict(
        label,
        _confidence(entry.get("confidence")),
        _words(entry.get("error", entry.get("error_type"))),
        _words(entry.get("reason", entry.get("explanation"))) or "",
        _citations(entry.get("citations")),
    )


def _confidence(said: Any) -> str | None:
    if isinstance(said, str):
        word = said.strip().casefold()
        return {"med": "medium", "moderate": "medium"}.get(word, word if word in CONFIDENCES else None)
    if isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said <= 1:
        return next(name for least, name in _NUMERIC_CONFIDENCE if said >= least)
    return None


def _words(said: Any) -> str | None:
    if not isinstance(said, str) or said.strip().casefold() in ("", "none", "null", "n/a", "no error"):
        return None
    return said.strip()


def _citations(said: Any) -> tuple[str, ...]:
    listed = said if isinstance(said, list) else [said]
    ids = (str(item).strip(" []") for item in listed if isinstance(item, str | int) and not isinstance(item, bool))
    return tuple(dict.fromkeys(name for name in ids if name))
