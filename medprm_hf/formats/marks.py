"""What many formats need of a row: its labels, its letters, its question as text, its domain.

{"labels": ["+", "?"], "review_labels": ["?", "-"]}   ->  step_labels(row)  ==  ["+", "-"]
{"expected_accuracy": [0.5, 0.0, None]}               ->  step_labels(row, "value")  ==  ["+", "-", "?"]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

from medprm_hf.formats.base import Refused, Row
from medprm_hf.formats.exact import loads
from medprm_hf.schema import Label, final_labels
from medprm_hf.text.prompts import letter, question_text

LabelSource = Literal["final", "value", "advantage"]
RIGHT, WRONG, NEUTRAL, UNKNOWN = (label.value for label in Label)

_DOMAINS = {
    "radiology": (
        "xray",
        "ray",
        "radiograph",
        "radiology",
        "cxr",
        "ct",
        "cta",
        "mri",
        "mr",
        "mra",
        "pet",
        "ultrasound",
        "mammography",
        "mammogram",
        "tomography",
        "phantom",
        "projection",
    ),
    "pathology": ("pathology", "histology", "histopathology", "cytology", "microscopy", "h&e", "wsi"),
    "clinical": ("clinical", "photo", "photograph", "dermatology", "dermoscopy", "skin", "fundus", "endoscopy"),
}
_WORD = re.compile(r"[a-z&]+")


def step_labels(row: Row, source: LabelSource = "final", threshold: float = 0.0) -> list[str]:
    """The labels that count, [num_steps].

    `final`: the review's where there is one, else merge's; a row that was never merged falls back to its
    rollouts' values, and without any to its judge's labels. `value`: mc > threshold (VisualPRM, section 3.1).
    `advantage`: the sign of mc_i - mc_(i-1); the first step's is its value.
    """
    mc = row.get("expected_accuracy") or [None] * len(row["steps"])
    if source == "advantage":
        return advantage_labels(mc)
    if source == "value":
        return value_labels(mc, threshold)
    found = row.get("labels")
    if found is None:
        judged = row.get("judge_labels") if mc.count(None) == len(mc) else None
        found = judged or value_labels(mc, threshold)
    return final_labels(found, row.get("review_labels"))


def joined_steps(steps: Sequence[str], labels: Sequence[str], joint: str) -> list[tuple[str, str]]:
    """Text and label of each labelled step, with the unlabelled ones before it joined to its text.

    Steps without + or - after the last labelled one are left away.
    """
    found: list[tuple[str, str]] = []
    waiting: list[str] = []
    for text, label in zip(steps, labels, strict=True):
        waiting.append(text)
        if label in (RIGHT, WRONG):
            found.append((joint.join(waiting), label))
            waiting = []
    return found


def value_labels(mc: Sequence[float | None], threshold: float = 0.0) -> list[str]:
    """`+` where mc > threshold, `-` where it is not, `?` where nothing was sampled."""
    return [UNKNOWN if score is None else RIGHT if score > threshold else WRONG for score in mc]


def advantage_labels(mc: Sequence[float | None]) -> list[str]:
    """Sign of the change of mc at each step: `+`, `0` or `-`; `?` where either end was not sampled."""
    labels = value_labels(mc[:1])
    for before, here in zip(mc, mc[1:], strict=False):
        if before is None or here is None:
            labels.append(UNKNOWN)
        else:
            labels.append(RIGHT if here > before else NEUTRAL if here == before else WRONG)
    return labels


def answer_place(answer: str | None, options: Sequence[str]) -> int | None:
    """Index from 0 of the option that a letter or an option's text names; null where it names none."""
    if answer is None or not options:
        return None
    if answer in options:
        return list(options).index(answer)
    letters = _letters(len(options))
    return letters.index(answer) if answer in letters else None


@lru_cache(maxsize=64)
def _letters(count: int) -> tuple[str, ...]:
    return tuple(letter(index) for index in range(count))


def letter_or_none(index: int | None) -> str | None:
    """`letter`, with null for null."""
    return None if index is None else _letters(26)[index] if 0 <= index < 26 else letter(index)


def shown_question(row: Row, with_options: bool = True, with_context: bool = True) -> str:
    """Context, earlier turns, question and options, as every model of this project is shown them."""
    options = row.get("options") if with_options else None
    shown = _with_options(row["question"], tuple(options)) if options else row["question"]
    if row.get("turns"):
        shown = "\n".join(f"{turn['role']}: {turn['text']}" for turn in row["turns"]) + f"\n{shown}"
    if with_context and row.get("clinical_context"):
        shown = f"Clinical context: {row['clinical_context']}\n{shown}"
    return shown


@lru_cache(maxsize=64)  # solutions of one question come together
def _with_options(question: str, options: tuple[str, ...]) -> str:
    return question_text(question, options)


def split_question(text: str) -> tuple[str, list[str], str | None]:
    """Question, options and clinical context of a text that `shown_question` wrote (or one like it).

    `shown_question` gives every text back that was split.
    """
    question, options, context = _split(text)
    return question, list(options), context


@lru_cache(maxsize=64)
def _split(text: str) -> tuple[str, tuple[str, ...], str | None]:
    context = None
    if text.startswith("Clinical context: ") and "\n" in text and text[18] != "\n":
        first, _, text = text.partition("\n")
        context = first.removeprefix("Clinical context: ")
    question, mark, listed = text.rpartition("\nOptions:\n")
    if not mark:
        return text, (), context
    options: list[str] = []
    for line in listed.split("\n"):
        start = f"{letter(len(options))}. "
        if not line.startswith(start):
            return text, (), context
        options.append(line.removeprefix(start))
    return question, tuple(options), context


def solution_text(row: Row, joint: str = "\n") -> str:
    """The solution as the model wrote it, else its steps numbered and joined."""
    if row.get("solution"):
        return str(row["solution"])
    return joint.join(f"Step {number}: {text}" for number, text in enumerate(row["steps"], start=1))


def domain(modality: str | None) -> str | None:
    """radiology, pathology or clinical, as far as a word of the modality tells; else null."""
    return _domain(modality) if modality else None


@lru_cache(maxsize=256)
def _domain(modality: str) -> str | None:
    words = set(_WORD.findall(modality.lower()))
    return next((name for name, hints in _DOMAINS.items() if words.intersection(hints)), None)


def refuse_marks(texts: Sequence[str | None], marks: Sequence[str], key: str) -> None:
    """Refuses texts that hold what the format uses as its own mark; none of these formats has an escape."""
    joined = "\0".join(filter(None, texts))  # no mark holds a null character
    for mark in (mark for mark in marks if mark in joined):
        for place, text in enumerate(texts, start=1):
            if text and mark in text:
                raise Refused(
                    "marker_in_text",
                    f"{key} {place} holds {mark!r}, which this format uses as its mark and cannot escape: "
                    "change the text, or write raw-json",
                    key,
                )


def unpack_extra(row: Row, format_id: str) -> dict[str, Any]:
    """What a row's `extra` holds of one format; empty if nothing."""
    packed = row.get("extra")
    if not packed or f'"{format_id}"' not in packed:
        return {}
    strange: list[str] = []
    found = loads(packed.encode(), strange).get(format_id)
    if strange:
        raise Refused("not_a_number", f"extra holds {strange[0]}, which JSON does not know: use null", "extra")
    return found if isinstance(found, dict) else {}
