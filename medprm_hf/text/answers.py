r"""The final answer of a solution: read, or None. Nothing is guessed, and nothing defaults to A.

With options the answer is a letter (A … Z, AA …: as many as there are options); without, it is the free text
that the solution states. Statements are looked for everywhere, and the last one that can be read counts:

    Answer: B · **Final answer:** (B) · \boxed{\text{B}} · the answer is (B) · option B is correct
    Final Diagnosis: pneumonia · {"final_answer_index": 1} (from 0) · Answer: yes, because …

A statement whose form promises an answer (`Answer:`, a box, JSON) but names two options, or none that exists,
gives None: an earlier statement does not count any more. A sentence like "the answer is based on …" that
names no option is passed over. Without any statement the last line counts if it is nothing but an answer.
Letters are never taken from words: "A nodule is seen" is not answer A.

Text counts by `normalise` (case, punctuation, white space; numbers and signs such as < stay). Two options with
equal text are one answer: reading gives the first of their letters, and `matches` accepts any of them. An
empty option can be named by its letter only.

    >>> read_answer("So both fit. Answer: (B)", ["Right", "Left"])
    'B'
    >>> read_answer("Answer: A or B", ["Right", "Left"]) is None
    True
    >>> matches("B", ["Right", "Left"], "Left", 1)
    True
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from medprm_hf.text.choices import NOTHING, UNCLEAR, Rest, contains_phrase, normalise, read_choice, strip_markup
from medprm_hf.text.jsonish import find_json
from medprm_hf.text.prompts import letter

__all__ = ["letter_index", "matches", "normalise", "read_answer"]


@dataclass(frozen=True, slots=True)
class _Statement:
    payload: str
    strong: bool
    """Its form promises an answer, so an unreadable one ends the search."""


def read_answer(text: str, options: Sequence[str]) -> str | None:
    """The final answer: an option's letter, or free text without options; None where it cannot be read.

    Free text keeps its case; markup, white space at the ends and a full stop are taken off.
    """
    plain = _unfold_json(text)
    if not options:
        return _free_text(plain)
    chosen = _chosen(plain, options)
    return letter(chosen) if chosen is not None else None


def matches(answer: str | None, options: Sequence[str], gold: str | None, gold_index: int | None) -> bool | None:
    """Whether an answer of `read_answer` is the gold one; None where either is unknown.

    With options: the letter names `gold_index`, or an option of equal text (the index wins over the text where
    they differ). Without an index the gold text must be that of an option, else None.
    Open questions: equal after `normalise`; or both are comma lists of the same parts; or the gold answer
    stands as a whole phrase in the answer, with no denial ("no", "not", "without" …) right before it. Yes and
    no must be the answer's first word. This is lenient on long answers, and strict on synonyms.
    """
    if answer is None:
        return None
    if not options:
        return _open_match(answer, gold or "")
    right = _gold_indices(options, gold, gold_index)
    chosen = letter_index(answer)
    if not right or chosen is None or chosen >= len(options):
        return None
    return chosen in right


def letter_index(name: str) -> int | None:
    """Index (from 0) of an option's letter, the inverse of `prompts.letter`; None for anything else."""
    if not re.fullmatch(r"[A-Z]{1,4}", name):
        return None
    index = 0
    for character in name:
        index = index * 26 + ord(character) - ord("A") + 1
    return index - 1


def _gold_indices(options: Sequence[str], gold: str | None, gold_index: int | None) -> set[int]:
    if gold_index is not None and 0 <= gold_index < len(options):
        gold = options[gold_index]
        same = {gold_index}
    else:
        same = set()
    key = normalise(gold or "")
    return same | {i for i, option in enumerate(options) if key and normalise(option) == key}


def _open_match(answer: str, gold: str) -> bool | None:
    ours, theirs = normalise(answer), normalise(gold)
    if not theirs:
        return None
    if ours == theirs:
        return True
    if theirs in ("yes", "no"):
        return ours.split(" ", 1)[0] == theirs
    if "," in gold and _parts(answer) == _parts(gold):
        return True
    return contains_phrase(ours, theirs)


def _parts(text: str) -> set[str]:
    return {normalise(part) for part in re.split(r",|;|\band\b", text)} - {""}


# --- finding statements --------------------------------------------------------------------------------------

_GAP = r"[ \t*_]{0,6}"
_ADJECTIVE = r"(?:final|correct|best|right|my|likely|probable|suggested|overall|chosen|selected)"
_IS = r"(?:is|was|would[ ]be|should[ ]be|must[ ]be|will[ ]be)"
# Headers end where the payload begins; every repetition is bounded, so no text makes the search slow.
_HEADER = re.compile(
    rf"""(?P<box>\\boxed\s{{0,3}}\{{) | (?P<tag><answer>)
    | (?<![\w-]) (?P<adjective>{_ADJECTIVE}[ _-])? (?P<what>answer|diagnosis|(?<=[ _-])(?:option|choice)|conclusion)
      (?P<noun>[ ](?:option|choice|letter))? ["'”’]? {_GAP}
      (?: (?P<colon>[:：=]|→|->) | (?P<verb>{_IS}\b){_GAP}:? | (?P<line>(?=\r?\n|\Z)) )
    | (?<!\w) (?:choose|select|pick|answer|answer[ ]with|go[ ]with)[ ]{{1,3}}
      (?=(?:option|choice|answer)?[ ]?\(?[A-Z]{{1,3}}\b)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LETTER_IS_RIGHT = re.compile(
    r"""(?:^|[.!?:;,]\s|\n|\b(?:option|choice|answer|so|thus,?|hence,?|therefore,?)\s)\s{0,4}[*_]{0,3}
    (?P<letter>\(?[A-Z]{1,2}\)?)[*_]{0,3}\s (?:\([^()\n]{1,80}\)\s)?
    is\s(?:(?:the|therefore|clearly|thus)\s){0,2}(?:most\s(?:likely|appropriate)|correct|right|best|answer)\b""",
    re.VERBOSE | re.MULTILINE,
)
_IS_RIGHT = re.compile(r"\sis\s(?:(?:the|therefore|clearly|thus)\s){0,2}(?:most\s|correct|right|best|answer)")
"""What every match of _LETTER_IS_RIGHT ends in; much faster to look for."""
_HEADER_WORDS = (
    "boxed", "<answer>", "answer", "diagnosis", "option", "choice", "conclusion", "choose", "select", "pick", "go with",
)  # fmt: skip
"""One of these stands in every match of _HEADER, _BEFORE_WORD characters after its beginning at most."""
_BEFORE_WORD = 12
_NOT_FINAL = re.compile(r"(?:differential|initial|wrong|incorrect|another|every|each|no|not|to)[ ]$", re.IGNORECASE)
_PAYLOAD = 400  # characters of a statement that are looked at
_MOST = 1000  # statements that are looked at, from the end


def _statements(text: str) -> Iterator[_Statement]:
    """Statements of a text, the last one first."""
    rights = _LETTER_IS_RIGHT.finditer(text) if _IS_RIGHT.search(text) else ()
    found = [(match.end("letter"), f"option {match['letter']}", False) for match in rights][-_MOST:]
    headers = [match for match in _HEADER.finditer(text, _first_header(text)) if _is_final(text, match)][-_MOST:]
    ends = [match.start() for match in headers[1:]] + [len(text)] * bool(headers)
    for match, end in zip(headers, ends, strict=True):
        payload = _payload(text, match, end)
        if payload:
            found.append((match.end(), payload, _is_strong(match)))
    return (_Statement(payload, strong) for _, payload, strong in sorted(found, reverse=True))


def _first_header(text: str) -> int:
    """Where a header can begin at the earliest; most of a solution holds none of its words."""
    low = text.lower()
    if len(low) != len(text) or "\u017f" in text or "\u212a" in text:  # letters that only re takes for s and k
        return 0
    places = [place for word in _HEADER_WORDS if (place := low.find(word)) >= 0]
    return max(0, min(places) - _BEFORE_WORD) if places else len(text)


def _is_strong(match: re.Match[str]) -> bool:
    if match["box"] or match["tag"]:
        return True
    promised = match["colon"] or match["line"] is not None
    return bool(promised and ((match["what"] or "").lower() == "answer" or match["adjective"]))


def _is_final(text: str, match: re.Match[str]) -> bool:
    before = text[max(0, match.start() - 14) : match.start()]
    if _NOT_FINAL.search(before):
        return False
    if match["line"] is None:
        return True
    line_start = text.rfind("\n", max(0, match.start() - 40), match.start()) + 1
    return not text[line_start : match.start()].strip("#*_> \t-")  # a heading that stands alone


def _payload(text: str, match: re.Match[str], end: int) -> str:
    if match["box"]:
        return _braced(text, match.end())
    piece = text[match.end() : min(end, match.end() + _PAYLOAD)].split("</answer>", 1)[0]
    piece = piece.lstrip(" \t\r\n*_#:").split("\n", 1)[0]
    if piece.startswith('"'):  # also a piece of JSON that cannot be parsed whole
        piece = piece[1:].split('"', 1)[0]
    return strip_markup(piece)


def _braced(text: str, start: int) -> str:
    """What stands between an opened brace and its partner (within the payload's length)."""
    depth = 1
    for brace in re.finditer(r"[{}]", text[start : start + _PAYLOAD]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return strip_markup(text[start : start + brace.start()])
    return ""


# --- reading them --------------------------------------------------------------------------------------------


def _chosen(text: str, options: Sequence[str]) -> int | None:
    """Index of the option that the text settles on, else None."""
    for statement in _statements(text):
        choice = read_choice(statement.payload, options)
        if isinstance(choice, int):
            return choice
        if choice is UNCLEAR or statement.strong:
            return None
    return _last_line(text, options)


_LEAD = re.compile(r"^(?:step \d{1,3}[:.] ?)?(?:(?:so|thus|therefore|hence|finally|in conclusion),? )?", re.IGNORECASE)
_ENDS_IN_LETTER = re.compile(r"(?<!\w)\([A-Z]{1,2}\)(?=[.!]?$)")
_PART_OF_FIGURE = re.compile(
    r"\b(?:panel|figure|fig|image|view|lead|part|grade|type|stage)\.? \([A-Z]{1,2}\)[.!]?$", re.I
)


def _last_line(text: str, options: Sequence[str]) -> int | None:
    """An answer that stands alone on the last line, or in brackets at its end."""
    lines = [line for line in text[-4000:].splitlines() if re.search(r"\w", line)]
    if not lines:
        return None
    line = _LEAD.sub("", strip_markup(lines[-1]), count=1)
    rest: Rest = "punctuated" if len(lines) == 1 else "none"
    choice = read_choice(line, options, rest)
    if choice is NOTHING and not _PART_OF_FIGURE.search(line):
        bracketed = _ENDS_IN_LETTER.search(line)
        choice = read_choice(bracketed[0], options) if bracketed and line.count("(") == 1 else NOTHING
    return choice if isinstance(choice, int) else None


_SENTENCE_END = re.compile(r"[.!?](?=\s+[A-Z]|\s*$)")
_SHORT = 12  # words of a text without statement that is nothing but the answer


def _free_text(text: str) -> str | None:
    statements = list(_statements(text))
    for statement in [statement for statement in statements if statement.strong] or statements:
        return _SENTENCE_END.split(statement.payload, maxsplit=1)[0].strip() or None
    bare = strip_markup(text)
    one_line = "\n" not in text.strip() and not re.match(r"step \d", bare, re.IGNORECASE)
    return bare if bare and one_line and len(bare.split()) <= _SHORT else None


# --- JSON ----------------------------------------------------------------------------------------------------

_TEXT_KEYS = ("final_answer", "answer", "final_answer_letter", "answer_letter", "final_diagnosis", "choice")
_INDEX_KEYS = ("final_answer_index", "answer_index")
_INDEX_KEY = re.compile(r'"(?:final_)?answer_index"\s{0,9}:\s{0,9}(?P<index>\d{1,4})\b')


def _unfold_json(text: str) -> str:
    """A JSON solution as plain lines, its answer keys as `Answer: …`; other text as it is."""
    found = find_json(text) if "{" in text else None
    if found is None:
        return _name_indices(text)
    lines: list[str] = []
    _collect(found.value, lines)
    answers = _json_answers(found.value)
    if answers:
        lines.append(f"Answer: {' or '.join(answers)}")
    before, after = _name_indices(text[: found.start]), _name_indices(text[found.end :].strip("`\n "))
    return "\n".join([before, *lines, after])


def _name_indices(text: str) -> str:
    """A piece of JSON, as a continuation of a prefix is: its `"answer_index": 1` as `Answer: (B)`."""
    return _INDEX_KEY.sub(lambda match: f"\nAnswer: ({letter(int(match['index']))})\n", text)


def _json_answers(value: Any) -> list[str]:
    if not isinstance(value, dict):
        return []
    said = [str(value[key]) for key in _TEXT_KEYS if isinstance(value.get(key), str | int) and value[key] != ""]
    indices = [value[key] for key in _INDEX_KEYS if type(value.get(key)) is int and value[key] >= 0]
    return list(dict.fromkeys([*said, *(f"({letter(min(index, 9999))})" for index in indices)]))


def _collect(value: Any, lines: list[str], depth: int = 0) -> None:
    if depth > 20:
        return
    if isinstance(value, str):
        lines.append(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in (*_TEXT_KEYS, *_INDEX_KEYS):
                _collect(inner, lines, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, lines, depth + 1)
