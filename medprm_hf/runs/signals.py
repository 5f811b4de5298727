"""How good are the labels? Every signal of a run against the phantom world's truth, beside the step-index prior.

    {"signal": "consensus", "macro_f1": 0.94, "interval": [0.93, 0.95], "prior": 0.63, "n_steps": 4210,
     "skipped": 1730, "error_recall": {"location": 0.71, …}}

Truth is known only in the phantom world, and is used here alone, after the last stage: no label has seen it.
The prior is fitted on other questions than it is measured on. Steps that a signal leaves unknown are skipped
and counted; in the recall of an error kind they count as not found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from medprm_hf.labels.accuracy import value_labels
from medprm_hf.labels.agreement import apply_prior, bootstrap, error_recall, fit_prior, macro_f1
from medprm_hf.labels.merge import POLICIES
from medprm_hf.phantom.oracle import StepTruth, check_steps
from medprm_hf.phantom.world import scene_of
from medprm_hf.recipe import Recipe
from medprm_hf.schema import Label, final_labels
from medprm_hf.stages.merge import Merge

Row = dict[str, Any]
Signal = Callable[[Row], list[str]]
NEEDED = (
    "question_id", "solution_id", "solution", "steps", "is_correct", "labels", "review_labels",
    "rollout_correct", "rollout_total", "p_right", "chance", "judge_labels", "judge_confidence", "judge_p_plus",
    "label_p", "calibration_labels",
)  # fmt: skip


def truth_of(row: Row) -> list[StepTruth]:
    """What is true of each step of a phantom solution, [num_steps]."""
    return check_steps(scene_of(row["question_id"]), list(row["steps"]))


def compare(rows: Sequence[Row], others: Sequence[Row], recipe: Recipe) -> list[dict[str, Any]]:
    """The table of signals against truth, prior first; `others` are solutions of other questions, for the prior."""
    overlap = {row["question_id"] for row in rows} & {row["question_id"] for row in others}
    if overlap:
        raise ValueError(f"{len(overlap)} questions stand on both sides: the prior would be fitted on its test")
    truths = [truth_of(row) for row in rows]
    prior = fit_prior([_labels(truth_of(row)) for row in others])
    signals: dict[str, Signal] = {
        "prior": lambda row: apply_prior(prior, len(row["steps"])),
        **_signals(recipe, rows),
    }
    table = [_measure(name, signal, rows, truths) for name, signal in signals.items()]
    return [{**entry, "prior": table[0]["macro_f1"]} for entry in table]


def _labels(truth: Sequence[StepTruth]) -> list[str]:
    return [Label.RIGHT.value if step.right else Label.WRONG.value for step in truth]


def _signals(recipe: Recipe, rows: Sequence[Row]) -> dict[str, Signal]:
    """Each signal that the run has, by name."""
    there = {name for name in NEEDED if rows and rows[0].get(name) is not None}
    signals: dict[str, Signal] = {}
    tau = recipe.rollout.threshold
    if "rollout_correct" in there:
        signals["rollout"] = lambda row: [
            str(label) for label in value_labels(row["rollout_correct"], row["rollout_total"], tau)
        ]
    if any(p is not None for row in rows for p in row.get("p_right") or []):
        signals["p_right"] = lambda row: [_likelier(p) for p in row["p_right"]]
    if "judge_labels" in there:
        signals["judge"] = lambda row: list(row["judge_labels"])
    if {"rollout_correct", "judge_labels"} <= there:
        # P(right) is compared by itself: its rise says nothing, and every one is above a threshold of 0.
        without = {"judge", "value", "advantage"} if recipe.merge.figure == "p_right" else {"judge"}
        for policy, how in POLICIES.items():
            if policy not in without and how.decide is not None:
                signals[policy] = _policy(policy, recipe)
    if recipe.merge.policy == "label_model":
        # As the run made them: out of fold where experts had labelled the solution before.
        signals["label_model"] = lambda row: list(row["labels"])
    if "review_labels" in there:
        name = f"{recipe.merge.policy}+review"
        signals[name] = lambda row: final_labels(row["labels"], row["review_labels"])
    return signals


def _likelier(p_right: float | None) -> str:
    return (Label.UNKNOWN if p_right is None else Label.RIGHT if p_right > 0.5 else Label.WRONG).value


def _policy(policy: str, recipe: Recipe) -> Signal:
    stage = Merge(**{**vars(recipe.merge), "policy": policy})
    return lambda row: list(stage.merged(row).labels)


def _measure(name: str, signal: Signal, rows: Sequence[Row], truths: Sequence[Sequence[StepTruth]]) -> dict[str, Any]:
    said = [signal(row) for row in rows]
    true = [_labels(truth) for truth in truths]
    kinds = [[step.kind for step in truth] for truth in truths]
    scores = macro_f1(said, true)
    return {
        "signal": name,
        "macro_f1": scores.macro_f1,
        "interval": bootstrap(said, true, [row["question_id"] for row in rows]),
        "f1_right": scores.f1_right,
        "f1_wrong": scores.f1_wrong,
        "n_steps": scores.n_steps,
        "skipped": scores.skipped,
        "error_recall": {kind: recall.share for kind, recall in error_recall(said, kinds).items()},
        "errors_seen": {kind: recall.n for kind, recall in error_recall(said, kinds).items()},
    }
