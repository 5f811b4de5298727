"""What a recipe's source says before anything is asked: how many questions, how long their prompts, how large their
images. Some rows are read and put into the very prompts that the stages will send.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medprm_hf.errors import ImageError
from medprm_hf.imaging.load import load_image
from medprm_hf.loading import open_source
from medprm_hf.recipe import Recipe
from medprm_hf.text.judging import judge_prompt
from medprm_hf.text.prompts import solve_prompt

ROWS = 25
"""Rows that are looked at."""
PATIENCE = 10.0
"""Seconds after which counting stops."""
CHARACTERS_A_TOKEN = (4.6, 4.0, 3.2)
"""English medical text, low to high cost; other languages take more tokens."""


@dataclass(frozen=True)
class Source:
    """What was found in a source."""

    questions: int
    counted: bool
    """false: the source was still giving rows when patience ended; there are more."""
    rows: int
    """Rows that were looked at."""
    solve_characters: float
    """Mean length of the prompt that asks for a solution."""
    judge_characters: float
    """Mean length of the judge's prompt without the steps."""
    sizes: tuple[tuple[int, int], ...]
    """Width and height of the images of the rows looked at."""
    without_image: int
    without_question: int


def measure(recipe: Recipe) -> Source:
    """Reads the source: all of it to count, its first rows to measure."""
    started, count, counted = time.monotonic(), 0, True
    first: list[dict[str, Any]] = []
    for row in open_source(recipe.source.name, **recipe.source.options()):
        count += 1
        if len(first) < ROWS:
            first.append(row)
        if time.monotonic() - started > PATIENCE:
            counted = False
            break
    sizes = [size for row in first if (size := _size(row)) is not None]
    return Source(
        count,
        counted,
        len(first),
        _mean([len(_solve(row, recipe)) for row in first]),
        _mean([len(judge_prompt(row["question"] or "", row["options"], ["-"])) for row in first]),
        tuple(sizes),
        len(first) - len(sizes),
        sum(not (row["question"] or "").strip() for row in first),
    )


def _solve(row: dict[str, Any], recipe: Recipe) -> str:
    turns = "".join(turn["text"] for turn in row.get("turns") or [])
    asked = solve_prompt(row["question"] or "", row["options"], row.get("clinical_context"), recipe.generate.prompt)
    return turns + asked


def _size(row: dict[str, Any]) -> tuple[int, int] | None:
    if not row.get("image"):
        return None
    try:
        image = load_image(row["image"])
    except ImageError:
        return None
    return image.width, image.height


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
