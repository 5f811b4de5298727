"""The six steps of a phantom solution: how a claim is written, and how it is read back.

    Nodules: one.  ·  Largest: right middle.  ·  Type: solid.  ·  Size: 6-8 mm.
    Single solid 6-8 mm: CT at 6-12 months.  ·  Answer: B.

The fifth step states the conditions it draws on, so a rule that is remembered wrongly can be told from a
right rule applied to a wrong reading. A calcified nodule needs no other condition: "Calcified: no follow-
up."
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from medprm_hf.phantom.world import KINDS, OPTIONS, SIDES, SIZE_CLASSES, ZONES, Scene

QUESTION = "Which follow-up?"
SEPARATOR = "\n\n"
COUNTS = ("one", "two", "three")
LETTERS = "ABCD"


@dataclass(frozen=True)
class Claims:
    """What a solution says about its image, before it applies the rule."""

    count: int
    """How many nodules."""
    side: str
    """Side of the largest."""
    zone: str
    """Zone of the largest."""
    kind: str
    """Solid, ground-glass or calcified."""
    size: str
    """Size class of the largest."""


@dataclass(frozen=True)
class Rule:
    """A rule step: conditions (null where it states none) and what it asks for."""

    several: bool | None
    """Whether it speaks of several nodules."""
    kind: str
    """The type it speaks of."""
    size: str | None
    """The size class it speaks of."""
    advice: str
    """One of the options."""


def claims_of(scene: Scene) -> Claims:
    """The true claims."""
    largest = scene.largest
    return Claims(scene.count, largest.side, largest.zone, scene.kind, scene.size)


def rule_of(claims: Claims, advice: str) -> Rule:
    """The rule that these claims lead to, with this advice."""
    if claims.kind == "calcified":
        return Rule(None, claims.kind, None, advice)
    return Rule(claims.count > 1, claims.kind, claims.size, advice)


def perception_steps(claims: Claims) -> list[str]:
    """The four steps that state what the image shows."""
    return [
        f"Nodules: {COUNTS[claims.count - 1]}.",
        f"Largest: {claims.side} {claims.zone}.",
        f"Type: {claims.kind}.",
        f"Size: {claims.size}.",
    ]


def rule_step(rule: Rule) -> str:
    """The step that names the guideline's rule."""
    if rule.several is None:
        return f"Calcified: {rule.advice}."
    number = "Several" if rule.several else "Single"
    return f"{number} {rule.kind} {rule.size}: {rule.advice}."


def answer_step(advice: str) -> str:
    """The step that gives the letter of the option."""
    return f"Answer: {LETTERS[OPTIONS.index(advice)]}."


def join(steps: list[str]) -> str:
    """A whole solution: steps separated by one blank line."""
    return SEPARATOR.join(steps)


def split(solution: str) -> list[str]:
    """The steps of a solution."""
    return [part.strip() for part in solution.split(SEPARATOR) if part.strip()]


def _either(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for word in words)


COUNT = re.compile(rf"Nodules: ({_either(COUNTS)})\.")
PLACE = re.compile(rf"Largest: ({_either(SIDES)}) ({_either(ZONES)})\.")
KIND = re.compile(rf"Type: ({_either(KINDS)})\.")
SIZE = re.compile(rf"Size: ({_either(SIZE_CLASSES)})\.")
ANSWER = re.compile(r"Answer: ([A-D])\.")
_CALCIFIED = re.compile(rf"Calcified: ({_either(OPTIONS)})\.")
_RULE = re.compile(rf"(Single|Several) (solid|ground-glass) ({_either(SIZE_CLASSES)}): ({_either(OPTIONS)})\.")


def read_rule(step: str) -> Rule | None:
    """The rule that a step states, or None."""
    if match := _CALCIFIED.fullmatch(step):
        return Rule(None, "calcified", None, match[1])
    if match := _RULE.fullmatch(step):
        return Rule(match[1] == "Several", match[2], match[3], match[4])
    return None
