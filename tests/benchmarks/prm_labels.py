"""Label sets of the phantom world that PRMs are trained on: rollouts, judge, hybrid, hybrid with review, truth.

Everything but `truth` comes from what the pipeline has: rollouts of the policy, a *simulated* judge, and for fitting
the fusion 100 solutions of development questions that a *simulated* expert has looked at. The hybrid is the posterior
P(right) of each step given rollouts (by position), verdict and confidence; it is trained on as a soft label.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from medprm_hf import Generate, Judge, Questions, Rollout
from medprm_hf.ids import stable_seed, uniforms
from medprm_hf.phantom.oracle import StepTruth, check_steps
from medprm_hf.phantom.questions import question_rows
from medprm_hf.phantom.simulated import SimulatedExpert
from medprm_hf.phantom.world import Split, scene_of
from medprm_hf.review.reviewers import Asked

Row = dict[str, Any]
SAMPLING: dict[str, Any] = {"backend": "phantom:policy", "prompt": "bare", "temperature": 0.8, "max_tokens": 96}
JUDGE = "simulated-judge:error=0.15"
EXPERT_SOLUTIONS = 100
SETS = ("rollouts", "judge", "hybrid", "hybrid_review", "truth")
REVIEW_SHARE = 0.1


def table(split: str, questions: int, solutions: int, seed: int, signals: bool, cache: Path) -> list[Row]:
    """The policy's solutions of the first questions of a split, with rollouts and verdicts if `signals`; kept."""
    file = cache / f"{split}-{questions}x{solutions}-s{seed}{'-signals' if signals else ''}.pickle"
    if file.is_file():
        return cast(list[Row], pickle.loads(file.read_bytes()))
    rows = [{**row, "split": split} for row in question_rows(cast(Split, split), questions, seed)]
    found: list[Row] = []
    for start in range(0, questions, 100):
        part = rows[start : start + 100]
        batch: dict[str, list[Any]] = {name: [row[name] for row in part] for name in part[0]}
        batch |= Questions()(batch)
        batch = Generate(**SAMPLING, solutions=solutions, seed=seed)(batch)
        if signals:
            batch |= Rollout(**SAMPLING, k=8, seed=seed)(batch)
            batch |= Judge(backend=JUDGE, seed=seed)(batch)
        found += [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
    found = [row for row in found if row["steps"]]
    cache.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(found))
    return found


def truth_of(row: Row) -> list[StepTruth]:
    """What is true of each step, [num_steps]."""
    return check_steps(scene_of(row["question_id"]), list(row["steps"]))


def expert_labels(rows: Sequence[Row], places: Sequence[tuple[int, int]], seed: int) -> list[str]:
    """The *simulated* expert's labels (2 % wrong) of steps (row, step)."""
    expert = SimulatedExpert(0.02, seed)
    asked = [Asked(rows[i]["question_id"], rows[i]["solution_id"], tuple(rows[i]["steps"]), step) for i, step in places]
    return [decision.label for decision in expert.decide(asked)]


class Fusion:
    """Posterior of a step from likelihood ratios of its signals, fitted on expert-reviewed solutions."""

    def __init__(self, rows: Sequence[Row], seed: int) -> None:
        order = sorted(range(len(rows)), key=lambda i: stable_seed("fusion", seed, rows[i]["solution_id"]))
        chosen = order[:EXPERT_SOLUTIONS]
        places = [(i, step) for i in chosen for step in range(len(rows[i]["steps"]))]
        self.seen: dict[tuple[str, Any, bool], Counter[Any]] = {}
        self.right: Counter[tuple[int, bool]] = Counter()
        for (i, step), label in zip(places, expert_labels(rows, places, seed), strict=True):
            right, position = label == "+", min(step, 5)
            self.right[position, right] += 1
            for kind, where, value in self._signals(rows[i], step):
                self.seen.setdefault((kind, where, right), Counter())[value] += 1

    @staticmethod
    def _signals(row: Row, step: int) -> list[tuple[str, Any, Any]]:
        total = row["rollout_total"][step]
        share = row["rollout_correct"][step] / total if total else None
        level = None if share is None else 0 if share == 0 else 1 if share <= 0.5 else 2 if share < 1 else 3
        verdict = (row["judge_labels"][step], row["judge_confidence"][step])
        return [("rollout", min(step, 5), level), ("judge", None, verdict)]

    def posterior(self, row: Row) -> list[float]:
        """P(right) of each step, [num_steps]."""
        found = []
        for step in range(len(row["steps"])):
            position = min(step, 5)
            odds = np.log((self.right[position, True] + 1) / (self.right[position, False] + 1))
            for kind, where, value in self._signals(row, step):
                odds += self._ratio(kind, where, value)
            found.append(float(1 / (1 + np.exp(-odds))))
        return found

    def _ratio(self, kind: str, where: Any, value: Any) -> float:
        """log P(value | right) / P(value | wrong), one imagined count a value."""
        values = 4 if kind == "rollout" else 6
        shares = []
        for right in (True, False):
            counts = self.seen.get((kind, where, right), Counter())
            shares.append((counts[value] + 1) / (counts.total() + values))
        return float(np.log(shares[0] / shares[1]))


def labelled(name: str, rows: Sequence[Row], development: Sequence[Row], seed: int) -> list[Row]:
    """The rows with `labels`, `label_p` and `review_labels` of one label set."""
    if name == "truth":
        return _hard(rows, lambda row: ["+" if step.right else "-" for step in truth_of(row)])
    if name == "judge":
        return _hard(rows, lambda row: list(row["judge_labels"]))
    if name == "rollouts":
        return _hard(rows, lambda row: ["+" if count else "-" for count in row["rollout_correct"]])
    fusion = Fusion(development, seed)
    fused = []
    for row in rows:
        p = fusion.posterior(row)
        labels = ["+" if value > 0.5 else "-" for value in p]
        fused.append({**row, "labels": labels, "label_p": p, "review_labels": ["?"] * len(p)})
    return fused if name == "hybrid" else _reviewed(fused, seed)


def _hard(rows: Sequence[Row], say: Callable[[Row], list[str]]) -> list[Row]:
    found = []
    for row in rows:
        labels = say(row)
        p = [{"+": 1.0, "-": 0.0}.get(label) for label in labels]
        found.append({**row, "labels": labels, "label_p": p, "review_labels": None})
    return found


def _reviewed(rows: list[Row], seed: int) -> list[Row]:
    """The least sure tenth of all steps goes to the *simulated* expert."""
    doubt = [(abs(p - 0.5), i, step) for i, row in enumerate(rows) for step, p in enumerate(row["label_p"])]
    ties = uniforms(stable_seed("review", seed), len(doubt))
    order = sorted(range(len(doubt)), key=lambda k: (doubt[k][0], ties[k]))[: round(REVIEW_SHARE * len(doubt))]
    places = [(doubt[k][1], doubt[k][2]) for k in order]
    for (i, step), label in zip(places, expert_labels(rows, places, seed), strict=True):
        rows[i]["review_labels"][step] = label
    return rows
