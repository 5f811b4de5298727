"""The stages: each usable alone in `datasets.map(…, batched=True)`, and together by a recipe.

`STAGES` is the table from a recipe's word to its class; classes are imported when asked for.
"""

from __future__ import annotations

from medprm_hf.recipe import Recipe
from medprm_hf.registry import resolve
from medprm_hf.specs import StageName
from medprm_hf.stages.base import Stage

STAGES: dict[str, str] = {
    "questions": "medprm_hf.stages.questions:Questions",
    "generate": "medprm_hf.stages.generate:Generate",
    "rollout": "medprm_hf.stages.rollout:Rollout",
    "retrieve": "medprm_hf.stages.retrieve:Retrieve",
    "judge": "medprm_hf.stages.judge:Judge",
    "calibrate": "medprm_hf.stages.calibrate:Calibrate",
    "merge": "medprm_hf.stages.merge:Merge",
    "review": "medprm_hf.stages.review:Review",
    "select": "medprm_hf.stages.select:Select",
}


def stage_of(recipe: Recipe, name: StageName) -> Stage:
    """The recipe's stage of that name, its spec filled in."""
    spec = recipe.spec(name)
    stage: Stage = resolve("stage", STAGES, name)(**vars(spec))
    return stage
