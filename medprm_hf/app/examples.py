"""Examples that the Score tab loads with one click: phantom questions with solutions whose errors are known.

    examples()[0]              ->  Example(id="wrong-rule", question_id="phantom-test-000012", …)
    load("wrong-rule")         ->  {"question": …, "options": […], "image": "data:image/png;…", "solutions": ["…"]}

The phantom world is simulated: its images are drawn when they are asked for, and its question ids are of the test
split, which the shipped model has not been trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from medprm_hf.app.score_request import data_url
from medprm_hf.errors import DataError
from medprm_hf.ids import stable_seed
from medprm_hf.registry import near

SEARCHED = 400
"""Questions of the test split among which an example is looked for."""


@dataclass(frozen=True)
class Example:
    """One example; its name is the text `score.example.<id>` of strings/."""

    id: str
    question_id: str
    """The phantom scene."""
    solutions: tuple[tuple[str, ...], ...]
    """Steps of each solution."""


def load(name: str) -> dict[str, Any]:
    """What the tab shows of an example; DataError with near names where there is none."""
    from medprm_hf.phantom.questions import question_row

    known = {one.id: one for one in examples()}
    if name not in known:
        raise DataError(f"there is no example {name!r}{near(name, known)}")
    row = question_row(known[name].question_id)
    return {
        "id": name,
        "question": row["question"],
        "options": row["options"],
        "image": data_url(row["image"]["bytes"]),
        "solutions": [_written(steps) for steps in known[name].solutions],
    }


def _written(steps: tuple[str, ...]) -> str:
    """As one would paste it."""
    return "\n".join(f"Step {number}: {step}" for number, step in enumerate(steps, start=1))


@lru_cache
def examples() -> tuple[Example, ...]:
    """All examples, found among the test questions; the same at every start."""
    return (_right(), _wrong_place(), _wrong_rule(), _several())


def _scene(wanted: Callable[[Any], bool]) -> Any:
    """The first easy test scene that fits."""
    from medprm_hf.phantom.world import question_ids, scene_of

    scenes = map(scene_of, question_ids("test", SEARCHED))
    return next(scene for scene in scenes if scene.difficulty == "easy" and wanted(scene))


def _right() -> Example:
    from medprm_hf.phantom.oracle import true_steps

    scene = _scene(lambda one: one.kind == "solid" and one.count == 1 and one.size == "6-8 mm")
    return Example("right", scene.scene_id, (tuple(true_steps(scene)),))


def _wrong_place() -> Example:
    """The largest nodule on the other side: rollouts cannot see it, a process reward model can."""
    from medprm_hf.phantom.oracle import true_steps
    from medprm_hf.phantom.steps import claims_of, perception_steps

    scene = _scene(lambda one: one.look == "axial" and one.count == 1 and one.size == ">8 mm")
    claims = claims_of(scene)
    other = replace(claims, side="left" if claims.side == "right" else "right")
    return Example("place", scene.scene_id, ((*perception_steps(other), *true_steps(scene)[4:]),))


def _wrong_rule() -> Example:
    """All is seen rightly, and the guideline remembered wrongly."""
    from medprm_hf.phantom.steps import answer_step, claims_of, perception_steps, rule_of, rule_step
    from medprm_hf.phantom.world import SOON

    scene = _scene(lambda one: one.kind == "solid" and one.count == 1 and one.size == ">8 mm")
    claims = claims_of(scene)
    steps = (*perception_steps(claims), rule_step(rule_of(claims, SOON)), answer_step(SOON))
    return Example("rule", scene.scene_id, (steps,))


def _several() -> Example:
    """Five solutions as a model with bad habits writes them: the majority is wrong, one is right."""
    from medprm_hf.phantom.chains import sampled_solution
    from medprm_hf.phantom.oracle import true_steps

    scene = _scene(lambda one: one.look == "axial" and one.kind == "ground-glass" and one.count == 1)
    true = true_steps(scene)
    drawn: list[tuple[str, ...]] = []
    rng = np.random.Generator(np.random.Philox(key=stable_seed("examples", scene.scene_id)))
    for _ in range(200):
        steps = tuple(sampled_solution(scene, rng))
        if steps not in drawn and steps[-1] != true[-1] and len(drawn) < 3:
            drawn.append(steps)
    return Example("several", scene.scene_id, (drawn[0], drawn[1], tuple(true), *drawn[2:]))
