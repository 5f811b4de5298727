"""Do small shards pay more? first_error on the phantom policy in shards of several sizes, taught by a pilot or not.

    python tests/benchmarks/label_shards.py [--questions 100] [--sizes 5 20 100] [--json]

`pilot/5`: priors learnt over the whole run (`Rollout.learn`), shards of 5 questions; `alone/5`: each shard learns for
itself. `rollouts` are distinct draws a solution: what a run with a journal pays, pilot included; `asked` counts draws
asked twice too, as a backend without a journal pays them. `rounds`: of all shards one after the other, per shard.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from estimator_quality import P_RIGHT, SAMPLING, Table, answer_truth, own_truth, rows_of, solve

from medprm_hf import Merge, Rollout
from medprm_hf.backends import open_backend
from medprm_hf.backends.protocol import Reply, Request
from medprm_hf.labels.agreement import macro_f1
from medprm_hf.runs.signals import truth_of


class Counting:
    """The draws that were asked for, by key and number."""

    def __init__(self, backend: Any) -> None:
        self.backend, self.complete = backend, backend.complete
        self.draws: set[tuple[str, int]] = set()
        self.asked = 0
        backend.complete = self

    def __call__(self, requests: Sequence[Request]) -> list[Reply]:
        for request in requests:
            self.draws |= {(request.key, request.first + place) for place in range(request.n)}
            self.asked += request.n
        replies: list[Reply] = self.complete(requests)
        return replies

    def stop(self) -> None:
        """Leaves the backend as it was."""
        self.backend.complete = self.complete


def shards_of(rows: list[dict[str, Any]], size: int) -> list[Table]:
    """The rows in shards of so many questions."""
    names = list(dict.fromkeys(row["question_id"] for row in rows))
    number = {name: at // size for at, name in enumerate(names)}
    cut = [[row for row in rows if number[row["question_id"]] == n] for n in range(max(number.values()) + 1)]
    return [{name: [row[name] for row in shard] for name in shard[0]} for shard in cut]


def measure(rows: list[dict[str, Any]], size: int, taught: bool) -> dict[str, float | None]:
    """The figures of one way."""
    shards, counting = shards_of(rows, size), Counting(open_backend(SAMPLING["backend"]))
    stage = Rollout(**SAMPLING, estimator="first_error")
    if taught:
        stage = replace(stage, learnt=stage.learn(shards))
    tables = [shard | stage(shard) for shard in shards]
    counting.stop()
    said = [row for table in tables for row in Merge(policy="value", **P_RIGHT)(table)["labels"]]
    return {
        "rollouts": len(counting.draws) / len(rows),
        "asked": counting.asked / len(rows),
        "rounds": sum(table["rollout_method"][0]["rounds"] for table in tables) / len(tables),
        "macro_f1": macro_f1(said, [own_truth(truth_of(row)) for row in rows]).macro_f1,
        "macro_f1_answer": macro_f1(said, [answer_truth(row) for row in rows]).macro_f1,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    rows = rows_of(solve("test", given.questions, 4))
    for taught in (True, False):
        for size in given.sizes:
            case = f"{'pilot' if taught else 'alone'}/{size}"
            for name, value in measure(rows, size, taught).items():
                figure = {"case": case, "metric": name, "value": value, "unit": "", "goal": None, "holds": None}
                print(json.dumps(figure) if given.json else f"{case:12} {name:16} {value:8.3f}", flush=True)


if __name__ == "__main__":
    main()
