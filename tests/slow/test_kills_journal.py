"""Killed with -9 twenty times at random moments against a misbehaving server: nothing that was answered is lost.

The server is a process of its own whose answers are a function of the request (tests/backends/steady_server.py); its
log says what was asked, and the journal after each kill what had arrived. 95 seconds.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from medprm_hf.backends.journals.journal import Journal
from tests.backends.steady_server import Steady, steady

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
RESULT = ("dataset/data/train-00000-of-00001.parquet", "steps.jsonl", "visualprm.jsonl")
KILLS, SLOTS = 20, 6
HANDS = SLOTS * 3 // 2
"""Requests that are out, or answered and on their way to the file: half as many hands more than slots."""


def recipe(folder: Path, url: str) -> Path:
    rows = [
        {
            "question_id": f"q{i}",
            "question": f"Follow-up of case {i}?",
            "options": ["none", "CT", "biopsy"],
            "answer": "CT",
        }
        for i in range(30)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = f"openai:steady?base_url={url}&concurrency={SLOTS}&timeout=1&backoff=0.05"
    plain = {
        "name": "killed",
        "source": {"name": "table", "path": str(folder / "questions.jsonl")},
        "stages": ["questions", "generate", "rollout", "merge", "select"],
        "generate": {"backend": spec, "solutions": 3},
        "rollout": {"backend": spec, "k": 4},
        "merge": {"policy": "value", "threshold": 0.0},
        "exports": ["steps-jsonl", "visualprm"],
        "shard_questions": 6,
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(plain))
    return file


def start(file: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "medprm_hf.cli", "build", str(file), "--out", str(out)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def answers(lines: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Texts of each whole response."""
    return [tuple(line["texts"]) for line in lines if line.get("texts")]


def kept(out: Path) -> set[str]:
    """Texts of every answer that the journal holds."""
    file = out / "journal.sqlite"
    if not file.exists():
        return set()
    with Journal(file) as journal:
        return {row[0] for row in journal.query("SELECT text FROM answers")}


def killed_at_random(file: Path, out: Path, server: Steady, chance: random.Random, share: float) -> set[str] | None:
    """Starts the run and kills it once so many answers more were given; what had arrived, None if it ended first."""
    before = len(answers(server.lines()))
    process = start(file, out)
    while len(answers(server.lines())) - before < share and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.15 * chance.random())
    if process.poll() is not None:
        assert process.returncode == 0, process.communicate()[0]
        return None
    process.kill()
    process.communicate()
    time.sleep(0.3)  # what the server was about to say is in its log
    return kept(out)


def test_twenty_kills_lose_nothing_and_repeat_only_what_was_in_flight(tmp_path: Path) -> None:
    with steady(tmp_path, 0.1, 1.5, "--without", "policy") as server:
        file = recipe(tmp_path, server.url)
        assert start(file, tmp_path / "whole").wait(timeout=300) == 0
        total = len(answers(server.lines()))
        assert {line["fault"] for line in server.lines() if line.get("fault")} >= {
            "429",
            "500",
            "hang",
            "cut",
            "broken",
        }
        server.reset()
        out, chance, lost, known = tmp_path / "run", random.Random(20), 0, set[str]()
        for kill in range(KILLS):
            seen, left = len(server.lines()), total - len(set(answers(server.lines())))
            arrived = killed_at_random(file, out, server, chance, 2 * chance.random() * left / (KILLS - kill + 1))
            assert arrived is not None, f"the run ended before kill {kill + 1}"
            said = answers(server.lines()[seen:])
            assert known.isdisjoint(text for texts in said for text in texts), "an answer was asked for again"
            in_flight = [texts for texts in said if not arrived.issuperset(texts)]
            assert len(in_flight) <= HANDS, "more was lost than can have been in flight"
            lost, known = lost + len(in_flight), arrived
        seen = len(server.lines())
        assert start(file, out).wait(timeout=300) == 0
        assert known.isdisjoint(text for texts in answers(server.lines()[seen:]) for text in texts)
        given = answers(server.lines())
        assert len(set(given)) == total and len(given) - total <= lost
        print(f"{total} responses, {KILLS} kills, {lost} in flight at a kill, {len(given) - total} repeated")
    for name in RESULT:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
