"""The Space: seconds to its first page, seconds a score takes, and a dataset of 200,000 solutions in the Explore tab.

    .venv/bin/python tests/benchmarks/space.py                       (about two minutes)
    .venv/bin/python tests/benchmarks/space.py --rows 20000 --json

`start` is `medprm space` in a process of its own, until the first page and until the first score (the model is loaded
by then). `score` is a whole request over HTTP with the shipped phantom model, image included. `explore` is what the
index of so many rows of six steps costs, and what a page of any of them does; the images of its rows are 8 kB of noise.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
GROUP = 1_000
"""Rows of a row group."""
START_GOAL = 15.0
"""Seconds (issue of the Space)."""


def figure(case: str, metric: str, value: float, unit: str, goal: float | None = None) -> dict[str, Any]:
    """One line; every goal here is an upper bound."""
    holds = None if goal is None else value <= goal
    return {"case": case, "metric": metric, "value": round(value, 4), "unit": unit, "goal": goal, "holds": holds}


def started() -> Iterator[dict[str, Any]]:
    """Start and score, of one real server."""
    from tests.space.conftest import ask, space

    with tempfile.TemporaryDirectory(prefix="medprm-space-") as folder:
        begun = time.perf_counter()
        with space(Path(folder), MEDPRM_SCORES_PER_MINUTE="1000000") as url:
            yield figure("start", "first page", time.perf_counter() - begun, "s", START_GOAL)
            several = ask(f"{url}score/api/examples/several")[1]
            ask(f"{url}score/api/score", several)
            yield figure("start", "first score", time.perf_counter() - begun, "s")
            one = {**several, "solutions": several["solutions"][:1]}
            forty = {**one, "solutions": ["\n\n".join(f"Largest: left upper, {n}." for n in range(40))]}
            for case, body in (("1 solution", one), ("4 solutions", several), ("40 steps", forty)):
                seconds = [timed(url, body, number) for number in range(20)]
                yield figure(f"score, {case}", "median", 1000 * statistics.median(seconds), "ms")
                yield figure(f"score, {case}", "slowest of 20", 1000 * max(seconds), "ms")


def timed(url: str, body: dict[str, Any], number: int) -> float:
    """Seconds of one request; each has a question of its own, so that nothing is remembered."""
    from tests.space.conftest import ask

    begun = time.perf_counter()
    status, told = ask(f"{url}score/api/score", {**body, "question": f"{body['question']} ({number})"})
    assert status == 200, told
    return time.perf_counter() - begun


def write(file: Path, rows: int, seed: int = 0) -> None:
    """A dataset as a run leaves it, in row groups of 1,000."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw = np.random.default_rng(seed)
    writer = None
    for first in range(0, rows, GROUP):
        count = min(GROUP, rows - first)
        p = draw.random((count, 6)).round(4)
        labels = np.where(p > 0.5, "+", "-")
        table = pa.table({
            "question_id": [f"q{(first + n) // 4}" for n in range(count)],
            "solution_id": [f"q{(first + n) // 4}-s{n % 4}" for n in range(count)],
            "image": [{"bytes": draw.bytes(8_000), "path": None} for _ in range(count)],
            "question": [f"What does image {(first + n) // 4} show?" for n in range(count)],
            "modality": draw.choice(["ct_scan", "chest_xray", "pathology"], count),
            "difficulty": draw.choice(["easy", "medium", "hard"], count),
            "source": ["benchmark"] * count, "split": ["train"] * count, "keep": [True] * count,
            "is_correct": draw.random(count) > 0.4,
            "steps": [[f"Step text {n} of some length, as a model writes it." for n in range(6)]] * count,
            "labels": labels.tolist(), "label_p": p.tolist(), "judge_labels": labels[:, ::-1].tolist(),
            "label_method": [["consensus:agree"] * 6] * count, "expected_accuracy": p.tolist(),
            "needs_review": (p > 0.7).tolist(), "review_labels": [["?"] * 6] * count,
            "judge_reasons": [["a reason of some length"] * 6] * count,
        })  # fmt: skip
        writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
        writer.write_table(table)
    if writer is not None:
        writer.close()


def resident() -> float:
    """MB of this process in memory now (a peak would be the parent's)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _explore(file: str, answer: Any) -> None:
    """Figures of a process that does nothing else."""
    from medprm_hf.app.explore_api import page_of, whole_row
    from medprm_hf.app.tables import Table

    before = resident()
    table = Table(file)
    begun = time.perf_counter()
    rows = table.index().rows
    seconds, grown = time.perf_counter() - begun, resident() - before
    pages = []
    for number in range(20):
        begun = time.perf_counter()
        page_of(table, {"label": ["-"], "modality": ["ct_scan"]}, number * rows // 2000)
        pages.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    whole_row(table, rows - 1)
    answer.put({"rows": rows, "seconds": seconds, "mb": grown, "page": pages, "row": time.perf_counter() - begun})


def explored(rows: int) -> Iterator[dict[str, Any]]:
    """The index and pages of a dataset of so many rows."""
    with tempfile.TemporaryDirectory(prefix="medprm-explore-") as folder:
        file = Path(folder) / "train.parquet"
        write(file, rows)
        case = f"explore, {rows} rows ({file.stat().st_size / 1e6:.0f} MB)"
        context = multiprocessing.get_context("spawn")
        answer = context.Queue()
        process = context.Process(target=_explore, args=(str(file), answer))
        process.start()
        found = answer.get(timeout=600)
        process.join()
    yield figure(case, "index", found["seconds"], "s")
    yield figure(case, "memory grown", found["mb"], "MB")
    yield figure(case, "page, median of 20", 1000 * statistics.median(found["page"]), "ms")
    yield figure(case, "one row with its signals", 1000 * found["row"], "ms")


def main() -> None:
    """The command line."""
    sys.path.insert(0, str(ROOT))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that its temporary folders go with it
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rows", type=int, default=200_000)
    asked.add_argument("--json", action="store_true")
    given = asked.parse_args()
    for made in (started(), explored(given.rows)):
        for one in made:
            goal = f" (goal {one['goal']:g})" if one["goal"] is not None else ""
            print(
                json.dumps(one)
                if given.json
                else f"{one['case']:34} {one['metric']:26} {one['value']:10.3f} {one['unit']}{goal}",
                flush=True,
            )


if __name__ == "__main__":
    main()
