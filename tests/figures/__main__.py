"""Runs every benchmark and study, keeps what they print, and rewrites docs/results.md and its pictures.

    python -m tests.figures                          the default set: quick sizes, some 40 minutes on two quiet cores
    python -m tests.figures --full                   every long one: hours
    python -m tests.figures --only evidence space    some of them
    python -m tests.figures --page                   runs nothing: page and pictures from what is kept
    python -m tests.figures --readme                 README's block too, between its markers
    python -m tests.figures --list                   what there is

A stopped run goes on where it was: what has been measured for this code is kept (--again measures it anew).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.figures import collect, page, readme
from tests.figures.registry import ROOT, Job, everything, jobs

OUT = ROOT / "docs" / "figures"


def measure(chosen: list[Job], out: Path, again: bool) -> int:
    """Runs what is not measured yet, one after the other; gives the number that failed."""
    file, order = out / "results.jsonl", [job.key for job in everything()]
    failed = 0
    for number, job in enumerate(chosen, 1):
        commit = collect.commit_now()
        head = f"[{number}/{len(chosen)}] {job.name} ({job.size}, some {job.minutes:g} min)"
        if not again and collect.measured(collect.read(file), job, commit):
            print(f"{head}: measured at {commit} already", flush=True)
            continue
        print(f"{head} …", flush=True)
        started = time.monotonic()
        own = collect.run(job, commit)
        others = [line for line in collect.read(file) if collect.key_of(line) != job.key]  # read late: others may write
        lines = collect.write(file, [*others, *own], order)
        page.write_page(lines, out.parent / "results.md", out)
        failed += "failed" in own[0]
        told = own[0].get("failed") or f"{len(own)} figures"
        print(f"    {told} ({time.monotonic() - started:.0f} s)", flush=True)
    return failed


def main() -> int:
    """Reads the command line; the exit code is 1 where a benchmark failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="long sizes")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="some benchmarks")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of results.jsonl and the pictures")
    parser.add_argument("--again", action="store_true", help="measure what has been measured too")
    parser.add_argument("--page", action="store_true", help="run nothing, rewrite the page")
    parser.add_argument(
        "--readme", action="store_true", help="rewrite README's block, too; with no other word, only that"
    )
    parser.add_argument("--list", action="store_true", help="what there is")
    given = parser.parse_args()
    try:
        chosen = jobs(given.full, given.only)
    except ValueError as error:
        parser.error(str(error))
    if given.list:
        for job in chosen:
            print(f"{job.name:20} {job.size:6} {job.minutes:4g} min  {job.shows}")
        return 0
    still = given.page or (given.readme and not (given.full or given.only))
    failed = 0 if still else measure(chosen, given.out, given.again)
    lines = collect.read(given.out / "results.jsonl")
    if still:
        page.write_page(lines, given.out.parent / "results.md", given.out)
    if given.readme:
        file = ROOT / "README.md"
        file.write_text(readme.placed(file.read_text(encoding="utf-8"), lines), encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
