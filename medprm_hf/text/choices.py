"""Which option a short statement names: by letter, by text, by both, or not clearly.

>>> read_choice("B. Left lung, because of the rim", ["Right lung", "Left lung"])
1
>>> read_choice("A nodule is seen", ["Right lung", "Left lung"]) is NOTHING
True
>>> read_choice("A or B", ["Right lung", "Left lung"]) is UNCLEAR
True
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Literal

from medprm_hf.text.prompts import letter

Rest = Literal["any", "punctuated", "none"]
"""What may follow the option in a statement: anything, anything after a mark of punctuation, or nothing."""


class Unread(Enum):
    """Why a statement names no option."""

    NOTHING = "it names no option"
    UNCLEAR = "it names two, or one that does not exist, or denies one"


NOTHING, UNCLEAR = Unread.NOTHING, Unread.UNCLEAR
Choice = int | Unread

_DENIALS = frozenset("no not non never without neither nor unlikely excluded excludes incorrect wrong absent".split())


# --- text ----------------------------------------------------------------------------------------------------

_SPECIAL = re.compile(r"<\|[^|<>\n]{1,24}\|>|</?s>|<eos>|<prm>|</?answer>|<end_of_turn>")
_LATEX = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|rm|bf)\s?\{([^{}]{0,400})\}")
_ESCAPED = re.compile(r"\\([()\[\]])")
_EMPHASIS = re.compile(r"\*{2,3}|(?<!\w)\*|\*(?!\w)|(?<!\w)_{1,3}|_{1,3}(?!\w)|`")
_EDGES = " \t\r\n\"'“”‘’«»$#"


def strip_markup(text: str) -> str:
    """A statement without emphasis, LaTeX wrappers, quotes at its edges, end-of-text tokens and step markers."""
    if "<" in text:
        text = _SPECIAL.sub("", text)
    if "\\" in text:
        text = _ESCAPED.sub(r"\1", _LATEX.sub(r"\1", text))
    if "*" in text or "_" in text or "`" in text:
        text = _EMPHASIS.sub("", text)
    text = " ".join(text.split()).strip(_EDGES)
    return text.removesuffix(" ки").removeprefix("- ").rstrip(_EDGES)


_DASH_IN_RANGE = re.compile(r"(?<=\d)\s{0,2}[-‐‑‒–—−]\s{0,2}(?=\d)")  # noqa: RUF001
_COMMA_IN_NUMBER = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
# Kept: letters, digits, signs that change what is said, dots and dashes inside numbers, a sign after a word (ER-).
_DROPPED = re.compile(r"(?<!\d)\.|\.(?!\d)|(?<=[^\W\d_])-(?=\w)|(?<!\w)-(?!\d)|(?<=\d)-(?!\d)|[^\w\s<>≤≥=+%/°.-]|_")


def normalise(text: str) -> str:
    """Text for comparing: case, punctuation and white space do not count; numbers, ranges and < > + - % do."""
    return _remembered(text) if len(text) < 200 else _normalised(text)


def _normalised(text: str) -> str:
    text = unicodedata.normalize("NFKC", strip_markup(text)).casefold()
    text = _DASH_IN_RANGE.sub("-", _COMMA_IN_NUMBER.sub("", text))
    text = re.sub(r"(?<=\w)['’](?=\w)", "", text)
    text = re.sub(r"(?<=[<>≤≥=])\s+(?=\d)", "", _DROPPED.sub(" ", text))
    return " ".join(text.split())


_remembered = lru_cache(4096)(_normalised)  # options and short answers come again with every rollout


def contains_phrase(text: str, phrase: str) -> bool:
    """Whether normalised `text` holds normalised `phrase` as whole words, not denied by a word right before it."""
    words, wanted = text.split(), phrase.split()
    for i in range(len(words) - len(wanted) + 1):
        if words[i : i + len(wanted)] == wanted:
            return not _DENIALS.intersection(words[max(0, i - 2) : i])
    return False


# --- options -------------------------------------------------------------------------------------------------

_LEAD = re.compile(
    r"^(?:(?:most likely|likely|probably|clearly|therefore|thus|definitely|indeed|actually)(?: to be)?,? )?"
    r"(?:(?:the )?(?:correct |right )?(?P<named>option|choice|letter|answer)[ :]{1,3})?",
    re.IGNORECASE,
)


def read_choice(statement: str, options: Sequence[str], rest: Rest = "any") -> Choice:
    """Index of the option that a statement begins with, NOTHING, or UNCLEAR.

    A letter and a text that name different options are UNCLEAR, and so is a letter beyond the last option.
    Equal options are one: the first index stands for them.
    """
    if len(statement) < 200:
        return _read_before(statement, tuple(options), rest)
    return _read(statement, tuple(options), rest)


def _read(statement: str, options: tuple[str, ...], rest: Rest) -> Choice:
    statement = strip_markup(statement)
    lead = _LEAD.match(statement)
    body = statement[lead.end() :] if lead else statement
    keys = option_keys(options)
    named = bool(lead and lead["named"])
    by_letter = _by_letter(body, keys, rest, named)
    if isinstance(by_letter, int) and (named or _BRACKETED.fullmatch(body.rstrip(" ."))):
        return by_letter  # "(B)" and "option B" are letters, even where an option's text is "B"
    by_text = _by_text(statement, keys, rest)
    return _agree(_by_text(body, keys, rest) if by_text is NOTHING else by_text, by_letter, keys)


_read_before = lru_cache(4096)(_read)  # the rollouts of a question say the same in few words


def _agree(by_text: Choice, by_letter: Choice, keys: Sequence[str]) -> Choice:
    if isinstance(by_text, int) and isinstance(by_letter, int):
        return by_letter if keys[by_text] == keys[by_letter] else UNCLEAR
    if isinstance(by_text, int) or by_letter is NOTHING:
        return by_text
    return UNCLEAR if by_text is UNCLEAR else by_letter


@lru_cache(256)
def option_keys(options: tuple[str, ...]) -> tuple[str, ...]:
    """What each option is compared by: normalised, without its own letter ("B. Left") and leading article."""
    labels = (re.compile(rf"^\(?{letter(i)}[.):]\)?\s+(?=\S)") for i in range(len(options)))
    return tuple(_key(label.sub("", option.strip())) for label, option in zip(labels, options, strict=True))


def _key(text: str) -> str:
    return normalise(re.sub(r"^\s*(?:an?|the)\s+(?=\w)", "", text, flags=re.IGNORECASE))


_HEAD_END = re.compile(r"[,;:.!?](?=\s|$)|\s[-–—]\s|\s\(")  # noqa: RUF001


def _by_text(statement: str, keys: Sequence[str], rest: Rest) -> Choice:
    whole = _key(statement)
    exact = [i for i, key in enumerate(keys) if key and key == whole]
    if exact:
        return exact[0]
    if rest == "none":
        return NOTHING
    head_end = _HEAD_END.search(statement)
    head = _key(statement[: head_end.start()]) if head_end else ""
    begun = [i for i, key in enumerate(keys) if len(key) > 1 and f"{whole} ".startswith(f"{key} ")]
    if not begun:
        return NOTHING
    best = max(begun, key=lambda i: (len(keys[i]), -i))
    if rest == "punctuated" and keys[best] != head:
        return NOTHING
    tail = whole[len(keys[best]) :].split()
    return UNCLEAR if _names_another(tail, keys, best) or _denied(tail, keys[best] == head) else best


def _names_another(tail: list[str], keys: Sequence[str], best: int) -> bool:
    """Whether the words after an option begin with a different one: "pneumonia or effusion"."""
    while tail and tail[0] in ("or", "and", "/", "vs", "versus", "either"):
        tail = tail[1:]
    after = f"{re.sub(r'^(?:an?|the) ', '', ' '.join(tail))} "
    return any(len(key) > 1 and key != keys[best] and after.startswith(f"{key} ") for key in keys)


def _denied(tail: list[str], punctuated: bool) -> bool:
    return not punctuated and bool(_DENIALS.intersection(tail[:3]))


_LETTER = re.compile(
    r"(?P<open>[(\[{]?)\s?(?P<letter>[A-Za-z]{1,3})(?P<close>\s?[)\]}])?(?![\w'’])(?P<rest>.*)", re.DOTALL
)
_SEPARATOR = re.compile(r"\s*(?:[.:,;)]|[-–—](?=\s)|(?<=\s)[-–—])\s*")  # noqa: RUF001
_CONNECTOR = re.compile(r"(?:\(?because|since|as|is|given|due|which|based|explanation|reason)\b", re.IGNORECASE)
_DENIED = re.compile(r"(?:is|was)\s(?:not|wrong|incorrect|unlikely|excluded)\b|(?:or not)\b", re.IGNORECASE)
_OTHER_LETTER = re.compile(
    r"\s*(?:,?\s*\b(?:or|and)\b|[,/&+])\s*(?:option )?[(\[]?(?P<letter>[A-Z]{1,2})[)\]]?"
    r"(?=\s*(?:[.,;/&+]|$|or\b|and\b))"
)
_BRACKETED = re.compile(r"\((?P<letter>[A-Z]{1,2})\)")


def _by_letter(body: str, keys: Sequence[str], rest: Rest, named: bool) -> Choice:
    match = _LETTER.fullmatch(body)
    if match is None:
        return NOTHING
    after = match["rest"]
    alone = not after.strip(" .!")
    decorated = named or bool(match["close"])
    if not match["letter"].isupper() and not (alone or decorated and match["close"]):
        return NOTHING
    index = _index(match["letter"].upper())
    verdict = _after_letter(after, keys, index, rest) if not alone else True
    if verdict is None or not (alone or decorated or _SEPARATOR.match(after) or _follows(after, keys, index)):
        return NOTHING
    return index if verdict and index < len(keys) else UNCLEAR


def _follows(after: str, keys: Sequence[str], index: int) -> bool:
    """Whether a bare letter before a word is meant as one: "B because …", "B Left lung", "B or C"."""
    said = after.strip()
    own = index < len(keys) and bool(keys[index]) and f"{_key(said)} ".startswith(f"{keys[index]} ")
    return own or bool(_CONNECTOR.match(said) or _OTHER_LETTER.match(after))


def _after_letter(after: str, keys: Sequence[str], index: int, rest: Rest) -> bool | None:
    """True: nothing against the letter. False: another option or a denial follows. None: not a lone answer."""
    separator, conjoined = _SEPARATOR.match(after), _OTHER_LETTER.match(after)
    said = after[separator.end() :] if separator else after.strip()
    others = {m["letter"] for m in _BRACKETED.finditer(re.split(r"(?<=[.!?])\s", said, maxsplit=1)[0])}
    others |= {conjoined["letter"]} if conjoined else set()
    if any(_index(other) != index and _index(other) < len(keys) for other in others):
        return False
    if _DENIED.match(said):
        return False
    by_text = _by_text(said, keys, rest)
    if isinstance(by_text, int):
        return index < len(keys) and keys[by_text] == keys[index]
    if rest == "none":
        return None
    return True


def _index(name: str) -> int:
    index = 0
    for character in name:
        index = index * 26 + ord(character) - ord("A") + 1
    return index - 1
