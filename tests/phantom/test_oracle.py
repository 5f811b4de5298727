"""The oracle against true solutions, one error of every kind, and thousands of injected ones."""

from __future__ import annotations

import numpy as np
import pytest

from medprm_hf.phantom.chains import HABITS, RULE_HABITS, RuleHabit, sampled_solution, true_solution
from medprm_hf.phantom.oracle import ROOT_KINDS, check_steps, first_error, true_steps
from medprm_hf.phantom.steps import join, split
from medprm_hf.phantom.world import Nodule, Scene, guideline, question_ids, scene_of

SINGLE = Scene(
    scene_id="phantom-test-000000",
    look="axial",
    difficulty="easy",
    kind="solid",
    size="6-8 mm",
    contrast=1.0,
    nodules=(Nodule(20.0, 32.0, 7.0, "right", "middle"),),
)
"""One solid nodule of 7 mm: CT at 6-12 months, letter B."""

TRUE = [
    "Nodules: one.",
    "Largest: right middle.",
    "Type: solid.",
    "Size: 6-8 mm.",
    "Single solid 6-8 mm: CT at 6-12 months.",
    "Answer: B.",
]


def kinds(scene: Scene, steps: list[str]) -> list[str | None]:
    return [truth.kind for truth in check_steps(scene, steps)]


def changed(*changes: tuple[int, str]) -> list[str]:
    steps = list(TRUE)
    for index, step in changes:
        steps[index] = step
    return steps


def test_the_true_solution_is_right_everywhere() -> None:
    assert true_steps(SINGLE) == true_solution(SINGLE) == TRUE
    assert kinds(SINGLE, TRUE) == [None] * 6
    for question_id in question_ids("development", 200):
        scene = scene_of(question_id)
        assert all(truth.right for truth in check_steps(scene, true_steps(scene)))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (changed((0, "Nodules: three.")), ["count", None, None, None, None, None]),
        (changed((1, "Largest: left middle.")), [None, "location", None, None, None, None]),
        (changed((2, "Type: calcified.")), [None, None, "type", None, None, None]),
        (changed((3, "Size: >8 mm.")), [None, None, None, "size", None, None]),
        (
            changed((4, "Single solid 6-8 mm: CT at 3-6 months."), (5, "Answer: C.")),
            [None, None, None, None, "rule", "carried"],
        ),
        (changed((5, "Answer: D.")), [None, None, None, None, None, "answer"]),
        (changed((2, "It looks solid to me")), [None, None, "format", None, None, None]),
    ],
)
def test_every_kind(steps: list[str], expected: list[str | None]) -> None:
    assert kinds(SINGLE, steps) == expected


def test_what_follows_an_error_is_carried() -> None:
    steps = changed((0, "Nodules: two."), (4, "Several solid 6-8 mm: CT at 3-6 months."), (5, "Answer: C."))
    assert kinds(SINGLE, steps) == ["count", None, None, None, "carried", "carried"]


def test_a_wrong_rule_upon_a_wrong_claim_is_a_rule_error() -> None:
    steps = changed((0, "Nodules: two."), (4, "Several solid 6-8 mm: no follow-up."), (5, "Answer: A."))
    assert kinds(SINGLE, steps) == ["count", None, None, None, "rule", "carried"]


def test_a_condition_that_nothing_explains_has_its_own_kind() -> None:
    steps = changed((4, "Single ground-glass 6-8 mm: CT at 6-12 months."))
    assert kinds(SINGLE, steps) == [None, None, None, None, "type", None]


def test_a_right_answer_after_errors_is_right() -> None:
    steps = changed((2, "Type: ground-glass."), (4, "Single ground-glass 6-8 mm: CT at 6-12 months."))
    assert kinds(SINGLE, steps) == [None, None, "type", None, "carried", None]


def test_an_answer_without_a_rule_is_judged_by_the_claims() -> None:
    assert kinds(SINGLE, ["Nodules: two.", "Answer: C."]) == ["count", "carried"]
    assert kinds(SINGLE, ["Answer: C."]) == ["answer"]


def test_location_never_changes_the_answer() -> None:
    elsewhere = [
        Scene(**{**vars(SINGLE), "nodules": (Nodule(45.0, 20.0, 7.0, side, zone),)})
        for side in ("right", "left")
        for zone in ("upper", "middle", "lower")
    ]
    assert {scene.answer for scene in elsewhere} == {SINGLE.answer}


def test_first_errors_of_sampled_solutions_have_root_kinds_and_vary() -> None:
    rng = np.random.default_rng(0)
    seen: list[str | None] = []
    for question_id in question_ids("development", 1500):
        scene = scene_of(question_id)
        steps = sampled_solution(scene, rng)
        truths = check_steps(scene, steps)
        seen.append(first_error(truths))
        assert truths[-1].right == (steps[-1] == true_steps(scene)[-1])
        assert split(join(steps)) == steps
    assert set(seen) <= {None, *ROOT_KINDS}
    shares = {kind: seen.count(kind) / len(seen) for kind in set(seen)}
    assert sum(share >= 0.025 for kind, share in shares.items() if kind) >= 5, shares


@pytest.mark.parametrize("kind", ["count", "location", "type", "size"])
def test_habits_make_the_error_they_name_and_only_where_they_trigger(kind: str) -> None:
    rng = np.random.default_rng(1)
    habits = [habit for habit in HABITS if habit.kind == kind]
    found: dict[bool, list[bool]] = {True: [], False: []}
    for question_id in question_ids("development", 1000):
        scene = scene_of(question_id)
        triggered = any(habit.trigger(scene) for habit in habits)
        found[triggered].append(kind in kinds(scene, sampled_solution(scene, rng)))
    assert habits and np.mean(found[True]) > 0.4
    assert np.mean(found[False]) < 0.05


@pytest.mark.parametrize("habit", RULE_HABITS, ids=lambda habit: f"{habit.several}-{habit.kind}-{habit.size}")
def test_a_rule_habit_remembers_something_wrong(habit: RuleHabit) -> None:
    assert habit.advice != guideline(2 if habit.several else 1, habit.kind, habit.size)


def test_right_perception_leads_to_a_right_answer_clearly_more_often() -> None:
    rng = np.random.default_rng(2)
    right: dict[bool, list[bool]] = {True: [], False: []}
    for question_id in question_ids("development", 1500, 1):
        scene = scene_of(question_id)
        truths = check_steps(scene, sampled_solution(scene, rng))
        right[all(truth.right for truth in truths[:4])].append(truths[-1].right)
    assert np.mean(right[True]) > np.mean(right[False]) + 0.1
