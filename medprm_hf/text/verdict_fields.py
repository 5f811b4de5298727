"""One verdict of a judge: what it holds, and how its fields are read. Nothing unreadable becomes a label.

>>> str(read_verdict({"label": "incorrect", "confidence": 0.9, "checks": {"image": "no"}}).label)
'-'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from medprm_hf.schema import Label
from medprm_hf.text.error_types import NO_ERROR, error_type

CONFIDENCES = ("high", "medium", "low")


class Checks(NamedTuple):
    """The three questions that a judge is asked of a step: + yes, - no, 0 does not apply, ? not answered."""

    follows: Label = Label.UNKNOWN
    """It follows from question and earlier steps."""
    medical: Label = Label.UNKNOWN
    """It is medically right."""
    image: Label = Label.UNKNOWN
    """It reads the image rightly."""


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
    quotes: tuple[tuple[str, str], ...] = ()
    """(id, words that it says stand there), unchecked."""
    checks: Checks = Checks()
    """The three sub-verdicts."""
    correction: str | None = None
    """The step as it should be; None for none."""


def unread(why: str) -> Verdict:
    """The verdict that says that there is none."""
    return Verdict(Label.UNKNOWN, reason=f"unread: {why}")


_WORDS: dict[str, Label] = {
    **dict.fromkeys(("+", "correct", "right", "true", "positive", "plus", "valid", "good", "1", "+1"), Label.RIGHT),
    **dict.fromkeys(
        ("-", "incorrect", "wrong", "false", "negative", "minus", "invalid", "bad", "-1", "error"), Label.WRONG
    ),
    **dict.fromkeys(("0", "neutral", "none", "no reasoning", "n/a"), Label.NEUTRAL),
}
_CHECK_WORDS = {
    **_WORDS,
    "yes": Label.RIGHT,
    "no": Label.WRONG,
    **dict.fromkeys(("not applicable", "does not apply", "null", ""), Label.NEUTRAL),
}
_DASHES = str.maketrans("−–—＋", "---+")  # noqa: RUF001
_NUMERIC_CONFIDENCE = ((0.8, "high"), (0.5, "medium"), (0.0, "low"))


def label_of(entry: Mapping[str, Any]) -> Any:
    """What an entry gives as its label, unread; None for nothing."""
    keys = ("label", "verdict", "judgement", "judgment", "correctness", "rating")
    return next((entry[key] for key in keys if entry.get(key) is not None), None)


def read_verdict(entry: Mapping[str, Any]) -> Verdict:
    """The verdict that one entry of an answer gives."""
    said = label_of(entry)
    if not isinstance(said, str | bool | int):
        return unread("no label")
    label = _WORDS.get(_word(said))
    if label is None:
        return unread(f"label {str(said)[:40]!r} is none of + - 0")
    citations, quotes = _citations(entry.get("citations"))
    return Verdict(
        label,
        _confidence(entry.get("confidence")),
        error_type(entry.get("error", entry.get("error_type"))),
        _words(entry.get("reason", entry.get("explanation"))) or "",
        citations,
        quotes,
        _checks(entry.get("checks")),
        _words(entry.get("correction")),
    )


def _word(said: Any) -> str:
    return str(said).translate(_DASHES).strip(" .*`'\"()[]").casefold()


def _checks(said: Any) -> Checks:
    if not isinstance(said, dict):
        return Checks()
    read = {}
    for name in Checks._fields:
        value = said.get(name)
        plain = isinstance(value, str | bool | int)
        read[name] = _CHECK_WORDS.get(_word(value), Label.UNKNOWN) if plain else Label.UNKNOWN
    return Checks(**read)


def _confidence(said: Any) -> str | None:
    if isinstance(said, str):
        word = said.strip().casefold()
        return {"med": "medium", "moderate": "medium"}.get(word, word if word in CONFIDENCES else None)
    if isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said <= 1:
        return next(name for least, name in _NUMERIC_CONFIDENCE if said >= least)
    return None


def _words(said: Any) -> str | None:
    if not isinstance(said, str) or said.strip().casefold() in NO_ERROR:
        return None
    return said.strip()


def _citations(said: Any) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Ids, each once, and the quotes; an entry is an id or {"id": …, "quote": …}."""
    ids: list[str] = []
    quotes: list[tuple[str, str]] = []
    for item in said if isinstance(said, list) else [said]:
        name, quote = (item.get("id"), item.get("quote")) if isinstance(item, dict) else (item, None)
        if not isinstance(name, str | int) or isinstance(name, bool) or not (read := str(name).strip(" []")):
            continue
        ids.append(read)
        if isinstance(quote, str) and quote.strip():
            quotes.append((read, quote.strip()))
    return tuple(dict.fromkeys(ids)), tuple(dict.fromkeys(quotes))
