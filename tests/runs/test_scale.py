"""The simulation of a large run: sums that can be done by hand, and sizes measured on a real small run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medprm_hf.cli import app
from medprm_hf.recipe import parse
from medprm_hf.runs.commands import build_run
from medprm_hf.runs.scale import Servers, Size, queue_seconds, simulate
from medprm_hf.runs.scale_sizes import MEASURED, measured


def test_a_million_questions() -> None:
    found = simulate(Size(rollouts=16), Servers(endpoints=8, processes=4))
    assert found.counts["steps"] == 32_000_000 and found.counts["requests: rollout"] == 32_000_000
    assert found.counts["answers: rollout"] == 512_000_000 and found.counts["shards of a stage"] == 25_000
    assert found.counts["files"] == 25_000 * 9 * 2 - 0
    tokens = 512_000_000 * 160
    assert found.hours["rollout"] == pytest.approx(tokens / (8 * 2500) / 3600, rel=0.02)
    assert [limit.breaks_at for limit in found.limits] == sorted(limit.breaks_at for limit in found.limits)


def test_limits_say_at_how_many_questions_they_are_met() -> None:
    first = simulate(Size(shard_questions=40), Servers()).limits[0]
    assert first.limit == 10_000 and first.breaks_at == 200_000
    at = simulate(Size(questions=int(first.breaks_at), shard_questions=40), Servers())
    assert next(limit for limit in at.limits if limit.what == first.what).value == first.limit


def test_more_endpoints_and_slower_quotas() -> None:
    one, eight = (simulate(Size(), Servers(endpoints=n)).hours["rollout"] for n in (1, 8))
    assert one == pytest.approx(8 * eight, rel=0.02)
    quota = simulate(Size(), Servers(tokens_per_second=None, requests_per_second=100)).hours["rollout"]
    assert quota == pytest.approx(32e6 / 100 / 3600, rel=0.02)


@pytest.mark.parametrize(
    ("shards", "workers", "low", "high"), [(1, 4, 0.2, 3.0), (1000, 1, 950, 1050), (1000, 10, 95, 106), (10, 100, 1, 3)]
)
def test_the_queue(shards: int, workers: int, low: float, high: float) -> None:
    assert low <= queue_seconds(shards, 1.0, workers, seed=0) <= high
    assert queue_seconds(shards, 1.0, workers, seed=0) == queue_seconds(shards, 1.0, workers, seed=0)


def test_sizes_of_a_run_of_ones_own(tmp_path: Path) -> None:
    table = tmp_path / "questions.jsonl"
    row = {"options": ["none", "CT", "biopsy"], "answer": "CT"}
    rows = [{"question_id": f"q{i}", "question": f"Follow-up of {i}?", **row} for i in range(6)]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = {
        "name": "small",
        "source": {"name": "table", "path": str(table)},
        "stages": ["questions", "generate", "rollout", "merge", "select"],
        "generate": {"backend": "scripted:tests.stages.scripts:solver", "solutions": 2},
        "rollout": {"backend": "scripted:tests.stages.scripts:solver", "k": 2},
        "merge": {"policy": "value", "threshold": 0.5},
        "shard_questions": 3,
    }
    build_run(tmp_path / "run", parse(plain, ()))
    found = measured(tmp_path / "run")
    files = [f for f in (tmp_path / "run" / "shards").glob("*/0*.parquet") if f.parent.name != "source"]
    assert found.columns_bytes == pytest.approx(sum(f.stat().st_size for f in files) / 12)
    assert found.export_bytes > 0 and found.journal_answer == MEASURED.journal_answer
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(plain))
    said = CliRunner().invoke(
        app, ["estimate", str(recipe), "--scale", "--like", str(tmp_path / "run"), "--assume", "questions=30", "--json"]
    )
    assert said.exit_code == 0, said.output
    values = json.loads(said.stdout)
    assert values["simulated"] and values["counts"]["answers: judge"] == 0 and values["counts"]["solutions"] == 60
    shown = CliRunner().invoke(app, ["estimate", str(recipe), "--scale"])
    assert "simulated, not run" in shown.output and "what breaks first" in shown.output
    wrong = CliRunner().invoke(app, ["estimate", str(recipe), "--scale", "--assume", "endpoint=2"])
    assert wrong.exit_code != 0
