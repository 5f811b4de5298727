"""The variants of `medprm ablate` that need a reward model: what it sees, and what it is trained towards.

Loaded when one is asked for: it imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medprm_hf.backends.books import open_books
from medprm_hf.evaluation.scores import ablations, scored
from medprm_hf.ids import content_hash
from medprm_hf.recipe import Recipe
from medprm_hf.runs.prm_demo import test_solutions
from medprm_hf.scoring.scorer import Scorer
from medprm_hf.scoring.settings import SETTINGS_FILE
from medprm_hf.specs_train import TrainSpec
from medprm_hf.training.run import train

Row = dict[str, Any]
Labels = list[list[str]]


def test_rows(recipe: Recipe, questions: int, solutions: int, out: Path) -> list[Row]:
    """The policy's solutions of unseen questions, from the shared journal where they stand in it."""
    with open_books(journal=out / "journal.sqlite"):
        return test_solutions(recipe, questions, solutions)


def image_labels(model: str, test: Sequence[Row], say: Any) -> dict[str, Labels]:
    """A PRM's labels of the test solutions with the image, without it, and with another question's."""
    say(f"images: {model} …")
    scorer = Scorer.open(model)
    sets = {"image on": list(test)} | {
        name.replace("images", "image"): rows for name, rows in ablations(test, ("image",)).items()
    }
    return {name: _said(scorer, rows) for name, rows in sets.items()}


def target_labels(
    specs: Mapping[str, TrainSpec], training: Sequence[Row], test: Sequence[Row], out: Path, say: Any
) -> dict[str, Labels]:
    """Labels of the test solutions by PRMs that differ in their targets alone; each is trained once and kept."""
    found = {}
    for name, spec in specs.items():
        solutions = [[row["solution_id"], row["labels"], row["label_p"], row["rollout_correct"]] for row in training]
        folder = out / f"prm-{content_hash(repr(spec), repr(solutions))[:12]}"
        say(f"targets: {name} …")
        if not (folder / SETTINGS_FILE).is_file():
            # The context is the judge's: the test solutions have none, and the phantom's models have never read one.
            train(spec, [{**row, "clinical_context": None} for row in training], folder, say=say)
        found[name] = _said(Scorer.open(folder), test)
    return found


def _said(scorer: Any, rows: Sequence[Row]) -> Labels:
    """Labels by the model's own threshold; a step without a score is unknown."""
    threshold = scorer.settings.threshold
    return [
        ["?" if p is None else "+" if p > threshold else "-" for p in row["step_scores"]]
        for row in scored(rows, scorer.score_rows)
    ]
