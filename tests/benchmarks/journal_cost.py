"""What the journal costs: CPU seconds for 1,000 answers of 2 KB, their names and lookups included.

    .venv/bin/python tests/benchmarks/journal_cost.py [--answers 4000] [--n 1 16] [--json]

Each answer's request has a question of 1.4 KB and a prefix of its own, as a rollout's has; `image200` gives every 16
requests one image of 200 KB, which is hashed once a turn. `alone` commits every response by itself, `group` sixteen
together (`journal_group.py` does that with what arrives in one turn of the event loop). Settings other than
synchronous=NORMAL are measured for comparison; the goal, 0.1 s, is for the one that is used.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medprm_hf.backends import Completion, Message, Request
from medprm_hf.backends.journals import journal_file
from medprm_hf.backends.journals.journal import Entry, Journal, place_names

MODEL = "openai:tiny"
ANSWER = "Step 3: The lesion lies in the left upper lobe. " * 40
QUESTION = "A question, its options, and how to answer. " * 32
GOAL = 0.1


def requests(answers: int, n: int, image: int) -> Iterator[Request]:
    """Requests of n draws, 16 with one turn in common."""
    for number in range(answers // n):
        if number % 16 == 0:
            turn = Message("user", f"{number} {QUESTION}", (os.urandom(image),) if image else ())
        yield Request((turn,), n, prefix=ANSWER[: number % 400], key=f"q{number}")


def measured(answers: int, n: int, image: int, group: int, sync: str) -> dict[str, float]:
    """CPU and wall seconds a 1,000 answers: names and a lookup in vain, recording, a lookup that finds all."""
    journal_file.PRAGMAS = ("journal_mode=WAL", f"synchronous={sync}")
    asked = list(requests(answers, n, image))
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal.sqlite") as journal:
        journal.answers(["0:0"])
        started, clock = time.process_time(), time.perf_counter()
        names = [place_names(MODEL, request) for request in asked]
        for start in range(0, len(names), 64):
            journal.answers([name for own in names[start : start + 64] for name in own])
        named = time.process_time()
        for start in range(0, len(asked), group):
            pairs = zip(asked[start : start + group], names[start : start + group], strict=True)
            journal.record([entry for request, own in pairs for entry in entries(request, own)])
        written, wall = time.process_time(), time.perf_counter()
        found = journal.answers([name for own in names for name in own])
        ended = time.process_time()
    assert len(found) == len(asked) * n
    scale = 1000 / len(found)
    return {
        "cpu_s_per_1000": (written - started) * scale,
        "cpu_s_per_1000_names_and_lookup": (named - started) * scale,
        "cpu_s_per_1000_found": (ended - written) * scale,
        "wall_s_per_1000": (wall - clock) * scale,
    }


def entries(request: Request, names: list[str]) -> list[Entry]:
    """One response that answers all places."""
    done = Completion(ANSWER, "stop", 300)
    return [Entry(name, MODEL, request, place, done, 0 if place else 400) for place, name in enumerate(names)]


def main() -> None:
    """Prints one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=4000)
    parser.add_argument("--n", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    for kind, image in (("text", 0), ("image200", 200_000)):
        for n in given.n:
            for sync in ("NORMAL", "FULL", "OFF") if kind == "text" else ("NORMAL",):
                for how, group in (("alone", 1), ("group", 16)):
                    figures = measured(given.answers, n, image, group, sync)
                    for metric, value in figures.items():
                        say(f"{kind}/n={n}/{sync}/{how}", metric, value, given.json)


def say(case: str, metric: str, value: float, as_json: bool) -> None:
    """One figure on one line."""
    goal = GOAL if metric == "cpu_s_per_1000" and "NORMAL" in case else None
    line: dict[str, Any] = {"case": case, "metric": metric, "value": round(value, 4), "unit": "s"}
    line |= {"goal": goal, "holds": None if goal is None else value <= goal}
    print(json.dumps(line) if as_json else f"{case:26} {metric:34} {value:8.4f} s", flush=True)


if __name__ == "__main__":
    main()
