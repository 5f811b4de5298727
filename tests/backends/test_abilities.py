"""What servers lack is learnt from their refusals, found by a probe, and done without."""

from __future__ import annotations

import json
from typing import Any

import pytest

from medprm_hf.backends import Completion, Message, Request, Sampling
from medprm_hf.backends.servers.abilities import Abilities
from medprm_hf.backends.servers.openai_http import OpenAIBackend, OpenAISettings
from tests.backends.servers import Body, Server, Turn, answer, serve

ASK = (Message("user", "Which side?"),)

SAID = [
    ("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.", "max_tokens"),
    ("Unexpected fields in the request: {'continue_final_message', 'add_generation_prompt'}", "continuation"),
    ("Unrecognized request argument supplied: top_logprobs", "logprobs"),
    ("[{'loc': ['body', 'response_format'], 'msg': 'extra'}]", "schema"),
    ("seed is not supported on this device", "seed"),
    ("[{'loc': ['body', 'n'], 'msg': 'must be 1'}]", "n"),
    ("Only one completion choice is allowed", "n"),
    ("n must be 1", "n"),
]
FIELDS = {"max_tokens", "continue_final_message", "logprobs", "response_format", "seed", "n"}


@pytest.mark.parametrize(("said", "ability"), SAID)
def test_what_a_refusal_teaches(said: str, ability: str) -> None:
    able = Abilities()
    assert able.learn(said, FIELDS) and len(able.learnt) == 1
    expected = able.tokens_field == "max_completion_tokens" if ability == "max_tokens" else not getattr(able, ability)
    assert expected
    assert not Abilities().learn(said, set())  # what was not sent cannot be at fault


@pytest.mark.parametrize("said", ["the image is broken", "temperature must be 1", "no", "run out of memory in layer n"])
def test_other_refusals_teach_nothing(said: str) -> None:
    assert not Abilities().learn(said, FIELDS)


def strict(lacks: dict[str, str]) -> Turn:
    """A server that refuses some fields, and gives what it knows for the others."""

    def turn(body: Body) -> Any:
        for field, said in lacks.items():
            if field in body and not (field == "n" and body["n"] == 1):
                return 422, {"detail": said}, {}
        if not isinstance(body.get("continue_final_message", True), bool):
            return 422, {"detail": "continue_final_message: not a boolean"}, {}
        schema = body.get("response_format")
        changes: Body = {}
        if body.get("logprobs"):
            top = [{"token": "yes", "logprob": -0.1}, {"token": "no", "logprob": -2.5}, {"token": "no", "logprob": -9}]
            changes["logprobs"] = {"content": [{"token": "yes", "logprob": -0.1, "top_logprobs": top}]}
        return answer(body, ['{"ok": "yes"}'] * body.get("n", 1) if schema else None, **changes)

    return turn


def backend(server: Server, **settings: Any) -> OpenAIBackend:
    return OpenAIBackend("tiny", OpenAISettings(base_url=server.url, backoff=0.01, timeout=2.0, **settings))


@pytest.mark.parametrize(
    ("lacks", "unable"),
    [
        ({}, set()),
        ({"n": "'n' must be 1"}, {"n"}),
        ({"logprobs": "no logprobs", "response_format": "no response_format"}, {"logprobs", "schema"}),
        ({"continue_final_message": "Unexpected fields: continue_final_message"}, {"continuation"}),
        ({"seed": "seed?"}, {"seed"}),
    ],
)
def test_a_probe_finds_what_a_server_can_do(lacks: dict[str, str], unable: set[str]) -> None:
    with serve(*[strict(lacks)] * 20, models=[{"id": "tiny", "owned_by": "me", "max_model_len": 512}]) as server:
        client = backend(server, continuation="auto")
        client.abilities.continuation = None
        found = client.probe()
        client.close()
    able = {name: getattr(found, name) for name in ("n", "logprobs", "schema", "seed", "images")}
    assert {name for name, value in able.items() if not value} == unable - {"continuation"}
    assert (found.models, found.owner, found.context) == (("tiny",), "me", 512)


def test_a_server_that_refuses_n_is_asked_for_each_at_the_same_time() -> None:
    with serve(*[strict({"n": "'n' must be 1"})] * 40, delay=0.05) as server:
        client = backend(server, concurrency=16)
        reply = client.complete([Request(ASK, 8, Sampling(0.7, max_tokens=8), key="a")])[0]
        assert len(reply.completions) == 8 and server.most_in_flight >= 7
        assert len({body["seed"] for body in server.seen if "n" not in body}) == 8
        client.close()


def test_a_server_that_leaves_n_aside_is_found_out() -> None:
    one: Turn = lambda body: answer(body, ["one"])  # noqa: E731
    with serve(*[one] * 40) as server:
        client = backend(server)
        client.complete([Request(ASK, 8, key="a")])
        assert client.abilities.n is False and [body.get("n") for body in server.seen[:3]] == [8, 7, None]
        assert len(server.seen) == 8
        client.close()


def test_the_other_name_of_max_tokens() -> None:
    said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    with serve(*[strict({"max_tokens": said})] * 9) as server:
        client = backend(server)
        assert len(client.complete([Request(ASK, key="a"), Request(ASK, key="b")])[1].completions) == 1
        assert "max_completion_tokens" in server.seen[-1] and client.abilities.learnt
        client.close()


SCHEMA = {"type": "object", "properties": {"ok": {"type": "string"}}}


def test_schema_and_candidates_are_asked_for_and_read() -> None:
    with serve(*[strict({})] * 3) as server:
        client = backend(server)
        place = client.complete([Request(ASK, schema=SCHEMA, logprobs=3)])[0].places[0]
        assert isinstance(place, Completion) and json.loads(place.text) == {"ok": "yes"}
        assert place.top_logprobs == ({"yes": -0.1, "no": -2.5},)
        body = server.seen[0]
        assert body["response_format"]["json_schema"]["schema"] == SCHEMA and body["top_logprobs"] == 3
        client.close()


def test_what_is_left_out_stands_in_the_notes() -> None:
    lacks = {"logprobs": "no logprobs", "response_format": "no response_format"}
    with serve(*[strict(lacks)] * 6) as server:
        client = backend(server)
        reply = client.complete([Request(ASK, schema=SCHEMA, logprobs=3)])[0]
        assert len(reply.completions) == 1 and len(reply.notes) == 2
        assert client.usage.notes.total() == 2
        client.close()
