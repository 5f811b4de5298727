"""A budget stops a run cleanly, nothing paid for is asked again, and everybody can read what was spent."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medprm_hf.backends.open import close_backends
from medprm_hf.errors import BudgetError, ConfigError
from medprm_hf.ids import content_hash
from medprm_hf.recipe import Recipe, parse
from medprm_hf.runs.commands import build_run, resume_run, show_status
from medprm_hf.runs.money import spending
from medprm_hf.runs.pipeline import Run
from tests.backends.servers import Body, Server, answer, serve

PRICE = {"input": 1000.0, "output": 1000.0}
"""A tenth of a cent a token: 7 tokens in and 2 an answer out cost 9 answers $0.025."""


def say(body: Body) -> str:
    """Solutions that depend on what was asked alone; asked again, the same."""
    texts = []
    for i in range(body.get("n", 1)):
        letter = "ABC"[int(content_hash(json.dumps(body["messages"]), i), 16) % 3]
        texts.append(f"Step 1: A nodule.\nStep 2: It is new.\nStep 3: So scan it.\nAnswer: {letter}")
    return answer(body, texts)


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        running.turns = itertools.repeat(say)
        yield running
        close_backends()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [
        {
            "question_id": f"q{i}",
            "question": f"Follow-up of case {i}?",
            "options": ["none", "CT", "biopsy"],
            "answer": "CT",
        }
        for i in range(12)
    ]
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def recipe(table: Path, server: Server, *settings: str, price: dict[str, Any] | None = PRICE) -> Recipe:
    model = f"openai:tiny?base_url={server.url}&concurrency=4"
    plain = {
        "name": "small",
        "source": {"name": "table", "path": str(table)},
        "stages": ["questions", "generate", "rollout", "merge", "select"],
        "generate": {"backend": model, "solutions": 2},
        "rollout": {"backend": model, "k": 4},
        "merge": {"policy": "value"},
        "shard_questions": 4,
        "exports": ["visualprm"],
        "prices": {"openai:tiny": price} if price else None,
    }
    return parse(plain, settings)


def usd(directory: Path) -> float:
    return sum(tally.cost or 0.0 for tally in spending(directory).values())


def test_a_run_out_of_money_goes_on_with_more(
    table: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = build_run(tmp_path / "whole", recipe(table, server))
    asked, cost = len(server.seen), whole["money"]["usd"]
    server.seen.clear()
    with pytest.raises(BudgetError):
        build_run(tmp_path / "run", recipe(table, server, f"budget={cost / 2}"))
    said = capsys.readouterr().out
    assert "stopped" in said
    assert f"medprm resume {tmp_path / 'run'} --budget" in " ".join(said.split())
    spent = usd(tmp_path / "run")
    assert cost / 2 - 0.15 < spent <= cost / 2  # what is in flight is counted before
    again = resume_run(tmp_path / "run", (f"budget={2 * cost}",))
    assert len(server.seen) == asked
    assert again["money"]["usd"] == pytest.approx(cost)
    assert again["counts"] == whole["counts"]
    tables = [(tmp_path / name / "dataset/data/train-00000-of-00001.parquet").read_bytes() for name in ("whole", "run")]
    assert tables[0] == tables[1]


def test_the_budget_counts_earlier_sessions(table: Path, server: Server, tmp_path: Path) -> None:
    with pytest.raises(BudgetError):
        build_run(tmp_path / "run", recipe(table, server, "budget=0.1"))
    before = len(server.seen)
    with pytest.raises(BudgetError):
        resume_run(tmp_path / "run")
    assert len(server.seen) == before


def test_a_budget_without_a_price_is_refused_before_anything_is_asked(
    table: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-SECRET0123456789")
    far = f"generate.backend={json.dumps('openai:gpt-99')}"
    with pytest.raises(ConfigError, match=r"no price is known for openai:gpt-99.*--prices"):
        build_run(tmp_path / "run", recipe(table, server, far, "budget=5", price=None))
    assert server.seen == []


def test_an_own_server_is_local(
    table: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = build_run(tmp_path / "run", recipe(table, server, "budget=0.01", price=None))
    assert report["money"]["usd"] == 0
    assert {line["cost"] for line in report["money"]["accounts"]} == {"local"}
    assert report["money"]["all_expert_usd"] == report["counts"]["steps"] * 0.5
    capsys.readouterr()
    show_status(tmp_path / "run")
    assert "local" in capsys.readouterr().out


def test_shards_and_report_say_what_was_spent(
    table: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = build_run(tmp_path / "run", recipe(table, server))
    said = capsys.readouterr().out
    assert "/label" in said
    run = Run.resume(tmp_path / "run")
    shards = [run.shards.marker("rollout", number)["spent"]["openai:tiny"] for number in range(3)]  # type: ignore[index]
    accounts = {(line["stage"], line["model"]): line for line in report["money"]["accounts"]}
    assert sum(shard["cost"] for shard in shards) == pytest.approx(accounts["rollout", "openai:tiny"]["cost"])
    tokens = sum(line["prompt_tokens"] + line["completion_tokens"] for line in accounts.values())
    assert report["money"]["usd"] == pytest.approx(tokens * 0.001)
    assert report["money"]["usd_per_label"] == pytest.approx(report["money"]["usd"] / report["counts"]["steps"])
    assert "Money" in (tmp_path / "run" / "report.html").read_text()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["money"] == report["money"]
    show_status(tmp_path / "run")
    assert "$" in capsys.readouterr().out


def test_budget_and_prices_do_not_change_what_is_made(table: Path, server: Server) -> None:
    plain = recipe(table, server, price=None)
    assert plain.fingerprint() == recipe(table, server, "budget=3").fingerprint()


def test_the_command_leaves_with_a_code_of_its_own(table: Path, server: Server, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("openai:tiny: {input: 1000, output: 1000}\n")
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe(table, server, price=None).model_dump_json())
    out = tmp_path / "run"
    command = [sys.executable, "-m", "medprm_hf.cli", "build", str(file), "--out", str(out)]
    done = subprocess.run(
        [*command, "--budget", "0.2", "--prices", str(prices)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 3, done.stderr
    prices.unlink()  # the run has a copy
    resume = [sys.executable, "-m", "medprm_hf.cli", "resume", str(out), "--budget", "100"]
    done = subprocess.run(resume, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "rollout: 3 shards" in done.stdout
