"""Med-PRM's marker rules: solutions as one line of text with " ки" after every labelled step, and back.

    marked(["Young patient.", "the answer is (B)"], [True, True])
        ->  "Step 1: Young patient. ки Step 2: the answer is (B) ки"
    unmarked("A note. Step 1: Young patient. ки")
        ->  Marked(head="A note. ", steps=["Young patient."], known=[True])

Line breaks become spaces; text before the first step has no marker; a leading "## " of a step is dropped; a
solution without steps is one step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from operator import add
from typing import NamedTuple

MARKER = " ки"
_BREAKS = re.compile(r"\r\n|\r|\n")
_NUMBERED = re.compile(r"(?:## )?Step (\d+): ")
_STARTS = tuple(f"{number}: " for number in range(1, 100))
_HEADS = tuple(f"Step {start}" for start in _STARTS)
_LINE = re.compile(r"^(?:## )?Step (\d+): ", re.MULTILINE)


class Marked(NamedTuple):
    """What a marked text says."""

    head: str
    """Text before the first step, with the space behind it."""
    steps: list[str]
    """Text of each step, without number and marker."""
    known: list[bool]
    """Whether each step has a marker, [num_steps]."""


def flat(text: str) -> str:
    """Line breaks become single spaces."""
    return _BREAKS.sub(" ", text) if "\r" in text else text.replace("\n", " ")


def marked(steps: Sequence[str], known: Sequence[bool]) -> str:
    """`Step n: …` with the marker after every step that has a label, joined by one space."""
    return _marked(tuple(steps), tuple(known))


@lru_cache(maxsize=64)  # what is read is compared with what would be written
def _marked(steps: tuple[str, ...], known: tuple[bool, ...]) -> str:
    if all(known) and 0 < len(steps) < 100:
        return flat(f"{MARKER} ".join(map(add, _HEADS, steps))) + MARKER
    return " ".join(
        f"Step {number}: {flat(text)}{MARKER if has else ''}"
        for number, (text, has) in enumerate(zip(steps, known, strict=True), start=1)
    )


def unmarked(text: str) -> Marked:
    """Head, steps and markers of a processed solution; steps must be numbered 1, 2, 3 …"""
    *labelled, tail = text.split(MARKER)
    head = ""
    steps: list[str] = []
    known: list[bool] = []
    for place, part in enumerate([*labelled, tail]):
        last = place == len(labelled)
        start = f" Step {len(steps) + 1}: " if place else "Step 1: "
        if not last and part.startswith(start) and "Step " not in part[len(start) :]:
            steps.append(part[len(start) :])  # the usual case, told without a regular expression
            known.append(True)
            continue
        before, found = _numbered(part, len(steps) + 1)
        if not found and not last:
            found = [before.removeprefix(" ")]
        elif place == 0:
            head = before
        steps += found
        known += [False] * len(found)
        if not last:
            known[-1] = True
    return Marked(head, steps, known)


def _numbered(part: str, first: int) -> tuple[str, list[str]]:
    """Text before step `first`, and the steps numbered on from it."""
    marks: list[re.Match[str]] = []
    for match in _NUMBERED.finditer(part):
        if int(match[1]) == first + len(marks):
            marks.append(match)
    if not marks:
        return part, []
    ends = [*(match.start() for match in marks[1:]), len(part)]
    texts = [part[match.end() : end] for match, end in zip(marks, ends, strict=True)]
    return part[: marks[0].start()], [*(text.removesuffix(" ") for text in texts[:-1]), texts[-1]]


def steps_of(solution: str, processed: str) -> tuple[list[str], list[bool]]:
    """Steps and markers of a processed solution; read along the raw solution where both say the same.

    The raw solution keeps line breaks, and steps that say `Step n: ` themselves, apart.
    """
    raw = raw_steps(solution)
    known = _aligned(raw, head_of(solution, raw), processed) if raw else None
    if known is not None:
        return raw, known
    found = unmarked(processed)
    return found.steps, found.known


def _aligned(steps: Sequence[str], head: str, processed: str) -> list[bool] | None:
    """Whether each step has a marker in the processed text; null if it is not the text of these steps."""
    place = len(head) + 1 if head else 0
    if processed[place:] == marked(steps, [True] * len(steps)):
        return [True] * len(steps)
    known: list[bool] = []
    for number, text in enumerate(steps, start=1):
        piece = f"Step {number}: {flat(text)}"
        if not processed.startswith(piece if number == 1 else f" {piece}", place):
            return None
        place += len(piece) + (number > 1)
        known.append(processed.startswith(MARKER, place))
        place += len(MARKER) * known[-1]
    return known if place == len(processed) else None


def head_of(solution: str, steps: Sequence[str]) -> str:
    """Text before the first step of a raw solution, on one line; empty if its steps are not those of the row."""
    if solution.startswith("Step 1: ") or raw_steps(solution) != steps:
        return ""
    first = _LINE.search(solution)
    head = flat(solution[: first.start()]).strip() if first else ""
    return "" if _NUMBERED.search(head) else head


def raw_steps(solution: str) -> list[str]:
    """Steps of a raw solution whose lines begin with `Step n: `, numbered 1, 2, 3 …; empty if there are none."""
    return list(_raw_steps(solution))


@lru_cache(maxsize=64)
def _raw_steps(solution: str) -> list[str]:
    parts = f"\n{solution}".split("\nStep ")[1:]
    if 0 < len(parts) < 100 and "## Step " not in solution and all(map(str.startswith, parts, _STARTS)):
        return list(map(str.removeprefix, parts, _STARTS))
    marks = list(_LINE.finditer(solution))
    if not marks or [int(match[1]) for match in marks] != list(range(1, len(marks) + 1)):
        return []
    ends = [*(match.start() - 1 for match in marks[1:]), len(solution)]
    return [solution[match.end() : end] for match, end in zip(marks, ends, strict=True)]
