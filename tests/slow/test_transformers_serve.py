"""`transformers serve`, a server that does less: what it lacks is found and named, and rollouts go round it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medprm_hf.backends import Completion, Message, Request, Sampling, open_backend
from medprm_hf.backends.open import close_backends
from medprm_hf.phantom.model import checkpoint
from medprm_hf.phantom.questions import question_rows
from medprm_hf.recipe import parse
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.probing import probe
from medprm_hf.text.prompts import solve_prompt
from tests.transformers_server import LACKING, transformers_server

pytestmark = pytest.mark.slow

SCENES = 3


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if LACKING:
        pytest.skip(f"not installed: {', '.join(LACKING)}; pip install 'medprm-hf[dev]'")
    policy = checkpoint("policy")
    if not (policy / "model.safetensors").exists():
        pytest.skip("no policy checkpoint: medprm phantom train makes one")
    log: Path = tmp_path_factory.mktemp("serve") / "serve.log"
    with transformers_server(policy, log) as server:
        yield f"openai:{server.name}?base_url={server.base_url}&concurrency=4"
        close_backends()


def messages(row: dict[str, Any]) -> tuple[Message, ...]:
    text = solve_prompt(row["question"], row["options"], style="bare")
    return (Message("user", text, (row["image"]["bytes"],)),)


def test_plain_image_chat(spec: str) -> None:
    backend = open_backend(spec)
    rows = list(question_rows("test", SCENES))
    greedy = Sampling(temperature=0.0, max_tokens=64)
    asked = [Request(messages(row), sampling=greedy, key=row["question_id"]) for row in rows]
    here = open_backend("phantom:policy").complete(asked)
    for served, own in zip(backend.complete(asked), here, strict=True):
        assert isinstance(served.places[0], Completion), served.places[0]
        assert "Answer" in served.places[0].text
        assert served.places[0].text.strip() == own.completions[0].text.strip()


def test_the_doctor_names_what_it_lacks(spec: str) -> None:
    found = probe(spec)
    assert found.answers, found.problem
    assert found.images is True
    assert (found.n, found.logprobs, found.response_format) == (False, False, False)
    assert found.continuation == "prompt"
    assert set(found.refused) == {"n", "logprobs", "continuation", "response_format"}
    assert found.price == "local"


def test_rollouts_go_by_single_calls_and_prompts(spec: str, tmp_path: Path) -> None:
    """A small run to its end: every rollout is asked for by itself, its prefix in the prompt."""
    plain = {
        "source": {"name": "phantom", "split": "test", "n": SCENES},
        "stages": ["questions", "generate", "rollout", "merge", "select"],
        "generate": {"backend": spec, "prompt": "bare", "solutions": 1, "max_tokens": 64},
        "rollout": {"backend": spec, "prompt": "bare", "k": 3, "max_tokens": 64},
        "merge": {"policy": "value"},
        "shard_questions": SCENES,
    }
    run = Run.open(tmp_path / "run", parse(plain))
    run.build()
    marker = run.shards.marker("rollout", 0)
    assert marker is not None
    assert marker["rows"] == SCENES
    assert marker["usage"]["completions"] > 0
    assert not marker["usage"]["failures"]
    (spent,) = marker["spent"].values()
    assert spent["requests"] == spent["completions"]  # one answer a call
    assert spent["cost"] == "local"
    reply = open_backend(spec).complete([Request((Message("user", "Which side?"),), n=2, prefix="The", key="c")])[0]
    assert reply.continuation == "prompt"
    assert len(reply.completions) == 2
