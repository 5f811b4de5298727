"""The journal of backends that compute here, answers replayed from it, and what `medprm journal` does with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medprm_hf.backends import Completion, Failure, Message, Reply, Request, Sampling, Usage, open_backend
from medprm_hf.backends.books import open_books
from medprm_hf.backends.journals.journal import Entry, Journal, place_names
from medprm_hf.backends.journals.journaled import CHUNK, JournaledBackend, folder_hash, marks_of, model_of
from medprm_hf.backends.journals.replay import ReplayBackend, ReplaySettings
from medprm_hf.backends.open import close_backends
from medprm_hf.cli import app
from medprm_hf.errors import ConfigError, StoreError

MODEL = "transformers:tiny"


class Counting:
    """Computes draw d of key k as `k/d`; fails what it is told to; counts what it was asked."""

    identity, marks, model = MODEL, "", "tiny"

    def __init__(self, failing: Sequence[str] = (), dies_after: int = 10**9) -> None:
        self.usage = Usage()
        self.draws: list[str] = []
        self.calls = 0
        self._failing, self._dies_after = failing, dies_after

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        self.calls += 1
        if self.calls > self._dies_after:
            raise KeyboardInterrupt
        replies = [self._reply(request) for request in requests]
        for reply in replies:
            self.usage.add(reply)
        return replies

    def _reply(self, request: Request) -> Reply:
        draws = [f"{request.key}/{request.first + place}" for place in range(request.n)]
        self.draws += draws
        places = (
            Failure("out_of_memory", "no") if draw in self._failing else Completion(draw, "stop", 3) for draw in draws
        )
        return Reply(tuple(places), 10, "native" if request.prefix else "none")

    def close(self) -> None:
        """Nothing."""


def ask(key: str = "q1", n: int = 4, text: str = "Which side is the lesion on?", **more: Any) -> Request:
    return Request((Message("user", text),), n, key=key, **more)


def texts(reply: Reply) -> list[str]:
    return [place.text if isinstance(place, Completion) else place.kind for place in reply.places]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    with open_books(journal=tmp_path / "journal.sqlite"):
        yield tmp_path / "journal.sqlite"


def test_raising_n_computes_only_the_new_draws(file: Path) -> None:
    inner = Counting()
    backend = JournaledBackend(inner)
    assert texts(backend.complete([ask(n=4)])[0]) == [f"q1/{i}" for i in range(4)]
    reply = backend.complete([ask(n=16)])[0]
    assert texts(reply) == [f"q1/{i}" for i in range(16)]
    assert inner.draws == [f"q1/{i}" for i in range(16)]
    assert reply.from_journal == 4 and backend.usage.from_journal == 4
    assert (backend.usage.completions, backend.usage.completion_tokens) == (16, 48)
    assert texts(backend.complete([ask(n=3, first=9)])[0]) == ["q1/9", "q1/10", "q1/11"]
    assert inner.calls == 2


def test_holes_are_filled_and_failures_asked_again(file: Path) -> None:
    inner = Counting(failing=["q1/1", "q1/3"])
    assert texts(JournaledBackend(inner).complete([ask()])[0]) == ["q1/0", "out_of_memory", "q1/2", "out_of_memory"]
    again = Counting()
    assert texts(JournaledBackend(again).complete([ask()])[0]) == [f"q1/{i}" for i in range(4)]
    assert again.draws == ["q1/1", "q1/3"]


def test_at_temperature_0_one_answer_serves_all(file: Path) -> None:
    greedy = {"sampling": Sampling(0)}
    first = JournaledBackend(Counting()).complete([ask(**greedy)])[0]
    inner = Counting()
    later = JournaledBackend(inner).complete([ask("other key", n=7, **greedy)])[0]
    assert texts(first)[:1] * 7 == texts(later) and inner.calls == 0 and later.from_journal == 7


def test_a_killed_call_loses_one_chunk_at_most(file: Path) -> None:
    asked = [ask(f"q{i}", 2, f"Question {i}?") for i in range(3 * CHUNK)]
    with pytest.raises(KeyboardInterrupt):
        JournaledBackend(Counting(dies_after=2)).complete(asked)
    inner = Counting()
    replies = JournaledBackend(inner).complete(asked)
    assert len(inner.draws) == 2 * CHUNK and inner.calls == 1
    assert [texts(reply) for reply in replies] == [[f"q{i}/0", f"q{i}/1"] for i in range(3 * CHUNK)]


def test_a_conversation_is_not_cut_into_chunks(file: Path) -> None:
    inner = Counting()
    JournaledBackend(inner).complete([ask("q", 1, prefix=f"Step {i}") for i in range(3 * CHUNK)])
    assert inner.calls == 1


def test_without_a_journal_it_only_asks() -> None:
    inner = Counting()
    for _ in range(2):
        JournaledBackend(inner).complete([ask()])
    assert inner.calls == 2


def test_two_models_share_a_journal_and_not_their_answers(file: Path) -> None:
    one, other = Counting(), Counting()
    other.identity = "transformers:other"
    for inner in (one, other):
        JournaledBackend(inner).complete([ask()])
    assert one.calls == other.calls == 1
    marked = Counting()
    marked.marks = "dtype=bfloat16"
    JournaledBackend(marked).complete([ask()])
    assert marked.calls == 1


def test_a_checkpoint_trained_on_is_another_model(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"before")
    before = folder_hash(tmp_path)
    assert marks_of(str(tmp_path), dtype="float32") == f"files={before}&dtype=float32"
    (tmp_path / "weights").write_bytes(b"after.")
    assert folder_hash(tmp_path) != before
    assert marks_of("org/model-of-the-hub") == ""


@pytest.mark.parametrize(
    ("identity", "model"),
    [
        ("openai:gpt-4o-mini", "gpt-4o-mini"),
        ("transformers:Qwen/Q?dtype=float32", "Qwen/Q"),
        ("phantom:policy?files=0", "phantom:policy"),
    ],
)
def test_the_models_name_is_read_from_the_identity(identity: str, model: str) -> None:
    assert model_of(identity) == model


def test_the_option_journal_turns_it_on_and_off() -> None:
    pytest.importorskip("torch")
    with_journal = open_backend("phantom:policy?journal=1&wave=8")
    assert isinstance(with_journal, JournaledBackend) and with_journal.identity == "phantom:policy"
    assert with_journal.recorded_as.startswith("phantom:policy?files=")
    assert not isinstance(open_backend("phantom:policy"), JournaledBackend)
    assert isinstance(open_backend("transformers:some/model"), JournaledBackend)
    assert not isinstance(open_backend("transformers:some/model?journal=0"), JournaledBackend)
    with pytest.raises(ConfigError, match="journal='yes'"):
        open_backend("phantom:policy?journal=yes")
    close_backends()


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Draws 0–3 of q1 with draw 1 failed, and one answer each to three other questions."""
    path = tmp_path / "recorded.sqlite"
    with open_books(journal=path):
        JournaledBackend(Counting(failing=["q1/1"])).complete([ask()])
        others = [
            ask("q2", 1, "Is the left lung clear?"),
            ask("q3", 1, "Which organ is enlarged?"),
            ask("q2", 1, "What?"),
        ]
        JournaledBackend(Counting()).complete(others)
    return path


def test_replay_gives_answers_and_failures_as_they_were(recorded: Path) -> None:
    backend = open_backend(f"replay:{recorded}?model={MODEL}")
    reply = backend.complete([ask()])[0]
    assert texts(reply) == ["q1/0", "out_of_memory", "q1/2", "q1/3"]
    assert (reply.prompt_tokens, reply.from_journal, backend.model) == (0, 3, "tiny")
    close_backends()


MISSES: list[tuple[Request, str]] = [
    (ask(sampling=Sampling(1.0)), r"key 'q1', other are temperature \(recorded 0.7, asked 1.0\)"),
    (ask(sampling=Sampling(max_tokens=5, seed=2)), r"max_tokens \(recorded 1024, asked 5\) and seed"),
    (ask(prefix="Step 1: "), r"the prefix \(recorded '', asked 'Step 1: '\)"),
    (ask("q2", 1, "Is the right lung clear?"), "key 'q2'.*text of turn 1.*left.*right"),
    (ask("q9", 1, "Which organ is very enlarged?"), r"key 'q3', other are key \(recorded 'q3', asked 'q9'\)"),
    (ask(n=8), "3 of the 8 draws"),
    (
        Request((Message("user", ask().messages[0].text, (b"x",)),), key="q1"),
        r"images of turn 1 .*recorded none, asked 2d711642b726",
    ),
    (Request((Message("system", "s"), *ask().messages), key="q1"), r"number of turns \(recorded 1, asked 2\)"),
]


@pytest.mark.parametrize(("asked", "said"), MISSES, ids=[str(i) for i in range(len(MISSES))])
def test_a_miss_names_the_nearest_request_and_what_differs(recorded: Path, asked: Request, said: str) -> None:
    place = ReplayBackend(recorded).complete([asked])[0].places[-1]
    assert isinstance(place, Failure) and place.kind == "not_recorded"
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(place.message)


def test_replay_of_a_model_that_is_not_there(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean transformers:tiny"):
        ReplayBackend(recorded, ReplaySettings("transformers:tini"))
    with pytest.raises(StoreError, match="there is no journal"):
        ReplayBackend(tmp_path / "none.sqlite")
    inner = Counting()
    inner.identity = "openai:x"
    with open_books(journal=recorded):
        JournaledBackend(inner).complete([ask()])
    with pytest.raises(ConfigError, match=r"2 models.*\?model=.*openai:x, transformers:tiny"):
        ReplayBackend(recorded)


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["journal", *words], env={"COLUMNS": "200"})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_stats_say_what_a_journal_holds(recorded: Path) -> None:
    line = next(line for line in run("stats", str(recorded)).splitlines() if MODEL in line)
    assert line.replace("│", " ").split()[1:8] == ["4", "6", "1", "1", "40", "+", "18"]


def test_an_export_holds_one_request_a_line(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert run("export", str(recorded), "--out", str(out)).startswith("wrote 4 requests")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["key"] for line in lines] == ["q1", "q2", "q3", "q2"]
    assert [answer["text"] for answer in lines[0]["answers"]] == ["q1/0", "q1/2", "q1/3"]
    assert [(failed["draw"], failed["kind"]) for failed in lines[0]["failures"]] == [(1, "out_of_memory")]
    with pytest.raises(ConfigError, match="did you mean transformers:tiny"):
        run("export", str(recorded), "--model", "transformers:tin")


def test_prune_shows_figures_first_and_takes_out_what_was_named(recorded: Path) -> None:
    old = Entry(place_names(MODEL, ask("old"))[0], MODEL, ask("old"), 0, Completion("x", "stop", 5), at=1e9)
    with Journal(recorded) as journal:
        journal.record([old])
    with pytest.raises(ConfigError, match="--older-than DAYS"):
        run("prune", str(recorded))
    for _ in range(2):  # the figures change nothing
        assert "would take out 1 answers (5 tokens" in run("prune", str(recorded), "--older-than", "30")
    assert "1 answers" in run("prune", str(recorded), "--older-than", "30", "--yes")
    assert "0 answers (0 tokens, to be paid for again if they are asked for), 1 failures" in run(
        "prune", str(recorded), "--failures", "--yes"
    )
    with Journal(recorded) as journal:
        assert journal.query("SELECT count(*) FROM answers") == [(6,)]
        assert journal.query("SELECT count(*) FROM requests") == [(4,)]
    assert "6 answers" in run("prune", str(recorded), "--model", MODEL, "--yes")
    assert MODEL not in run("stats", str(recorded))


def test_a_runs_directory_names_its_journal(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no journal"):
        run("stats", str(tmp_path))
    recorded.rename(tmp_path / "journal.sqlite")
    assert MODEL in run("stats", str(tmp_path))
