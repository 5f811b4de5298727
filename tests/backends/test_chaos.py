"""A server that misbehaves in every way at once: what it once answered whole is never asked for again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medprm_hf.backends import Backend, Completion, Failure, Message, Reply, Request, Sampling, open_backend
from medprm_hf.backends.books import open_books
from medprm_hf.backends.journals.journal import Journal
from medprm_hf.backends.open import close_backends
from medprm_hf.errors import AuthError, BackendError
from medprm_hf.recipe import parse
from medprm_hf.runs.pipeline import Run
from tests.backends.servers import serve
from tests.backends.steady_server import FAULTS, KINDS, steady

KEY = "sk-proj-SECRET0123456789abcdefgh"


def opened(url: str, **options: Any) -> Backend:
    plain = {"base_url": url, "backoff": 0.01, "timeout": 1.0, "attempts": 3, "give_up": 0, "concurrency": 24}
    said = "&".join(f"{name}={value}" for name, value in (plain | options).items())
    return open_backend(f"openai:steady?{said}")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_backends()


def asked(count: int, n: int = 4, **more: Any) -> list[Request]:
    return [Request((Message("user", f"Question {i}?"),), n, key=f"q{i}", **more) for i in range(count)]


def kinds(replies: list[Reply]) -> Counter[str]:
    return Counter(place.kind for reply in replies for place in reply.places if isinstance(place, Failure))


def test_every_request_ends_as_an_answer_or_a_named_failure(tmp_path: Path) -> None:
    with steady(tmp_path, 0.01, 2.5, "--stubborn") as server, open_books(journal=tmp_path / "journal.sqlite"):
        requests = asked(300)
        first = opened(server.url).complete(requests)
        met = {line["fault"] for line in server.lines() if line.get("fault")}
        assert met == set(KINDS)  # each fault was met; fewer choices and finish_reason length are answers
        assert [len(reply.places) for reply in first] == [4] * 300
        assert kinds(first).keys() == set(KINDS.values())
        assert all(place.message for reply in first for place in reply.places if isinstance(place, Failure))
        done = [place for reply in first for place in reply.places if isinstance(place, Completion)]
        assert {place.finish_reason for place in done} == {"stop", "length"}
        assert len(done) > 900 and len({place.text for place in done}) == len(done)
        seen = len(server.lines())
        again = opened(server.url).complete(requests)  # only what failed is asked for again
        assert {line["arrived"] for line in server.lines()[seen:] if "arrived" in line} == _failed(
            server.lines()[:seen]
        )
        assert [reply.completions for reply in again] == [reply.completions for reply in first]
        with Journal(tmp_path / "journal.sqlite", readonly=True) as journal:
            kept = {row[0] for row in journal.query("SELECT text FROM answers")}
            failed = dict(journal.query("SELECT kind, max(attempts) FROM failures GROUP BY kind"))
        assert kept == {place.text for place in done}
        assert failed == dict.fromkeys(KINDS.values(), 3) | {"content_filter": 1}


def _failed(lines: list[dict[str, Any]]) -> set[str]:
    """Requests that were never answered whole."""
    whole = {line["answered"] for line in lines if line.get("texts")}
    return {line["arrived"] for line in lines if "arrived" in line} - whole


def test_raising_k_from_4_to_16_asks_for_12(tmp_path: Path) -> None:
    with serve() as server, open_books(journal=tmp_path / "journal.sqlite"):
        for n in (4, 16, 16, 8):
            replies = opened(server.url).complete(asked(3, n))
            assert [len(reply.completions) for reply in replies] == [n] * 3
        assert [body["n"] for body in server.seen] == [4] * 3 + [12] * 3
        assert len({body["seed"] for body in server.seen}) == 6


def _recipe(folder: Path, backend: str, k: int) -> Any:
    rows = [
        {"question_id": f"q{i}", "question": f"Case {i}?", "options": ["none", "CT", "biopsy"], "answer": "CT"}
        for i in range(4)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = {
        "source": {"name": "table", "path": str(folder / "questions.jsonl")},
        "stages": ["questions", "generate", "rollout"],
        "generate": {"backend": backend, "solutions": 2},
        "rollout": {"backend": backend, "k": k},
    }
    return parse(plain)


def test_a_run_whose_k_is_raised_pays_for_the_rest_and_can_be_replayed(tmp_path: Path) -> None:
    with steady(tmp_path, 0.01, 1.0, "--without", *FAULTS) as server:
        spec = f"openai:steady?base_url={server.url}"
        Run.open(tmp_path / "run", _recipe(tmp_path, spec, 4)).build()
        asked_first = {line["n"] for line in server.lines() if line.get("continued")}
        server.reset()
        raised = Run.open(tmp_path / "run", _recipe(tmp_path, spec, 16))
        raised.build()
        asked_then = {line["n"] for line in server.lines() if line.get("continued")}
        assert (asked_first, asked_then) == ({4}, {12})
        close_backends()
    replayed = Run.open(tmp_path / "again", _recipe(tmp_path, f"replay:{tmp_path}/run/journal.sqlite", 16))
    replayed.build()
    assert replayed.table(0, replayed.columns) == raised.table(0, raised.columns)
    assert set(raised.table(0, ["rollout_total"])["rollout_total"][0]) == {16}


def test_answers_without_log_probabilities_do_not_serve_who_wants_them(tmp_path: Path) -> None:
    with serve() as server, open_books(journal=tmp_path / "journal.sqlite"):
        for options in ({}, {"logprobs": 1}, {"logprobs": 1}, {}):
            opened(server.url, **options).complete(asked(1, 2))
        assert [body.get("logprobs") for body in server.seen] == [None, True]


def test_at_temperature_0_one_answer_is_asked_for_once(tmp_path: Path) -> None:
    greedy = {"sampling": Sampling(0)}
    with serve() as server, open_books(journal=tmp_path / "journal.sqlite"):
        for n in (3, 16):
            assert [len(reply.completions) for reply in opened(server.url).complete(asked(2, n, **greedy))] == [n, n]
        assert len(server.seen) == 2


def test_two_runs_share_a_journal(tmp_path: Path) -> None:
    shared = tmp_path / "shared.sqlite"
    with serve() as server:
        for count in (3, 5):
            with open_books(journal=shared):
                replies = opened(server.url).complete(asked(count, 2))
                assert [reply.from_journal for reply in replies] == [0, 0, 0] if count == 3 else [2, 2, 2, 0, 0]
        assert len(server.seen) == 5
        with open_books(journal=tmp_path / "own.sqlite"):
            opened(server.url).complete(asked(1, 2))
        assert len(server.seen) == 6


def _says_the_key(status: int) -> Any:
    body = {"error": {"message": f"bad key {KEY}", "param": f"Bearer {KEY}"}}
    return lambda _: (status, body, {"X-Echo": KEY})


PROVOKED = {
    "401": _says_the_key(401),
    "400": _says_the_key(400),
    "500": _says_the_key(500),
    "429": _says_the_key(429),
    "broken": lambda _: f'{{"choices": "{KEY}',
    "odd": lambda _: json.dumps({"choices": [{"finish_reason": KEY, "message": {"content": "x"}}]}),
    "filter": lambda _: json.dumps({"choices": [{"finish_reason": "content_filter", "message": {"refusal": KEY}}]}),
    "cut": lambda _: "CUT",
    "hang": lambda _: "HANG",
}


@pytest.mark.parametrize("name", PROVOKED)
def test_a_key_is_in_no_journal_export_or_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medprm_hf.backends.journals.journal_care import export

    monkeypatch.setenv("TEST_KEY", KEY)
    file, said = tmp_path / "journal.sqlite", ""
    with serve(*[PROVOKED[name]] * 8) as server, open_books(journal=file, ledger=tmp_path / "spent.jsonl"):
        try:
            replies = opened(server.url, api_key_env="TEST_KEY", timeout=0.2, attempts=2).complete(asked(2, 1))
            said = repr(replies)
        except (AuthError, BackendError) as error:
            said = f"{error!r} {error}"
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
        if file.exists():
            with Journal(file, readonly=True) as journal:
                export(journal, tmp_path / "export.jsonl")
        written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert said and KEY not in said and KEY.encode() not in written
    assert name == "401" or b"failures" in (tmp_path / "export.jsonl").read_bytes()
