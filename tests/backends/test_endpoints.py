"""Several endpoints, the circuit breaker, requests that do not fit, and what the driver hands over."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medprm_hf.backends import Failure, Message, Reply, Request, Sampling
from medprm_hf.backends.books import open_books
from medprm_hf.backends.servers.fitting import Fitter, ProviderLimits, shrink
from medprm_hf.backends.servers.http_errors import Refusal
from medprm_hf.backends.servers.openai_http import OpenAIBackend, OpenAISettings
from medprm_hf.errors import AuthError, BackendError, ConfigError
from tests.backends.servers import Server, Turn, answer, serve

BROKEN: Turn = lambda _: (500, {"error": {"message": "broken"}}, {})  # noqa: E731


def backend(*servers: Server | str, **settings: Any) -> OpenAIBackend:
    urls = ",".join(server if isinstance(server, str) else server.url for server in servers)
    own: dict[str, Any] = {"base_url": urls, "backoff": 0.01, "timeout": 2.0, "api_key_env": "TEST_KEY"}
    return OpenAIBackend("tiny", OpenAISettings(**(own | settings)))


def ask(number: int = 0, n: int = 1) -> Request:
    return Request((Message("user", "Which side?"),), n, Sampling(0.7, max_tokens=8), key=str(number))


def nowhere() -> str:
    """The address of a server that is down."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def test_two_endpoints_share_the_load() -> None:
    with serve(delay=0.02) as one, serve(delay=0.02) as two:
        client = backend(one, two, concurrency=4)
        assert all(len(reply.completions) == 1 for reply in client.complete([ask(i) for i in range(80)]))
        assert len(one.seen) + len(two.seen) == 80 and min(len(one.seen), len(two.seen)) > 20
        assert one.most_in_flight <= 4 and two.most_in_flight <= 4
        client.close()


def test_an_endpoint_that_is_down_is_left_to_the_others() -> None:
    with serve(delay=0.01) as up:
        client = backend(nowhere(), up, concurrency=4, backoff=5.0)
        begun = time.perf_counter()
        assert all(len(reply.completions) == 1 for reply in client.complete([ask(i) for i in range(60)]))
        assert time.perf_counter() - begun < 4.0  # nobody waited for the one that is down
        client.close()


@pytest.mark.parametrize("url", ["", ",", "localhost:8000", "ftp://host/v1"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        backend(url)


def test_a_wrong_key_stops_the_run_with_one_message() -> None:
    wrong: Turn = lambda _: (401, {"error": {"message": "Incorrect API key"}}, {})  # noqa: E731
    with serve(*[wrong] * 500, delay=0.01) as server:
        client = backend(server, concurrency=4)
        with pytest.raises(AuthError, match="TEST_KEY"):
            client.complete([ask(i) for i in range(500)])
        assert len(server.seen) <= 8
        client.close()


def test_when_nothing_gets_through_the_run_stops() -> None:
    with serve(*[BROKEN] * 2000) as server:
        client = backend(server, attempts=2, give_up=5, concurrency=4)
        with pytest.raises(BackendError, match="nothing gets through: 5 requests"):
            client.complete([ask(i) for i in range(500)])
        assert len(server.seen) < 100
        client.close()


def test_a_server_that_is_not_there_is_named() -> None:
    client = backend(nowhere(), attempts=2, give_up=3)
    with pytest.raises(BackendError, match=r"connection.*127\.0\.0\.1"):
        client.complete([ask(i) for i in range(20)])
    client.close()


def test_a_failure_now_and_then_stops_nothing() -> None:
    def turns() -> Iterator[Turn]:
        ok: Turn = lambda body: answer(body)  # noqa: E731
        for _ in range(60):
            yield from (BROKEN, ok)

    with serve(*turns()) as server:
        client = backend(server, attempts=1, give_up=5, concurrency=1)
        replies = client.complete([ask(i) for i in range(40)])
        assert sum(isinstance(reply.places[0], Failure) for reply in replies) == 20
        client.close()


def test_requests_are_taken_from_their_iterator_only_as_slots_get_free() -> None:
    made, most = 0, 0
    done: list[int] = []

    def requests() -> Iterator[Request]:
        nonlocal made, most
        for i in range(300):
            made += 1
            most = max(most, made - len(done))
            yield ask(i)

    with serve() as server:
        client = backend(server, concurrency=8)
        client.complete_each(requests(), lambda number, _: done.append(number))
        assert sorted(done) == list(range(300)) and most <= 16
        client.close()


def test_an_error_while_replies_are_read_reaches_the_caller() -> None:
    def done(number: int, reply: Reply) -> None:
        raise ValueError("cannot be read")

    with serve() as server:
        client = backend(server)
        with pytest.raises(ValueError, match="cannot be read"):
            client.complete_each([ask()], done)
        assert len(client.complete([ask()])[0].completions) == 1
        client.close()


def test_calls_of_several_threads_share_the_slots() -> None:
    with serve(delay=0.02) as server:
        client = backend(server, concurrency=3)
        found: list[int] = []
        call = lambda: found.append(len(client.complete([ask(i) for i in range(20)])))  # noqa: E731
        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert found == [20] * 4 and server.most_in_flight == 3
        client.close()


def test_what_the_journal_holds_is_not_asked_again(tmp_path: Path) -> None:
    with serve() as server, open_books(journal=tmp_path / "j.sqlite"):
        client = backend(server)
        client.complete([ask(1, n=4), ask(2)])
        sent = len(server.seen)
        more = client.complete([ask(1, n=6), ask(2), ask(3)])
        assert [reply.from_journal for reply in more] == [4, 1, 0]
        assert [body["n"] for body in server.seen[sent:]] == [2, 1]
        client.close()


def test_a_prompt_over_the_context_is_refused_before_it_is_sent() -> None:
    with serve(models=[{"id": "tiny", "owned_by": "vllm", "max_model_len": 100}]) as server:
        client = backend(server)
        long = Request((Message("user", "word " * 400),), key="a")
        place = client.complete([long])[0].places[0]
        assert isinstance(place, Failure) and place.kind == "context"
        assert "400 tokens" in place.message and "context 100" in place.message
        assert not server.seen
        client.close()


def picture(side: int) -> bytes:
    import random

    out = io.BytesIO()
    Image.frombytes("L", (side, side), random.Random(0).randbytes(side * side)).save(out, "PNG")
    return out.getvalue()


def test_an_image_over_the_providers_size_is_made_smaller_with_a_note() -> None:
    fitter = Fitter("any", ProviderLimits(image_bytes=20_000, images=2, contexts={}))
    request = Request((Message("user", "?", (picture(300), picture(20))),))
    fitted, notes = fitter.fit(request)
    large, small = fitted.messages[0].images
    assert len(large) <= 20_000 and small == request.messages[0].images[1]
    assert len(notes) == 1 and "300x300" in notes[0] and "20000" in notes[0]
    with pytest.raises(Refusal, match="3 images in one request; the provider takes 2"):
        fitter.fit(Request((Message("user", "?", (picture(20),) * 3),)))
    with pytest.raises(Refusal, match="50 bytes, over the provider's 10"):
        shrink(b"no image" * 6 + b"..", 10)


def test_the_longest_name_tells_the_context() -> None:
    limits = ProviderLimits(1, 1, {"gpt-4": 10, "gpt-4o": 1000})
    request = Request((Message("user", "word " * 100),))
    Fitter("gpt-4o-mini", limits).fit(request)
    with pytest.raises(Refusal, match="context 10"):
        Fitter("gpt-4", limits).fit(request)
