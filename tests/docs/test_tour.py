"""A stranger's walk: docs/tour.md alone, in a fresh folder, every command as printed, each in a process of its own.

It must end, within ten minutes, with a labelled dataset, a trained PRM, a score and an exported file. Prints its time.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks

TOUR = ROOT / "docs" / "tour.md"
MINUTES = 10


def environment(home: Path) -> dict[str, str]:
    """A new user's: no token, no cache, no network of Hub or telemetry, nothing of ours but the command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MEDPRM_"))}
    own = {"HOME": str(home), "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | own | {"PATH": path, "PYTHONPATH": str(ROOT)}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_the_page_promises_what_is_walked() -> None:
    commands = [line for block in blocks(TOUR) if block.kind == "shell" for line in block.commands]
    assert not [block.run for block in blocks(TOUR) if "show-only" in block.run]
    for word in ("init", "build", "status", "inspect", "export", "train", "score", "eval", "space"):
        assert any(line.startswith(f"medprm {word} ") for line in commands), f"the tour lacks medprm {word}"


@pytest.mark.slow
def test_a_strangers_walk(tmp_path: Path) -> None:
    folder, results = tmp_path / "fresh", tmp_path / "results.jsonl"
    folder.mkdir()
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.walk", str(results), "all", f"{TOUR}={folder}", "--own-process"]
        + ["--put", f"7860=>{free_port()}"],
        env=environment(tmp_path / "home"), cwd=ROOT, capture_output=True, text=True, timeout=MINUTES * 120,
    )  # fmt: skip
    minutes = (time.monotonic() - begun) / 60
    told = [json.loads(line) for line in results.read_text().splitlines()]
    print(f"the tour took {minutes:.1f} minutes: " + ", ".join(f"{one['block']} {one['seconds']} s" for one in told))
    assert done.returncode == 0 and not [one for one in told if one["problem"]], f"{told}\n{done.stdout[-3000:]}"
    assert len(told) == len([block for block in blocks(TOUR) if block.kind != "shown"])
    _has_it_all(folder)
    assert minutes <= MINUTES


def _has_it_all(folder: Path) -> None:
    from pyarrow.parquet import ParquetFile

    table = ParquetFile(next((folder / "runs/demo/dataset/data").glob("*.parquet"))).read(["labels", "label_p"])
    assert table.num_rows == 1000 and {label for row in table["labels"].to_pylist() for label in row} >= {"+", "-"}
    assert (folder / "runs/demo/prm/medprm.json").is_file() and list((folder / "runs/demo/prm").glob("*.safetensors"))
    scores = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert len(scores) == 160 and all(0 <= one["score"] <= 1 for one in scores)
    stepwise = [json.loads(line) for line in (folder / "runs/demo/stepwise.jsonl").read_text().splitlines()]
    assert stepwise and all(len(one["labels"]) == len(one["completions"]) for one in stepwise)
    assert json.loads((folder / "medprm.json").read_text())
    assert (folder / "runs/eval/unseen/evaluation.json").is_file()
