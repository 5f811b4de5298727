"""How many rollouts a step label costs, for every estimator, in worlds whose truth is known.

    .venv/bin/python tests/benchmarks/label_efficiency.py                       table, median of 5 seeds
    .venv/bin/python tests/benchmarks/label_efficiency.py --seed 0 --solutions 1000 --only default --json
    .venv/bin/python tests/benchmarks/label_efficiency.py --worlds ../shared/tools/mc_worlds.py --json
    .venv/bin/python tests/benchmarks/label_efficiency.py --plot docs/pictures/label_efficiency.png
    .venv/bin/python tests/benchmarks/label_efficiency.py --only default --reliability FILE.png       5 seeds together
    .venv/bin/python tests/benchmarks/label_efficiency.py --only default --seeds 10 11 12 13 14       other seeds

Cases: `base`, `easy`, … are the default estimator (`first_error`, which does not look at `view.judge`);
`base/fixed_k16` and so on are the others, on the same tapes. `right_at_95`: of the labels said with confidence
0.93 to 0.97 the share that is right; `right_from_95`: of those said with 0.95 or more. `decision_ms`: CPU
milliseconds per open solution and round, learning included. `--worlds` takes any module that has
WORLDS, World.make(name, solutions, seed), view() and evaluate(world, labels).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from medprm_hf.labels.accuracy import RIGHT, fill_after_first_wrong
from medprm_hf.labels.monte_carlo import Problem, make_estimator, run

Figures = dict[str, float]

GOALS: dict[str, tuple[float, float]] = {  # world: macro-F1 at least, rollouts per solution at most
    "base": (0.99, 20), "easy": (0.99, 12), "hard": (0.945, 48), "soft_errors": (0.93, 30),
    "few_errors": (0.97, 12), "many_errors": (0.99, 25), "four_options": (0.97, 42), "two_options": (0.94, 48),
}
CALIBRATED = ("base", "four_options", "two_options")
UNITS = {"rollouts": "per solution", "rounds": "per solution", "decision_ms": "ms", "generated_steps": "per solution"}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "fixed_k4": ("fixed", {"k": 4}),
    "fixed_k8": ("fixed", {"k": 8}),
    "fixed_k16": ("fixed", {"k": 16}),
    "fixed_k16_at2": ("fixed", {"k": 16, "tau": 1 / 16}),
    "fixed_k16_at3": ("fixed", {"k": 16, "tau": 2 / 16}),
    "fixed_k16_at3_all": ("fixed", {"k": 16, "tau": 2 / 16, "early_stop": False}),
    "fixed_k16_at5": ("fixed", {"k": 16, "tau": 4 / 16}),
    "fixed_k16_at8": ("fixed", {"k": 16, "tau": 7 / 16}),
    "fixed_k32": ("fixed", {"k": 32}),
    "first_success_k16": ("first_success", {"k": 16}),
    "bisect_k16": ("bisect", {"k": 16}),
    "bisect_k16_at3": ("bisect", {"k": 16, "tau": 2 / 16}),
    "sequential": ("sequential", {}),
    "sequential_k32": ("sequential", {"k": 32, "confidence": 0.98}),
}
SWEEP = {f"first_error_{price:g}": ("first_error", {"price": price}) for price in (0.01, 0.004, 0.0006)}


def problem_of(view: Any) -> Problem:
    """The view as an estimator takes it."""
    chance = [1 / view.options if view.options else None] * len(view.length)
    return Problem.of(view.length, view.question, view.own_answer_right, chance)


def measure(worlds: Any, name: str, solutions: int, seed: int, kind: str, settings: dict[str, Any],
            bins: NDArray[np.float64] | None = None) -> Figures:
    """All figures of one estimator in one world; `bins` (10, 3) collects count, confidence and right labels."""
    world = worlds.World.make(name, solutions, seed)
    view, asked, started = world.view(), [0], time.process_time()
    drawing = [0.0]

    def draw(rows: Any, steps: Any) -> Any:
        begun = time.process_time()
        outcomes = view.draw(rows, steps)
        asked[0] += len(np.unique(rows))
        drawing[0] += time.process_time() - begun
        return outcomes

    outcome = run(make_estimator(kind, **settings), problem_of(view), draw)
    seconds = time.process_time() - started - drawing[0]
    width = world.mask.shape[1]
    said = np.full((solutions, width), "?")
    filled = outcome.decision.labels
    if kind != "first_error" and settings.get("early_stop", True):  # what early stop left unsampled counts as wrong
        filled = fill_after_first_wrong(filled, view.length)
    said[:, : filled.shape[1]] = filled
    labels = said == RIGHT
    figures: Figures = dict(worlds.evaluate(world, labels))
    figures["decision_ms"] = 1e3 * seconds / max(asked[0], 1)
    p_right = np.full((solutions, width), np.nan)
    p_right[:, : filled.shape[1]] = outcome.decision.p_right
    stated = world.mask & ~np.isnan(p_right)
    if kind == "first_error":
        correct = (labels == world.truth)[stated]
        confidence = np.maximum(p_right, 1 - p_right)[stated]
        figures |= calibration(confidence, correct)
        if bins is not None:
            place = np.minimum((confidence * 20 - 10).astype(int), 9)
            np.add.at(bins, place, np.stack([np.ones_like(confidence), confidence, correct], 1))
    return figures


def calibration(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> Figures:
    """How often labels are right that are said at 0.95, or from there on."""
    near, above = (confidence > 0.93) & (confidence < 0.97), confidence >= 0.95
    return {
        "right_at_95": float(correct[near].mean()) if near.any() else float("nan"),
        "right_from_95": float(correct[above].mean()) if above.any() else float("nan"),
        "stated_errors": float(1 - confidence.mean()),
        "label_errors": float(1 - correct.mean()),
    }


def goal_of(case: str, metric: str, value: float) -> tuple[float | None, bool | None]:
    """The issue's goal for a figure and whether it holds; None where there is none."""
    if case not in GOALS:
        return None, None
    least, most = GOALS[case]
    floors = {"macro_f1": least} | ({"right_at_95": 0.93} if case in CALIBRATED else {})
    ceilings = {"rollouts": most, "rounds": 6.0 if case in ("base", "easy") else 13.0, "decision_ms": 1.0}
    if metric in floors:
        return floors[metric], value >= floors[metric]
    if metric in ceilings:
        return ceilings[metric], value <= ceilings[metric]
    return None, None


def report(case: str, figures: Figures, as_json: bool) -> None:
    """One line a figure, or one line a case."""
    if not as_json:
        shown = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        missed = [name for name, value in figures.items() if goal_of(case, name, value)[1] is False]
        print(f"{case:32s} {shown}{'  MISSED ' + ', '.join(missed) if missed else ''}", flush=True)
        return
    for name, value in figures.items():
        goal, holds = goal_of(case, name, value)
        print(json.dumps({"case": case, "metric": name, "value": round(value, 5), "unit": UNITS.get(name, "share"),
                          "goal": goal, "holds": holds}), flush=True)


def load(path: str | None) -> Any:
    """The module with the worlds: the project's own, or the file at `path`."""
    file = Path(path) if path else Path(__file__).with_name("worlds.py")
    spec = importlib.util.spec_from_file_location("label_worlds", file)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{file} is no Python module: give a file with World.make, view and evaluate")
    module = importlib.util.module_from_spec(spec)
    sys.modules["label_worlds"] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", help="a module with the interface of worlds.py")
    parser.add_argument("--solutions", type=int, default=4000)
    parser.add_argument("--seed", type=int, help="one seed; without it the median of seeds 0 to 4")
    parser.add_argument("--only", choices=("all", "default", "others"), default="all")
    parser.add_argument("--world", nargs="*", help="some worlds only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)), help="the median of these")
    parser.add_argument("--plot", help="also draw the Pareto picture here")
    parser.add_argument("--reliability", help="also draw stated against true confidence here, all seeds together")
    options = parser.parse_args()
    worlds, seeds = load(options.worlds), options.seeds if options.seed is None else [options.seed]
    cases = {} if options.only == "others" else {"": ("first_error", {})}
    cases |= {} if options.only == "default" else {f"/{name}": case for name, case in OTHERS.items()}
    cases |= {f"/{name}": case for name, case in SWEEP.items()} if options.plot else {}
    table: dict[str, Figures] = {}
    bins: dict[str, NDArray[np.float64]] = {}
    for name in options.world or worlds.WORLDS:
        for suffix, (kind, settings) in cases.items():
            counted = bins.setdefault(name, np.zeros((10, 3))) if not suffix else None
            runs = [measure(worlds, name, options.solutions, seed, kind, settings, counted)
                    for seed in (seeds[:1] if suffix[1:] in SWEEP else seeds)]
            table[name + suffix] = {key: float(np.median([r[key] for r in runs])) for key in runs[0]}
            report(name + suffix, table[name + suffix], options.json)
    if options.plot or options.reliability:
        from label_pictures import pareto, reliability

        if options.plot:
            pareto(table, GOALS, Path(options.plot))
        if options.reliability:
            reliability(bins, Path(options.reliability))


if __name__ == "__main__":
    main()
