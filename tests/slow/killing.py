"""What the kill tests share: a policy of the phantom world that writes down what it is asked for, and the killer.

The policy is offered as a package of its own would offer it, through the entry point `medprm_hf.backend`, so that the
command line and Ray's workers find it: `noted:policy?ms=2`. Its answers depend on the request and the place alone and
are kept in the run's journal; $NOTED_LOG gets a line with the journal's name of each, before it is given.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medprm_hf.backends.journals.journal import place_names
from medprm_hf.backends.protocol import Completion, Reply, Request, Usage
from medprm_hf.phantom.chains import sampled_solution
from medprm_hf.phantom.steps import join, split
from medprm_hf.phantom.world import scene_of

LOG = "NOTED_LOG"
RESULT = ("visualprm.jsonl", "steps.jsonl", "medprm.json", "dropped.jsonl", "dataset/README.md")
STAGES = ("questions", "generate", "rollout", "judge", "calibrate", "merge", "review", "select")


@dataclass
class Noted:
    """A policy that errs as the phantom world's does; after a prefix it goes on from there."""

    model: str
    ms: float = 0.0
    """Milliseconds an answer."""
    journaled = True
    usage: Usage = field(default_factory=Usage)

    @classmethod
    def from_spec(cls, options: str) -> Noted:
        """`policy?ms=2`"""
        target, _, given = options.partition("?ms=")
        return cls(target, float(given or 0))

    @property
    def identity(self) -> str:
        return f"noted:{self.model}"

    @property
    def marks(self) -> str:
        return ""

    def close(self) -> None:
        """Nothing to give back."""

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        replies = []
        for request in requests:
            names = place_names(self.identity, request)
            places = []
            for place, name in enumerate(names):
                with open(os.environ[LOG], "a", encoding="ascii") as log:
                    log.write(f"{os.getpid()} {name}\n")
                time.sleep(self.ms / 1000)
                text = answer(request, place)
                places.append(Completion(text, "stop", len(text.split())))
            replies.append(Reply(tuple(places), 10, "native" if request.prefix else "none"))
            self.usage.add(replies[-1])
        return replies


def answer(request: Request, place: int) -> str:
    """A solution of the question that the key begins with, or the rest of one."""
    scene = scene_of(request.key.partition("/")[0])
    steps = sampled_solution(scene, np.random.default_rng(request.seed(place)))
    done = len(split(request.prefix)) if request.prefix else 0
    return ("\n\n" if done else "") + join(steps[min(done, len(steps) - 1) :])


def plugin(folder: Path) -> None:
    """Makes a folder that offers the policy to every Python that has it on its path."""
    info = folder / "noted-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noted\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[medprm_hf.backend]\nnoted = tests.slow.killing:Noted\n")


def phantom_recipe(questions: int = 24, ms: float = 1.0, shard: int = 4) -> dict[str, Any]:
    """All stages, with images, a simulated judge and a simulated expert."""
    backend = f"noted:policy?ms={ms:g}"
    return {
        "name": "killed",
        "source": {"name": "phantom", "split": "train", "n": questions},
        "stages": list(STAGES),
        "generate": {"backend": backend, "prompt": "bare", "solutions": 3, "temperature": 0.8},
        "rollout": {"backend": backend, "prompt": "bare", "k": 2, "temperature": 0.8},
        "judge": {"backend": "simulated-judge:error=0.15"},
        "calibrate": {"reviewer": "simulated-expert:error=0.02", "share": 0.1},
        "merge": {"policy": "label_model"},
        "review": {"reviewer": "simulated-expert:error=0.02", "order": "value", "share": 0.1},
        "shard_questions": shard,
    }


def log_lines(log: Path) -> list[tuple[int, str]]:
    """Process and name of each answer that was asked for."""
    lines = log.read_text().splitlines() if log.is_file() else []
    return [(int(process), name) for process, _, name in (line.partition(" ") for line in lines)]


def journaled(out: Path) -> set[str]:
    """Names of all answers that are on file."""
    file, found = out / "journal.sqlite", "SELECT hash || ':' || number FROM answers JOIN requests ON id = request"
    if not file.is_file():
        return set()
    with closing(sqlite3.connect(file)) as link:
        try:
            return {name for (name,) in link.execute(found)}
        except sqlite3.OperationalError:  # killed before it had tables
            return set()


def marks(out: Path) -> dict[str, int]:
    """Time of each marker. The source's are left out: it is read again until it is whole, and nothing is paid."""
    return {f"{f.parent.name}/{f.name}": f.stat().st_mtime_ns for f in out.glob("shards/*/*.json") if f.stem != "all"}


def same_result(one: Path, other: Path) -> None:
    """Dataset and exports are equal to the byte."""
    files = sorted(str(file.relative_to(one)) for file in (one / "dataset" / "data").glob("*.parquet"))
    assert files and files == sorted(str(f.relative_to(other)) for f in (other / "dataset" / "data").glob("*.parquet"))
    for name in (*files, *RESULT):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@dataclass
class Kills:
    """A run that is killed again and again, and what is checked at each death."""

    out: Path
    log: Path
    begin: Callable[[], Any]
    """Starts the run as a process, as `multiprocessing.Process`."""
    chance: random.Random
    kills: int = 0
    lost: int = 0
    """Answers that were asked for again: they were in flight."""
    where: Counter[str] = field(default_factory=Counter)

    def kill_when(self, due: Callable[[], bool], longest: float) -> bool:
        """One life: waits until something is due, a random time more, kills; False where the run ended before."""
        known, before, seen = journaled(self.out), marks(self.out), len(log_lines(self.log))
        process = self.begin()
        while process.is_alive() and not due():
            time.sleep(0.005)
        process.join(longest * self.chance.random())
        alive = process.is_alive()
        if alive:
            os.kill(process.pid, signal.SIGKILL)
            self.kills += 1
        process.join()
        assert alive or process.exitcode == 0, f"the run failed with {process.exitcode}"
        self.check(known, before, seen)
        self.where[self.stage()] += alive
        return alive

    def check(self, known: set[str], before: dict[str, int], seen: int) -> None:
        """Nothing that was done or answered before this life was done or asked again."""
        asked = [name for _, name in log_lines(self.log)[seen:]]
        assert known.isdisjoint(asked), "a journaled answer was asked for again"
        after = marks(self.out)
        again = [name for name in before if after.get(name) != before[name]]
        assert not again, f"finished shards were done again: {again}"

    def stage(self) -> str:
        """The last stage that has a marker; `written` once all have."""
        found = [stage for stage in STAGES if any((self.out / "shards" / stage).glob("0*.json"))]
        return found[-1] if found else "source"


def forked(work: Callable[[], Any]) -> Any:
    """A process that does the work; it has imported all that we have."""
    process = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    process.start()
    return process


def kill_workers(log: Path, chance: random.Random, most: int) -> int:
    """Kills, at random moments, the process that has answered last, until the run's policy is done; gives how many."""
    killed, idle = 0, 0
    seen = 0
    while killed < most and idle < 60:
        time.sleep(0.05 + 0.25 * chance.random())
        lines = log_lines(log)
        idle = idle + 1 if killed and len(lines) == seen else 0
        if len(lines) == seen:
            continue
        seen = len(lines)
        try:
            os.kill(lines[-1][0], signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed += 1
    return killed


def may_mount() -> bool:
    """Whether a process here may mount a disk of its own."""
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0
