"""30 real X-rays and 50 PubMedQA questions through a real vLLM server with the tiny phantom policy.

The policy knows nothing of either: what is shown is that the run goes to its end, that rows in are rows out plus
reasons, that every request carries the right image, and that what cannot be read is neither right nor wrong.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from medprm_hf.loading import open_source
from medprm_hf.recipe import parse
from medprm_hf.runs.commands import build_run
from tests.vllm_server import VllmServer

DATA = Path(__file__).parents[3] / "shared" / "data"
SOURCES: dict[str, dict[str, Any]] = {
    "pneumoniamnist": {"path": str(DATA / "pneumoniamnist")},
    "pubmedqa": {"path": str(DATA / "pubmedqa" / "pqal_dev500.json"), "limit": 50},
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here"),
]


@pytest.mark.parametrize("unreadable", ["drop", "keep"])
@pytest.mark.parametrize("name", list(SOURCES))
def test_rows_in_are_rows_out_plus_reasons(
    vllm_phantom: VllmServer, tmp_path: Path, name: str, unreadable: str
) -> None:
    rows = list(open_source(name, **SOURCES[name]))
    backend = f"openai:{vllm_phantom.name}?base_url={vllm_phantom.base_url}&concurrency=32&timeout=300"
    sampled = {"backend": backend, "prompt": "bare", "max_tokens": 64, "temperature": 0.8}
    plain = {
        "name": name,
        "source": {"name": name, **SOURCES[name]},
        "stages": ["questions", "generate", "rollout", "judge", "merge", "select"],
        "generate": {**sampled, "solutions": 2, "unreadable": unreadable, "min_steps": 1, "max_steps": 12},
        "rollout": {**sampled, "k": 4},
        "judge": {"backend": backend, "max_tokens": 64},
        "shard_questions": 25,
    }
    report = build_run(tmp_path / "run", parse(plain))
    counts = report["counts"]
    assert counts["questions_in"] == len(rows)
    assert counts["questions_in"] == sum(
        counts[part] for part in ("questions_out", "questions_dropped", "questions_without_solution")
    )
    dropped = [json.loads(line) for line in (tmp_path / "run" / "dropped.jsonl").read_text().splitlines()]
    assert all(entry["reason"] for entry in dropped)
    assert counts["solutions"] == counts["solutions_kept"] + sum(entry["stage"] == "select" for entry in dropped)
    assert Counter(report["stages"]["generate"]["failures"]) == Counter()
    check_images(tmp_path / "run", rows)
    if counts["solutions"]:
        check_rows(tmp_path)


def check_images(run: Path, rows: list[dict[str, Any]]) -> None:
    """Every image of the source was sent by generate, and no other image by any stage."""
    sent: dict[str, Counter[str]] = {}
    for file in (run / "shards").glob("*/*.json"):
        usage = json.loads(file.read_text()).get("usage", {})
        sent.setdefault(file.parent.name, Counter()).update(usage.get("images", {}))
    known = {row["image_sha256"] for row in rows if row["image_sha256"]}
    assert set(sent["generate"]) == known
    assert all(set(images) <= known for images in sent.values())


def check_rows(tmp_path: Path) -> None:
    """Unreadable is neither right nor wrong; counts add up to what was asked."""
    table = load_dataset(str(tmp_path / "run" / "dataset"), split="train", cache_dir=str(tmp_path / "cache")).to_list()
    for row in table:
        assert (row["is_correct"] is None) == (row["final_answer"] is None)
        for i, total in enumerate(row["rollout_total"]):
            asked = total + row["rollout_unreadable"][i] + row["rollout_failed"][i]
            assert asked == 4
            assert (row["expected_accuracy"][i] is None) == (total == 0)
        assert set(row["judge_labels"]) <= {"+", "-", "0", "?"}
