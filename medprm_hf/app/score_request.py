"""What the Score tab asks for, read and held to its limits before a model sees it. Pure: no model, no network.

    asked = read_request({"question": "Which side?", "options": ["Left", "Right"], "image": "data:image/png;base64,…",
                          "solutions": ["Step 1: …\\nStep 2: …", {"steps": ["…", "…"]}]})
    asked.solutions[0][1].text, asked.image

A solution is a text (cut by text/steps: `Step n:`, titled JSON, blocks between blank lines; nothing is merged) or a
list of steps. Limits are named where they are passed. Images are bytes only: nothing is fetched or opened.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medprm_hf.errors import DataError, ImageError
from medprm_hf.imaging.intake import refusal_of, take_in
from medprm_hf.imaging.loaded import MAX_BYTES
from medprm_hf.scoring.asked import row_of
from medprm_hf.text.answers import read_answer
from medprm_hf.text.steps import Step, split_steps


@dataclass(frozen=True)
class Limits:
    """What one request may hold."""

    solutions: int = 8
    """Solutions that are compared."""
    steps: int = 256
    """Steps of one solution."""
    letters: int = 200_000
    """Letters of all texts together."""
    options: int = 26
    """Answer options."""
    image_bytes: int = MAX_BYTES
    """Bytes of the image."""


LIMITS = Limits()


@dataclass(frozen=True)
class Asked:
    """One question with its solutions."""

    question: str
    options: tuple[str, ...]
    solutions: tuple[tuple[Step, ...], ...]
    """Steps of each solution."""
    answers: tuple[str | None, ...]
    """The final answer of each solution; None where none can be read."""
    image: bytes | None = None
    """PNG or JPEG without metadata."""
    context: str | None = None
    """What is known of the patient."""

    def rows(self) -> list[dict[str, Any]]:
        """One row a solution, as `Scorer.score_rows` takes them: texts without titles; a title alone is a text."""
        return [
            row_of(
                self.question,
                [step.text or step.title for step in steps],
                self.image,
                self.options,
                clinical_context=self.context,
            )
            for steps in self.solutions
        ]


def read_request(body: Any, limits: Limits = LIMITS) -> Asked:
    """The request behind a JSON body; DataError or ImageError says what is wrong, with the limit."""
    if not isinstance(body, Mapping):
        raise DataError('a request is {"question": …, "solutions": […]}')
    question = _text(body, "question")
    if not question.strip():
        raise DataError("there is no question: write one, so that the model knows what is to be solved")
    options = read_options(body.get("options"), limits)
    given = body.get("solutions")
    if not isinstance(given, list) or not given:
        raise DataError("there is no solution: write or paste at least one")
    if len(given) > limits.solutions:
        raise DataError(f"{len(given)} solutions; {limits.solutions} at most are compared")
    context = _text(body, "context") or None
    _check_letters([question, *options, context or "", *map(_letters_of, given)], limits)
    solutions = tuple(_solution(one, number, limits) for number, one in enumerate(given, start=1))
    answers = tuple(_answer(one, steps, options) for one, steps in zip(given, solutions, strict=True))
    return Asked(question, options, solutions, answers, read_image(body.get("image"), limits), context)


def read_options(given: Any, limits: Limits = LIMITS) -> tuple[str, ...]:
    """Answer options, empty ones left out."""
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(option, str) for option in given):
        raise DataError("options must be a list of texts")
    if len(given) > limits.options:
        raise DataError(f"{len(given)} options; {limits.options} at most")
    return tuple(option.strip() for option in given if option.strip())


def read_image(given: Any, limits: Limits = LIMITS) -> bytes | None:
    """The image of a data URL or base64 text, as PNG or JPEG without metadata; None where there is none."""
    if given is None or given == "":
        return None
    if not isinstance(given, str):
        raise ImageError("the image must be base64 or a data URL")
    head, comma, body = given[:128].partition("base64,")
    if not comma and given.startswith(("http:", "https:", "file:", "/")):
        raise ImageError("the image must be base64 or a data URL: nothing is fetched or opened here")
    start = len(head) + len(comma) if comma else 0
    if (len(given) - start) * 3 // 4 > limits.image_bytes + 3:
        raise ImageError(f"the image is over the limit of {limits.image_bytes} bytes: scale or compress it first")
    try:
        return taken(base64.b64decode(given[start:], validate=True))[0]
    except (binascii.Error, ValueError):
        raise ImageError("the image is no base64") from None


def taken(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """(PNG or JPEG without metadata, what was done) of an image, DICOM or NIfTI file; ImageError where it is none."""
    found = take_in({"bytes": data, "path": None})
    refused = refusal_of(found.notes)
    if refused is not None or found.cell is None:
        raise ImageError(refused or "there is no image")
    return found.cell["bytes"], tuple(found.notes)


def data_url(data: bytes) -> str:
    """An image as a data URL."""
    kind = "image/jpeg" if data[:2] == b"\xff\xd8" else "image/png"
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name) or ""
    if not isinstance(value, str):
        raise DataError(f"{name} must be a text")
    return value


def _solution(given: Any, number: int, limits: Limits) -> tuple[Step, ...]:
    """The steps of one solution."""
    if isinstance(given, str):
        steps = tuple(split_steps(given, at_most=max(1, len(given))))
    else:
        said = given.get("steps") if isinstance(given, Mapping) else None
        if not isinstance(said, list) or not all(isinstance(step, str) for step in said):
            raise DataError(f'solution {number} must be a text or {{"steps": [texts]}}')
        steps = tuple(Step("", step.strip(), 0, 0) for step in said if step.strip())
    if not steps:
        raise DataError(f"solution {number} has no step: write `Step 1: …`, or blocks between blank lines")
    if len(steps) > limits.steps:
        raise DataError(f"solution {number} has {len(steps)} steps; {limits.steps} at most")
    return steps


def _answer(given: Any, steps: Sequence[Step], options: Sequence[str]) -> str | None:
    text = given if isinstance(given, str) else "\n\n".join(step.text for step in steps)
    return read_answer(text, options)


def _letters_of(given: Any) -> str:
    if isinstance(given, Mapping) and isinstance(given.get("steps"), list):
        return "".join(step for step in given["steps"] if isinstance(step, str))
    return given if isinstance(given, str) else ""


def _check_letters(texts: Sequence[str], limits: Limits) -> None:
    letters = sum(map(len, texts))
    if letters > limits.letters:
        raise DataError(f"{letters} letters of text; {limits.letters} at most")
