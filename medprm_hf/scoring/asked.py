"""What is to be scored: rows gathered by question, so that what solutions share is made and read once.

    jobs = gathered(rows)
    jobs[0].case.question, jobs[0].steps      ->  one question, the steps of its solutions
    jobs[0].places                            ->  which rows these were

A row that cannot be scored (an image that cannot be read, no steps) is no job: its reason is kept instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from medprm_hf.errors import DataError, ImageError
from medprm_hf.scoring.layout import Case

Row = Mapping[str, Any]
References = Callable[[Row], Sequence[bytes]]
"""Encoded images of a row's similar cases."""

NO_STEPS = "no_steps"
"""The solution has no step."""
IMAGE = "image"
"""The image cannot be read."""
UNREADABLE = "row"
"""The row lacks what a question needs, or holds something else in its place."""


@dataclass
class Job:
    """The solutions of one question."""

    case: Case
    """The question with the first solution's steps."""
    places: list[int] = field(default_factory=list)
    """Number of each solution's row."""
    steps: list[tuple[str, ...]] = field(default_factory=list)
    """Steps of each solution."""


def gathered(rows: Sequence[Row], references: References | None = None) -> tuple[list[Job], dict[int, tuple[str, str]]]:
    """(jobs in order of their first row, reason and message of each row that is none)."""
    jobs: dict[Any, Job | tuple[str, str]] = {}
    refused: dict[int, tuple[str, str]] = {}
    for place, row in enumerate(rows):
        steps = row.get("steps")
        if not isinstance(steps, list | tuple) or not steps or not all(isinstance(step, str) for step in steps):
            refused[place] = (NO_STEPS, "the solution has no list of steps")
            continue
        key = _key(row)
        if key not in jobs:
            jobs[key] = _opened(row, references)
        job = jobs[key]
        if isinstance(job, Job):
            job.places.append(place)
            job.steps.append(tuple(steps))
        else:
            refused[place] = job
    return [job for job in jobs.values() if isinstance(job, Job)], refused


def _opened(row: Row, references: References | None) -> Job | tuple[str, str]:
    """A job for the row's question, or why there can be none."""
    if not isinstance(row.get("question"), str):
        return UNREADABLE, f"the row's question is {row.get('question')!r}, not a text"
    try:
        case = Case.of_row(row)
        return Job(replace(case, references=tuple(references(row))) if references else case)
    except ImageError as error:
        return IMAGE, str(error)
    except (DataError, KeyError, TypeError, AttributeError) as error:
        return UNREADABLE, f"{type(error).__name__}: {error}"


def _key(row: Row) -> Any:
    """Equal for rows that show the model the same question; images are compared by their bytes or path."""
    image = row.get("image")
    if isinstance(image, Mapping):
        image = (image.get("bytes"), image.get("path") if image.get("bytes") is None else None)
    elif not isinstance(image, bytes | str):
        image = None if image is None else id(image)
    said = [row.get(name) for name in ("question", "options", "turns", "clinical_context", "similar_cases")]
    passages = [
        passage.get("text") if isinstance(passage, Mapping) else passage for passage in row.get("evidence") or ()
    ]
    return (image, repr(said), repr(passages))


def batches(sizes: Sequence[int], budget: int, most: int = 1024) -> list[list[int]]:
    """Numbers of things by length, so many a batch that batch x longest stays within the budget; at least one.

    >>> batches([5, 90, 6, 88], 200)
    [[0, 2], [3, 1]]
    """
    found: list[list[int]] = []
    for number in sorted(range(len(sizes)), key=lambda place: sizes[place]):
        last = found[-1] if found else []
        # Longer by a quarter than the shortest beside it: padding would cost more than a batch of its own.
        near = bool(last) and sizes[number] <= 1.25 * sizes[last[0]] + 16
        if near and len(last) < most and (len(last) + 1) * sizes[number] <= budget:
            last.append(number)
        else:
            found.append([number])
    return found


def parts(rows: Iterable[Row], size: int) -> Iterable[list[Row]]:
    """Rows a part at a time, at least `size` but never cutting the solutions of a question apart."""
    held: list[Row] = []
    for row in rows:
        if len(held) >= size and row.get("question_id") != held[-1].get("question_id"):
            yield held
            held = []
        held.append(row)
    if held:
        yield held


def row_of(
    question: str,
    steps: Sequence[str],
    image: Any = None,
    options: Sequence[str] = (),
    evidence: Sequence[Any] = (),
    clinical_context: str | None = None,
) -> dict[str, Any]:
    """The arguments of `score` as a row of the canonical table."""
    passages = [passage if isinstance(passage, Mapping) else {"text": str(passage)} for passage in evidence]
    return {
        "question": question,
        "steps": list(steps),
        "image": image,
        "options": list(options),
        "evidence": passages,
        "clinical_context": clinical_context,
    }
