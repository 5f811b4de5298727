"""How full the rollout stage keeps a server, and what a completion costs the client.

    python -m tests.benchmarks.rollout_throughput [--base-url URL] [--concurrency 64 256] [--n 1 16]
        [--image-kb 0 200] [--requests N] [--long] [--repeats 3] [--json]

The public path is taken: `Rollout(…)` called on batches of a table of solutions, with a journal open. The server, in
a process of its own, answers each call after 100 ms (`latency_server.py`); --base-url takes another, whose latency
--latency states. Each case runs in a fresh process; the figures are medians of the repeats. An image is shared by the
20 prefixes of a question's 4 solutions.

    share_of_ideal    completions per second of wall time, from the first batch's start to the last one's end, as a
                      share of n * concurrency / latency. Goals for n = 1: with n = 16 the ideal is 10,240 completions
                      a second at 64 slots already, more than two cores can read
    cpu_s_per_1000    CPU seconds of the client's process per 1,000 completions, journal, prompts and reading of
                      the answers included
    peak_rss_mb       of the client's process, Python and the libraries included
    rss_growth_mb     --long: peak of 100,000 requests less that of 10,000

`datasets.map` with the openai client, one call a row, is the loop that most would write; it is measured beside, on
fewer requests. The machine's load is printed: on a busy one shares fall and CPU seconds rise.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.latency_server import TEXT, latency_server

STEPS, SOLUTIONS = 6, 4
PREFIXES = (STEPS - 1) * SOLUTIONS
"""Requests of a question: the prefixes of its solutions, whole ones left out."""
BATCH = 10_000
"""Requests of a batch, as `map(batch_size=2000)` would bring; with images fewer, for the table holds them too."""
BATCH_WITH_IMAGES = 2_000
PEER = "datasets.map+openai"
CPU_GOAL, RSS_GOAL = 0.3, 250.0


@dataclass(frozen=True)
class Case:
    """One cell of the measurement."""

    n: int
    concurrency: int
    image_kb: int
    requests: int
    latency: float
    who: str = "ours"

    @property
    def name(self) -> str:
        kind = f"image{self.image_kb}" if self.image_kb else "text"
        name = f"{kind}/n={self.n}/{self.concurrency}"
        return name if self.who == "ours" else f"{self.who} {name}"

    @property
    def share_goal(self) -> float | None:
        if self.n > 1 or self.who != "ours" or (self.image_kb and self.concurrency > 64):
            return None
        return 0.95 if self.concurrency <= 64 and not self.image_kb else 0.9


def questions(case: Case) -> Iterator[list[dict[str, Any]]]:
    """The solutions of one question after the other, as the stage reads them."""
    chance, vocabulary = random.Random(0), TEXT.partition("Answer")[0].split()
    for number in range(-(-case.requests // PREFIXES)):
        words = " ".join(chance.choices(vocabulary, k=60))
        question = {
            "question_id": f"q{number}",
            "image": {"bytes": noise(case.image_kb, number), "path": None} if case.image_kb else None,
            "question": f"{number}: {words}?",
            "turns": None,
            "options": ["benign", "malignant", "normal", "cannot be told"],
            "answer": "malignant",
            "answer_index": 1,
            "clinical_context": None,
        }
        rows = []
        for solution in range(SOLUTIONS):
            steps = [f"{' '.join(chance.choices(vocabulary, k=20))} ({solution}.{i})." for i in range(STEPS - 1)]
            steps.append("Answer: B")
            written = {"solution": "\n\n".join(steps), "steps": steps, "final_answer": "B", "is_correct": True}
            rows.append(question | written)
        yield rows


def noise(kilobytes: int, seed: int) -> bytes:
    """A grey picture of that size that PNG cannot make smaller."""
    import numpy as np
    from PIL import Image

    side = int((kilobytes * 1024) ** 0.5)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def batches(case: Case) -> Iterator[dict[str, list[Any]]]:
    """Columns of whole questions."""
    size, rows = (BATCH_WITH_IMAGES if case.image_kb else BATCH) // (STEPS - 1), []
    for solutions in questions(case):
        rows += solutions
        if len(rows) >= size:
            yield {name: [row[name] for row in rows] for name in rows[0]}
            rows = []
    if rows:
        yield {name: [row[name] for row in rows] for name in rows[0]}


def ours(case: Case, base_url: str, folder: Path) -> dict[str, float]:
    """The stage, journal on."""
    from medprm_hf.backends.books import open_books
    from medprm_hf.stages.rollout import Rollout

    spec = f"openai:tiny?base_url={base_url}&concurrency={case.concurrency}"
    stage = Rollout(backend=spec, k=case.n, max_tokens=256)
    waiting, done, wall, cpu = batches(case), 0, 0.0, 0.0
    with open_books(journal=folder / "journal.sqlite"):
        stage.check()
        for batch in waiting:  # making the table is not part of the stage
            begun, used = time.perf_counter(), time.process_time()
            out = stage(batch)
            wall, cpu = wall + time.perf_counter() - begun, cpu + time.process_time() - used
            got = sum(sum(row[:-1]) for row in out["rollout_total"])
            assert got == case.n * (STEPS - 1) * len(out["rollout_total"]), "a rollout is missing"
            done += got
    return figures(case, done, wall, cpu)


def peer(case: Case, base_url: str) -> dict[str, float]:
    """One call a row, in datasets.map."""
    import base64

    from datasets import Dataset
    from openai import OpenAI

    client = OpenAI(base_url=base_url, api_key="none")
    rows = [row for solutions in questions(case) for row in solutions for _ in row["steps"][1:]][: case.requests]
    images = [row["image"] and row["image"]["bytes"] for row in rows]
    table = Dataset.from_dict({"question": [row["question"] for row in rows], "image": images})

    def ask(row: dict[str, Any]) -> dict[str, list[str | None]]:
        content: list[Any] = [{"type": "text", "text": row["question"]}]
        if row["image"]:
            url = f"data:image/png;base64,{base64.b64encode(row['image']).decode()}"
            content.insert(0, {"type": "image_url", "image_url": {"url": url}})
        message: Any = {"role": "user", "content": content}
        found = client.chat.completions.create(model="tiny", messages=[message], n=case.n, max_tokens=256)
        return {"answers": [choice.message.content for choice in found.choices]}

    begun, used = time.perf_counter(), time.process_time()
    out = table.map(ask)
    wall, cpu = time.perf_counter() - begun, time.process_time() - used
    return figures(case, sum(map(len, out["answers"])), wall, cpu)


def figures(case: Case, done: int, wall: float, cpu: float) -> dict[str, float]:
    """What is reported of a process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ideal = case.n * case.concurrency / case.latency
    return {"share_of_ideal": done / wall / ideal, "cpu_s_per_1000": 1000 * cpu / done, "peak_rss_mb": peak}


def measured(case: Case, base_url: str, repeats: int) -> dict[str, float]:
    """Medians over fresh processes."""
    found = []
    for _ in range(repeats):
        command = [sys.executable, "-m", "tests.benchmarks.rollout_throughput", "--worker", json.dumps(asdict(case))]
        quiet = {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        with tempfile.TemporaryDirectory() as folder:
            quiet["HF_HOME"] = folder
            out = subprocess.run(
                [*command, "--base-url", base_url], env=os.environ | quiet, capture_output=True, text=True, check=False
            )
        if out.returncode:
            raise SystemExit(f"{case.name} failed:\n{out.stderr[-3000:]}")
        found.append(json.loads(out.stdout.splitlines()[-1]))
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """All cells that were asked for, and the peer's beside."""
    for image_kb in options.image_kb:
        for n in options.n:
            for slots in options.concurrency:
                rounds = 100 if n == 1 and not image_kb else 25
                requests = options.requests or slots * rounds
                yield Case(n, slots, image_kb, requests, options.latency)
            yield Case(n, options.concurrency[0], image_kb, 60, options.latency, PEER)


def report(case: str, metric: str, value: float, goal: float | None, as_json: bool) -> None:
    """One figure."""
    more = metric == "share_of_ideal"
    holds = None if goal is None else (value >= goal if more else value <= goal)
    unit = {"cpu_s_per_1000": "s", "share_of_ideal": "share"}.get(metric, "MB")
    if as_json:
        line = {"case": case, "metric": metric, "value": round(value, 4), "unit": unit, "goal": goal, "holds": holds}
        print(json.dumps(line), flush=True)
    else:
        aim = "" if goal is None else f"   goal {'>=' if more else '<='} {goal:g}: {'holds' if holds else 'MISSED'}"
        print(f"{case:36} {metric:16} {value:9.3f} {unit:6}{aim}", flush=True)


def run(options: argparse.Namespace, base_url: str) -> None:
    """Measures and reports every case."""
    for case in cases(options):
        mine = case.who == "ours"
        goals = {"share_of_ideal": case.share_goal}
        if mine:
            goals |= {"cpu_s_per_1000": CPU_GOAL, "peak_rss_mb": RSS_GOAL}
        for metric, value in measured(case, base_url, options.repeats if mine else 1).items():
            report(case.name, metric, value, goals.get(metric), options.json)
    if options.long:
        peaks = []
        for requests in (10_000, 100_000):
            case = Case(1, max(options.concurrency), 0, requests, options.latency)
            found = measured(case, base_url, 1)
            peaks.append(found["peak_rss_mb"])
            for metric, value in found.items():
                goal = {"peak_rss_mb": RSS_GOAL, "share_of_ideal": case.share_goal}.get(metric, CPU_GOAL)
                report(f"{case.name}/{requests}", metric, value, goal, options.json)
        report("text/100000-10000", "rss_growth_mb", peaks[1] - peaks[0], 25.0, options.json)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", help="a server of fixed latency; default: one of our own")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds of a call")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--n", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--image-kb", type=int, nargs="+", default=[0, 200])
    parser.add_argument("--requests", type=int, help="of each case; default: 100 rounds of all slots, else 25")
    parser.add_argument("--long", action="store_true", help="10,000 and 100,000 requests beside each other")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        case = Case(**json.loads(options.worker))
        with tempfile.TemporaryDirectory() as folder:
            own = case.who == "ours"
            found = ours(case, options.base_url, Path(folder)) if own else peer(case, options.base_url)
        print(json.dumps(found))
        return
    if not options.json:
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if options.base_url:
        run(options, options.base_url)
    else:
        with latency_server(options.latency) as base_url:
            run(options, base_url)


if __name__ == "__main__":
    main()
