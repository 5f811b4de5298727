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
from medprm_hf.evaluation.commands import EvalRequest, console, evaluate_file
from medprm_hf.evaluation.scores import load, scored
from medprm_hf.evaluation.suites import load_suite
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
    return evaluate_file(request, more=_sets(request, load_recipe(recipe)))


def _sets(request: EvalRequest, recipe: Recipe) -> dict[str, Rows]:
    """The request's rows (test, then development) with the scores of each label set's PRM."""
    from medprm_hf.scoring.scorer import Scorer
    from medprm_hf.training.data import read_rows
    from medprm_hf.training.run import train

    source = Path(recipe.train.data) if recipe.train.data else Path("runs") / recipe.name
    if not source.exists():
        raise ConfigError(f"there is no {source}: build it first (medprm build), or name a file with train.data")
    rows = _rows(request)
    target = request.out or Path("runs") / "eval" / request.data.stem
    found = {}
    for name, spec in label_sets(recipe.train).items():
        folder = target / f"prm-{name}"
        if not (folder / SETTINGS_FILE).is_file():
            console.print(f"training on {name} labels → {folder}")
            train(spec, read_rows(source), folder, say=lambda line: console.print(f"  {line}", markup=False))
        seen = load_seen(folder)
        if not request.settings.force and not request.skip_seen:
            refuse_seen(rows, seen, str(folder))
        scorer = Scorer.open(folder, request.device)
        found[f"labels: {name}"] = scored(rows, scorer.score_rows)
    return found


def _rows(request: EvalRequest) -> Rows:
    files = [request.data, *([request.development] if request.development else [])]
    if request.suite:
        return [row for file in files for row in load_suite(file, request.suite, request.limit).rows]
    return [row for file in files for row in load(file, request.format, request.limit).rows]
