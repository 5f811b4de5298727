"""A question that a vision model writes for an image: the prompt, the JSON it must answer with, what is wrong with it.

    messages ask for WRITTEN_SCHEMA; read_written(text)  →  Written(question=…, options=(4), answer_index=2, …)
    read_written("Nice picture!")                        →  ParseError: no JSON object

What is wrong is said in one sentence that the model can be sent back with: "options: 3 given, exactly 4 are needed".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from medprm_hf.errors import ParseError
from medprm_hf.text.identifiers import find_identifiers
from medprm_hf.text.jsonish import find_json

PROMPT_VERSION = 1
OPTIONS = 4
LEVELS = ("easy", "medium", "hard")
_LENGTHS = {"clinical_context": 1500, "question": 600, "option": 200, "explanation": 2000}
"""Characters at most."""
_TEXT = {"type": "string"}

WRITTEN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "clinical_context": _TEXT,
        "question": _TEXT,
        "options": {"type": "array", "items": _TEXT, "minItems": OPTIONS, "maxItems": OPTIONS},
        "answer": _TEXT,
        "difficulty": {"type": "string", "enum": list(LEVELS)},
        "explanation": _TEXT,
    },
    "required": ["clinical_context", "question", "options", "answer", "difficulty", "explanation"],
    "additionalProperties": False,
}

PROMPTS = {
    "diagnostic": "It must need the image: ask for the diagnosis, a finding or the next step, never for the "
    "imaging technique, the organ's name or a count.",
    "findings": "It must need the image: ask what abnormal finding is visible, where, or how it is graded.",
}
"""What the written question should ask for, by the recipe's `write.prompt`."""

_ASK = """\
Write one multiple-choice question for medical students about the attached image{modality}.
{aim}

Answer with JSON only:
{{"clinical_context": "...", "question": "...", "options": ["...", "...", "...", "..."], "answer": "...", \
"difficulty": "medium", "explanation": "..."}}
clinical_context: 1 to 3 sentences on an invented patient (age, sex, complaint), no name, date or answer.
options: exactly four, of like length, one right. answer: the right option, word for word.
difficulty: easy, medium or hard. explanation: what in the image shows the answer, and why the others are wrong."""


@dataclass(frozen=True)
class Written:
    """A question that passed every check."""

    clinical_context: str
    question: str
    options: tuple[str, ...]
    answer_index: int
    difficulty: str
    explanation: str


def write_prompt(prompt: str, modality: str | None) -> str:
    """The user's turn that asks for a question."""
    said = f" ({' '.join(modality.replace('_', ' ').split())[:60]})" if modality else ""
    return _ASK.format(aim=PROMPTS[prompt], modality=said)


def repair_prompt(problem: str) -> str:
    """The user's turn after an answer that cannot be used."""
    return f"That answer cannot be used: {problem}\nAnswer again with the whole JSON object only."


def read_written(text: str) -> Written:
    """The question in a model's answer; raises ParseError that says what is wrong with it, for the model to mend."""
    found = find_json(text)
    if found is None or not isinstance(found.value, dict):
        raise ParseError("no JSON object was found")
    value = found.value
    texts = {name: _text(value, name) for name in ("clinical_context", "question", "explanation")}
    options = _options(value.get("options"))
    level = str(value.get("difficulty")).strip().casefold()
    if level not in LEVELS:
        raise ParseError(f"difficulty: {str(value.get('difficulty'))[:40]!r} is none of {', '.join(LEVELS)}")
    index = _index(value.get("answer"), options)
    kinds = {one.kind for part in (*texts.values(), *options) for one in find_identifiers(part)}
    if kinds:
        raise ParseError(f"it seems to name a person ({', '.join(sorted(kinds))}): leave names, dates and numbers out")
    if options[index].casefold() in f"{texts['clinical_context']} {texts['question']}".casefold():
        raise ParseError("the context or the question says the right option: leave it out there")
    return Written(texts["clinical_context"], texts["question"], options, index, level, texts["explanation"])


def _text(value: dict[str, Any], name: str) -> str:
    return _clean(value.get(name), name, _LENGTHS[name])


def _clean(said: Any, name: str, longest: int) -> str:
    if not isinstance(said, str) or not said.strip():
        raise ParseError(f"{name}: a text is needed, {type(said).__name__ if said != '' else 'an empty one'} was given")
    if re.search(r"</?[a-zA-Z][^<>]{0,200}>", said):
        raise ParseError(f"{name}: it holds HTML tags: plain text is needed")
    if len(said) > longest:
        raise ParseError(f"{name}: {len(said)} characters, at most {longest} are allowed")
    return " ".join(said.split())


def _options(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or len(given) != OPTIONS:
        raise ParseError(f"options: {len(given) if isinstance(given, list) else 'no list'} given, exactly 4 are needed")
    options = tuple(re.sub(r"^\(?[A-D][.):]\s+", "", _clean(one, "option", _LENGTHS["option"])) for one in given)
    if len({option.casefold() for option in options}) < OPTIONS:
        raise ParseError("options: two are the same, four different ones are needed")
    return options


def _index(answer: Any, options: tuple[str, ...]) -> int:
    """The option that is named by its text or letter."""
    if isinstance(answer, str):
        said = " ".join(answer.split()).casefold()
        texts = [option.casefold() for option in options]
        if said in texts:
            return texts.index(said)
        letter = re.fullmatch(r"\(?([a-d])[.):]?(?:\s+(.*))?", said)
        if letter and (not letter[2] or texts["abcd".index(letter[1])] == letter[2]):
            return "abcd".index(letter[1])
    raise ParseError(f"answer: {str(answer)[:80]!r} is none of the four options, word for word")
