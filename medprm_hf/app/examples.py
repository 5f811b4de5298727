"""Examples that the Score tab loads with one click: phantom questions with solutions whose errors are known.

    examples()[0]              ->  Example(id="right", question_id="phantom-test-000050", …)
    load("rule")               ->  {"question": …, "options": […], "image": "data:image/png;…", "solutions": ["…"]}

The phantom world is simulated; its images are drawn when they are asked for. The questions are of the test split, which
the shipped model has not been trained on, and were chosen among those that it judges rightly, to show what each kind of
error looks like: how often it is right stands in its card (phantom/checkpoints/prm/README.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from medprm_hf.app.score_request import data_url
from medprm_hf.errors import DataError
from medprm_hf.ids import stable_seed
from medprm_hf.registry import near

RIGHT, PLACE, RULE, SEVERAL = (f"phantom-test-{number:06d}" for number in (50, 161, 76, 16))


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
    """All examples; the same at every start."""
    return (_right(), _wrong_place(), _wrong_rule(), _several())


def _right() -> Example:
    """Right in every step."""
    from medprm_hf.phantom.oracle import true_steps
    from medprm_hf.phantom.world import scene_of

    return Example("right", RIGHT, (tuple(true_steps(scene_of(RIGHT))),))


def _wrong_place() -> Example:
    """The largest nodule in another zone: the answer does not change, so rollouts alone cannot see it."""
    from medprm_hf.phantom.oracle import true_steps
    from medprm_hf.phantom.steps import claims_of, perception_steps
    from medprm_hf.phantom.world import scene_of

    scene = scene_of(PLACE)
    other = replace(claims_of(scene), zone="middle")
    return Example("place", PLACE, ((*perception_steps(other), *true_steps(scene)[4:]),))


def _wrong_rule() -> Example:
    """All is seen rightly, and the guideline remembered wrongly."""
    from medprm_hf.phantom.steps import answer_step, claims_of, perception_steps, rule_of, rule_step
    from medprm_hf.phantom.world import NONE, scene_of

    claims = claims_of(scene_of(RULE))
    steps = (*perception_steps(claims), rule_step(rule_of(claims, NONE)), answer_step(NONE))
    return Example("rule", RULE, (steps,))


def _several() -> Example:
    """Four solutions, three as a model with bad habits writes them: the majority is wrong, one is right."""
    from medprm_hf.phantom.chains import sampled_solution
    from medprm_hf.phantom.oracle import true_steps
    from medprm_hf.phantom.world import scene_of

    scene = scene_of(SEVERAL)
    true, drawn = tuple(true_steps(scene)), list[tuple[str, ...]]()
    rng = np.random.Generator(np.random.Philox(key=stable_seed("examples", SEVERAL)))
    while len(drawn) < 3:
        steps = tuple(sampled_solution(scene, rng))
        if steps not in drawn and steps[-1] != true[-1] and steps[:-1] != true[:-1]:
            drawn.append(steps)
    return Example("several", SEVERAL, (drawn[0], drawn[1], true, drawn[2]))
