"""Provider batches: submit, leave, come back; expired lines again, refused ones named, nothing paid for twice."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medprm_hf.backends import Failure, Message, Reply, Request, Sampling, open_backend
from medprm_hf.backends.batches.batch import BatchBackend
from medprm_hf.backends.batches.batch_notes import BatchNotes
from medprm_hf.backends.books import open_books
from medprm_hf.backends.journals.journal import Journal
from medprm_hf.backends.open import close_backends
from medprm_hf.errors import AuthError, BackendError, BudgetError, ConfigError, PendingError
from tests.backends.batch_servers import Provider, gemini_batches, openai_batches

SERVERS = {"openai": openai_batches, "gemini": gemini_batches}
MODELS = {"openai": "gpt-4o-mini", "gemini": "gemini-2.5-flash"}
KEYS = {"OPENAI_API_KEY": "sk-test-SECRET0123456789", "GEMINI_API_KEY": "AIzaSyTestTestTestTestTestTestTestTest0"}
FORK = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    yield
    close_backends()


@pytest.fixture(params=["openai", "gemini"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(family: str) -> Iterator[Provider]:
    manager: AbstractContextManager[Provider] = SERVERS[family]()
    with manager as found:
        yield found


@pytest.fixture
def spec(family: str, server: Provider) -> str:
    return f"{family}:{MODELS[family]}?batch=1&base_url={server.url}&backoff=0.01&poll=0.05"


def png() -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "PNG")
    return out.getvalue()


def asked(count: int = 3, n: int = 2, temperature: float = 0.7) -> list[Request]:
    sampling = Sampling(temperature=temperature, max_tokens=50)
    return [Request((Message("user", f"Which side? {i}", (png(),)),), n, sampling, key=f"q{i}") for i in range(count)]


def ask(spec: str, journal: Path, requests: list[Request], **given: Any) -> list[Reply]:
    """As a new process would: nothing is kept but the journal."""
    close_backends()
    with open_books(journal=journal, **given):
        return open_backend(spec).complete(requests)


def under_way(journal: Path) -> int:
    with Journal(journal) as own:
        return len(BatchNotes(own).under_way())


def test_submit_leave_come_back_collect(spec: str, server: Provider, tmp_path: Path) -> None:
    journal, ledger = tmp_path / "journal.sqlite", tmp_path / "spent.jsonl"
    with pytest.raises(PendingError, match=r"batch_0.*medprm resume"):
        ask(spec, journal, asked())
    with pytest.raises(PendingError):
        ask(spec, journal, asked())
    assert len(server.batches) == 1 and under_way(journal) == 1
    server.end()
    with open_books(journal=journal, ledger=ledger) as own:
        close_backends()
        replies = open_backend(spec).complete(asked())
        (spent,) = own.meter.totals().values()
    assert [[done.text for done in reply.completions] for reply in replies] == [["answer 0", "answer 1"]] * 3
    assert [reply.prompt_tokens for reply in replies] == [9] * 3 and all(not reply.from_journal for reply in replies)
    assert (spent.requests, spent.completions, spent.prompt_tokens, spent.completion_tokens) == (3, 6, 27, 12)
    assert under_way(journal) == 0
    again = ask(spec, journal, asked())
    assert [reply.from_journal for reply in again] == [2] * 3 and len(server.paid) == 3


def test_more_draws_ask_for_what_lacks(spec: str, server: Provider, tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite"
    with pytest.raises(PendingError):
        ask(spec, journal, asked(1, n=2))
    with pytest.raises(PendingError):
        ask(spec, journal, asked(1, n=3))  # two are under way: one more is asked for
    server.end()
    (reply,) = ask(spec, journal, asked(1, n=3))
    assert len(reply.completions) == 3 and len(server.batches) == 2
    numbers = [body.get("n") or body["generationConfig"].get("candidateCount", 1) for body in _bodies(server)]
    assert numbers == [2, 1]


def _bodies(server: Provider) -> list[dict[str, Any]]:
    return [
        body if "messages" not in body or "n" in body else body | {"n": 1}
        for batch in server.batches.values()
        for body in (one | {"generationConfig": one.get("generationConfig", {})} for one in batch["lines"].values())
    ]


def test_greedy_is_one_line(spec: str, server: Provider, tmp_path: Path) -> None:
    requests = [*asked(1, n=4, temperature=0.0), replace(asked(1, n=2, temperature=0.0)[0], key="other")]
    with pytest.raises(PendingError):
        ask(spec, tmp_path / "j", requests)
    server.end()
    replies = ask(spec, tmp_path / "j", requests)
    assert [len(reply.completions) for reply in replies] == [4, 2] and len(server.paid) == 1


@pytest.mark.parametrize("state", ["expired", "cancelled", "failed"])
def test_what_lacks_is_submitted_again_and_no_answer_twice(
    spec: str, server: Provider, tmp_path: Path, state: str
) -> None:
    journal, calls = tmp_path / "j", []
    whole = server.say

    def half(body: dict[str, Any]) -> Any:
        calls.append(body)
        return None if len(calls) % 2 else whole(body)

    server.say = half
    with pytest.raises(PendingError):
        ask(spec, journal, asked(4))
    server.end(state)
    if state == "failed":  # a batch that was refused as a whole is not sent again and again
        replies = ask(spec, journal, asked(4))
        kinds = {place.kind for reply in replies for place in reply.places if isinstance(place, Failure)}
        assert kinds == {"batch_failed"} and len(server.batches) == 1
        return
    server.say = whole
    with pytest.raises(PendingError):
        ask(spec, journal, asked(4))
    assert len(server.batches) == 2 and len(server.paid) == 4 + 2
    server.end()
    assert all(len(reply.completions) == 2 for reply in ask(spec, journal, asked(4)))
    assert len(server.paid) == 6


def test_attempts_end(spec: str, server: Provider, tmp_path: Path) -> None:
    server.say = lambda body: None
    for _ in range(3):
        with pytest.raises(PendingError):
            ask(spec, tmp_path / "j", asked(1))
        server.end("expired")
    (reply,) = ask(spec, tmp_path / "j", asked(1))
    assert [place.kind for place in reply.places if isinstance(place, Failure)] == ["expired"] * 2
    assert len(server.batches) == 3


def test_errors_of_lines_are_named(spec: str, family: str, server: Provider, tmp_path: Path) -> None:
    """One line is refused for good, one fails on the server's side and is sent again, one is answered."""
    refused = {"error": {"code": 3 if family == "gemini" else "x", "message": "content policy violation"}}
    busy = {"error": {"code": 13 if family == "gemini" else "y", "message": "internal error"}}
    whole, journal = server.say, tmp_path / "j"

    def say(body: dict[str, Any]) -> Any:
        text = json.dumps(body)
        return (400, refused) if "side? 0" in text else (500, busy) if "side? 1" in text else whole(body)

    server.say = say
    with pytest.raises(PendingError):
        ask(spec, journal, asked())
    server.end()
    with pytest.raises(PendingError):
        ask(spec, journal, asked())
    assert len(server.paid) == 4
    server.say = whole
    server.end()
    bad, again, good = ask(spec, journal, asked())
    assert [place.kind for place in bad.places if isinstance(place, Failure)] == ["content_filter"] * 2
    assert len(again.completions) == len(good.completions) == 2 and len(server.paid) == 4
    with Journal(journal, readonly=True) as own:
        kinds = own.query("SELECT kind, count(*) FROM failures GROUP BY kind ORDER BY kind")
    assert kinds == [("content_filter", 2), ("http_500", 2)]


def test_waiting_for_it(spec: str, server: Provider, tmp_path: Path) -> None:
    import threading

    def later() -> None:
        while not server.batches:
            time.sleep(0.02)
        server.end()

    helper = threading.Thread(target=later)
    helper.start()
    replies = ask(f"{spec}&wait=20", tmp_path / "j", asked())
    helper.join()
    assert all(len(reply.completions) == 2 for reply in replies)


def test_an_answer_lost_on_the_way_back_makes_no_second_batch(spec: str, server: Provider, tmp_path: Path) -> None:
    server.break_off = 1
    with pytest.raises(PendingError):
        ask(spec, tmp_path / "j", asked())
    assert len(server.batches) == 1
    server.end()
    assert all(len(reply.completions) == 2 for reply in ask(spec, tmp_path / "j", asked()))


def _killed_before_the_note(spec: str, journal: str) -> None:
    def kill(self: BatchNotes, intent: str, provider: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    BatchNotes.submitted = kill  # type: ignore[method-assign]
    ask(spec, Path(journal), asked())


def _killed_before_the_submission(spec: str, journal: str) -> None:
    intend = BatchNotes.intend

    def kill(self: BatchNotes, *given: Any) -> None:
        intend(self, *given)
        os.kill(os.getpid(), signal.SIGKILL)

    BatchNotes.intend = kill  # type: ignore[method-assign]
    ask(spec, Path(journal), asked())


@pytest.mark.parametrize("where", [_killed_before_the_note, _killed_before_the_submission])
def test_kill_9_between_intent_submission_and_note(spec: str, server: Provider, tmp_path: Path, where: Any) -> None:
    """A real process, really killed; the next one finds the batch in the provider's list, or that there is none."""
    journal = tmp_path / "j"
    child = FORK.Process(target=where, args=(spec, str(journal)))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL and under_way(journal) == 1
    for i in range(3):
        server.add(f"somebody else's {i}", {})  # others' batches fill the list
    with pytest.raises(PendingError):
        ask(spec, journal, asked())
    assert len(server.paid) == 3
    server.end()
    assert all(len(reply.completions) == 2 for reply in ask(spec, journal, asked()))
    assert len(server.paid) == 3


def test_large_batches_are_split(spec: str, server: Provider, tmp_path: Path) -> None:
    with pytest.raises(PendingError, match=r"^3 batch"):
        ask(f"{spec}&megabytes=0.0008", tmp_path / "j", asked())
    server.end()
    assert all(len(reply.completions) == 2 for reply in ask(spec, tmp_path / "j", asked()))


def test_the_budget_holds_before_anything_is_sent(spec: str, family: str, server: Provider, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(f"{family}:{MODELS[family]}: {{input: 1000, output: 1000}}\n")
    with pytest.raises(BudgetError, match="may cost"):
        ask(spec, tmp_path / "j", asked(), budget=0.01, prices=prices)
    assert not server.batches
    with pytest.raises(PendingError):
        ask(spec, tmp_path / "j", asked(), budget=1000, prices=prices)


def test_a_wrong_key_stops_and_can_be_mended(spec: str, server: Provider, tmp_path: Path) -> None:
    server.refuse = [(401, {"error": {"message": "wrong key", "code": 401}})]
    with pytest.raises(AuthError):
        ask(spec, tmp_path / "j", asked())
    with pytest.raises(PendingError):
        ask(spec, tmp_path / "j", asked())
    assert len(server.batches) == 1


def test_busy_and_refusing_providers(spec: str, server: Provider, tmp_path: Path) -> None:
    server.refuse = [(503, {"error": {"message": "busy"}})] * 2
    with pytest.raises(PendingError):
        ask(spec, tmp_path / "j", asked())
    server.refuse = [(400, {"error": {"message": "enqueued token limit"}})]
    with pytest.raises(BackendError, match="enqueued token limit"):
        ask(spec, tmp_path / "other", asked())
    assert len(server.batches) == 1 and under_way(tmp_path / "other") == 0


def test_without_a_journal_it_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="needs a journal"):
        open_backend(spec).complete(asked())
    with pytest.raises(ConfigError, match="batch='yes'"):
        open_backend("openai:gpt-4o-mini?batch=yes")
    assert isinstance(open_backend(spec), BatchBackend)


def test_batch_and_direct_answers_are_the_same_to_the_journal(spec: str, server: Provider, tmp_path: Path) -> None:
    with pytest.raises(PendingError):
        ask(spec, tmp_path / "j", asked())
    server.end()
    ask(spec, tmp_path / "j", asked())
    direct = spec.replace("batch=1&", "").replace("&poll=0.05", "")
    assert [reply.from_journal for reply in ask(direct, tmp_path / "j", asked())] == [2] * 3


def test_no_key_in_the_journal(spec: str, server: Provider, tmp_path: Path) -> None:
    server.say = lambda body: (400, {"error": {"message": " ".join(KEYS.values()), "code": 3}})
    with pytest.raises(PendingError):
        ask(spec, tmp_path / "j", asked())
    server.end()
    shown = repr(ask(spec, tmp_path / "j", asked())) + "".join(
        file.read_bytes().decode("latin1") for file in tmp_path.iterdir()
    )
    assert not any(key in shown for key in KEYS.values())
