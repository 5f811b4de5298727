"""Does evidence make a judge better? A judge that reads guidelines, with them, without, and with wrong ones.

    python tests/benchmarks/evidence.py [--questions 400] [--seeds 5] [--encoder none] [--json]

Phantom questions of the test split, a solution each with the policy's habits of error (`sampled_solution`, another draw
per seed). The retrieve stage searches 150 passages of 50 guidelines (other years, organs, patients; one of them holds)
by the question, its options and its context; the judge stage asks `rule-reader`, which sees the prompt alone. Judged
are the rule step and the answer step, with the steps that describe the image taken as read: the truth is the oracle's
for the scene that those steps claim. Cases:

    without          no passages
    with             the passages found (12 at most)
    absent           the guideline that holds is not in the corpus: all that is found is about something else
    wrong            under the heading that holds every rule gives another advice than it should

    error_recall     share of the wrong rule and answer steps that are labelled -
    macro_f1         over + and -, on these steps
    guideline_found  share of questions whose passages hold all three of the guideline that holds

Values are means over the seeds; `_low` and `_high` are the least and the greatest.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medprm_hf.labels.agreement import macro_f1
from medprm_hf.phantom.chains import sampled_solution
from medprm_hf.phantom.guidelines import CONTEXT, Guideline, guideline_rows
from medprm_hf.phantom.oracle import check_steps
from medprm_hf.phantom.questions import question_row
from medprm_hf.phantom.steps import COUNT, COUNTS, KIND, SIZE
from medprm_hf.phantom.world import Scene, question_ids, scene_of
from medprm_hf.stages.judge import Judge
from medprm_hf.stages.retrieve import Retrieve

JUDGED = slice(4, 6)  # the rule step and the answer step
CASES = {"without": None, "with": "true", "absent": "absent", "wrong": "wrong"}
WANTED = {Guideline(2017, "lung", "adults").name(kind) for kind in ("calcified", "solid", "ground-glass")}
Rows = list[dict[str, Any]]


def solutions(count: int, seed: int) -> Rows:
    """Rows as the judge stage reads them, images left out: the reader does not look at them."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    rows = []
    for name in question_ids("test", count):
        steps = sampled_solution(scene_of(name), rng)
        row = question_row(name) | {"image": None, "clinical_context": CONTEXT}
        rows.append({**row, "solution_id": f"{name}-{seed}", "steps": steps})
    return rows


def as_read(scene: Scene, steps: list[str]) -> Scene:
    """The scene that the steps describe."""
    found = {
        pattern: match[1] for pattern in (COUNT, KIND, SIZE) for step in steps if (match := pattern.fullmatch(step))
    }
    number = COUNTS.index(found[COUNT]) + 1
    return replace(scene, kind=found[KIND], size=found[SIZE], nodules=(scene.largest,) * number)  # type: ignore[arg-type]


def truth(row: dict[str, Any]) -> list[str]:
    steps = row["steps"]
    verdicts = check_steps(as_read(scene_of(row["question_id"]), steps), steps)[JUDGED]
    return ["+" if verdict.right else "-" for verdict in verdicts]


def corpus(folder: Path, which: str) -> str:
    path = folder / f"{which}.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in guideline_rows(true_one=which)), encoding="utf-8")
    return str(path)


def judged(rows: Rows, which: str | None, folder: Path, encoder: str) -> tuple[list[list[str]], float]:
    """Labels of the judged steps, and the share of questions that were shown the guideline whole."""
    table = {name: [row[name] for row in rows] for name in rows[0]}
    found = 0.0
    if which:
        retrieve = Retrieve(corpus=(corpus(folder, which),), encoder=encoder, indexes=str(folder / "indexes"))  # type: ignore[arg-type]
        table |= retrieve(table)
        shown = [{item["id"] for item in items} for items in table["evidence"]]
        found = float(np.mean([shown_ids >= WANTED for shown_ids in shown]))
    labels = Judge(backend="rule-reader:")(table)["judge_labels"]
    return [each[JUDGED] for each in labels], found


def figures(rows: Rows, labels: list[list[str]], found: float) -> dict[str, float]:
    true = [truth(row) for row in rows]
    pairs = [pair for ours, theirs in zip(labels, true, strict=True) for pair in zip(ours, theirs, strict=True)]
    wrong = [ours for ours, theirs in pairs if theirs == "-"]
    score = macro_f1(labels, true)
    return {
        "error_recall": sum(ours == "-" for ours in wrong) / len(wrong),
        "macro_f1": score.macro_f1 or 0.0,
        "wrong_steps": len(wrong),
        "guideline_found": found,
    }


def measure(questions: int, seeds: int, encoder: str) -> Rows:
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        for case, which in CASES.items():
            runs = []
            for seed in range(seeds):
                rows = solutions(questions, seed)
                runs.append(figures(rows, *judged(rows, which, Path(temporary), encoder)))
            lines += [line for metric in runs[0] for line in _lines(case, metric, [run[metric] for run in runs])]
    return lines + _gains(lines)


def _lines(case: str, metric: str, values: list[float]) -> Rows:
    unit = "steps" if metric == "wrong_steps" else "share"
    parts = {"": float(np.mean(values)), "_low": min(values), "_high": max(values)}
    return [
        {"case": case, "metric": metric + end, "value": round(value, 4), "unit": unit, "goal": None, "holds": None}
        for end, value in parts.items()
    ]


def _gains(lines: Rows) -> Rows:
    """What evidence adds, and what wrong evidence takes: differences of the means."""
    values = {(line["case"], line["metric"]): line["value"] for line in lines}
    gains = []
    for case, sign in (("with", 1), ("wrong", -1)):
        for metric in ("error_recall", "macro_f1"):
            gain = round(values[case, metric] - values["without", metric], 4)
            goal = 0.0 if (case, metric) != ("wrong", "error_recall") else None
            holds = None if goal is None else sign * gain > 0
            gains.append(
                {
                    "case": f"{case}_less_without",
                    "metric": metric,
                    "value": gain,
                    "unit": "share",
                    "goal": goal,
                    "holds": holds,
                }
            )
    return gains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=400, help="questions per seed")
    parser.add_argument("--seeds", type=int, default=5, help="draws of the solutions")
    parser.add_argument("--encoder", default="none", help="encoder of the retrieve stage; none: BM25 alone")
    parser.add_argument("--json", action="store_true", help="one JSON object a figure and line")
    chosen = parser.parse_args()
    for row in measure(chosen.questions, chosen.seeds, chosen.encoder):
        print(json.dumps(row) if chosen.json else f"{row['case']:22} {row['metric']:22} {row['value']:10}")


if __name__ == "__main__":
    main()
