"""The journal alone: names by content, what is recorded, many writers, and files that cannot be used."""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medprm_hf.backends import Completion, Failure, Message, Request, Sampling
from medprm_hf.backends.journals.journal import Entry, Journal, Recorded, place_names
from medprm_hf.backends.journals.journal_file import VERSION
from medprm_hf.backends.journals.journal_group import GroupCommit
from medprm_hf.errors import StoreError

MODEL = "openai:gpt-4o-mini"
TURN = Message("user", "Which side?", (b"png",))


def request(**changes: Any) -> Request:
    return Request(**({"messages": (TURN,), "n": 2, "key": "q1", "prefix": "Step 1: "} | changes))


def entry(asked: Request, place: int, outcome: Completion | Failure, **more: Any) -> Entry:
    return Entry(place_names(MODEL, asked)[place], MODEL, asked, place, outcome, **more)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


OTHERS = {
    "text": request(messages=(Message("user", "Which lobe?", (b"png",)),)),
    "role": request(messages=(Message("system", "Which side?", (b"png",)),)),
    "image": request(messages=(Message("user", "Which side?", (b"jpg",)),)),
    "no image": request(messages=(Message("user", "Which side?"),)),
    "a turn more": request(messages=(TURN, Message("assistant", ""))),
    "prefix": request(prefix=""),
    "key": request(key="q2"),
    "temperature": request(sampling=Sampling(0.8)),
    "top_p": request(sampling=Sampling(top_p=0.9)),
    "max_tokens": request(sampling=Sampling(max_tokens=7)),
    "stop": request(sampling=Sampling(stop=("\n",))),
    "seed": request(sampling=Sampling(seed=1)),
    "schema": request(schema={"type": "object"}),
    "logprobs": request(logprobs=5),
}


@pytest.mark.parametrize("part", OTHERS)
def test_a_name_depends_on_everything_that_changes_an_answer(part: str) -> None:
    assert not set(place_names(MODEL, request())) & set(place_names(MODEL, OTHERS[part]))
    assert not set(place_names(MODEL, request())) & set(place_names("openai:gpt-4o", request()))


def test_a_name_depends_on_nothing_else() -> None:
    plain = place_names(MODEL, request())
    assert plain == place_names(
        MODEL, request(about={"steps": [1]}, messages=(Message("user", "Which side?", (b"png",)),))
    )
    assert plain == place_names(MODEL, request(n=5))[:2]
    assert plain[1:] == place_names(MODEL, request(first=1))[:1]
    assert len(set(place_names(MODEL, request(n=16)))) == 16


def test_at_temperature_0_all_places_of_all_keys_and_seeds_have_one_name() -> None:
    greedy = {"sampling": Sampling(0), "n": 3}
    names = {
        name
        for changes in ({}, {"key": "other"}, {"first": 9}, {"sampling": Sampling(0, top_p=0.5, seed=4)})
        for name in place_names(MODEL, request(**(greedy | changes)))
    }
    assert len(names) == 1
    assert names.isdisjoint(place_names(MODEL, request(sampling=Sampling(0), prefix="")))


TEXT = st.text(st.characters(codec=None, categories=None), max_size=20)  # half surrogate pairs and NULs too


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    TEXT,
    st.sampled_from(["stop", "length"]),
    st.integers(0, 9999),
    st.none() | st.lists(st.floats(max_value=0, allow_nan=False)).map(tuple),
)
def test_an_answer_comes_back_as_it_was(
    journal: Journal, text: str, finish: str, tokens: int, logprobs: tuple[float, ...] | None
) -> None:
    asked = request(key=f"k{time.time_ns()}")
    candidates = None if logprobs is None else tuple({text: value, "\ud800": -1.5} for value in logprobs)
    done = Completion(text, finish, tokens, logprobs, candidates)
    journal.record([entry(asked, 1, done, prompt_tokens=7, continuation="native")])
    name = place_names(MODEL, asked)[1]
    assert journal.recall(place_names(MODEL, asked)) == {name: Recorded(done, 7, "native")}


def test_failures_are_kept_with_reason_and_attempts_and_are_no_answers(journal: Journal) -> None:
    asked = request()
    first, second = place_names(MODEL, asked)
    journal.record([entry(asked, 0, Failure("timeout", "no answer", 6)), entry(asked, 1, Failure("http_500", "no", 2))])
    journal.record([entry(asked, 0, Failure("http_429", "slow down", 3))])
    assert journal.answers([first, second]) == {}
    assert journal.failures([first, second]) == {
        first: Failure("http_429", "slow down", 3),
        second: Failure("http_500", "no", 2),
    }
    journal.record([entry(asked, 0, Completion("Left.", "stop", 2))])
    assert list(journal.answers([first, second])) == [first]
    assert journal.query("SELECT count(*) FROM failures") == [(3,)]


def test_the_first_answer_stays(journal: Journal) -> None:
    for text in ("first", "second"):
        journal.record([entry(request(), 0, Completion(text, "stop", 1))])
    assert [found.text for found in journal.answers(place_names(MODEL, request())).values()] == ["first"]


def test_many_names_are_looked_up_in_one_go(journal: Journal) -> None:
    asked = [request(key=f"q{i}", n=4) for i in range(600)]
    journal.record(
        [entry(one, place, Completion(f"{one.key}/{place}", "stop", 1)) for one in asked for place in (0, 2)]
    )
    found = journal.answers([name for one in asked for name in place_names(MODEL, one)[1:]])
    assert sorted(done.text for done in found.values()) == sorted(f"q{i}/2" for i in range(600))


def test_what_fails_is_written_not_at_all(journal: Journal) -> None:
    good, broken = entry(request(), 0, Completion("a", "stop", 1)), entry(request(), 1, Completion("b", None, 1))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="NOT NULL"):
        journal.record([good, broken])
    assert journal.answers(place_names(MODEL, request())) == {}
    journal.record([good])


def test_neither_images_nor_keys_are_kept(tmp_path: Path) -> None:
    image, key = os.urandom(4000), "sk-proj-SECRET0123456789abcdef"
    asked = request(messages=(Message("user", "Which side?", (image,)),))
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.record([entry(asked, 0, Failure("http_401", f"Incorrect API key provided: {key}"))])
        written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert image[:64] not in written and key.encode() not in written and b"[key]" in written


def _write(path: Path, writer: int, count: int) -> None:
    with Journal(path) as journal:
        for i in range(count):
            asked = request(key=f"w{writer}-{i}")
            journal.record([entry(asked, place, Completion(f"{writer}-{i}-{place}", "stop", 1)) for place in (0, 1)])


def test_several_processes_writing_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.sqlite"  # nobody has made it yet: all try to
    fresh = multiprocessing.get_context("spawn")
    writers = [fresh.Process(target=_write, args=(path, writer, 150)) for writer in range(4)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0] * 4
    with Journal(path, readonly=True) as journal:
        found = {row[0] for row in journal.query("SELECT text FROM answers")}
    assert found == {f"{w}-{i}-{p}" for w, i, p in itertools.product(range(4), range(150), (0, 1))}


def test_threads_and_a_forked_child_share_a_journal(journal: Journal) -> None:
    journal.record([entry(request(key="before"), 0, Completion("parent", "stop", 1))])

    def work(number: int) -> None:
        for i in range(50):
            journal.record([entry(request(key=f"t{number}-{i}"), 0, Completion("x", "stop", 1))])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    child = multiprocessing.get_context("fork").Process(target=work, args=(9,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert journal.query("SELECT count(*) FROM answers") == [(251,)]


def _write_and_tell(path: Path, told: Any) -> None:
    journal = Journal(path)
    for i in itertools.count():
        journal.record([entry(request(key=f"k{i}"), 0, Completion("x" * 2000, "stop", 1))])
        told.value = i + 1


def test_killed_while_writing_everything_that_was_told_is_there(tmp_path: Path) -> None:
    fresh = multiprocessing.get_context("fork")
    for attempt in range(5):
        path, told = tmp_path / f"{attempt}.sqlite", fresh.Value("q", 0)
        process = fresh.Process(target=_write_and_tell, args=(path, told))
        process.start()
        until = time.monotonic() + 20
        while told.value < 20 + 37 * attempt and time.monotonic() < until:
            time.sleep(0.001)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with Journal(path) as journal:
            count = journal.query("SELECT count(*) FROM answers")[0][0]
            assert journal.query("PRAGMA integrity_check") == [("ok",)]
        assert told.value <= count <= told.value + 1


def test_a_burst_is_one_commit_and_every_task_waits_for_it(journal: Journal) -> None:
    commits: list[int] = []
    record = journal.record
    journal.record = lambda entries: (commits.append(len(entries)), record(entries))[1]  # type: ignore[method-assign]

    async def burst() -> None:
        pen = GroupCommit(journal)

        async def task(i: int) -> None:
            asked = request(key=f"k{i}")
            await pen.record([entry(asked, 0, Completion("x", "stop", 1))])
            assert journal.answers(place_names(MODEL, asked))

        await asyncio.gather(*(task(i) for i in range(20)))
        given_up = asyncio.ensure_future(task(99))
        await asyncio.sleep(0)
        given_up.cancel()
        await task(100)

    asyncio.run(burst())
    assert commits[0] == 20 and sum(commits) == 22


def test_a_burst_that_cannot_be_written_fails_for_every_task(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"no database at all" * 100)

    async def burst() -> list[Any]:
        pen = GroupCommit(Journal(path))
        work = [pen.record([entry(request(key=str(i)), 0, Completion("x", "stop", 1))]) for i in range(3)]
        return await asyncio.gather(*work, return_exceptions=True)

    assert [type(found) for found in asyncio.run(burst())] == [StoreError] * 3


def _other_version(path: Path) -> None:
    Journal(path).query("SELECT 1 FROM requests")
    with sqlite3.connect(path) as link:
        link.execute(f"PRAGMA user_version={VERSION + 1}")
    link.close()


def _other_database(path: Path) -> None:
    with sqlite3.connect(path) as link:
        link.execute("CREATE TABLE reviews (id)")
    link.close()


def _overwritten(path: Path) -> None:
    journal = Journal(path)
    for i in range(200):
        journal.record([entry(request(key=f"k{i}"), 0, Completion("x" * 500, "stop", 1))])
    journal.close()
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)


def _a_folder(path: Path) -> None:
    path.mkdir()


BAD = [
    (lambda path: path.write_bytes(b"not SQLite" * 500), "is not a journal.*move it away"),
    (_other_version, f"version {VERSION + 1}, this medprm-hf reads {VERSION}.*move the file away"),
    (_other_database, "database of something else.*name another file"),
    (_overwritten, "damaged: move it away|cannot be used|not a journal"),
    (_a_folder, "cannot be opened"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD, ids=["garbage", "version", "other", "damaged", "folder"])
def test_a_file_that_cannot_be_used_says_so_and_the_way_out(tmp_path: Path, spoil: Any, message: str) -> None:
    path = tmp_path / "journal.sqlite"
    spoil(path)
    with pytest.raises(StoreError, match=message) as raised, Journal(path) as journal:
        for i in range(200):
            journal.answers(place_names(MODEL, request(key=f"k{i}")))
            journal.record([entry(request(key=f"k{i}"), 0, Completion("x", "stop", 1))])
    assert str(path) in str(raised.value)


def test_a_full_disk_says_that_nothing_is_lost(journal: Journal) -> None:
    journal.record([entry(request(), 0, Completion("kept", "stop", 1))])
    pages = journal.query("PRAGMA page_count")[0][0]
    journal.query(f"PRAGMA max_page_count={pages + 2}")  # SQLite then says what it says on a full disk
    with pytest.raises(StoreError, match="disk is full.*medprm resume"):
        for i in range(100):
            journal.record([entry(request(key=f"k{i}"), 0, Completion("x" * 4000, "stop", 1))])
    assert journal.answers(place_names(MODEL, request()))


def test_a_journal_that_may_only_be_read(journal: Journal) -> None:
    journal.record([entry(request(), 0, Completion("kept", "stop", 1))])
    with Journal(journal.path, readonly=True) as other:
        assert other.answers(place_names(MODEL, request()))
        with pytest.raises(StoreError, match="may not be written"):
            other.record([entry(request(), 1, Completion("no", "stop", 1))])
    journal.close()
    assert not journal.path.with_name("journal.sqlite-wal").exists()  # closed, all of it is in the one file
    with pytest.raises(StoreError, match="there is no journal"):
        Journal(journal.path.with_name("none.sqlite"), readonly=True).answers(["a:0"])


def test_a_copy_is_readable_json(journal: Journal) -> None:
    journal.record([entry(request(), 0, Completion("x", "stop", 1))])
    copy = json.loads(journal.query("SELECT copy FROM requests")[0][0])
    assert copy["messages"] == [["user", "Which side?", list(TURN.image_hashes)]]
    assert (copy["prefix"], copy["key"], copy["temperature"]) == ("Step 1: ", "q1", 0.7)
