"""The HTTP client against a server that misbehaves in every way that servers do."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import multiprocessing
import time
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from medprm_hf.backends import Completion, Failure, Message, Request, Sampling, open_backend
from medprm_hf.backends.servers.data_urls import mime
from medprm_hf.backends.servers.http_errors import pause, retry_after, scrub
from medprm_hf.backends.servers.openai_http import OpenAIBackend, OpenAISettings
from medprm_hf.errors import AuthError, BudgetError, ConfigError
from tests.backends.servers import Server, Turn, answer, serve

KEY = "sk-test-SECRET0123456789"


def backend(server: Server, **settings: Any) -> OpenAIBackend:
    defaults: dict[str, Any] = {"base_url": server.url, "backoff": 0.01, "timeout": 1.0, "api_key_env": "TEST_KEY"}
    return OpenAIBackend("tiny", OpenAISettings(**(defaults | settings)))


def ask(n: int = 1, prefix: str = "", temperature: float = 0.7, **more: Any) -> Request:
    return Request(
        (Message("user", "Which side?"),), n, Sampling(temperature, max_tokens=8), prefix=prefix, key="q1", **more
    )


def texts(reply: Any) -> list[str]:
    return [place.text if isinstance(place, Completion) else place.kind for place in reply.places]


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TEST_KEY", KEY)
    return KEY


def error(status: int, message: str = "no", code: str = "", **headers: str) -> Turn:
    body = {"error": {"message": message, "code": code}}
    return lambda _: (status, body, {name.replace("_", "-"): value for name, value in headers.items()})


PASSING: list[tuple[str, Turn]] = [
    *((f"http_{status}", error(status)) for status in (408, 409, 425, 429, 500, 502, 503, 504)),
    ("timeout", lambda _: "HANG"),
    ("connection", lambda _: "CUT"),
    ("broken_json", lambda _: '{"choices": [{"mess'),
    ("broken_json", lambda _: "[1, 2]"),
    ("broken_json", lambda _: '{"choices": [7]}'),
    ("no_choices", lambda _: '{"choices": []}'),
    ("no_choices", lambda _: '{"choices": null}'),
]


@pytest.mark.parametrize(("kind", "turn"), PASSING, ids=[f"{k}-{i}" for i, (k, _) in enumerate(PASSING)])
def test_what_may_pass_is_tried_again_and_else_named(kind: str, turn: Turn) -> None:
    with serve(turn) as server:
        client = backend(server, timeout=0.2)
        assert texts(client.complete([ask(n=2)])[0]) == ["answer 0", "answer 1"]
        assert len(server.seen) == 2
        client.close()
    with serve(turn, turn, turn) as server:
        client = backend(server, timeout=0.2, attempts=2)
        places = client.complete([ask(n=2)])[0].places
        assert [(place.kind, place.attempts) for place in places if isinstance(place, Failure)] == [(kind, 2)] * 2
        assert client.usage.failures == {kind: 2}
        client.close()


FINAL = [
    (400, "bad request", "", "http_400"),
    (422, "unknown field", "", "http_422"),
    (413, "too large", "", "http_413"),
    (400, "flagged", "content_policy_violation", "content_filter"),
    (400, "rejected by our safety system", "", "content_filter"),
    (400, "This model's maximum context length is 10", "", "context"),
    (400, "no", "context_length_exceeded", "context"),
]


@pytest.mark.parametrize(("status", "message", "code", "kind"), FINAL)
def test_what_cannot_pass_is_sent_once(status: int, message: str, code: str, kind: str) -> None:
    with serve(error(status, message, code)) as server:
        client = backend(server)
        bad, good = client.complete([ask()])[0], client.complete([ask()])[0]
        assert texts(bad) == [kind] and texts(good) == ["answer 0"]
        assert len(server.seen) == 2
        client.close()


@pytest.mark.parametrize(
    ("turn", "kind"),
    [
        (error(401, f"Incorrect API key provided: {KEY}"), AuthError),
        (error(403), AuthError),
        (error(429, "quota", "insufficient_quota"), BudgetError),
    ],
)
def test_what_stops_the_run_is_raised_and_shows_no_key(
    turn: Turn, kind: type[Exception], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serve(*[turn] * 20) as server:
        client = backend(server, concurrency=2)
        with pytest.raises(kind) as raised:
            client.complete([ask() for _ in range(20)])
        assert len(server.seen) < 20  # the others were let go
        assert server.headers[0]["Authorization"] == f"Bearer {key}"
        client.close()
    assert key not in f"{raised.value!r}{caplog.text}{client!r}{vars(client)}"


def test_an_unknown_model_is_refused_with_near_names() -> None:
    with serve(error(404, "no such model"), models=[{"id": "tiny-vl"}, {"id": "other"}]) as server:
        client = backend(server)
        with pytest.raises(ConfigError, match="no model 'tiny'; did you mean tiny-vl"):
            client.complete([ask()])
        client.close()


def test_openai_without_a_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY", raising=False)
    client = OpenAIBackend("gpt-4o-mini", OpenAISettings(api_key_env="TEST_KEY"))
    with pytest.raises(AuthError, match="TEST_KEY"):
        client.complete([ask()])
    client.close()


def test_missing_choices_are_asked_again_and_only_those() -> None:
    def two(body: dict[str, Any]) -> str:
        return answer(body, [f"{body['n']}-{i}" for i in range(min(2, body["n"]))])

    with serve(two, two, two) as server:
        client = backend(server)
        reply = client.complete([ask(n=5)])[0]
        assert texts(reply) == ["5-0", "5-1", "3-0", "3-1", "1-0"]
        assert [body["n"] for body in server.seen] == [5, 3, 1]
        assert len({body["seed"] for body in server.seen}) == 3
        assert reply.prompt_tokens == 21 and client.usage.completions == 5
        client.close()


def test_a_half_answered_request_keeps_what_arrived() -> None:
    two: Turn = lambda body: answer(body, ["a", "b"])  # noqa: E731
    with serve(two, *[error(500)] * 5) as server:
        client = backend(server, attempts=2)
        assert texts(client.complete([ask(n=3)])[0]) == ["a", "b", "http_500"]
        client.close()


FINISHES: list[tuple[dict[str, Any], str]] = [
    ({"finish_reason": "length"}, "answer 0"),
    ({"finish_reason": "content_filter"}, "content_filter"),
    ({"finish_reason": "tool_calls"}, "finish_reason"),
    ({"finish_reason": None}, "finish_reason"),
    ({"message": {"content": None}}, "no_text"),
    ({"message": {"content": None, "refusal": "I cannot"}}, "content_filter"),
    ({"message": {"content": ""}}, ""),
]


@pytest.mark.parametrize(("changes", "expected"), FINISHES)
def test_how_an_answer_ends(changes: dict[str, Any], expected: str) -> None:
    with serve(lambda body: answer(body, **changes)) as server:
        client = backend(server)
        place = client.complete([ask()])[0].places[0]
        assert (place.text if isinstance(place, Completion) else place.kind) == expected
        if changes.get("finish_reason") == "length":
            assert isinstance(place, Completion) and place.finish_reason == "length" and place.tokens == 2
        client.close()


def test_images_come_first_once_and_with_their_type() -> None:
    image = io.BytesIO()
    Image.new("L", (4, 4)).save(image, "JPEG")
    message = Message("user", "What?", (image.getvalue(),))
    with serve() as server:
        client = backend(server)
        client.complete([Request((Message("system", "Be brief."), message))])
        system, user = server.seen[0]["messages"]
        assert system == {"role": "system", "content": "Be brief."}
        shown, text = user["content"]
        head, data = shown["image_url"]["url"].split(",", 1)
        assert head == "data:image/jpeg;base64" and base64.b64decode(data) == image.getvalue()
        assert text == {"type": "text", "text": "What?"}
        client.close()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_mime_types(form: str) -> None:
    image = io.BytesIO()
    Image.new("RGB", (4, 4)).save(image, form)
    assert mime(image.getvalue()) == f"image/{form.lower()}"
    assert mime(b"nothing known") == "application/octet-stream"


def test_native_continuation_where_the_server_is_known_to_continue() -> None:
    with serve() as server:
        client = backend(server)
        reply = client.complete([ask(prefix="Look. ")])[0]
        assert reply.continuation == "native"
        body = server.seen[0]
        assert body["messages"][-1] == {"role": "assistant", "content": "Look. "}
        assert body["continue_final_message"] is True and body["add_generation_prompt"] is False
        assert client.complete([ask()])[0].continuation == "none"
        assert "continue_final_message" not in server.seen[1]
        client.close()


def test_prompt_continuation_elsewhere_and_what_is_repeated_is_cut() -> None:
    with serve(lambda body: answer(body, ["Look. Left."]), models=[{"id": "tiny", "owned_by": "someone"}]) as server:
        client = backend(server)
        reply = client.complete([ask(prefix="Look. ")])[0]
        assert (reply.continuation, texts(reply)) == ("prompt", ["Left."])
        assert len(server.seen[0]["messages"]) == 1
        assert server.seen[0]["messages"][0]["content"].endswith("The answer so far:\nLook. ")
        client.close()


def test_a_server_that_refuses_native_continuation_is_asked_in_the_prompt() -> None:
    with serve(error(400, "Unrecognized argument: continue_final_message")) as server:
        client = backend(server)
        assert [r.continuation for r in client.complete([ask(prefix="Look. ")])] == ["prompt"]
        client.complete([ask(prefix="Look. ")])
        assert ["continue_final_message" in body for body in server.seen] == [True, False, False]
        client.close()
    with serve(error(400, "Unrecognized argument: continue_final_message")) as server:
        client = backend(server, continuation="native")  # asked for by name: no silent change
        assert texts(client.complete([ask(prefix="Look. ")])[0]) == ["http_400"]
        client.close()


def test_sampling_and_keys_reach_the_server() -> None:
    with serve() as server:
        client = backend(server)
        sampling = Sampling(0.8, top_p=0.9, max_tokens=5, stop=("END",), seed=3)
        client.complete([Request((Message("user", "?"),), 4, sampling, key="a")])
        client.complete([Request((Message("user", "?"),), 4, sampling, key="b")])
        body = server.seen[0]
        assert {name: body[name] for name in ("n", "temperature", "top_p", "max_tokens", "stop")} == {
            "n": 4,
            "temperature": 0.8,
            "top_p": 0.9,
            "max_tokens": 5,
            "stop": ["END"],
        }
        assert body["seed"] != server.seen[1]["seed"] and 0 <= body["seed"] < 2**31
        client.close()
        unseeded = backend(server, seeds=0)
        unseeded.complete([ask()])
        assert "seed" not in server.seen[-1]
        unseeded.close()


def test_greedy_asks_once_for_all_places() -> None:
    with serve() as server:
        client = backend(server)
        assert texts(client.complete([ask(n=3, temperature=0.0)])[0]) == ["answer 0"] * 3
        assert len(server.seen) == 1 and "n" not in server.seen[0]
        client.close()


def test_logprobs_are_read() -> None:
    content = [{"token": "L", "logprob": -0.5}, {"token": "eft", "logprob": -0.25}, {"token": "", "logprob": 0}]
    with serve(lambda body: answer(body, ["Left"], logprobs={"content": content})) as server:
        client = backend(server, logprobs=1)
        place = client.complete([ask()])[0].places[0]
        assert place == Completion("Left", "stop", 3, (-0.5, -0.25, 0.0))
        assert server.seen[0]["logprobs"] is True
        client.close()


def test_many_at_once_but_never_over_the_limit() -> None:
    with serve(delay=0.05) as server:
        client = backend(server, concurrency=8)
        begun = time.perf_counter()
        replies = client.complete([ask() for _ in range(40)])
        assert all(texts(reply) == ["answer 0"] for reply in replies)
        assert server.most_in_flight == 8 and time.perf_counter() - begun < 1.5
        client.close()


def test_token_shares_add_up() -> None:
    uneven: Turn = lambda body: answer(body, ["a", "bb" * 9, ""])  # noqa: E731
    with serve(uneven) as server:
        client = backend(server)
        reply = client.complete([ask(n=3)])[0]
        assert sum(done.tokens for done in reply.completions) == 6
        client.close()


def test_it_works_inside_a_running_event_loop() -> None:
    async def handler(client: OpenAIBackend) -> list[str]:
        return texts(client.complete([ask()])[0])

    with serve() as server:
        client = backend(server)
        assert asyncio.run(handler(client)) == ["answer 0"]
        client.close()


def test_a_closed_client_opens_again() -> None:
    with serve() as server:
        client = backend(server)
        for _ in range(2):
            assert texts(client.complete([ask()])[0]) == ["answer 0"]
            client.close()


def _in_child(client: OpenAIBackend, found: Any) -> None:
    found.put(texts(client.complete([ask()])[0]))


def test_a_forked_worker_has_its_own_connections() -> None:
    with serve() as server:
        client = backend(server)
        client.complete([ask()])
        context = multiprocessing.get_context("fork")
        found = context.Queue()
        child = context.Process(target=_in_child, args=(client, found))
        child.start()
        assert found.get(timeout=10) == ["answer 0"]
        child.join(5)
        client.close()


def test_retry_after_is_obeyed() -> None:
    with serve(error(429, Retry_After="0.4")) as server:
        client = backend(server)
        begun = time.perf_counter()
        assert texts(client.complete([ask()])[0]) == ["answer 0"]
        assert time.perf_counter() - begun >= 0.4
        client.close()


@pytest.mark.parametrize(
    ("said", "low", "high"),
    [
        ("3", 3, 3),
        ("-1", 0, 0),
        ("99999", 600, 600),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 600, 600),
    ],
)
def test_retry_after_reads_seconds_and_dates(said: str, low: float, high: float) -> None:
    found = retry_after({"Retry-After": said})
    assert found is not None and low <= found <= high


def test_retry_after_that_says_nothing() -> None:
    assert retry_after({}) is None and retry_after({"Retry-After": "soon"}) is None


def test_pauses_double_up_to_a_limit() -> None:
    bounds = [(0.25, 0.5), (0.5, 1.0), (1.0, 2.0)]
    for attempt, (low, high) in enumerate(bounds, start=1):
        assert all(low <= pause(attempt, None, 0.5) <= high for _ in range(50))
    assert pause(30, None, 0.5) <= 60.0


def test_scrub() -> None:
    assert KEY not in scrub(f"bad key {KEY}", KEY) and "abcdef" not in scrub("Incorrect key: sk-abcdef***xyz")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("openai:tiny?concurency=3", "did you mean concurrency"),
        ("openai:tiny?concurrency=many", "not an integer"),
        ("openai:tiny?concurrency=0", "at least 1"),
        ("openai:tiny?continuation=maybe", "auto, native, prompt"),
    ],
)
def test_specs_that_cannot_work(spec: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        open_backend(spec)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("TEST_KEY", raising=False)
    yield
