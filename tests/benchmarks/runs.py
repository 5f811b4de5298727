"""What a run costs beside the work itself: against `datasets.map`, in memory, when resumed, and when its set is loaded.

    .venv/bin/python tests/benchmarks/runs.py [--rows 100000] [--json]          about 15 minutes
    .venv/bin/python tests/benchmarks/runs.py --rows 5000 --only overhead load  a minute

overhead_vs_map   CPU seconds of a stage that only copies a column, over those of `datasets.map` with the same function
                  on the same rows in batches of a shard's size; nothing cached; the best of three. Goal 1.2.
peak_rss_mb       peak memory of a process that reads the source, carries two stages out and writes dataset, export and
                  report, at 10,000 and 200,000 rows. Goal: 1.2 times the smaller.
resume_s          wall seconds to find that a finished run is finished: 7 stages, shards of 40 questions. Goal 10.
load_vs_jsonl     seconds of `load_dataset` of the run's dataset over those of the same rows as JSONL, nothing cached.

Rows are text of about 1 KB (and, in the cases `image`, a PNG of 20 KB each); no model is asked.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from medprm_hf.ids import bytes_hash
from medprm_hf.recipe import parse
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.seal import complete
from medprm_hf.runs.shards import Shards
from medprm_hf.runs.source import ROWS, SOURCE_COLUMNS, HandedOver
from medprm_hf.schema import written_by

WORDS = "nodule opacity left right upper lower zone effusion blunted angle solid ground glass follow up biopsy".split()
OPTIONS = ["none", "CT", "biopsy", "wait"]
SMALL, LARGE = 10_000, 200_000
Batch = dict[str, list[Any]]


def copy_column(batch: Mapping[str, list[Any]]) -> Batch:
    """The function that is measured: a column is copied."""
    return {"extra": batch["question"]}


@dataclass(frozen=True)
class Copy:
    """The same as a stage; `kind` only names its folder."""

    kind: str = "copy"
    reads: ClassVar[tuple[str, ...]] = ("question_id", "question")
    uses: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ("extra",)

    @property
    def name(self) -> str:
        """Its word."""
        return self.kind

    def check(self) -> None:
        """Nothing can be wrong."""

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """The copy, and no errors."""
        return copy_column(batch) | {"errors": [[]] * len(batch["question"])}


@dataclass(frozen=True)
class Solve:
    """Stands for the stages that make solutions: one of five steps a question, with labels, from no model."""

    name: ClassVar[str] = "solve"
    reads: ClassVar[tuple[str, ...]] = ("question_id", "question")
    uses: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = (*written_by("generate"), "labels", "label_p", "label_method", "needs_review")

    def check(self) -> None:
        """Nothing can be wrong."""

    def __call__(self, batch: Mapping[str, list[Any]]) -> Batch:
        """Columns of a solution for each question."""
        rows = [_solution(*pair) for pair in zip(batch["question_id"], batch["question"], strict=True)]
        return {name: [row[name] for row in rows] for name in self.writes} | {"errors": [[]] * len(rows)}


def _solution(name: str, question: str) -> dict[str, Any]:
    words = question.split()
    steps = [" ".join(words[i : i + 18]) for i in range(0, 90, 18)]
    return {
        "solution_id": f"{name}/0", "solution_index": 0, "solution": "\n".join(steps), "final_answer": "B",
        "is_correct": True, "generator": None, "step_titles": [""] * 5, "steps": steps, "labels": ["+"] * 4 + ["-"],
        "label_p": [0.9] * 4 + [0.2], "label_method": ["none"] * 5, "needs_review": [False] * 5,
    }  # fmt: skip


def questions(count: int, image: int = 0) -> Iterator[dict[str, Any]]:
    """Question rows as a source gives them; `image`: bytes of a picture."""
    draw = random.Random(0)
    for number in range(count):
        data = b"\x89PNG" + draw.randbytes(image) if image else None
        yield dict.fromkeys(SOURCE_COLUMNS) | {
            "question_id": f"q{number}", "question": " ".join(draw.choices(WORDS, k=130)), "options": OPTIONS,
            "answer": "CT", "answer_index": 1, "modality": "text", "source": "made", "license": "CC0-1.0",
            "image": {"bytes": data, "path": f"{number}.png"} if data else None, "image_notes": [],
            "image_sha256": bytes_hash(data) if data else None,
        }  # fmt: skip


def run_of(directory: Path, stages: tuple[Any, ...], shard: int, rows: Iterator[dict[str, Any]] | None) -> Run:
    """A run of stages that no recipe names."""
    recipe = parse({"source": {"name": ROWS}, "shard_questions": shard, "exports": ["steps-jsonl"]})
    directory.mkdir(parents=True, exist_ok=True)
    given = None if rows is None else HandedOver(rows)
    return Run(directory, recipe.model_copy(update={"stages": ()}), stages, Shards(directory), given)


def cpu(work: Callable[[], Any]) -> float:
    """CPU seconds of the process."""
    started = time.process_time()
    work()
    return time.process_time() - started


def overhead(count: int, folder: Path) -> Iterator[dict[str, Any]]:
    """One stage, ours and theirs in batches of one size, the source read before in both."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    for image, rows in ((0, count), (20_000, count // 10)):
        first = run_of(folder / f"source{image}", (), 1000, questions(rows, image))
        first.build()
        complete(first)
        files = [str(file) for file in sorted((first.directory / "dataset" / "data").iterdir())]
        table = Dataset.from_parquet(files, cache_dir=str(folder / "cache"))
        for shard in (1000, 400, 40):
            case = f"{'image' if image else 'text'}, {rows} rows, {shard} a shard"
            run = run_of(folder / f"run{image}-{shard}", (Copy(),), shard, questions(rows, image))
            run.read_source()
            pairs = [(mapped(table, shard, folder), built(run, f"copy{i}")) for i in range(3)]
            theirs, ours = (min(times) for times in zip(*pairs, strict=True))
            yield figure(case, "map_cpu_us_a_row", theirs / rows * 1e6, "us")
            yield figure(case, "run_cpu_us_a_row", ours / rows * 1e6, "us")
            yield figure(case, "overhead_vs_map", ours / theirs, "x", 1.2)


def mapped(table: Any, size: int, folder: Path) -> float:
    """CPU seconds of `map`, into a file of its own."""
    file = folder / f"map{time.monotonic_ns()}.arrow"
    return cpu(lambda: table.map(copy_column, batched=True, batch_size=size, cache_file_name=str(file)))


def built(run: Run, name: str) -> float:
    """CPU seconds of one stage over the shards of a run."""
    return cpu(lambda: run_of(run.directory, (Copy(name),), run.recipe.shard_questions, None).build())


def peak(count: int) -> Iterator[dict[str, Any]]:
    """Each size in a process of its own."""
    sizes = [SMALL, LARGE] if count >= LARGE // 2 else [count // 10, count]
    found: list[float] = []
    for size in sizes:
        command = [sys.executable, __file__, "--child", str(size)]
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": "."})
        found.append(float(said.stdout.split()[-1]))
        goal = 1.2 * found[0] if len(found) > 1 else None
        yield figure(f"{size} rows", "peak_rss_mb", found[-1], "MB", goal)


def child(count: int) -> None:
    """A whole run; prints the process's peak memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        run = run_of(Path(folder), (Solve(), Copy()), 40, questions(count))
        run.build()
        complete(run)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def resume(count: int, folder: Path) -> Iterator[dict[str, Any]]:
    """The second look at a finished run of seven stages, and the first writing of its dataset, export and report."""
    stages = (Solve(), *(Copy(f"copy{i}") for i in range(6)))
    run = run_of(folder / "whole", stages, 40, questions(count))
    started = time.perf_counter()
    run.build()
    yield figure(f"{count} rows", "build_s", time.perf_counter() - started, "s")
    started = time.perf_counter()
    complete(run)
    yield figure(f"{count} rows", "finish_s", time.perf_counter() - started, "s")
    started = time.perf_counter()
    again = run_of(folder / "whole", stages, 40, None)
    worked, (_, wrote) = again.build(), complete(again)
    assert not worked and not wrote
    yield figure(f"{count} rows, {again.shard_count()} x 7 shards", "resume_s", time.perf_counter() - started, "s", 10)


def load(count: int, folder: Path) -> Iterator[dict[str, Any]]:
    """`load_dataset` of a run's dataset, and of its rows as JSONL."""
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    directory = folder / "whole"
    if not (directory / "dataset").is_dir():
        run = run_of(directory, (Solve(), Copy("copy0")), 400, questions(count))
        run.build()
        complete(run)
    numbers = itertools.count()

    def loaded(*given: Any, **more: Any) -> float:
        return cpu(lambda: load_dataset(*given, split="train", cache_dir=str(folder / f"load{next(numbers)}"), **more))

    table = load_dataset(str(directory / "dataset"), split="train", cache_dir=str(folder / "once"))
    table.to_json(folder / "rows.jsonl")
    parquet = min(loaded(str(directory / "dataset")) for _ in range(3))
    lines = min(loaded("json", data_files=str(folder / "rows.jsonl")) for _ in range(3))
    yield figure(f"{len(table)} rows", "load_parquet_cpu_s", parquet, "s")
    yield figure(f"{len(table)} rows", "load_jsonl_cpu_s", lines, "s")
    yield figure(f"{len(table)} rows", "load_vs_jsonl", parquet / lines, "x", 1.0)


def figure(case: str, metric: str, value: float, unit: str, goal: float | None = None) -> dict[str, Any]:
    """One line."""
    holds = None if goal is None else value <= goal
    return {"case": case, "metric": metric, "value": value, "unit": unit, "goal": goal, "holds": holds}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only", nargs="+", choices=("overhead", "memory", "resume", "load"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(given.child)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
            "overhead": lambda: overhead(given.rows, folder),
            "memory": lambda: peak(given.rows),
            "resume": lambda: resume(given.rows, folder),
            "load": lambda: load(given.rows, folder),
        }
        for part in given.only or parts:
            for line in parts[part]():
                told = f"{line['case']:38} {line['metric']:20} {line['value']:9.2f} {line['unit']}"
                print(json.dumps(line) if given.json else told, flush=True)


if __name__ == "__main__":
    main()
