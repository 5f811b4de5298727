"""Speed and memory of every writer and reader, against plain `json` and `datasets.load_dataset("json")`.

    .venv/bin/python tests/benchmarks/formats.py --steps 1000000        (about 15 minutes for all formats)
    .venv/bin/python tests/benchmarks/formats.py --steps 60000 --only visualprm medprm --json

A row is one solution of six steps, four a question. `rows_per_s_vs_json` is our rate over that of `json.loads`
(reading) or `json.dumps` and writing, line by line, on the same records; goal 0.5. Seconds are CPU seconds of the
process, so that other work on the machine does not count. `keep=False` reads without `extra`. `peak_rss_mb` is that
of a process that only writes, then reads, the file; the goal is 1.2 times the peak at 10,000 steps.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medprm_hf import formats
from medprm_hf.formats.records import Item, scan

STEPS = 6
SAMPLE = 4_000
"""Records on which plain json is timed."""
WORDS = ("the left angle is blunted small effusion opacity right upper zone nodule solid guideline asks for follow up "
         "heart size normal no pneumothorax therefore answer").split()


def pool(count: int = 2_000, seed: int = 0) -> list[dict[str, Any]]:
    """Canonical rows as the pipeline makes them, four solutions a question."""
    draw = random.Random(seed)

    def text(words: int) -> str:
        return " ".join(draw.choices(WORDS, k=words))

    rows: list[dict[str, Any]] = []
    asked = ""
    for number in range(count):
        question, index = divmod(number, 4)
        asked = text(20) if index == 0 else asked
        steps = [text(16) for _ in range(STEPS)]
        right = [draw.randint(0, 16) for _ in steps]
        labels = ["+" if value else "-" for value in right]
        rows.append({
            "question_id": f"q{question}", "image": None, "image_sha256": None, "question": f"{question}: {asked}?",
            "turns": None, "options": ["Left", "Right", "Both", "Neither"], "answer": "Right", "answer_index": 1,
            "modality": "chest_xray", "difficulty": "easy", "clinical_context": None, "group": None, "source": "demo",
            "license": "CC0", "split": "train", "solution_id": f"q{question}/{index}", "solution_index": index,
            "solution": "\n".join(f"Step {n}: {step}" for n, step in enumerate(steps, start=1)), "final_answer": "B",
            "is_correct": bool(index % 2), "generator": None, "step_titles": [""] * STEPS, "steps": steps,
            "rollout_correct": right, "rollout_total": [16] * STEPS,
            "expected_accuracy": [value / 16 for value in right], "chance": 0.25, "judge_labels": labels,
            "judge_reasons": [text(8) for _ in steps], "labels": labels, "label_p": [0.9] * STEPS,
            "label_method": ["consensus"] * STEPS, "review_labels": None, "keep": True,
        })
    return rows


def stream(rows: list[dict[str, Any]], steps: int) -> Iterator[dict[str, Any]]:
    """Rows over and over, until there are as many steps."""
    return itertools.islice(itertools.cycle(rows), steps // STEPS)


def ours(format_id: str, steps: int, folder: str) -> dict[str, float]:
    """Rates (rows a second) and peak memory (MB) of one format; run in a process of its own."""
    rows = pool()
    path = Path(folder) / f"{format_id}{formats.open_format(format_id).extension}"
    start = time.process_time()
    report = formats.write(stream(rows, steps), path, format_id)
    written = time.process_time()
    read = sum(1 for _ in formats.read(path, format_id, problems=[]))
    end = time.process_time()
    lean = sum(1 for _ in formats.read(path, format_id, problems=[], keep=False))
    last = time.process_time()
    found = {"write": report.rows / (written - start), "read": read / (end - written)}
    found.update(lean=lean / (last - end), peak=peak())
    base = plain(path, format_id)
    per_record = {"write": report.rows / report.records, "read": read / report.records}
    for way, rows_per_record in per_record.items():
        found[f"plain {way}"] = base[way] * rows_per_record
    found["plain lean"] = found["plain read"]
    return found


def peak() -> float:
    """Highest resident memory of this process, MB (`ru_maxrss` would count the parent's too)."""
    told = Path("/proc/self/status").read_text()
    return int(told.split("VmHWM:")[1].split()[0]) / 1024


def plain(path: Path, format_id: str) -> dict[str, float]:
    """Records a CPU second of json, line by line, on the first records of the file."""
    found = scan(path, formats.open_format(format_id).inner)
    records = [item.record for item in itertools.islice(found, SAMPLE) if isinstance(item, Item)]
    lines = Path(f"{path}.lines")
    spent = {"write": 0.0, "read": 0.0}
    passes = 0
    while min(spent.values()) < 0.5:  # long enough to meet the same disturbances as ours
        start = time.process_time()
        with lines.open("w", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        written = time.process_time()
        with lines.open(encoding="utf-8") as file:
            for line in file:
                json.loads(line)
        spent["write"] += written - start
        spent["read"] += time.process_time() - written
        passes += 1
    return {way: passes * len(records) / seconds for way, seconds in spent.items()}


def by_datasets(path: Path, folder: str) -> float:
    """Records a CPU second of `datasets.load_dataset("json")`."""
    import datasets

    datasets.disable_progress_bars()
    start = time.process_time()
    loaded = datasets.load_dataset("json", data_files=str(path), cache_dir=f"{folder}/cache", split="train")
    return float(len(loaded) / (time.process_time() - start))


def figure(case: str, metric: str, value: float, unit: str, goal: float | None, below: bool = False) -> dict[str, Any]:
    holds = None if goal is None else value <= goal if below else value >= goal
    return {"case": case, "metric": metric, "value": round(value, 3), "unit": unit, "goal": goal, "holds": holds}


def measure(format_id: str, steps: int, folder: str) -> Iterator[dict[str, Any]]:
    """All figures of one format."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as workers:
        small = workers.apply(ours, (format_id, 10_000, folder))
        found = workers.apply(ours, (format_id, steps, folder))
    path = Path(folder) / f"{format_id}{formats.open_format(format_id).extension}"
    for way, case in (("write", "write"), ("read", "read"), ("lean", "read, keep=False")):
        yield figure(f"{format_id} {case}", "rows_per_s", found[way], "rows/s", None)
        ratio = found[way] / found[f"plain {way}"]
        yield figure(f"{format_id} {case}", "rows_per_s_vs_json", ratio, "ratio", 0.5)
    goal = round(1.2 * small["peak"], 1)
    yield figure(f"{format_id} {steps} steps", "peak_rss_mb", found["peak"], "MB", goal, below=True)
    if path.suffix == ".jsonl":
        records = sum(1 for _ in path.open("rb"))
        rate = by_datasets(path, folder) * (steps // STEPS) / records
        yield figure(f"{format_id} read", "rows_per_s_vs_datasets", found["read"] / rate, "ratio", None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="*", help="format ids; all writers if none")
    parser.add_argument("--json", action="store_true", help="one object a figure and line")
    chosen = parser.parse_args()
    names = chosen.only or [name for name in formats.FORMATS if formats.open_format(name).writes]
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            for found in measure(name, chosen.steps, folder):
                if chosen.json:
                    print(json.dumps(found), flush=True)
                else:
                    verdict = {True: "holds", False: "MISSED", None: ""}[found["holds"]]
                    goal = "" if found["goal"] is None else f"goal {found['goal']}"
                    print(f"{found['case']:<36} {found['metric']:<24} {found['value']:>12,.2f} {found['unit']:<7}"
                          f" {goal:<12} {verdict}", flush=True)


if __name__ == "__main__":
    main()
