"""A run that asks by batch: it stops while batches are under way, `status` names them, `resume` goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from medprm_hf.backends.open import close_backends
from medprm_hf.cli import app
from medprm_hf.errors import PendingError
from medprm_hf.recipe import parse
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.probing import probe
from tests.backends.batch_servers import openai_batches
from tests.backends.openai_server import answer, openai_server

STEPS = "Look at the lungs.\n\nOne nodule is on the left.\n\nAnswer: A"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-SECRET0123456789")


def resumed(directory: Path) -> int:
    close_backends()
    return Run.resume(directory).build()


def test_a_run_by_batch(tmp_path: Path) -> None:
    with openai_batches() as server:
        server.say = lambda body: answer(body, [STEPS] * body.get("n", 1))
        spec = f"openai:gpt-4o-mini?batch=1&base_url={server.url}&backoff=0.01"
        plain = {
            "source": {"name": "phantom", "split": "test", "n": 6},
            "stages": ["questions", "generate", "rollout", "merge", "select"],
            "generate": {"backend": spec, "prompt": "bare", "solutions": 1, "max_tokens": 64},
            "rollout": {"backend": spec, "prompt": "bare", "k": 2, "max_tokens": 64},
            "merge": {"policy": "value"},
            "shard_questions": 2,
        }
        directory = tmp_path / "run"
        with pytest.raises(PendingError, match="generate: 3 of 3 shards"):
            Run.open(directory, parse(plain)).build()
        assert len(server.batches) == 3  # every shard's, not the first's alone
        shown = CliRunner().invoke(app, ["status", str(directory)])
        assert shown.output.count("batch under way") == 3, shown.output
        for _ in range(5):
            server.end()
            try:
                resumed(directory)
                break
            except PendingError:
                continue
        run = Run.resume(directory)
        assert all(run.done(index) == 3 for index in range(len(run.stages)))
        assert len(server.paid) == len(set(server.paid))
        assert "batch under way" not in CliRunner().invoke(app, ["status", str(directory)]).output
        marker = run.shards.marker("rollout", 0)
        assert marker is not None and not marker["usage"]["failures"]
    close_backends()


def test_the_doctor_asks_the_model_itself() -> None:
    with openai_server() as server:
        found = probe(f"openai:gpt-4o-mini?batch=1&wait=5&base_url={server.url}")
        assert found.answers, found.problem
    close_backends()
