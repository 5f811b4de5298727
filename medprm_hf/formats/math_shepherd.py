"""`math-shepherd`: two texts a solution; a marker ends each step in one, its sign stands there in the other.

    {"input": "2+2? Step 1: 2+2=4. ки\\nStep 2: The answer is: 5 ки",
     "label": "2+2? Step 1: 2+2=4. +\\nStep 2: The answer is: 5 -", "task": "Demo"}

A step without + or - has no marker. Also read: openr's variant with `question`, `process` and `labels`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Refused, Row, Writing
from medprm_hf.formats.marks import RIGHT, UNKNOWN, WRONG, refuse_marks, shown_question, step_labels
from medprm_hf.formats.medprm_text import MARKER

_FIRST = "Step 1: "
_STARTS = (_FIRST, *(f"\nStep {number}: " for number in range(2, 100)))
_KEYS = ["input", "label", "task"]
_SIGNS = {RIGHT, WRONG}
_NUMBER = re.compile(r"(?:\A|\n)Step (\d+): ")


@dataclass(frozen=True)
class MathShepherd(Format):
    """Math-Shepherd's input and label texts."""

    id: ClassVar[str] = "math-shepherd"
    text: ClassVar[str] = "Math-Shepherd: steps marked in `input`, + or - at the same place in `label`"
    carries: ClassVar[frozenset[str]] = frozenset(
        {"question", "options", "clinical_context", "source", "steps", "labels"}
    )
    losses: ClassVar[tuple[str, ...]] = (
        "names of questions and solutions",
        "an option or clinical context with a line break is read back as part of the question",
        "turns of a consultation become part of the question",
        "neutral labels become unknown ones, and such steps at the end are left out",
        "a line that says `Step n: ` inside an unlabelled step",
        "review and merge are one label",
    )

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One record a solution."""
        row = rows[0]
        question, steps, labels = shown_question(row), row["steps"], step_labels(row)
        refuse_marks([question], (MARKER, _FIRST), "question")
        refuse_marks(steps, (MARKER,), "steps")
        while labels and labels[-1] not in _SIGNS:
            labels.pop()
        unlabelled = len(steps) - sum(label in _SIGNS for label in labels)
        writing.leave_out("steps without + or -", unlabelled)
        if not labels:
            writing.skip("rows without a labelled step")
            return
        numbered = [f"Step {number}: {text}" for number, text in enumerate(steps[: len(labels)], start=1)]
        marked = [text + MARKER if label in _SIGNS else text for text, label in zip(numbered, labels, strict=True)]
        signed = [f"{text} {label}" if label in _SIGNS else text for text, label in zip(numbered, labels, strict=True)]
        yield {
            "input": f"{question} " + "\n".join(marked),
            "label": f"{question} " + "\n".join(signed),
            "task": row.get("source"),
        }

    def decode(self, record: Record, reading: Reading) -> Iterable[dict[str, Any]]:
        """One solution a record."""
        if "process" in record:
            shown, text = record["question"], record["process"]
            signs = [RIGHT if label in (1, "+") else WRONG for label in record["labels"]]
        else:
            shown, mark, text = record["input"].partition(_FIRST)
            text, shown = mark + text, shown.removesuffix(" ")
            signs = _signs(record["input"], record["label"])
        parts = text.split(MARKER)
        if len(parts) - 1 != len(signs):
            message = f"{len(signs)} labels for {len(parts) - 1} markers"
            raise Refused("uneven_steps", message, "labels")
        if not signs:
            raise Refused("no_steps", f"no step ends with {MARKER!r}", "input")
        steps = _plain_steps(parts)
        # A record like those that our writer makes is sure to come back, so that it need not be tried.
        exact = steps and not parts[-1] and list(record) == _KEYS and record["input"][len(shown)] == " "
        question, options, context = reading.asked(shown)
        row = {
            **reading.blank, "question": question, "options": options, "clinical_context": context,
            "source": record.get("task"), "steps": steps, "labels": signs,
        }
        if not steps:
            for part, sign in zip(parts[:-1], signs, strict=True):
                found = _numbered(part.removeprefix("\n"), len(steps) + 1)
                steps += found
                row["labels"] = [*row["labels"][: len(steps) - len(found)], *[UNKNOWN] * (len(found) - 1), sign]
        reading.name(row)
        if not exact:
            reading.keep([row], [record])
        return (row,)

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """Two texts with markers, or openr's process."""
        if isinstance(record.get("input"), str) and isinstance(record.get("label"), str):
            return MARKER in record["input"]
        return MARKER in str(record.get("process"))


def _signs(marked: str, signed: str) -> list[str]:
    """The character of `signed` at each marker of `marked`; both must agree everywhere else."""
    signs: list[str] = []
    *parts, end = marked.split(MARKER)
    place = 0
    for part in parts:
        place += len(part)
        found = signed[place : place + 2]
        if found not in (" +", " -"):
            message = f"the label text has {found!r} where the input has its marker {len(signs) + 1}"
            raise Refused("not_aligned", message, "label")
        signs.append(found[1])
        place += 2
    if "".join([f"{part} {sign}" for part, sign in zip(parts, signs, strict=True)]) + end != signed:
        raise Refused("not_aligned", "input and label differ elsewhere than at the markers", "label")
    return signs


def _plain_steps(parts: Sequence[str]) -> list[str]:
    """Texts of the marked parts where each is one numbered step, which is the usual case; empty if not."""
    text = "\n".join(parts[:-1])
    if len(parts) > len(_STARTS) or text.count("\nStep ") != len(parts) - 2:
        return []
    if not all(map(str.startswith, parts[:-1], _STARTS)):
        return []
    return [part[len(start) :] for part, start in zip(parts[:-1], _STARTS, strict=False)]


def _numbered(part: str, first: int) -> list[str]:
    """Texts of the steps in one marked part: more than one where earlier ones have no marker."""
    start = f"Step {first}: "
    if part.startswith(start) and "\nStep " not in part:
        return [part[len(start) :]]
    marks: list[re.Match[str]] = []
    for match in _NUMBER.finditer(part):
        if int(match[1]) == first + len(marks):
            marks.append(match)
    if not marks or marks[0].start():
        return [part]
    ends = [*(match.start() for match in marks[1:]), len(part)]
    return [part[match.end() : end] for match, end in zip(marks, ends, strict=True)]


