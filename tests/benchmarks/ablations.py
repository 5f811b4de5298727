"""`medprm ablate` as a benchmark: the pipeline with one thing changed at a time, against the phantom world's truth.

    python tests/benchmarks/ablations.py --out FOLDER [--set source.n=400] [--json]

Variants and what they are compared with stand in medprm_hf/recipes/ablations/phantom.yaml; a FOLDER that is given again
computes nothing twice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from medprm_hf.runs.ablations_commands import ablate_file


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"), help="folder of the runs")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as of `medprm ablate`")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args()
    ablate_file(None, given.out, tuple(given.settings), given.json)


if __name__ == "__main__":
    main()
