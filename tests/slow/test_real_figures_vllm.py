"""17 real figures with a textbook as evidence, through a real vLLM server with the tiny phantom policy.

The policy has seen phantoms alone: its answers to these questions are nonsense. What is shown is that a run on real
images goes to its end, that rows in are rows out plus reasons, that what cannot be read or does not fit its context is
neither right nor wrong, and that the report opens and says what could not be measured.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medprm_hf.loading import open_source
from medprm_hf.recipe import parse
from medprm_hf.runs.commands import build_run
from medprm_hf.runs.finish import solution_rows
from medprm_hf.runs.pipeline import Run
from tests.real_figures import CORPUS, DATA, questions
from tests.vllm_server import VllmServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data/openstax_ap1e is not here"),
]


def test_a_run_on_real_figures_goes_to_its_end(vllm_phantom: VllmServer, tmp_path: Path) -> None:
    questions(tmp_path / "questions.jsonl")
    source = {"path": str(tmp_path / "questions.jsonl")}
    images = {row["image_sha256"] for row in open_source("table", **source)}
    backend = f"openai:{vllm_phantom.name}?base_url={vllm_phantom.base_url}&concurrency=8&timeout=300"
    sampled = {"backend": backend, "prompt": "bare", "max_tokens": 64, "temperature": 0.8}
    plain = {
        "name": "openstax",
        "source": {"name": "table", **source},
        "stages": ["questions", "generate", "rollout", "retrieve", "judge", "merge", "select"],
        "generate": {**sampled, "solutions": 2, "unreadable": "keep", "min_steps": 1, "max_steps": 12},
        "rollout": {**sampled, "k": 2},
        "retrieve": {"corpus": [CORPUS], "encoder": "none", "passages": 2, "indexes": str(tmp_path / "indexes")},
        "judge": {"backend": backend, "max_tokens": 64},
    }
    report = build_run(tmp_path / "run", parse(plain))
    counts = report["counts"]
    assert counts["questions_in"] == 17 == sum(
        counts[part] for part in ("questions_out", "questions_dropped", "questions_without_solution")
    )  # fmt: skip
    dropped = [json.loads(line) for line in (tmp_path / "run" / "dropped.jsonl").read_text().splitlines()]
    assert all(entry["reason"] for entry in dropped)
    assert counts["solutions"] == counts["solutions_kept"] + sum(entry["stage"] == "select" for entry in dropped)
    sent = json.loads(next((tmp_path / "run" / "shards" / "generate").glob("0*.json")).read_text())["usage"]["images"]
    assert set(sent) == images
    check_rows(tmp_path / "run", counts["solutions"])
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert page.endswith("</html>") and "not measurable" in page and "://" not in page
    print(counts, report["drop_reasons"], report["errors"])


def check_rows(run: Path, solutions: int) -> None:
    """Counts add up to what was asked; a step without a readable verdict is unknown."""
    rows = [row for row in solution_rows(Run.resume(run)) if row["solution"] is not None]
    assert len(rows) == solutions
    for row in rows:
        assert 1 <= len(row["evidence"]) <= 2
        assert (row["is_correct"] is None) == (row["final_answer"] is None)
        parts = zip(row["rollout_total"], row["rollout_unreadable"], row["rollout_failed"], strict=True)
        assert {sum(part) for part in parts} == {2}
        unread = [label == "?" for label in row["judge_labels"]]
        assert not any(unread) or any(error["stage"] == "judge" for error in row["errors"])
