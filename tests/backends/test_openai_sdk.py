"""OpenAI's own SDK and our client at the same server: what satisfies the one satisfies the other, errors included."""

from __future__ import annotations

import io
from typing import Any

import pytest

openai = pytest.importorskip("openai", reason="openai is not installed: pip install 'medprm-hf[openai]'")

from PIL import Image  # noqa: E402

from medprm_hf.backends import Failure, Message, Request, Sampling  # noqa: E402
from medprm_hf.backends.servers.openai_http import OpenAIBackend  # noqa: E402
from medprm_hf.errors import AuthError, BudgetError  # noqa: E402
from tests.backends.openai_server import OpenAI, answer, error, openai_server  # noqa: E402

KEY = "sk-test-SECRET0123456789"
SCHEMA = {"type": "object", "properties": {"side": {"type": "string"}}, "required": ["side"]}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ours(server: OpenAI, request: Request) -> Any:
    spec = f"gpt-4o-mini?base_url={server.url}&attempts=1&continuation=prompt"
    client = OpenAIBackend.from_spec(spec)
    try:
        return client.complete([request])[0]
    finally:
        client.close()


def theirs(server: OpenAI, body: dict[str, Any]) -> Any:
    with openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0) as client:
        return client.chat.completions.create(**body)


def ask(n: int = 1, **more: Any) -> Request:
    sampling = Sampling(0.7, 0.9, 50, ("\n\n",), 3)
    return Request((Message("user", "Which side?", more.pop("images", ())),), n, sampling, key="q", **more)


def png() -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    "request_",
    [
        ask(),
        ask(n=3),
        ask(images=(png(),)),
        ask(logprobs=2),
        ask(schema=SCHEMA),
        ask(prefix="The side is"),
        Request((Message("system", "Be short."), Message("user", "?")), 2, Sampling(temperature=0)),
    ],
    ids=["plain", "n", "image", "logprobs", "schema", "prefix", "greedy"],
)
def test_the_same_request_and_answer_through_both(request_: Request) -> None:
    """What we send is a request by the SDK's types; sent by the SDK, the same body is answered alike."""
    with openai_server() as server:
        reply = ours(server, request_)
        (sent,) = server.seen
        found = theirs(server, sent)
        assert server.seen[1] == sent
    texts = [choice.message.content for choice in found.choices]
    assert [done.text for done in reply.completions] == texts * (request_.n if len(texts) < request_.n else 1)
    assert reply.prompt_tokens == found.usage.prompt_tokens
    assert reply.completions[0].finish_reason == found.choices[0].finish_reason
    if request_.logprobs:
        content = found.choices[0].logprobs.content
        assert reply.completions[0].logprobs == tuple(token.logprob for token in content)
        assert reply.completions[0].top_logprobs == ({each.token: each.logprob for each in content[0].top_logprobs},)


@pytest.mark.parametrize(
    ("said", "sdk", "kind"),
    [
        (error(400, "maximum context length is 128000", "context_length_exceeded"), "BadRequestError", "context"),
        (error(400, "blocked by the content policy", "content_policy_violation"), "BadRequestError", "content_filter"),
        (error(401, "Incorrect API key provided: sk-test-*6789", "invalid_api_key"), "AuthenticationError", AuthError),
        (error(403, "no access"), "PermissionDeniedError", AuthError),
        (error(409, "conflict"), "ConflictError", "http_409"),
        (error(422, "unprocessable"), "UnprocessableEntityError", "http_422"),
        (error(429, "slow down", "rate_limit_exceeded", Retry_After="0"), "RateLimitError", "http_429"),
        (error(429, "You exceeded your current quota", "insufficient_quota"), "RateLimitError", BudgetError),
        (error(500, "server had an error"), "InternalServerError", "http_500"),
        (error(503, "overloaded"), "InternalServerError", "http_503"),
    ],
)
def test_errors_that_the_sdk_raises_have_a_name_here(said: Any, sdk: str, kind: Any) -> None:
    with openai_server(lambda body: said, lambda body: said) as server:
        with pytest.raises(getattr(openai, sdk)):
            theirs(server, {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "?"}]})
        if isinstance(kind, type):
            with pytest.raises(kind):
                ours(server, ask())
        else:
            place = ours(server, ask()).places[0]
            assert isinstance(place, Failure) and place.kind == kind


def test_a_filtered_choice_is_a_failure() -> None:
    with openai_server(lambda body: answer(body, ["half an"], "content_filter")) as server:
        place = ours(server, ask()).places[0]
    assert isinstance(place, Failure) and place.kind == "content_filter"
