"""Rollout labels on a real model against the truth: the phantom policy, and the oracle that knows every step.

    python tests/benchmarks/estimator_quality.py [--questions 60] [--skip 0] [--solutions 4] [--only NAME] [--json]

The policy writes the solutions and completes the prefixes; every case labels the same solutions. Per case:

    macro_f1          against each step's own truth (the oracle's), labels + and -
    macro_f1_answer   against "what is claimed so far leads to the right answer": what rollouts can tell at all
    best_tau_*        fixed cases: the same for the best threshold in hindsight, by steps of 1/k (no method: a bound)
    mc_KIND           fixed cases: mean expected accuracy behind the wrong steps of a kind (mc_right: behind right
                      ones); a kind whose mc stays near mc_right does not change the answer, and no rollout sees it
    recall_KIND       share of the wrong steps of a kind that are labelled -; `location` never changes the answer, so
                      rollouts cannot see it: what is found there is found for other reasons
    rollouts, tokens  paid for, per solution: prefixes that solutions share are sampled once, and a whole solution
                      answers itself; tokens are those generated
    seconds           processor time of the rollouts, all solutions

`prior` labels by the position of the step alone, fitted on other questions. `fixed_k*` are VisualPRM's labels
(mc > 0). `first_error_open` does not expect wrong solutions to guess among the options. What is unknown is skipped in
F1. Truth by step need not be monotone: a right reading after a wrong one is right, but its prefix still leads
astray, which no rollout can tell apart.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from medprm_hf import Generate, Merge, Questions, Rollout
from medprm_hf.backends import open_backend
from medprm_hf.labels.accuracy import value_labels
from medprm_hf.labels.agreement import apply_prior, error_recall, fit_prior, macro_f1
from medprm_hf.phantom import steps as text
from medprm_hf.phantom.oracle import StepTruth
from medprm_hf.phantom.questions import question_rows
from medprm_hf.phantom.world import OPTIONS, Split, guideline, scene_of
from medprm_hf.runs.signals import truth_of

POLICY = "phantom:policy"
SAMPLING: dict[str, Any] = {"backend": POLICY, "prompt": "bare", "temperature": 0.8, "max_tokens": 96}
P_RIGHT = {"figure": "p_right", "threshold": 0.5}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{f"fixed_k{k}": ({"k": k}, {}) for k in (4, 8, 16, 32)},
    "visualprm": ({"k": 16, "early_stop": True}, {"monotone": True}),
    "first_success": ({"estimator": "first_success"}, {}),
    "bisect": ({"estimator": "bisect"}, {"monotone": True}),
    "sequential": ({"estimator": "sequential"}, P_RIGHT),
    "first_error": ({"estimator": "first_error"}, P_RIGHT),
    "first_error_open": ({"estimator": "first_error", "chance": "none"}, P_RIGHT),
}
"""Name: settings of rollout, and of merge (policy value)."""

Table = dict[str, list[Any]]
Rows = list[dict[str, Any]]


def solve(split: Split, questions: int, solutions: int, skip: int = 0) -> Table:
    """The policy's solutions of so many questions of a split, after the first `skip`."""
    rows = list(question_rows(split, skip + questions))[skip:]
    table: Table = {name: [row[name] for row in rows] for name in rows[0]}
    table |= Questions()(table)
    return Generate(**SAMPLING, solutions=solutions)(table)


def rows_of(table: Table) -> Rows:
    """The rows of a table that hold a solution."""
    return [row for row in (dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True))
            if row["steps"]]  # fmt: skip


def own_truth(truth: Sequence[StepTruth]) -> list[str]:
    """+ and - of each step by itself."""
    return ["+" if step.right else "-" for step in truth]


def answer_truth(row: dict[str, Any]) -> list[str]:
    """+ where the claims up to a step, and the guideline, lead to the right answer; once advice or answer is given, it
    decides. An error of place, or one between two sizes with the same advice, stays +."""
    scene = scene_of(row["question_id"])
    count, kind, size, said = scene.count, str(scene.kind), str(scene.size), None
    labels = []
    for step in map(str.strip, row["steps"]):
        if found := text.COUNT.fullmatch(step):
            count = text.COUNTS.index(found[1]) + 1
        elif found := text.KIND.fullmatch(step):
            kind = found[1]
        elif found := text.SIZE.fullmatch(step):
            size = found[1]
        elif rule := text.read_rule(step):
            said = rule.advice
        elif found := text.ANSWER.fullmatch(step):
            said = OPTIONS[text.LETTERS.index(found[1])]
        labels.append("+" if (said or guideline(count, kind, size)) == scene.answer else "-")
    return labels


def figures(case: str, said: list[list[str]], rows: Rows, **spent: float) -> list[dict[str, Any]]:
    """One object a figure."""
    truths = [truth_of(row) for row in rows]
    own, steps = macro_f1(said, [own_truth(truth) for truth in truths]), sum(map(len, truths))
    answer = macro_f1(said, [answer_truth(row) for row in rows])
    kinds = error_recall(said, [[step.kind for step in truth] for truth in truths])
    values: dict[str, tuple[float | None, str]] = {
        "macro_f1": (own.macro_f1, "0..1"),
        "macro_f1_answer": (answer.macro_f1, "0..1"),
        "unknown": (own.skipped / steps, "share of steps"),
        **{name: (value, UNITS.get(name, "0..1")) for name, value in spent.items()},
        **{f"recall_{kind}": (found.share, f"of {found.n} steps") for kind, found in sorted(kinds.items())},
    }
    return [
        {"case": case, "metric": name, "value": None if value is None else round(value, 4), "unit": unit,
         "goal": None, "holds": None}
        for name, (value, unit) in values.items()
    ]  # fmt: skip


UNITS = {
    "rollouts": "per solution",
    "tokens": "generated, per solution",
    "seconds": "processor time",
    "rounds": "rounds",
}


def measure(case: str, table: Table, rows: Rows) -> list[dict[str, Any]]:
    """The figures of one estimator."""
    rollout, merge = CASES[case]
    backend = open_backend(POLICY)
    before, begun = (backend.usage.completions, backend.usage.completion_tokens), time.process_time()
    counted = table | Rollout(**SAMPLING, **rollout)(table)
    seconds = time.process_time() - begun
    n = len(rows)
    spent = {
        "rollouts": (backend.usage.completions - before[0]) / n,
        "tokens": (backend.usage.completion_tokens - before[1]) / n,
        "seconds": seconds,
        "rounds": counted["rollout_method"][0]["rounds"],
    }
    if case.startswith("fixed"):
        spent["best_tau_f1"] = best_tau(counted, [own_truth(truth_of(row)) for row in rows], rollout["k"])
        spent["best_tau_answer"] = best_tau(counted, [answer_truth(row) for row in rows], rollout["k"])
        spent |= mean_accuracy(counted, [truth_of(row) for row in rows])
    return figures(case, Merge(policy="value", **merge)(counted)["labels"], rows, **spent)


def mean_accuracy(counted: Table, truths: list[list[StepTruth]]) -> dict[str, float]:
    """Mean mc of the prefixes that end with a wrong step of each kind, and with a right one."""
    seen: dict[str, list[float]] = defaultdict(list)
    for truth, row in zip(truths, counted["expected_accuracy"], strict=True):
        for step, mc in zip(truth, row, strict=True):
            if mc is not None:
                seen[f"mc_{step.kind or 'right'}"].append(mc)
    return {name: sum(values) / len(values) for name, values in sorted(seen.items())}


def best_tau(counted: Table, truth: list[list[str]], k: int) -> float:
    """Macro-F1 of the threshold that would have been best."""
    pairs = list(zip(counted["rollout_correct"], counted["rollout_total"], strict=True))
    scores = [macro_f1([value_labels(c, t, i / k).tolist() for c, t in pairs], truth).macro_f1 for i in range(k)]
    return max(score for score in scores if score is not None)


def run(questions: int, solutions: int, cases: Sequence[str], skip: int = 0) -> list[dict[str, Any]]:
    """All figures."""
    import torch

    torch.set_num_threads(1)
    prior = fit_prior([own_truth(truth_of(row)) for row in rows_of(solve("development", questions, solutions))])
    rows = rows_of(solve("test", questions, solutions, skip))
    table: Table = {name: [row[name] for row in rows] for name in rows[0]}
    found = figures("prior", [apply_prior(prior, len(row["steps"])) for row in rows], rows, rollouts=0)
    for case in cases:
        found += measure(case, table, rows)
    return found


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--skip", type=int, default=0, help="leave out so many questions first: other questions")
    parser.add_argument("--solutions", type=int, default=4)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args()
    for figure in run(given.questions, given.solutions, given.only, given.skip):
        if given.json:
            print(json.dumps(figure), flush=True)
        elif figure["value"] is not None:
            print(f"{figure['case']:14} {figure['metric']:18} {figure['value']:10.3f} {figure['unit']}")


if __name__ == "__main__":
    main()
