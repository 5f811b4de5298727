"""Label sets of the phantom world that PRMs are trained on: rollouts, judge, hybrid, hybrid with review, truth.

Everything but `truth` comes from what the pipeline has: rollouts of the policy and a *simulated* judge. The hybrid is
merge's policy `label_model`, learnt from the training solutions alone; its P(right) is the soft label. With review, a
*simulated* expert (2 % wrong) looks at the tenth of all steps that it is least sure of.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from medprm_hf import Generate, Judge, Merge, Questions, Rollout
from medprm_hf.ids import stable_seed, uniforms
from medprm_hf.phantom.oracle import StepTruth, check_steps
from medprm_hf.phantom.questions import question_rows
from medprm_hf.phantom.simulated import SimulatedExpert
from medprm_hf.phantom.world import Split, scene_of
from medprm_hf.review.reviewers import Asked

Row = dict[str, Any]
SAMPLING: dict[str, Any] = {"backend": "phantom:policy", "prompt": "bare", "temperature": 0.8, "max_tokens": 96}
JUDGE = "simulated-judge:error=0.15"
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


def labelled(name: str, rows: Sequence[Row], seed: int) -> list[Row]:
    """The rows with `labels`, `label_p` and `review_labels` of one label set."""
    if name == "truth":
        return _hard(rows, lambda row: ["+" if step.right else "-" for step in truth_of(row)])
    if name == "judge":
        return _hard(rows, lambda row: list(row["judge_labels"]))
    if name == "rollouts":
        return _hard(rows, lambda row: ["+" if count else "-" for count in row["rollout_correct"]])
    merged = merged_by_model(rows)
    return merged if name == "hybrid" else _reviewed(merged, seed)


def merged_by_model(rows: Sequence[Row]) -> list[Row]:
    """Both signals weighed by the label model, learnt from these rows alone: no truth, no expert."""
    batch = {column: [row[column] for row in rows] for column in rows[0]}
    stage = Merge(policy="label_model")
    merged = replace(stage, learnt=stage.learn([batch]))(batch)
    fields = ("labels", "label_p", "label_method")
    return [
        {**row, "review_labels": ["?"] * len(row["steps"]), **{name: merged[name][i] for name in fields}}
        for i, row in enumerate(rows)
    ]


def _hard(rows: Sequence[Row], say: Callable[[Row], list[str]]) -> list[Row]:
    found = []
    for row in rows:
        labels = say(row)
        p = [{"+": 1.0, "-": 0.0}.get(label) for label in labels]
        found.append({**row, "labels": labels, "label_p": p, "review_labels": None})
    return found


def _reviewed(rows: list[Row], seed: int) -> list[Row]:
    """The least sure tenth of all steps goes to the *simulated* expert."""
    doubt = [
        (0.0 if p is None else abs(p - 0.5), i, step)
        for i, row in enumerate(rows)
        for step, p in enumerate(row["label_p"])
    ]
    ties = uniforms(stable_seed("review", seed), len(doubt))
    order = sorted(range(len(doubt)), key=lambda k: (doubt[k][0], ties[k]))[: round(REVIEW_SHARE * len(doubt))]
    places = [(doubt[k][1], doubt[k][2]) for k in order]
    for (i, step), label in zip(places, expert_labels(rows, places, seed), strict=True):
        rows[i]["review_labels"][step] = label
    return rows
