"""What the phantom world's two checkpoints score on unseen scenes: README's table, measured again.

    python tests/benchmarks/phantom_models.py [--questions 600] [--seed 0] [--json]

Scenes of the test split; the base answers greedily, the policy 8 times at temperature 0.8. Values are shares of the
scenes with 95 % bootstrap intervals over them. `all steps right`: share of solutions whose every step is true.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from medprm_hf.phantom.figures import measure
from medprm_hf.phantom.model import checkpoint

SHOWN = {"base": ("greedy",), "policy": ("pass@1", "majority@8", "pass@8", "unreadable", "all steps right")}


def lines(questions: int, seed: int) -> Iterator[dict[str, Any]]:
    """One object a figure."""
    for name in ("base", "policy"):
        figures = measure(name, checkpoint(name), n=questions, seed=seed)
        for shown in SHOWN[name]:
            found = figures[shown]
            yield {"case": f"{name} {shown}", "metric": "share", "value": round(found.value, 4), "unit": "share",
                   "goal": None, "holds": None, "interval": [round(found.low, 4), round(found.high, 4)],
                   "seeds": [seed]}  # fmt: skip


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--questions", type=int, default=600, help="scenes of the test split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args()
    for line in lines(given.questions, given.seed):
        low, high = line["interval"]
        shown = f"{line['case']:24} {line['value']:.3f}  {low:.3f} to {high:.3f}"
        print(json.dumps(line) if given.json else shown, flush=True)


if __name__ == "__main__":
    main()
