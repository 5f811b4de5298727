"""Gemini's own SDK, unmodified, against a server written from the published API: answers, blocks, errors, the key."""

from __future__ import annotations

import base64
import io
import logging
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medprm_hf.backends import Completion, Failure, Message, Reply, Request, Sampling
from medprm_hf.backends.books import books, open_books
from medprm_hf.backends.open import open_backend
from medprm_hf.backends.servers.gemini import OWN_THINKING, GeminiBackend
from medprm_hf.backends.servers.gemini_wire import own_schema
from medprm_hf.errors import AuthError, BackendError, BudgetError, ConfigError
from tests.backends.gemini_server import KEY, Gemini, Turn, answer, candidate, error, gemini, quota, reason, retry_info

pytest.importorskip("google.genai", reason="google-genai is not installed: pip install 'medprm-hf[gemini]'")

SCHEMA = {
    "type": "object",
    "properties": {"side": {"enum": ["left", "right"]}, "sure": {"type": ["number", "null"]}},
    "required": ["side"],
    "additionalProperties": False,
}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)


def backend(server: Gemini, **options: Any) -> GeminiBackend:
    query = {"base_url": server.url, "backoff": 0.01, "attempts": 2, **options}
    return GeminiBackend.from_spec("gemini-2.5-flash?" + "&".join(f"{k}={v}" for k, v in query.items()))


def ask(text: str = "Which side?", n: int = 1, temperature: float = 0.7, **more: Any) -> Request:
    more.setdefault("sampling", Sampling(temperature=temperature, max_tokens=50, stop=("\n\n",), seed=3))
    return Request((Message("user", text, more.pop("images", ())),), n, key="q", **more)


def one(server: Gemini, request: Request, **options: Any) -> Reply:
    client = backend(server, **options)
    try:
        return client.complete([request])[0]
    finally:
        client.close()


def png(side: int = 8) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((side, side), 90).save(out, "PNG")
    return out.getvalue()


def test_what_is_sent() -> None:
    image = png()
    turns = (Message("system", "Be short."), Message("user", "Which side?", (image,)))
    request = Request(turns, 2, Sampling(0.7, 0.9, 50, ("\n\n",), 3), key="q", schema=SCHEMA, logprobs=2)
    with gemini() as server:
        reply = one(server, request)
    (body,) = server.seen
    assert server.keys == [KEY]
    assert body["systemInstruction"]["parts"] == [{"text": "Be short."}]
    picture, text = body["contents"][0]["parts"]
    assert "image/png" in picture["inlineData"].values() and text == {"text": "Which side?"}
    assert base64.urlsafe_b64decode(picture["inlineData"]["data"].replace("+", "-").replace("/", "_")) == image
    settings = body["generationConfig"]
    expected = {"temperature": 0.7, "topP": 0.9, "maxOutputTokens": 50, "candidateCount": 2, "stopSequences": ["\n\n"]}
    assert expected.items() <= settings.items()
    assert settings["thinkingConfig"] in ({"thinkingBudget": 0}, {"thinking_budget": 0})
    assert settings["responseMimeType"] == "application/json" and settings["seed"] == request.seed(0) & 0x7FFFFFFF
    assert settings.get("responseJsonSchema") or settings["responseSchema"]["properties"]["side"]["enum"]
    assert [done.text for done in reply.completions] == ["answer 0", "answer 1"]
    done = reply.completions[0]
    assert done.logprobs == (-0.5,) and done.top_logprobs == ({"a": -0.5, "b": -1.5},)
    assert reply.prompt_tokens == 9 and reply.continuation == "none" and not reply.notes


def test_prefix_goes_into_the_prompt_and_is_not_repeated() -> None:
    with gemini(lambda body: answer(body, ["The side is left."])) as server:
        reply = one(server, ask(prefix="The side is"))
    asked = server.seen[0]["contents"]
    assert len(asked) == 1 and asked[0]["parts"][0]["text"].endswith("The side is")
    assert reply.continuation == "prompt" and reply.completions[0].text == " left."


def test_greedy_is_asked_once_and_n_above_eight_in_several_calls() -> None:
    with gemini() as server:
        assert len(one(server, ask(n=4, temperature=0.0)).completions) == 4
        assert [body["generationConfig"].get("candidateCount", 1) for body in server.seen] == [1]
        assert len(one(server, ask(n=11)).completions) == 11
        assert sorted(body["generationConfig"].get("candidateCount", 1) for body in server.seen[1:]) == [3, 8]


def test_missing_candidates_are_asked_for_again_and_nothing_twice() -> None:
    with gemini(lambda body: answer(body, ["one", "two"])) as server:
        reply = one(server, ask(n=3))
    assert [done.text for done in reply.completions] == ["one", "two", "answer 0"]
    assert len(server.seen) == 2


def block(body: dict[str, Any]) -> dict[str, Any]:
    return {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}}


def candidates(*listed: dict[str, Any]) -> Turn:
    return lambda body: answer(body) | {"candidates": list(listed)}


def test_a_blocked_prompt_fails_all_places_and_is_paid() -> None:
    with gemini(block) as server, open_books() as own:
        reply = one(server, ask(n=3))
        spent = own.meter.totals()["", "gemini:gemini-2.5-flash"]
    assert [place.kind for place in reply.places if isinstance(place, Failure)] == ["content_filter"] * 3
    assert "SAFETY" in str(reply.places[0]) and len(server.seen) == 1
    assert spent.prompt_tokens == 9 and spent.failures == {"content_filter": 3}


@pytest.mark.parametrize(
    ("listed", "kind", "word"),
    [
        (candidate("half an", finish="SAFETY"), "content_filter", "SAFETY"),
        (candidate(None, finish="RECITATION"), "content_filter", "RECITATION"),
        (candidate(None, finish="PROHIBITED_CONTENT"), "content_filter", "PROHIBITED_CONTENT"),
        ({"finishReason": "STOP", "index": 0}, "no_text", "STOP"),
        (candidate(None, finish="MAX_TOKENS"), "no_text", "thinking"),
        (candidate("x", finish="MALFORMED_FUNCTION_CALL"), "finish_reason", "MALFORMED"),
        (candidate("x", finish="A_NEW_REASON"), "finish_reason", "A_NEW_REASON"),
    ],
)
@pytest.mark.filterwarnings("ignore:A_NEW_REASON")
def test_empty_and_blocked_candidates_are_named(listed: dict[str, Any], kind: str, word: str) -> None:
    with gemini(candidates(listed)) as server:
        place = one(server, ask()).places[0]
    assert isinstance(place, Failure) and place.kind == kind and word in place.message
    assert len(server.seen) == 1


def test_length_thoughts_and_tokens() -> None:
    thought = {"content": {"parts": [{"text": "hm", "thought": True}, {"text": "Left"}]}, "finishReason": "MAX_TOKENS"}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 5, "cachedContentTokenCount": 4}
    with gemini(lambda body: {"candidates": [thought], "usageMetadata": usage}) as server, open_books() as own:
        done = one(server, ask(), thinking=64).places[0]
        spent = own.meter.totals()["", "gemini:gemini-2.5-flash"]
    assert isinstance(done, Completion) and (done.text, done.finish_reason, done.tokens) == ("Left", "length", 7)
    assert server.seen[0]["generationConfig"]["maxOutputTokens"] == 50 + 64
    assert spent.completion_tokens == 7


@pytest.mark.parametrize(
    "turn",
    [
        lambda body: error(500, "INTERNAL", "An internal error has occurred."),
        lambda body: error(503, "UNAVAILABLE", "The model is overloaded."),
        lambda body: error(504, "DEADLINE_EXCEEDED", "Deadline expired."),
        lambda body: error(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", retry_info("0.01s")),
        lambda body: {"usageMetadata": {"promptTokenCount": 9}},
        lambda body: '{"candidates": [{"cont',
        lambda body: "[1, 2]",
        lambda body: "CUT",
        lambda body: "HANG",
    ],
    ids=["500", "503", "504", "429", "no candidates", "broken JSON", "a list", "cut", "hang"],
)
def test_what_may_pass_is_tried_again(turn: Turn) -> None:
    with gemini(turn) as server:
        reply = one(server, ask(), timeout=0.5)
    assert len(server.seen) == 2 and reply.completions[0].text == "answer 0"


def test_retry_info_is_obeyed_and_the_sdk_does_not_retry() -> None:
    busy: Turn = lambda body: error(429, "RESOURCE_EXHAUSTED", "slow down", quota("PerMinute"), retry_info("0.6s"))  # noqa: E731
    with gemini(busy) as server:
        started = time.monotonic()
        assert one(server, ask()).completions
        assert time.monotonic() - started >= 0.6
    with gemini(*[busy] * 5) as server:
        place = one(server, ask()).places[0]
    assert isinstance(place, Failure) and (place.kind, place.attempts) == ("http_429", 2) and len(server.seen) == 2


@pytest.mark.parametrize(
    ("said", "raised", "words"),
    [
        (error(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID")), AuthError, "GEMINI_API_KEY"),
        (error(401, "UNAUTHENTICATED", "no credentials"), AuthError, "GEMINI_API_KEY"),
        (error(403, "PERMISSION_DENIED", "no access to this model"), AuthError, "GEMINI_API_KEY"),
        (error(400, "FAILED_PRECONDITION", "User location is not supported."), AuthError, "account"),
        (error(429, "RESOURCE_EXHAUSTED", "quota", quota("RequestsPerDayPerProject")), BudgetError, "day's quota"),
    ],
)
def test_what_ends_the_run(said: Any, raised: type[BackendError], words: str) -> None:
    with gemini(*[lambda body: said] * 3) as server, pytest.raises(raised, match=words):
        one(server, ask())
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", "context"),
        ("Unable to process input image. Please retry.", "image"),
        ("Request contains an invalid argument.", "http_400"),
    ],
)
def test_what_fails_one_request(message: str, kind: str) -> None:
    with gemini(lambda body: error(400, "INVALID_ARGUMENT", message)) as server:
        client = backend(server, concurrency=1)
        bad, good = client.complete([ask("a"), ask("b")])
        client.close()
    assert isinstance(bad.places[0], Failure) and bad.places[0].kind == kind and good.completions


REFUSALS = [
    ("Multiple candidates is not enabled for models/x", "candidateCount", {}),
    ("Unable to use seed with this model", "seed", {}),
    ("Logprobs is not enabled for models/x", "responseLogprobs", {"logprobs": 1}),
    ("JSON mode is not enabled for models/x", "responseMimeType", {"schema": SCHEMA}),
    ("Thinking is not enabled for models/x", "thinkingConfig", {}),
]


@pytest.mark.parametrize(("message", "field", "asked"), REFUSALS)
def test_refusals_are_learnt_from(message: str, field: str, asked: dict[str, Any]) -> None:
    def refuse(body: dict[str, Any]) -> Any:
        return error(400, "INVALID_ARGUMENT", message) if field in body["generationConfig"] else answer(body)

    with gemini(*[refuse] * 8) as server:
        client = backend(server)
        assert len(client.complete([ask(n=2, **asked)])[0].completions) == 2
        refused = sum(field in body["generationConfig"] for body in server.seen)
        client.complete([ask("again", n=2, **asked)])
        client.close()
    assert refused == sum(field in body["generationConfig"] for body in server.seen) == 1


def test_models_that_must_think_and_such_without_instruction() -> None:
    def refuse(body: dict[str, Any]) -> Any:
        if next(iter(body["generationConfig"]["thinkingConfig"].values())) == 0:
            return error(400, "INVALID_ARGUMENT", "Budget 0 is invalid. This model only works in thinking mode.")
        if "systemInstruction" in body:
            return error(400, "INVALID_ARGUMENT", "Developer instruction is not enabled for models/gemma")
        return answer(body)

    turns = (Message("system", "Be short."), Message("user", "Which side?"))
    with gemini(*[refuse] * 3) as server:
        reply = one(server, Request(turns, key="q", sampling=Sampling(max_tokens=50)))
    assert reply.completions and "thinking" in reply.notes[0]
    assert server.seen[2]["generationConfig"]["maxOutputTokens"] == 50 + OWN_THINKING
    assert server.seen[2]["contents"][0]["parts"] == [{"text": "Be short.\n\nWhich side?"}]


def test_unknown_model_names_those_near() -> None:
    with gemini() as server, pytest.raises(ConfigError, match="gemini-2.5-flash"):
        GeminiBackend.from_spec(f"gemini-2.5-flahs?base_url={server.url}").complete([ask()])


def test_no_key_is_said_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuthError, match="GEMINI_API_KEY"):
        GeminiBackend("gemini-2.5-flash").complete([ask()])
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    with gemini() as server:
        one(server, ask())
    assert server.keys == [KEY]


def test_the_key_is_in_no_message_log_or_journal(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []
    echoes = [
        lambda body: error(400, "INVALID_ARGUMENT", f"cannot read {KEY}"),
        lambda body: error(401, "UNAUTHENTICATED", f"who is {KEY}?"),
        lambda body: candidates(candidate("x", finish="OTHER", finishMessage=KEY))(body),
        lambda body: "CUT",
    ]
    with open_books(journal=tmp_path / "journal.sqlite"):
        for echo in echoes:
            with gemini(*[echo] * 2) as server:
                try:
                    client = backend(server)
                    shown.append(repr(client.complete([ask(str(echo))])) + repr(vars(client)))
                except BackendError as raised:
                    shown.append("".join(traceback.format_exception(raised)))
    said = "".join(shown) + caplog.text + (tmp_path / "journal.sqlite").read_bytes().decode("latin1")
    assert KEY not in said


def test_the_journal_answers_the_second_time(tmp_path: Path) -> None:
    with gemini() as server, open_books(journal=tmp_path / "journal.sqlite"):
        first, again = one(server, ask(n=2)), one(server, ask(n=4))
        assert (first.from_journal, again.from_journal) == (0, 2)
        assert [body["generationConfig"]["candidateCount"] for body in server.seen] == [2, 2]
        assert books().meter.totals()["", "gemini:gemini-2.5-flash"].from_journal == 2


def test_large_images_are_sent_smaller() -> None:
    with gemini() as server:
        reply = one(server, ask(images=(png(64),)), max_image_bytes=2000)
    sent = server.seen[0]["contents"][0]["parts"][0]["inlineData"]["data"]
    assert len(sent) * 3 / 4 <= 2003 and "2000 bytes" in reply.notes[0]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": 3}, {"enum": ["3"], "type": "string"}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": "array", "items": {"type": "object", "additionalProperties": False}}, {"items": {"type": "object"}}),
        ({"anyOf": [{"type": "string"}]}, {"any_of": [{"type": "string"}]}),
        ({"properties": {"a": {"$ref": "#/x"}}}, None),
    ],
)
def test_schema_in_geminis_words(schema: dict[str, Any], expected: dict[str, Any] | None) -> None:
    found = own_schema(schema)
    assert found is None if expected is None else (found is not None and expected.items() <= found.items())


@pytest.fixture
def probed() -> Iterator[str]:
    with gemini() as server:
        yield f"gemini:gemini-2.5-flash?base_url={server.url}"


def test_the_doctor_asks_it(probed: str) -> None:
    from medprm_hf.runs.probing import probe

    found = probe(probed)
    assert found.answers and found.images and found.n and found.logprobs and found.continuation == "prompt"
    assert found.identity == "gemini:gemini-2.5-flash"
    open_backend(probed)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="no option"):
        open_backend("gemini:gemini-2.5-flash?thinkin=1")
    with pytest.raises(ConfigError, match="thinking=-2"):
        open_backend("gemini:gemini-2.5-flash?thinking=-2")
