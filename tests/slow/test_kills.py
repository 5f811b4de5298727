"""Killed half-way, stopped half-way: what is finished is kept, and the result is that of an undisturbed run."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
RESULT = ("dataset/data/train-00000-of-00001.parquet", "visualprm.jsonl", "steps.jsonl", "medprm.json", "dropped.jsonl")
SLOW = "scripted:tests.stages.scripts:slow_solver"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    rows = [
        {"question_id": f"q{i}", "question": f"Follow-up of {i}?", "options": ["none", "CT", "biopsy"], "answer": "CT"}
        for i in range(40)
    ]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = {
        "name": "killed",
        "source": {"name": "table", "path": str(tmp_path / "questions.jsonl")},
        "stages": ["questions", "generate", "rollout", "judge", "merge", "select"],
        "generate": {"backend": SLOW, "solutions": 2},
        "rollout": {"backend": SLOW, "k": 4},
        "judge": {"backend": "scripted:tests.stages.scripts:judge"},
        "shard_questions": 4,
    }
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(plain))
    return file


def start(recipe: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "medprm_hf.cli", "build", str(recipe), "--out", str(out)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell starts what runs in its background deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


# The source is read again until it is whole: nothing was asked for it.
def markers(out: Path) -> dict[str, float]:
    return {str(file.relative_to(out)): file.stat().st_mtime for file in out.glob("shards/[!s]*/*.json")}


def finished(process: subprocess.Popen[str], until: Callable[[], bool]) -> bool:
    """Waits for the end of the process, or for something to be true; whether it ended (well)."""
    while process.poll() is None and not until():
        time.sleep(0.02)
    assert process.poll() in (None, 0), process.communicate()[0]
    return process.poll() == 0


def test_kill_minus_nine_at_random_moments(recipe: Path, tmp_path: Path) -> None:
    assert start(recipe, tmp_path / "whole").wait(timeout=300) == 0
    out, chance, kills = tmp_path / "run", random.Random(4), 0
    while True:
        before = markers(out)
        process = start(recipe, out)
        if finished(process, lambda seen=before: markers(out).keys() > seen.keys()):
            break
        time.sleep(0.6 * chance.random())
        process.kill()
        process.wait()
        kills += 1
        after = markers(out)
        assert {name: after[name] for name in before} == before, "a finished shard was done again"
    assert kills >= 2
    for name in RESULT:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_ctrl_c_says_how_to_go_on(recipe: Path, tmp_path: Path) -> None:
    process = start(recipe, tmp_path / "run")
    while not (tmp_path / "run" / "shards" / "rollout").is_dir():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "medprm resume" in said and "Traceback" not in said
    done = subprocess.run(
        [sys.executable, "-m", "medprm_hf.cli", "resume", str(tmp_path / "run")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
