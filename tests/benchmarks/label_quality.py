"""Step labels against the phantom world's truth: signals, merge policies, the label model, and review by value.

    python tests/benchmarks/label_quality.py [--seeds 0 1 2 3 4] [--split test] [--questions 300] [--cache DIR] [--json]

The phantom policy writes 4 solutions a question and is rolled out 8 times a prefix; *simulated* judges err as their
name says (error=…; shared: the share of claims on which it errs in every solution or in none; blind: never sees this
kind; flat: its confidence says nothing), and a simulated expert (2 % errors) labels 100 solutions and answers reviews.
Everything is measured on the solutions outside those 100, mean over the seeds.

    macro_f1          of + and -, over the steps that have a label
    macro_f1_all      the same, steps without a label counted as missed: what the goals compare
    recall_KIND       wrong steps of a kind that are labelled -, all seeds together (at 15 %)
    recall_margin     lowest recall_KIND less the judge's, over the kinds with 100 wrong steps or more
    ece               expected calibration error of label_p, 10 bins (at_sample: on the sample, against the expert)
    asked             decisions of the expert, share of all steps
    kept_f1           label model on the steps that consensus keeps, less consensus there

`label_model` has no experts, `label_model+100` has learnt from 100 solutions; `apart` is told that no two solutions
belong to one question, so that equal beginnings help nobody. `NAME@10 by value` has 10 % of the steps reviewed; of a
policy `best` order is the best of value, doubt and random, so that nothing hangs on an order that does not suit it.
"""

from __future__ import annotations

import argparse
import json
import pickle
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from medprm_hf import Generate, Judge, Merge, Questions, Review, Rollout
from medprm_hf.labels.agreement import apply_prior, error_recall, fit_prior, macro_f1
from medprm_hf.labels.review_value import Candidate, queue
from medprm_hf.phantom.questions import question_rows
from medprm_hf.phantom.simulated import SimulatedExpert
from medprm_hf.phantom.world import Split
from medprm_hf.review.reviewers import Asked
from medprm_hf.runs.signals import truth_of
from medprm_hf.schema import final_labels
from medprm_hf.stages.calibrate import Calibrate

SAMPLING: dict[str, Any] = {"backend": "phantom:policy", "prompt": "bare", "temperature": 0.8, "max_tokens": 96}
JUDGES = (
    "error=0.1", "error=0.15", "error=0.2", "error=0.3", "error=0.15,shared=0.5", "error=0.15,shared=1",
    "error=0.15,blind=location", "error=0.15,confidence=flat",
)  # fmt: skip
POLICIES = ("consensus", "judge_first", "value", "advantage", "medprm")
MAIN = "error=0.15"
CORRELATED = "error=0.15,shared=1"
BUDGETS = (5, 10, 20, 30)
ORDERS = ("value", "doubt", "random")
PRIOR_SEED = 100
"""Seed of the development questions on which the step-index prior is fitted."""
Table = dict[str, list[Any]]
Labels = list[list[str]]


def solve(split: Split, seed: int, questions: int, cache: Path) -> Table:
    """Solutions and rollouts of a seed's questions, made once."""
    file = cache / f"{split}-{seed}-{questions}.pkl"
    if not file.is_file():
        rows = list(question_rows(split, questions, seed))
        table: Table = {name: [row[name] for row in rows] for name in rows[0]}
        table |= Questions()(table)
        table = Generate(**SAMPLING, solutions=4)(table)
        table |= Rollout(**SAMPLING, k=8)(table)
        file.write_bytes(pickle.dumps(table | {"image": [None] * len(table["steps"])}))
    table = pickle.loads(file.read_bytes())  # our own file, written above
    able = [i for i, steps in enumerate(table["steps"]) if steps]
    return {name: [values[i] for i in able] for name, values in table.items()}


class World:
    """One seed's solutions under one judge, with the expert's sample."""

    def __init__(self, solved: Table, judge: str, seed: int) -> None:
        self.table = solved | Judge(backend=f"simulated-judge:{judge}", seed=seed)(solved)
        self.table |= Calibrate(solutions=100, seed=seed)(self.table)
        rows = [dict(zip(self.table, values, strict=True)) for values in zip(*self.table.values(), strict=True)]
        truths = [truth_of(row) for row in rows]
        self.rest = [i for i, row in enumerate(rows) if "?" in row["calibration_labels"]]
        self.sample = [i for i, row in enumerate(rows) if "?" not in row["calibration_labels"]]
        self.truth: Labels = [["+" if step.right else "-" for step in truth] for truth in truths]
        self.kinds = [[step.kind for step in truth] for truth in truths]
        self.steps = sum(map(len, self.truth))
        self.seed = seed

    def merged(self, policy: str, experts: bool = False, apart: bool = False) -> Table:
        """The merge stage's columns."""
        table = dict(self.table)
        if not experts:
            del table["calibration_reviews"]
        if apart:
            table["question_id"] = list(table["solution_id"])
        return table | Merge(policy=policy)(table) | {"question_id": self.table["question_id"]}

    def reviewed(self, merged: Table, order: str) -> dict[int, tuple[Labels, float]]:
        """Per budget (per cent of all steps): final labels after review in this order, and the share asked."""
        rows = [dict(zip(merged, values, strict=True)) for values in zip(*merged.values(), strict=True)]
        sampled = merged.get("calibration_reviews") or [[] for _ in rows]
        asks = queue(
            [
                Candidate(r["question_id"], r["solution_id"], r["steps"], r["labels"], r["label_p"],
                          r["needs_review"], [bool(given) for given in reviews])
                for r, reviews in zip(rows, sampled, strict=True)
            ],
            order, seed=self.seed,
        )  # fmt: skip
        before = Review(share=0.0)(merged)["review_labels"]  # the sample's decisions hold for copies of its steps
        labels = [final_labels(ours, theirs) for ours, theirs in zip(merged["labels"], before, strict=True)]
        found, done = {}, 0
        for budget in BUDGETS:
            upto = min(round(budget / 100 * self.steps), len(asks))
            for ask in asks[done:upto]:
                for solution, step in ask.copies:
                    labels[solution][step] = self.expert[ask.solution][ask.step]
            done = upto
            found[budget] = ([list(each) for each in labels], done / self.steps)
        return found

    @cached_property
    def expert(self) -> Labels:
        """What the simulated expert says of every step."""
        rows = zip(self.table["question_id"], self.table["solution_id"], self.table["steps"], strict=True)
        person = SimulatedExpert(0.02, self.seed)
        return [
            [decision.label for decision in person.decide([Asked(q, s, tuple(steps), i) for i in range(len(steps))])]
            for q, s, steps in rows
        ]

    def score(self, labels: Labels) -> dict[str, float]:
        """Figures of the labels outside the sample."""
        found = macro_f1([labels[i] for i in self.rest], [self.truth[i] for i in self.rest])
        return {"macro_f1": found.macro_f1 or 0.0, "macro_f1_all": found.macro_f1_all or 0.0}

    def recall(self, labels: Labels) -> dict[str, tuple[float, int]]:
        """(wrong steps found, wrong steps) by kind."""
        found = error_recall([labels[i] for i in self.rest], [self.kinds[i] for i in self.rest])
        return {kind: (recall.share * recall.n, recall.n) for kind, recall in found.items()}

    def ece(self, label_p: list[list[float]], sample: bool = False) -> float:
        """Calibration error of P(right): against the truth, or on the sample against the expert."""
        at, said = (self.sample, self.table["calibration_labels"]) if sample else (self.rest, self.truth)
        p = np.array([v for i in at for v in label_p[i]])
        right = np.array([label == "+" for i in at for label in said[i]])
        bins = np.minimum((p * 10).astype(int), 9)
        return float(sum(abs(p[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in set(bins)))


class Figures:
    """Values of every seed by case and metric."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.recall: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))

    def add(self, case: str, **values: float) -> None:
        """One seed's values."""
        for metric, value in values.items():
            self.values[case, metric].append(value)

    def add_recall(self, case: str, found: dict[str, tuple[float, int]]) -> None:
        """One seed's counts of wrong steps found."""
        for kind, (hits, n) in found.items():
            self.recall[case][kind][0] += hits
            self.recall[case][kind][1] += n

    def mean(self, case: str, metric: str = "macro_f1_all") -> float:
        """Mean over the seeds."""
        return float(np.mean(self.values[case, metric]))

    def lines(self) -> list[dict[str, Any]]:
        """One object a figure, goals judged."""
        goals = self._goals()
        found = [
            _line(case, metric, float(np.mean(v)), *goals.pop((case, metric), (None, None)),
                  range=[round(min(v), 4), round(max(v), 4)])
            for (case, metric), v in self.values.items()
        ]  # fmt: skip
        for case, kinds in self.recall.items():
            found += [_line(case, f"recall_{k}", h / n, n=int(n)) for k, (h, n) in kinds.items()]
            judge = self.recall[case.split("/")[0] + "/judge"]
            margins = [h / n - judge[k][0] / judge[k][1] for k, (h, n) in kinds.items() if n >= 100]
            if "label_model" in case:
                goal = (0.0, min(margins) >= 0) if "+100" in case and case.startswith(f"{MAIN}/") else (None, None)
                found.append(_line(case, "recall_margin", min(margins), *goal))
        return found

    def _goals(self) -> dict[tuple[str, str], tuple[float, bool]]:
        ours, best = f"{MAIN}/label_model+100", 0.0
        goals = {(ours, "macro_f1_all"): 0.87, (f"{ours}@20 by value", "macro_f1_all"): 0.92}
        found = {key: (goal, self.mean(*key) >= goal) for key, goal in goals.items()}
        for judge in (MAIN, CORRELATED):
            ours = f"{judge}/label_model+100"
            for budget in BUDGETS:
                best = max(self.mean(f"{judge}/{p}@{budget} best") for p in POLICIES)
                key = (f"{ours}@{budget} by value", "lead_over_policies")
                self.values[key] = [self.mean(f"{ours}@{budget} by value") - best]
                found[key] = (0.0, self.values[key][0] >= 0)
            key = (f"{ours}@10 by value", "lead_over_random_at_30")
            self.values[key] = [self.mean(f"{ours}@10 by value") - self.mean(f"{ours}@30 by random")]
            found[key] = (0.0, self.values[key][0] >= 0)
        for case, metric in list(self.values):
            if metric == "ece" and case.endswith("+100"):
                found[case, metric] = (0.05, self.mean(case, metric) < 0.05)
            if metric == "kept_f1":
                found[case, metric] = (0.0, self.mean(case, metric) >= -0.001)
        return found


def _line(
    case: str, metric: str, value: float, goal: float | None = None, holds: bool | None = None, **more: Any
) -> dict[str, Any]:
    """One figure; `range`: least and greatest of the seeds; `n`: wrong steps behind a recall."""
    holds = None if holds is None else bool(holds)
    return {"case": case, "metric": metric, "value": round(value, 4), "unit": "share", "goal": goal, "holds": holds,
            **more}  # fmt: skip


def signals(world: World, prior: Any, judge: str, figures: Figures) -> None:
    """Every signal and policy without review."""
    count = [len(steps) for steps in world.truth]
    rollouts = [["+" if c > 0 else "-" for c in row] for row in world.table["rollout_correct"]]
    said = {"prior": [apply_prior(prior, n) for n in count], "rollouts": rollouts, "judge": world.table["judge_labels"]}
    said |= {policy: world.merged(policy)["labels"] for policy in POLICIES}
    ways = {"label_model": (False, False), "label_model+100": (True, False)}
    if judge in (MAIN, CORRELATED):
        ways |= {"label_model/apart": (False, True), "label_model+100/apart": (True, True)}
    for name, (experts, apart) in ways.items():
        merged = world.merged("label_model", experts, apart)
        said[name] = merged["labels"]
        figures.add(f"{judge}/{name}", ece=world.ece(merged["label_p"]))
        if experts:
            figures.add(f"{judge}/{name}", ece_at_sample=world.ece(merged["label_p"], sample=True))
    keeps = [["?" if c == "?" else o for o, c in zip(*pair, strict=True)]
             for pair in zip(said["label_model"], said["consensus"], strict=True)]  # fmt: skip
    lead = world.score(keeps)["macro_f1"] - world.score(said["consensus"])["macro_f1"]
    figures.add(f"{judge}/label_model", kept_f1=lead)
    for name, labels in said.items():
        figures.add(f"{judge}/{name}", **world.score(labels))
        if judge.startswith(MAIN):
            figures.add_recall(f"{judge}/{name}", world.recall(labels))


def reviews(world: World, judge: str, figures: Figures) -> None:
    """Every budget and order, for ours and for each policy."""
    merged = world.merged("label_model", experts=True)
    for order in ORDERS:
        for budget, (labels, asked) in world.reviewed(merged, order).items():
            case = f"{judge}/label_model+100@{budget} by {order}"
            figures.add(case, asked=asked, **world.score(labels))
            if order == "value":
                figures.add_recall(case, world.recall(labels))
    for policy in POLICIES:
        merged = world.merged(policy, experts=True)
        found = [world.reviewed(merged, order) for order in ORDERS]
        for budget in BUDGETS:
            scores = [world.score(each[budget][0]) for each in found]
            figures.add(f"{judge}/{policy}@{budget} best", **max(scores, key=lambda s: s["macro_f1_all"]))


def run(seeds: Sequence[int], split: Split, questions: int, cache: Path) -> list[dict[str, Any]]:
    """All figures."""
    import torch

    torch.set_num_threads(1)
    figures = Figures()
    for seed in seeds:
        other = solve("development", PRIOR_SEED, 100, cache)
        others = [dict(zip(other, values, strict=True)) for values in zip(*other.values(), strict=True)]
        prior = fit_prior([["+" if step.right else "-" for step in truth_of(row)] for row in others])
        solved = solve(split, seed, questions, cache)
        for judge in JUDGES:
            world = World(solved, judge, seed)
            signals(world, prior, judge, figures)
            if judge in (MAIN, CORRELATED):
                reviews(world, judge, figures)
    return figures.lines()


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--split", choices=["development", "test"], default="test")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--cache", type=Path, help="keep solutions and rollouts here; default: a folder of its own")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        lines = run(given.seeds, given.split, given.questions, given.cache or Path(scratch))
    for line in lines:
        if given.json:
            print(json.dumps(line), flush=True)
        else:
            held = {True: "holds", False: "MISSED", None: ""}[line["holds"]]
            low_high = " to ".join(f"{end:.4f}" for end in line.get("range", ()))
            print(f"{line['case']:48} {line['metric']:22} {line['value']:8.4f} {low_high} {held}")


if __name__ == "__main__":
    main()
