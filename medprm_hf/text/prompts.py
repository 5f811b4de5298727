"""Prompts: how a question is put to the model that solves it, and to the judge.

`style` is the recipe's `prompt`:

- `steps`: the question with an instruction to answer in `Step n:` lines and a last line `Answer: …` (default);
- `bare`: the question and its options alone, for a model trained on exactly that (the phantom policy).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from medprm_hf.errors import ConfigError
from medprm_hf.registry import near

PROMPT_STYLES = ("steps", "bare")

STEPS_INSTRUCTION = """\
Solve this step by step. Write each step on a line of its own as "Step 1: ...", "Step 2: ...", with one claim \
or inference a step, 3 to 9 steps in all. State what the image or text shows before you draw conclusions.
End with one line of its own: "Answer: X", where X is {answer_form}."""


@lru_cache(128)
def letter(index: int) -> str:
    """A, B, … Z, AA, AB, …: the name of option `index` (from 0)."""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def question_text(question: str, options: Sequence[str]) -> str:
    """The question, and its options one a line as `A. …`; shown the same way to every model."""
    if not options:
        return question
    listed = "\n".join(f"{letter(i)}. {option}" for i, option in enumerate(options))
    return f"{question}\nOptions:\n{listed}"


def check_style(style: str) -> None:
    """Raises ConfigError with near names for an unknown prompt style."""
    if style not in PROMPT_STYLES:
        raise ConfigError(f"unknown prompt style {style!r}{near(style, PROMPT_STYLES)}")


def solve_prompt(question: str, options: Sequence[str], context: str | None = None, style: str = "steps") -> str:
    """The user's turn that asks for a step-by-step solution."""
    check_style(style)
    shown = question_text(question, options)
    if style == "bare":
        return shown
    if context:
        shown = f"Clinical context: {context}\n{shown}"
    form = "the letter of the option" if options else "the answer in a few words"
    return f"{shown}\n\n{STEPS_INSTRUCTION.format(answer_form=form)}"
