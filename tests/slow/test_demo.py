"""`medprm demo` whole, as a stranger runs it: the promised table, the expected order, README's Python on its result."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "medprm_hf.cli", "demo"], cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert "step labels against the truth" in done.stdout
    return folder


@pytest.fixture(scope="module")
def report(demo: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((demo / "runs" / "demo" / "report.json").read_text())
    return found


def test_size_and_files(demo: Path, report: dict[str, Any]) -> None:
    assert report["counts"]["questions_in"] >= 200
    assert report["counts"]["solutions"] >= 4 * 200
    for name in ("dataset/README.md", "visualprm.jsonl", "steps.jsonl", "medprm.json", "report.html", "dropped.jsonl"):
        assert (demo / "runs" / "demo" / name).is_file(), name


def test_signals_stand_in_the_expected_order(report: dict[str, Any]) -> None:
    signals = {entry["signal"]: entry for entry in report["signals"]}
    order = [signals[name]["macro_f1"] for name in ("prior", "rollout", "judge", "label_model", "label_model+review")]
    assert order == sorted(order) and len(set(order)) == 5
    assert order[-1] >= 0.92
    for entry in signals.values():
        assert {"signal", "macro_f1", "interval", "prior", "n_steps", "skipped", "error_recall"} <= entry.keys()
        assert entry["interval"][0] <= entry["macro_f1"] <= entry["interval"][1]
        assert entry["n_steps"] + entry["skipped"] == report["counts"]["steps"]
    # what does not change the answer is hidden from rollouts, not from the judge
    assert signals["rollout"]["error_recall"]["location"] < 0.3 < signals["judge"]["error_recall"]["location"]


def test_a_fifth_of_the_steps_is_reviewed_and_agreement_is_measured_blindly(report: dict[str, Any]) -> None:
    assert report["reviewed_steps"] <= 0.21 * report["counts"]["steps"]
    agreement = report["agreement"]
    assert agreement["solutions"] == round(0.1 * report["counts"]["solutions"])
    assert agreement["judge"]["kappa"] < agreement["label"]["kappa"]
    assert agreement["ece"] < 0.05


def test_policy_errs_as_promised(report: dict[str, Any]) -> None:
    policy = report["policy"]
    assert 0.45 <= policy["pass@1"] <= 0.65
    assert policy["pass@8"] >= 0.85
    assert policy["majority@8"] <= policy["pass@8"] - 0.15
    assert policy["unreadable"] < 0.01
    kinds = [name for name in policy if name.startswith("first error") and policy[name] >= 0.03]
    assert len(kinds) >= 5


def test_readme_python_runs_on_the_result(demo: Path) -> None:
    readme = re.sub(r"\n## Quick start\n.*?(?=\n## )", "", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)  # the quick start has a test, and a Hub, of its own
    code = "\n".join(blocks).replace('split="train")', 'split="train[:40]")')
    code += "\nassert set(labelled[0]['labels']) <= {'+', '-', '?'}, labelled[0]['labels']"
    done = subprocess.run([sys.executable, "-c", code], cwd=demo, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
