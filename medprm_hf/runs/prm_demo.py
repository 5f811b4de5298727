"""The demo's last part: two PRMs from the run's labels, and what each is worth on questions that nobody has seen.

    labels     F1     95 % interval   ECE    mean   min    last   vote
    rollouts   0.78   0.77 to 0.79    0.09   0.65   0.66   0.66   0.60
    hybrid     0.84   …

Trained on what the run has (rollouts alone, and its final labels), measured against the phantom world's truth: 8
solutions of each of 400 test questions. Beside them stand pass@1, majority vote, pass@8 and the step-index prior.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from medprm_hf.labels.aggregate import aggregate, best_of_n, majority, weighted_vote
from medprm_hf.labels.agreement import apply_prior, bootstrap, fit_prior, macro_f1
from medprm_hf.labels.scaling import calibration_error
from medprm_hf.phantom.questions import question_rows
from medprm_hf.phantom.world import scene_of
from medprm_hf.recipe import Recipe
from medprm_hf.runs.signals import truth_of
from medprm_hf.scoring.layout import Layout
from medprm_hf.scoring.settings import load_settings
from medprm_hf.specs_train import TrainSpec
from medprm_hf.stages.generate import Generate
from medprm_hf.stages.questions import Questions
from medprm_hf.training.calibrate import logits_of
from medprm_hf.training.data import Batcher, Survey, examples_of, read_rows
from medprm_hf.training.models import load_model, load_processor
from medprm_hf.training.run import train

Row = dict[str, Any]
Choice = Callable[[list[int]], str | None]
"""From the places of a question's solutions to an answer."""
SETS: tuple[tuple[str, dict[str, Any]], ...] = (("rollouts", {"labels": "rollouts", "loss": "hard"}), ("hybrid", {}))
"""Label sets of the demo and what they change of the recipe's `train`."""
QUESTIONS, SOLUTIONS = 400, 8
HOW = ("mean", "min", "last")
LETTERS = "ABCD"


def demo_prms(
    directory: Path, recipe: Recipe, console: Console, questions: int = QUESTIONS, solutions: int = SOLUTIONS
) -> dict[str, Any]:
    """Trains, measures and prints; the figures also stand in prm.json."""
    rows = list(read_rows(directory))
    test = test_solutions(recipe, questions, solutions)
    truth = [_labels(row) for row in test]
    found: dict[str, Any] = {"questions": questions, "solutions": solutions, **baselines(rows, test, truth), "prms": {}}
    for name, changes in SETS:
        folder = directory / f"prm-{name}"
        console.print(f"PRM from {name} labels → {folder}")
        train(replace(recipe.train, **changes), rows, folder, say=lambda line: console.print(f"  {line}", markup=False))
        found["prms"][name] = measured(folder, test, truth)
    (directory / "prm.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    console.print(_table(found))
    console.print(_beside(found))
    return found


def test_solutions(recipe: Recipe, questions: int, solutions: int) -> list[Row]:
    """The run's policy on questions of the test split."""
    spec = replace(recipe.generate, solutions=solutions, seed=recipe.generate.seed + recipe.seed)
    rows: list[Row] = []
    asked = list(question_rows("test", questions))
    for start in range(0, len(asked), 100):
        part = asked[start : start + 100]
        batch: dict[str, list[Any]] = {name: [row[name] for row in part] for name in part[0]}
        batch |= Questions(split="test")({**batch, "split": ["test"] * len(part)})
        made = Generate(**vars(spec))(batch)
        rows += [dict(zip(made, values, strict=True)) for values in zip(*made.values(), strict=True)]
    return [row for row in rows if row["steps"]]


def measured(folder: Path, test: Sequence[Row], truth: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Figures of one PRM."""
    settings = load_settings(folder)
    layout = Layout.open(load_processor(str(folder)), settings.layout)
    blank = [{**row, "judge_labels": ["+"] * len(row["steps"])} for row in test]  # scoring reads no label
    examples = examples_of(blank, TrainSpec(form="marker", labels="judge"), Survey())
    logits = logits_of(load_model(str(folder)), Batcher(layout), examples, batch=32)
    scores = [settings.scores((one[:, 0] - one[:, 1]).tolist()) for one in logits]
    said = [["+" if p > settings.threshold else "-" for p in row] for row in scores]
    flat, right = _flat(scores), [float(label == "+") for row in truth for label in row]
    best, votes = {}, {}
    for how in HOW:
        response = [aggregate(row, how) for row in scores]
        best[how] = _share(test, _by(best_of_n, test, response))
        votes[how] = _share(test, _by(weighted_vote, test, response))
    return {
        "macro_f1": macro_f1(said, truth).macro_f1,
        "interval": bootstrap(said, truth, [row["question_id"] for row in test]),
        "ece": calibration_error(flat, right),
        "best_of": best,
        "weighted_vote": votes,
    }


def baselines(rows: Sequence[Row], test: Sequence[Row], truth: Sequence[Sequence[str]]) -> dict[str, Any]:
    """What needs no PRM."""
    prior = fit_prior([_labels(row) for row in rows])
    guessed = [apply_prior(prior, len(row["steps"])) for row in test]
    right = [row["is_correct"] is True for row in test]
    groups = _groups(test)
    return {
        "prior": macro_f1(guessed, truth).macro_f1,
        "pass@1": sum(sum(right[i] for i in own) / len(own) for own in groups) / len(groups),
        "majority": _share(test, lambda own: majority(_answers(test, own))),
        "pass@n": sum(any(right[i] for i in own) for own in groups) / len(groups),
    }


def _labels(row: Row) -> list[str]:
    return ["+" if step.right else "-" for step in truth_of(row)]


def _flat(lists: Sequence[Sequence[float]]) -> list[float]:
    return [value for row in lists for value in row]


def _groups(test: Sequence[Row]) -> list[list[int]]:
    found: dict[str, list[int]] = {}
    for i, row in enumerate(test):
        found.setdefault(row["question_id"], []).append(i)
    return list(found.values())


def _answers(test: Sequence[Row], own: Sequence[int]) -> list[str | None]:
    return [test[i]["final_answer"] for i in own]


def _by(pick: Callable[..., str | None], test: Sequence[Row], response: Sequence[float | None]) -> Choice:
    return lambda own: pick(_answers(test, own), [response[i] for i in own])


def _share(test: Sequence[Row], choose: Choice) -> float:
    """Share of the questions whose chosen answer is the gold one."""
    groups = _groups(test)
    return sum(choose(own) == _gold(test[own[0]]) for own in groups) / len(groups)


def _gold(row: Row) -> str:
    scene = scene_of(row["question_id"])
    return LETTERS[row["options"].index(scene.answer)]


def _table(found: dict[str, Any]) -> Table:
    """Narrow enough for 80 columns."""
    table = Table(title=f"PRMs on {found['questions']} unseen questions x {found['solutions']} (phantom world)")
    for heading in ("labels", "F1", "95 % interval", "ECE", "mean", "min", "last", "vote"):
        table.add_column(heading, justify="left" if heading == "labels" else "right", no_wrap=True)
    for name, figures in found["prms"].items():
        low, high = figures["interval"]
        best = (f"{figures['best_of'][how]:.2f}" for how in HOW)
        table.add_row(
            name,
            f"{figures['macro_f1']:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{figures['ece']:.3f}",
            *best,
            f"{figures['weighted_vote']['min']:.2f}",
        )
    return table


def _beside(found: dict[str, Any]) -> str:
    return (
        f"mean, min, last: Best-of-{found['solutions']} by that score; vote: weighted by min. Without a PRM: pass@1 "
        f"{found['pass@1']:.2f}, majority {found['majority']:.2f}, pass@{found['solutions']} {found['pass@n']:.2f}; "
        f"step-index prior F1 {found['prior']:.3f}"
    )
