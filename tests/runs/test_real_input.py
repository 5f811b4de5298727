"""Real X-rays and real questions through the real HTTP path, against a server whose answers are known.

The server decides by what it is sent alone (image bytes, question text, prefix), so a request with a wrong image
or a lost prefix changes a label, and the test derives every label, count and export on its own.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from medprm_hf.ids import bytes_hash
from medprm_hf.loading import open_source
from medprm_hf.recipe import parse
from medprm_hf.runs.commands import build_run
from tests.backends.servers import Server, answer, serve

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")

K = 4


def sources() -> dict[str, dict[str, Any]]:
    return {
        "pneumoniamnist": {"path": str(DATA / "pneumoniamnist")},
        "pubmedqa": {"path": str(DATA / "pubmedqa" / "pqal_dev500.json"), "limit": 50},
    }


class Known:
    """Gold answers by image hash or question text, and answers that follow from them.

    Solution 0 is right, solution 1 wrong, solution 2 has no answer. From the first step of either, half the
    rollouts are right; from the second step of the right one all are, of the wrong one none; the wrong one's
    second step also gives one answer in four that cannot be read. The judge calls the second step of the wrong
    solution wrong.
    """

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.gold = {row["image_sha256"] or row["question"]: row["answer_index"] for row in rows}
        self.options = {row["image_sha256"] or row["question"]: len(row["options"]) for row in rows}
        self.seen: Counter[str] = Counter()

    def key(self, body: dict[str, Any]) -> str:
        parts = body["messages"][0]["content"]
        if isinstance(parts, str):
            parts = [{"type": "text", "text": parts}]
        images = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        if images:
            return bytes_hash(base64.b64decode(images[0].partition("base64,")[2]))
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        return next(name for name in self.gold if name in text)

    def __call__(self, body: dict[str, Any]) -> str:
        key = self.key(body)
        self.seen[key] += 1
        right = "ABC"[self.gold[key]]
        wrong = "ABC"[(self.gold[key] + 1) % self.options[key]]
        prefix = body["messages"][-1]["content"] if body["messages"][-1]["role"] == "assistant" else ""
        if "Answer with JSON only" in json.dumps(body["messages"]):
            return answer(body, [self.verdicts(body)])
        return answer(body, [self.text(prefix, i, right, wrong) for i in range(body.get("n", 1))])

    def text(self, prefix: str, place: int, right: str, wrong: str) -> str:
        if not prefix:
            last = f"\nAnswer: {(right, wrong)[place]}" if place < 2 else ""
            return f"Step 1: I look.\nStep 2: It speaks for path {place}.\nStep 3: So I decide.{last}"
        if "path 0" in prefix:
            return f"\nStep 3: So.\nAnswer: {right}"
        if "path 1" in prefix:
            return "\nStep 3: I cannot tell." if place == 0 else f"\nStep 3: So.\nAnswer: {wrong}"
        return f"\nStep 2: On.\nStep 3: So.\nAnswer: {(right, wrong)[place % 2]}"

    def verdicts(self, body: dict[str, Any]) -> str:
        bad = "path 1" in json.dumps(body["messages"])
        labels = ["+", "-" if bad else "+", "-" if bad else "+"]
        steps = [{"step": n, "label": label, "confidence": "high"} for n, label in enumerate(labels, 1)]
        return json.dumps({"steps": steps})


@pytest.fixture(params=["pneumoniamnist", "pubmedqa"])
def built(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Known, Server, list[dict[str, Any]]]]:
    options = sources()[request.param]
    rows = list(open_source(request.param, **options))
    known = Known(rows)
    with serve() as server:
        server.turns = itertools.repeat(known)
        backend = f"openai:tiny?base_url={server.url}&concurrency=16"
        plain = {
            "name": request.param,
            "source": {"name": request.param, **options},
            "stages": ["questions", "generate", "rollout", "judge", "merge", "select"],
            "questions": {"identifiers": "ignore"},  # published abstracts: 11 of 500 name a date
            "generate": {"backend": backend, "solutions": 2},
            "rollout": {"backend": backend, "k": K},
            "judge": {"backend": backend},
            "shard_questions": 16,
        }
        build_run(tmp_path / "run", parse(plain))
        yield tmp_path / "run", known, server, rows


def test_every_label_count_and_export_is_what_the_answers_imply(
    built: tuple[Path, Known, Server, list[dict[str, Any]]], tmp_path: Path
) -> None:
    run, known, server, rows = built
    report = json.loads((run / "report.json").read_text())
    assert report["counts"]["questions_in"] == report["counts"]["questions_out"] == len(rows)
    assert report["counts"]["solutions"] == report["counts"]["solutions_kept"] == 2 * len(rows)
    assert report["drop_reasons"] == {}
    table = load_dataset(str(run / "dataset"), split="train", cache_dir=str(tmp_path / "cache")).to_list()
    for row in table:
        good = row["solution_index"] == 0
        assert row["is_correct"] is good
        assert row["rollout_correct"] == ([2, 4, 4] if good else [2, 0, 0])
        assert row["rollout_total"] == ([4, 4, 4] if good else [4, 3, 4])
        assert row["rollout_unreadable"] == ([0, 0, 0] if good else [0, 1, 0])
        assert row["judge_labels"] == (["+", "+", "+"] if good else ["+", "-", "-"])
        # consensus: half the rollouts right is neither above 0.7 nor below 0.3
        assert row["labels"] == (["?", "+", "+"] if good else ["?", "-", "-"])
        assert row["needs_review"] == [True, False, False]
    assert report["labels"] == {"+": 2 * len(rows), "-": 2 * len(rows), "0": 0, "?": 2 * len(rows)}
    assert report["signals"] is None and "only the phantom world" in report["truth"]
    steps = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    assert Counter(step["label"] for step in steps) == {"+": 2 * len(rows), "-": 2 * len(rows)}


def test_every_request_carries_the_right_image_and_is_sent_once(
    built: tuple[Path, Known, Server, list[dict[str, Any]]],
) -> None:
    run, known, server, rows = built
    # a question asks: 1 for solutions; rollouts of the shared first step and of two second steps; 2 for verdicts
    assert known.seen == Counter({row["image_sha256"] or row["question"]: 6 for row in rows})
    recorded: Counter[str] = Counter()
    for marker in (run / "shards").glob("*/*.json"):
        recorded.update(json.loads(marker.read_text()).get("usage", {}).get("images", {}))
    assert recorded == Counter({row["image_sha256"]: 6 for row in rows if row["image_sha256"]})
