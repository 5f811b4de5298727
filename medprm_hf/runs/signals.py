"""How good are the labels? Every signal of a run against the phantom world's truth, beside the step-index prior.

    {"signal": "consensus", "macro_f1": 0.94, "interval": [0.93, 0.95], "prior": 0.63, "n_steps": 4210,
     "skipped": 1730, "error_recall": {"location": 0.71, …}}

Truth is known only in the phantom world, and is used here alone, after the last stage: no label has seen it.
The prior is fitted on other questions than it is measured on. Steps that a signal leaves unknown are skipped
and counted; in the recall of an error kind they count as not found.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

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


class Comparison:
    """Gathers what every signal says and what is true, one row at a time; of a step a byte a signal is held."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._signals: dict[str, Signal] | None = None
        self._said: dict[str, Packed] = {}
        self._true, self._kinds = Packed(), Packed()
        self._questions: dict[str, int] = {}
        self._groups = array("L")
        self._p_right = False

    def add(self, row: Row) -> None:
        """One solution of the phantom world."""
        if self._signals is None:
            self._signals = _signals(self._recipe, row)
            self._said = {name: Packed() for name in self._signals}
        truth = truth_of(row)
        self._true.add(_labels(truth))
        self._kinds.add([step.kind for step in truth])
        self._groups.append(self._questions.setdefault(row["question_id"], len(self._questions)))
        self._p_right |= any(p is not None for p in row.get("p_right") or [])
        for name, signal in self._signals.items():
            self._said[name].add(signal(row))

    def holds(self, names: Sequence[str]) -> bool:
        """Whether any of these questions is among the compared ones."""
        return any(name in self._questions for name in names)

    def table(self, others: Sequence[Row]) -> list[dict[str, Any]]:
        """The table, prior first; `others` are solutions of other questions, for the prior."""
        overlap = self._questions.keys() & {row["question_id"] for row in others}
        if overlap:
            raise ValueError(f"{len(overlap)} questions stand on both sides: the prior would be fitted on its test")
        prior = fit_prior([_labels(truth_of(row)) for row in others])
        guessed = Packed()
        for labels in self._true:
            guessed.add(apply_prior(prior, len(labels)))
        said = {"prior": guessed, **self._said}
        if not self._p_right:
            said.pop("p_right", None)
        table = [self._measure(name, labels) for name, labels in said.items()]
        return [{**entry, "prior": table[0]["macro_f1"]} for entry in table]

    def _measure(self, name: str, said: Packed) -> dict[str, Any]:
        scores, recalls = macro_f1(said, self._true), error_recall(said, self._kinds)
        return {
            "signal": name,
            "macro_f1": scores.macro_f1,
            "interval": bootstrap(said, self._true, self._groups),
            "f1_right": scores.f1_right,
            "f1_wrong": scores.f1_wrong,
            "n_steps": scores.n_steps,
            "skipped": scores.skipped,
            "error_recall": {kind: recall.share for kind, recall in recalls.items()},
            "errors_seen": {kind: recall.n for kind, recall in recalls.items()},
        }


class Packed(Sequence[Sequence[Any]]):
    """Lists of a few different values, a byte a value: labels, or kinds of error, of many solutions."""

    def __init__(self) -> None:
        self._codes: dict[Any, int] = {}
        self._values: list[Any] = []
        self._bytes = bytearray()
        self._ends = array("L", [0])

    def add(self, values: Sequence[Any]) -> None:
        """One more list."""
        for value in values:
            if value not in self._codes:
                self._codes[value] = len(self._values)
                self._values.append(value)
            self._bytes.append(self._codes[value])
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, at: int) -> list[Any]: ...
    @overload
    def __getitem__(self, at: slice) -> list[list[Any]]: ...
    def __getitem__(self, at: int | slice) -> list[Any]:
        """The list at a place."""
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        return [self._values[code] for code in self._bytes[self._ends[at] : self._ends[at + 1]]]


def compare(rows: Iterable[Row], others: Sequence[Row], recipe: Recipe) -> list[dict[str, Any]]:
    """The table of signals against truth, prior first; `others` are solutions of other questions, for the prior."""
    found = Comparison(recipe)
    for row in rows:
        found.add(row)
    return found.table(others)


def _labels(truth: Sequence[StepTruth]) -> list[str]:
    return [Label.RIGHT.value if step.right else Label.WRONG.value for step in truth]


def _signals(recipe: Recipe, row: Row) -> dict[str, Signal]:
    """Each signal that the run has, by name, told by one of its rows."""
    there = {name for name in NEEDED if row.get(name) is not None}
    signals: dict[str, Signal] = {}
    tau = recipe.rollout.threshold
    if "rollout_correct" in there:
        signals["rollout"] = lambda row: [
            str(label) for label in value_labels(row["rollout_correct"], row["rollout_total"], tau)
        ]
    if "p_right" in there:
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
