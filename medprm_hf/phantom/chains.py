"""Solutions to learn from: true ones, and ones with the systematic errors of a model that reasons badly.

A habit is an error that fires with its probability wherever its trigger holds: it depends on the scene, so
a policy that learns it is wrong again and again on the same questions, and a majority vote cannot repair
it. Slips are errors that strike anywhere. Later steps follow an error, and a few solutions recover at the
rule. Habits of perception are rarer than habits of reasoning, as in language models that look at medical
images.

    true     Nodules: one.  …  Type: solid.  Size: 6-8 mm.  Single solid 6-8 mm: CT at 6-12 months.
    habits   Nodules: two.  …  Type: solid.  Size: 6-8 mm.  Several solid 6-8 mm: CT at 3-6 months.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from medprm_hf.phantom import steps as text
from medprm_hf.phantom.steps import Claims, Rule
from medprm_hf.phantom.world import (
    KINDS,
    LATER,
    NONE,
    OPTIONS,
    SIDES,
    SIZE_CLASSES,
    SOON,
    WORKUP,
    ZONES,
    Scene,
    guideline,
)

Trigger = Callable[[Scene], bool]
Change = Callable[[Claims], Claims]


@dataclass(frozen=True)
class Habit:
    """A systematic error of perception."""

    name: str
    """Short name, for tests and the card."""
    kind: str
    """The oracle's kind of the error it makes."""
    chance: float
    """Probability that it fires where its trigger holds."""
    trigger: Trigger
    """Where it can fire."""
    change: Change
    """What it makes of the claims."""


@dataclass(frozen=True)
class RuleHabit:
    """A rule remembered wrongly: for these conditions, this advice."""

    several: bool
    """Several nodules, or a single one."""
    kind: str
    """Type in the condition."""
    size: str
    """Size class in the condition."""
    advice: str
    """What is remembered."""
    chance: float
    """Probability that it is remembered so."""


HABITS: tuple[Habit, ...] = (
    Habit(
        "one soft nodule in the lower zone counted as two",
        "count",
        0.6,
        lambda scene: scene.largest.zone == "lower" and scene.count == 1 and scene.kind != "calcified",
        lambda claims: replace(claims, count=2),
    ),
    Habit(
        "right upper called middle",
        "location",
        0.5,
        lambda scene: (scene.largest.side, scene.largest.zone) == ("right", "upper"),
        lambda claims: replace(claims, zone="middle"),
    ),
    Habit(
        "axial ground-glass called solid",
        "type",
        0.55,
        lambda scene: scene.kind == "ground-glass" and scene.look == "axial",
        lambda claims: replace(claims, kind="solid"),
    ),
    Habit(
        "solid called calcified in the left lung of a projection",
        "type",
        0.55,
        lambda scene: scene.kind == "solid" and scene.look == "projection" and scene.largest.side == "left",
        lambda claims: replace(claims, kind="calcified"),
    ),
    Habit(
        "size class down on the right",
        "size",
        0.55,
        lambda scene: scene.largest.side == "right" and scene.size != "<6 mm",
        lambda claims: replace(claims, size="<6 mm" if claims.size == "6-8 mm" else "6-8 mm"),
    ),
)
RULE_HABITS: tuple[RuleHabit, ...] = (
    RuleHabit(False, "solid", "6-8 mm", SOON, 0.65),
    RuleHabit(False, "solid", ">8 mm", SOON, 0.65),
    RuleHabit(True, "solid", "6-8 mm", LATER, 0.65),
    RuleHabit(True, "solid", ">8 mm", WORKUP, 0.5),
    RuleHabit(True, "solid", "<6 mm", SOON, 0.4),
    RuleHabit(True, "ground-glass", "<6 mm", NONE, 0.65),
    RuleHabit(False, "ground-glass", "<6 mm", LATER, 0.6),
)
SLIP = 0.012
"""Probability of a random error at each step."""
ANSWER_SLIP = 0.65
"""Probability of the letter B after the advice of C in an axial slice: a habit of the last step."""
RECOVERY = 0.08
"""Probability that the rule step goes back to the true claims after an error."""


def true_solution(scene: Scene) -> list[str]:
    """The steps of the right solution."""
    return _written(text.claims_of(scene), scene.answer, scene.answer)


def sampled_solution(scene: Scene, rng: np.random.Generator) -> list[str]:
    """The steps of a solution as the policy should write it: habits, slips, and what follows from them."""
    claims = text.claims_of(scene)
    for habit in HABITS:
        if habit.trigger(scene) and rng.random() < habit.chance:
            claims = habit.change(claims)
    claims = _slip(claims, rng)
    reasoned = text.claims_of(scene) if rng.random() < RECOVERY else claims
    advice = _remembered(reasoned, rng)
    return [
        *text.perception_steps(claims),
        text.rule_step(text.rule_of(reasoned, advice)),
        text.answer_step(_lettered(scene, advice, rng)),
    ]


def _written(claims: Claims, advice: str, answer: str) -> list[str]:
    rule = text.rule_of(claims, advice)
    return [*text.perception_steps(claims), text.rule_step(rule), text.answer_step(answer)]


def _slip(claims: Claims, rng: np.random.Generator) -> Claims:
    """Each claim is replaced at random, rarely."""
    strikes = rng.random(4) < SLIP
    if strikes[0]:
        claims = replace(claims, count=int(rng.integers(1, 4)))
    if strikes[1]:
        claims = replace(claims, side=SIDES[rng.integers(2)], zone=ZONES[rng.integers(3)])
    if strikes[2]:
        claims = replace(claims, kind=KINDS[rng.integers(3)])
    if strikes[3]:
        claims = replace(claims, size=SIZE_CLASSES[rng.integers(3)])
    return claims


def _remembered(claims: Claims, rng: np.random.Generator) -> str:
    """The advice that the policy recalls for these claims."""
    for habit in RULE_HABITS:
        if _matches(habit, text.rule_of(claims, NONE)) and rng.random() < habit.chance:
            return habit.advice
    if rng.random() < SLIP:
        return OPTIONS[rng.integers(len(OPTIONS))]
    return guideline(claims.count, claims.kind, claims.size)


def _matches(habit: RuleHabit, rule: Rule) -> bool:
    return (habit.several, habit.kind, habit.size) == (rule.several, rule.kind, rule.size)


def _lettered(scene: Scene, advice: str, rng: np.random.Generator) -> str:
    """The option that the answer step names for this advice."""
    if advice == SOON and scene.look == "axial" and rng.random() < ANSWER_SLIP:
        return LATER
    if rng.random() < SLIP:
        return OPTIONS[rng.integers(len(OPTIONS))]
    return advice
