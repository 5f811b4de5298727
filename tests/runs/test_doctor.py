"""The doctor: what is installed, which keys are there, and what servers of several kinds can do."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from medprm_hf.backends.open import close_backends
from medprm_hf.recipe import parse
from medprm_hf.runs.doctor import KEYS, NEEDED_FOR, examine, show
from medprm_hf.runs.probing import Probed, probe
from tests.backends.servers import Body, Server, answer, serve


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    yield
    close_backends()


def spec(server: Server, **options: Any) -> str:
    extra = "".join(f"&{name}={value}" for name, value in options.items())
    return f"openai:tiny?base_url={server.url}&backoff=0.01{extra}"


def able(body: Body) -> str:
    """A server that can do everything."""
    text = '{"side": "right"}' if "response_format" in body else "right"
    found = json.loads(answer(body, [text] * body.get("n", 1)))
    if body.get("logprobs"):
        for choice in found["choices"]:
            one = {"token": "right", "logprob": -0.1, "top_logprobs": [{"token": "right", "logprob": -0.1}]}
            choice["logprobs"] = {"content": [one]}
    return json.dumps(found)


def lazy(body: Body) -> str:
    """A server that leaves aside what it does not know, and says nothing."""
    return answer(body, ["right"])


def strict(body: Body) -> str | tuple[int, Body, dict[str, str]]:
    """A server that refuses what it does not know."""
    for name in ("logprobs", "response_format", "continue_final_message"):
        if name in body:
            return 400, {"error": {"message": f"unknown field {name}"}}, {}
    if body.get("n", 1) > 1:
        return 400, {"error": {"message": "n must be 1"}}, {}
    if any(isinstance(message["content"], list) for message in body["messages"]):
        return 400, {"error": {"message": "this model takes no images"}}, {}
    return answer(body, ["right"])


FULL = {"images": True, "n": True, "logprobs": True, "continuation": "native", "response_format": True}


@pytest.mark.parametrize(
    ("turn", "owner", "can"),
    [
        (able, "vllm", FULL),
        (lazy, "me", FULL | {"n": False, "logprobs": False, "continuation": "prompt", "response_format": False}),
        (strict, "vllm", dict.fromkeys(FULL, False) | {"continuation": "prompt"}),
    ],
)
def test_what_servers_can_do(turn: Any, owner: str, can: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with serve(models=[{"id": "tiny", "owned_by": owner, "max_model_len": 2048}]) as server:
        server.turns = itertools.repeat(turn)
        report = examine([spec(server)])
        found = Probed(**report["backends"][0])
    assert found.answers, found.problem
    assert {name: getattr(found, name) for name in FULL} == can
    assert (found.serves, found.owner, found.context, found.price) == (("tiny",), owner, 2048, "local")
    assert set(found.refused) == {name for name, value in can.items() if value in (False, "prompt")}
    assert show(report)
    said = " ".join(capsys.readouterr().out.split())
    assert "serves tiny" in said
    assert ("log-probabilities" in said) is (can["logprobs"] is False)


def test_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    report = examine(["openai:tiny?base_url=http://127.0.0.1:9/v1&attempts=1"])
    assert not show(report)
    assert "no answer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("openai:gpt-4o-mini", "set OPENAI_API_KEY in the environment or in .env"),
        ("opnai:x", "did you mean openai"),
        ("openai:x?base_rul=1", "did you mean base_url"),
    ],
)
def test_what_cannot_be_opened_is_said(name: str, said: str) -> None:
    found = probe(name)
    assert not found.answers
    assert found.problem is not None
    assert said in found.problem


def test_scripts_answer_too() -> None:
    found = probe("scripted:tests.stages.scripts:solver")
    assert found.identity == "scripted:tests.stages.scripts:solver"
    assert found.price == "local"


def test_extras_and_keys(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_SECRETsecret")
    report = examine(recipe=parse({"stages": ["questions"]}))
    assert report["keys"] == dict.fromkeys(KEYS, False) | {"HF_TOKEN": True}
    assert set(report["extras"]) == set(NEEDED_FOR)
    assert "aiohttp" in report["extras"]["ray"]["versions"]
    assert report["extras"]["ray"]["install"] == "pip install 'medprm-hf[ray]'"
    show(report)
    said = capsys.readouterr().out
    assert "yes HF_TOKEN" in said
    assert "SECRET" not in said


def test_a_simulated_judge_is_there_though_it_judges_phantom_questions_only() -> None:
    found = probe("simulated-judge:error=0.15")
    assert found.answers and found.problem is None and "simulated" in found.learnt[0]
