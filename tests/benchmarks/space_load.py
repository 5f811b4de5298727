"""Load on the review store: 30 simulated reviewers over HTTP on 100,000 open steps, and a server that is killed.

    python -m tests.benchmarks.space_load --json           100,000 open steps, 30 people, 2 s a step: 10 minutes' worth
    python -m tests.benchmarks.space_load --minutes 1 --steps 10000

A real uvicorn server runs the real routes in a process of its own. What 30 people who take 2 s a step decide in
`--minutes` minutes is replayed in three phases:

    pace     at their own pace, for a tenth of the time: the delays that a person feels; they come one after another
    dense    the rest of the decisions, ten times as dense (given up after three times the time that takes)
    full     as fast as the server answers, for 20 seconds

In the middle of `dense` the server is killed with -9 and started again; a reviewer sends again what was not
acknowledged. At the end the file is compared with what every reviewer was told: each acknowledged decision stands there
once, and none that nobody sent. Reviewers are *simulated*: they answer + or - by a draw, and measure nothing but time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from medprm_hf.review.settings import StoreSettings
from medprm_hf.review.store import ReviewStore

ROOT = Path(__file__).parents[2]
SECONDS_A_STEP = 2.0
SAVED, NEXT = 0.1, 0.2
"""Goals: p95 of a key to saved, and of the next item, in seconds."""
DENSE = 10.0
"""How much denser the second phase is."""
FULL_SECONDS = 20.0
SERVER = """
import sys
from pathlib import Path
import uvicorn
from fastapi import FastAPI
from medprm_hf.app.identity import Identities
from medprm_hf.app.review_api import review_router
from medprm_hf.review.store import ReviewStore
from medprm_hf.app.settings import AppSettings
store = ReviewStore(Path(sys.argv[1]))
app = FastAPI()
app.include_router(review_router(store, Identities(secret="load"), AppSettings(blind=True)))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error", access_log=False)
"""
_TEXT = "The nodule in the left upper lobe measures 7 mm and has a smooth margin, as the reference passage says. "


def rows(steps: int, each: int = 6) -> Iterator[dict[str, Any]]:
    """Solutions with `steps` doubtful steps in all, four of a question, with texts of usual length."""
    for number in range(-(-steps // each)):
        question, count = f"q{number // 4:06d}", min(each, steps - number * each)
        yield {
            "question_id": question, "solution_id": f"{question}-s{number % 4}", "solution_index": number % 4,
            "question": f"Which follow-up for {question}?", "options": ["none", "CT", "biopsy", "surgery"],
            "answer": "CT", "answer_index": 1, "modality": ("ct_scan", "chest_xray")[number % 2], "difficulty": "hard",
            "source": "load", "license": "CC0-1.0", "image": None,
            "steps": [f"{number}.{step}: {_TEXT * 2}" for step in range(count)],
            "labels": ["+"] * count, "label_p": [0.5 + (number * 7 + step) % 50 / 100 for step in range(count)],
            "needs_review": [True] * count, "judge_labels": ["+"] * count, "judge_confidence": ["low"] * count,
            "judge_reasons": [_TEXT * 3] * count, "judge_citations": [[]] * count, "judge_errors": [None] * count,
            "evidence": [{"id": f"g{i}", "text": _TEXT * 12, "source": "book", "license": "x", "score": 1.0}
                         for i in range(5)],
        }  # fmt: skip


class Server:
    """The review routes in a process of their own."""

    def __init__(self, store: Path) -> None:
        self.store = store
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the routes are."""
        return f"http://127.0.0.1:{self.port}/review/api"

    def start(self) -> float:
        """Starts and waits until it answers; gives the seconds that took."""
        begun = time.monotonic()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.store), str(self.port)], env=environment
        )
        while time.monotonic() - begun < 60:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return time.monotonic() - begun
            time.sleep(0.05)
        raise RuntimeError("the server did not start within 60 s")

    def kill(self) -> None:
        """Ends it as a power cut would: -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@dataclass
class Phase:
    """What was measured in one phase."""

    saved: list[float] = field(default_factory=list)
    """Seconds from a key to its acknowledgement."""
    next: list[float] = field(default_factory=list)
    """Seconds to the next item."""
    begun: float = 0.0
    seconds: float = 0.0


@dataclass
class Team:
    """The simulated reviewers and what they were told."""

    url: str
    phase: Phase = field(default_factory=Phase)
    sent: dict[str, tuple[str, str, int, str]] = field(default_factory=dict)
    """{key: (reviewer, item, step, label)} of everything that was sent."""
    told: set[str] = field(default_factory=set)
    """Keys that were acknowledged."""
    holders: dict[str, str] = field(default_factory=dict)
    """{item: reviewer} of items that are held now."""
    clashes: list[str] = field(default_factory=list)
    """Items that two reviewers were given at the same time."""
    wait: float = SECONDS_A_STEP
    stop: float = float("inf")
    enough: float = float("inf")
    """Acknowledged decisions after which the phase ends."""
    resent: int = 0

    def goes_on(self) -> bool:
        """Whether the phase is not over."""
        return time.monotonic() < self.stop and len(self.told) < self.enough


async def reviewer(team: Team, name: str, token: str, rng: np.random.Generator) -> None:
    """Takes items and labels their steps until the team's time is over."""
    import aiohttp

    headers = {"authorization": f"Bearer {token}"}
    await asyncio.sleep(float(rng.uniform(0, 3 * team.wait)))  # nobody comes in the very same moment
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=30)) as session:
        while team.goes_on():
            begun = time.monotonic()
            answer = await post(session, team, "next", {})
            team.phase.next.append(time.monotonic() - begun)
            item = answer["item"]
            if item is None:
                return
            holder = team.holders.setdefault(item["item_id"], name)
            if holder != name:
                team.clashes.append(item["item_id"])
            for step, shown in enumerate(item["steps"]):
                if shown["asked"] and shown["mine"] is None and team.goes_on():
                    await decide(session, team, name, item, step, str(rng.choice(["+", "-"])), rng)
            team.holders.pop(item["item_id"], None)


async def decide(
    session: Any, team: Team, name: str, item: dict[str, Any], step: int, label: str, rng: np.random.Generator
) -> None:
    """Thinks, then presses a key."""
    if team.wait:
        await asyncio.sleep(float(rng.exponential(team.wait)))
    key = uuid4().hex
    team.sent[key] = (name, item["item_id"], step, label)
    body = {
        "key": key,
        "item_id": item["item_id"],
        "version": item["version"],
        "step": step,
        "label": label,
        "seconds": 2.0,
    }
    begun = time.monotonic()
    answer = await post(session, team, "save", body)
    assert answer["saved"] is True
    team.told.add(key)
    team.phase.saved.append(time.monotonic() - begun)


async def post(session: Any, team: Team, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Sends, and sends again while the server is away, as the page does."""
    import aiohttp

    while True:
        try:
            async with session.post(f"{team.url}/{path}", json=body) as response:
                answer: dict[str, Any] = await response.json()
                if response.status != 200:
                    raise RuntimeError(f"{path}: {response.status} {answer}")
                return answer
        except (aiohttp.ClientError, TimeoutError):
            team.resent += 1
            await asyncio.sleep(0.2)


async def work(team: Team, people: int, seconds: float, wait: float, seed: int) -> Phase:
    """One phase of everybody's work."""
    from medprm_hf.app.identity import Identities

    team.phase, team.wait = Phase(begun=time.monotonic()), wait
    team.stop = team.phase.begun + seconds
    team.holders.clear()
    tokens = Identities(secret="load")
    names = [f"simulated-{number:02d}" for number in range(people)]
    rngs = np.random.default_rng(seed).spawn(people)
    await asyncio.gather(*(reviewer(team, n, tokens.token(n), r) for n, r in zip(names, rngs, strict=True)))
    team.phase.seconds = time.monotonic() - team.phase.begun
    return team.phase


async def dense_with_kill(team: Team, people: int, seconds: float, server: Server, seed: int) -> tuple[Phase, float]:
    """The dense phase, in whose middle the server dies and comes back; (phase, seconds it was away)."""
    running = asyncio.create_task(work(team, people, 3 * seconds, SECONDS_A_STEP / DENSE, seed))
    await asyncio.sleep(seconds / 2)
    server.kill()
    away = await asyncio.to_thread(server.start)
    return await running, away


def compared(store: Path, team: Team) -> dict[str, int]:
    """What the file holds against what was sent and acknowledged."""
    found = ReviewStore(store)
    kept = [one for one in found.decisions() if one["kind"] == "label"]
    keys = Counter(one["key"] for one in kept)
    places = Counter((one["item_id"], one["step"]) for one in kept)
    wrong = sum(
        (one["reviewer"], one["item_id"], one["step"], one["label"]) != team.sent.get(one["key"]) for one in kept
    )
    found.close()
    return {
        "lost": len(team.told - set(keys)), "doubled": sum(count - 1 for count in keys.values()),
        "not as sent": wrong, "decided by two": sum(count > 1 for count in places.values()), "stored": len(kept),
    }  # fmt: skip


def measure(
    steps: int, people: int, minutes: float, folder: Path, full: float = FULL_SECONDS, seed: int = 0
) -> list[dict[str, Any]]:
    """All phases; one entry a figure."""
    path = folder / "review.sqlite"
    begun = time.monotonic()
    store = ReviewStore(path, StoreSettings(sample=0.1, blind=True))
    store.add(rows(steps))
    store.close()
    figures = [figure("store", "seconds to add", time.monotonic() - begun)]
    server = Server(path)
    figures.append(figure("server", "seconds to start", server.start()))
    team = Team(server.url)
    try:
        pace = asyncio.run(work(team, people, minutes * 6, SECONDS_A_STEP, seed))
        team.enough = people * minutes * 60 / SECONDS_A_STEP  # all that they would have decided in these minutes
        dense, away = asyncio.run(dense_with_kill(team, people, minutes * 54 / DENSE, server, seed + 1))
        team.enough = float("inf")
        fast = asyncio.run(work(team, people, full, 0.0, seed + 2))
    finally:
        server.kill()
    figures += [
        *_delays("pace", pace, True),
        *_delays("dense, killed", dense, False),
        *_delays("full speed", fast, False),
    ]
    figures.append(figure("dense, killed", "seconds away", away))
    figures.append(figure("dense, killed", "requests sent again", team.resent))
    for name, value in compared(path, team).items():
        figures.append(figure("all", f"decisions {name}", value, None if name == "stored" else 0))
    figures.append(figure("all", "items held by two at once", len(team.clashes), 0))
    return figures


def _delays(case: str, phase: Phase, goals: bool) -> Iterator[dict[str, Any]]:
    yield figure(case, "decisions", len(phase.saved))
    yield figure(case, "decisions per second", len(phase.saved) / phase.seconds)
    for name, values, goal in (("saved", phase.saved, SAVED), ("next", phase.next, NEXT)):
        if values:
            p50, p95 = np.quantile(values, [0.5, 0.95])
            yield figure(case, f"p50 of {name}, ms", 1000 * float(p50))
            yield figure(case, f"p95 of {name}, ms", 1000 * float(p95), 1000 * goal if goals else None)
            yield figure(case, f"longest {name}, ms", 1000 * max(values))


def figure(case: str, metric: str, value: float, goal: float | None = None) -> dict[str, Any]:
    """One figure as every benchmark prints it."""
    holds = None if goal is None else value <= goal
    return {"case": case, "metric": metric, "value": round(value, 3), "unit": "", "goal": goal, "holds": holds}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes' worth of decisions")
    parser.add_argument("--full", type=float, default=FULL_SECONDS, help="seconds at full speed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="medprm-load-") as folder:
        for one in measure(given.steps, given.people, given.minutes, Path(folder), given.full, given.seed):
            if given.json:
                print(json.dumps(one))
            else:
                holds = {None: "", True: "  holds", False: "  FAILS"}[one["holds"]]
                print(f"{one['case']:14s} {one['metric']:28s} {one['value']:>12g}{holds}")


if __name__ == "__main__":
    main()
