"""`math-shepherd`: two texts a solution; a marker ends each step in one, its sign stands there in the other.

    {"input": "2+2? Step 1: 2+2=4. ки\\nStep 2: The answer is: 5 ки",
     "label": "2+2? Step 1: 2+2=4. +\\nStep 2: The answer is: 5 -", "task": "Demo"}

A step without + or - has no marker. Also read: openr's variant with `question`, `process` and `labels`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Refused, Row, Writing
from medprm_hf.formats.marks import RIGHT, UNKNOWN, WRONG, refuse_marks, shown_question, split_question, step_labels
from medprm_hf.formats.medprm_text import MARKER

_FIRST = "Step 1: "
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
        while labels and labels[-1] not in (RIGHT, WRONG):
            labels.pop()
        unlabelled = len(steps) - sum(label in (RIGHT, WRONG) for label in labels)
        writing.leave_out("steps without + or -", unlabelled)
        if not labels:
            writing.skip("rows without a labelled step")
            return
        numbered = [f"Step {number}: {text}" for number, text in enumerate(steps[: len(labels)], start=1)]
        known = [label in (RIGHT, WRONG) for label in labels]
        marked = [f"{text}{MARKER}" if has else text for text, has in zip(numbered, known, strict=True)]
        signed = [
            f"{text} {label}" if has else text for text, label, has in zip(numbered, labels, known, strict=True)
        ]
        yield {
            "input": f"{question} " + "\n".join(marked),
            "label": f"{question} " + "\n".join(signed),
            "task": row.get("source"),
        }

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
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
        question, options, context = split_question(shown)
        row = reading.row(question=question, options=options, clinical_context=context)
        row.update(source=record.get("task"), steps=[], labels=[])
        for part, sign in zip(parts[:-1], signs, strict=True):
            steps = _numbered(part.removeprefix("\n"), len(row["steps"]) + 1)
            row["steps"] += steps
            row["labels"] += [UNKNOWN] * (len(steps) - 1) + [sign]
        if not row["steps"]:
            raise Refused("no_steps", f"no step ends with {MARKER!r}", "input")
        reading.name(row)
        reading.keep([row], [record])
        yield row

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """Two texts with markers, or openr's process."""
        if isinstance(record.get("input"), str) and isinstance(record.get("label"), str):
            return MARKER in record["input"]
        return MARKER in str(record.get("process"))


def _signs(marked: str, signed: str) -> list[str]:
    """The character of `signed` at each marker of `marked`; both must agree everywhere else."""
    signs: list[str] = []
    parts = marked.split(MARKER)
    place = 0
    for part in parts[:-1]:
        place += len(part)
        found = signed[place : place + 2]
        if found not in (" +", " -"):
            message = f"the label text has {found!r} where the input has its marker {len(signs) + 1}"
            raise Refused("not_aligned", message, "label")
        signs.append(found[1])
        place += 2
    if MARKER.join(parts) != marked or "".join(parts) != _without(signed, parts):
        raise Refused("not_aligned", "input and label differ elsewhere than at the markers", "label")
    return signs


def _without(signed: str, parts: Sequence[str]) -> str:
    """`signed` without the two characters at every marker."""
    kept: list[str] = []
    place = 0
    for part in parts:
        kept.append(signed[place : place + len(part)])
        place += len(part) + 2
    return "".join(kept) + signed[place - 2 :] if place - 2 < len(signed) else "".join(kept)


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


