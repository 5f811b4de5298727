"""`medprm eval --ablate labels --recipe R`: what the labels are worth, by PRMs that differ in nothing else.

From the run of the recipe one PRM is trained on each label set (rollouts alone, the judge alone, the final labels) and
measured on the same data as the model, beside it. They stay in OUT/prm-NAME, so that a second call trains nothing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError
from medprm_hf.evaluation.checks import refuse_seen
from medprm_hf.evaluation.commands import EvalRequest, console, evaluate_file, folder_of
from medprm_hf.evaluation.scores import scored
from medprm_hf.recipe import Recipe
from medprm_hf.recipe import load as load_recipe
from medprm_hf.scoring.settings import SETTINGS_FILE, load_seen
from medprm_hf.specs_train import TrainSpec

Rows = list[dict[str, Any]]


def label_sets(spec: TrainSpec) -> dict[str, TrainSpec]:
    """The recipe's training on each label set; rollouts and judge give hard labels."""
    return {
        "rollouts": replace(spec, labels="rollouts", loss="hard"),
        "judge": replace(spec, labels="judge", loss="hard"),
        "final": replace(spec, labels="final"),
    }


def evaluate_all(request: EvalRequest, recipe: Path | None = None) -> dict[str, Any]:
    """Carries a request out, with PRMs of other labels beside the model where that is asked for."""
    if "labels" not in request.ablate:
        return evaluate_file(request)
    if recipe is None:
        raise ConfigError("--ablate labels trains on the labels of a run: name its recipe with --recipe")
    loaded = load_recipe(recipe)
    return evaluate_file(request, more=lambda rows: _sets(request, loaded, rows))


def _sets(request: EvalRequest, recipe: Recipe, rows: Rows) -> dict[str, Rows]:
    """The rows with the scores of each label set's PRM."""
    from medprm_hf.scoring.scorer import Scorer
    from medprm_hf.training.data import read_rows
    from medprm_hf.training.run import train

    source = Path(recipe.train.data) if recipe.train.data else Path("runs") / recipe.name
    if not source.exists():
        raise ConfigError(f"there is no {source}: build it first (medprm build), or name a file with train.data")
    found = {}
    for name, spec in label_sets(recipe.train).items():
        folder = folder_of(request) / f"prm-{name}"
        if not (folder / SETTINGS_FILE).is_file():
            console.print(f"training on {name} labels → {folder}")
            train(spec, read_rows(source), folder, say=lambda line: console.print(f"  {line}", markup=False))
        if not request.settings.force:
            refuse_seen(rows, load_seen(folder), str(folder))
        found[f"labels: {name}"] = scored(rows, Scorer.open(folder, request.device).score_rows)
    return found
