"""Leases, and runs that several processes work on at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from medprm_hf.backends.journals.journal import Entry, Journal, place_names
from medprm_hf.backends.journals.journal_own import OwnJournal, settle
from medprm_hf.backends.protocol import Completion, Message, Request, Sampling
from medprm_hf.errors import ConfigError, StoreError
from medprm_hf.recipe import Recipe, parse
from medprm_hf.runs.commands import build_run
from medprm_hf.runs.leases import Holder, Leases, sharers
from medprm_hf.runs.lock import one_at_a_time, together, worker, workers
from medprm_hf.runs.own_journals import at_rest, file_system, gather, own_journal
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.sharing import build_shared
from medprm_hf.runs.ways import Way

ROOT = Path(__file__).parents[2]
RESULT = ("dataset/data/train-00000-of-00001.parquet", "visualprm.jsonl", "steps.jsonl", "medprm.json", "dropped.jsonl")


def foreign(leases: Leases, name: str, age: float = 0.0) -> Path:
    """A lease that a process of another machine holds, renewed `age` seconds ago."""
    file = leases.folder / f"{name}.1"
    values = {**vars(Holder.me()), "owner": "far-1-abcd", "host": "far", "machine": "far boot", "process": 1}
    file.write_text(json.dumps(values))
    os.utime(file, (time.time() - age,) * 2)
    return file


def test_a_lease_is_held_by_one_and_given_back(tmp_path: Path) -> None:
    with Leases(tmp_path) as one, Leases(tmp_path) as two:
        lease = one.claim("rollout-00003")
        assert lease is not None and lease.held() and two.claim("rollout-00003") is None
        lease.release()
        again = two.claim("rollout-00003")
        assert again is not None and not again.taken_over and not lease.held()
    assert not (tmp_path / "leases").exists()


def test_the_lease_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    with Leases(tmp_path) as leases:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        file = leases.folder / "judge-00000.1"
        file.write_text(json.dumps({**vars(Holder.me()), "owner": "x", "process": ended.pid}))
        lease = leases.claim("judge-00000")
        assert lease is not None and lease.taken_over and not file.exists()


def test_another_machines_lease_runs_out_by_its_time(tmp_path: Path) -> None:
    with Leases(tmp_path, expires=60) as leases:
        foreign(leases, "judge-00000", age=30)
        foreign(leases, "judge-00001", age=90)
        assert leases.claim("judge-00000") is None
        lease = leases.claim("judge-00001")
        assert lease is not None and lease.taken_over


def test_who_slept_too_long_sees_that_it_lost_its_lease(tmp_path: Path) -> None:
    with Leases(tmp_path, beat=60, expires=0.2) as sleeper:
        lease = sleeper.claim("judge-00000")
        assert lease is not None
        time.sleep(0.3)
        with Leases(tmp_path, expires=0.2) as other:
            taken = other.claim("judge-00000")
            assert taken is not None and taken.held() and not lease.held()
            lease.release()
            assert taken.held()


def test_of_many_who_take_over_one_gets_it(tmp_path: Path) -> None:
    claimed: Counter[str] = Counter()
    gate = threading.Barrier(8)
    with Leases(tmp_path) as first:
        for number in range(20):
            foreign(first, f"s-{number}", age=1000)

        def hurry() -> None:
            with Leases(tmp_path) as leases:
                for number in range(20):
                    gate.wait()
                    if (lease := leases.claim(f"s-{number}")) is not None:
                        claimed[lease.name] += 1
                    gate.wait()

        threads = [threading.Thread(target=hurry) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(claimed.values()) == {1} and len(claimed) >= 18  # two that see one another may both step back


def test_leases_are_renewed(tmp_path: Path) -> None:
    with Leases(tmp_path, beat=0.05) as leases:
        lease = leases.claim("a")
        assert lease is not None
        os.utime(lease.file, (1, 1))
        time.sleep(0.3)
        assert lease.file.stat().st_mtime > 1


def test_who_may_come_in(tmp_path: Path) -> None:
    with together(tmp_path, "recipe a"):
        assert worker(tmp_path) == os.getpid() and len(workers(tmp_path)) == 1
        with together(tmp_path, "recipe a"):
            assert len(sharers(tmp_path)) == 2
        with pytest.raises(StoreError, match="with other settings"), together(tmp_path, "recipe b"):
            pass
        with pytest.raises(StoreError, match="add --share"), one_at_a_time(tmp_path):
            pass
    (tmp_path / ".lock").write_text(json.dumps({**vars(Holder.me()), "machine": "far boot", "host": "far"}))
    with pytest.raises(StoreError, match="on far"), one_at_a_time(tmp_path):
        pass
    os.utime(tmp_path / ".lock", (1, 1))
    with one_at_a_time(tmp_path):
        assert worker(tmp_path) == os.getpid()


def test_what_a_killed_process_left_half_is_swept(tmp_path: Path) -> None:
    (tmp_path / "shards" / "rollout").mkdir(parents=True)
    half = tmp_path / "shards" / "rollout" / "00000.parquet.77.tmp"
    half.write_bytes(b"half")
    with one_at_a_time(tmp_path):
        assert not half.exists()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"runner": "rya"}, "did you mean ray"),
        ({"runner": "ray", "share": True}, "do not go together"),
        ({"ray_address": "auto"}, "needs --runner ray"),
    ],
)
def test_ways_that_cannot_be(values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Way(**values)  # type: ignore[arg-type]


# Journals of one's own


def entry(text: str, number: int) -> Entry:
    request = Request((Message("user", f"question {number}"),), sampling=Sampling(temperature=1.0), key=str(number))
    return Entry(place_names("scripted:x", request)[0], "scripted:x", request, 0, Completion(text, "stop", 1))


def test_own_journals_are_read_by_others_once_at_rest_and_gathered(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as main:
        main.record([entry("from before", 0)])
    with Leases(tmp_path) as leases:
        dead = tmp_path / "journals" / "far-1-abcd.sqlite"
        killed = OwnJournal(dead, [])
        killed.record([entry("from afar", 1)])
        assert killed._link is not None
        copy = {f: f.read_bytes() for f in dead.parent.glob("far-*") if f.is_file()}  # as a kill -9 leaves them
        killed.close()
        for file, data in copy.items():
            file.write_bytes(data)
        mine = own_journal(tmp_path, leases)
        assert mine.stem == leases.me.owner
        with OwnJournal(mine, at_rest(tmp_path, leases)) as own:
            own.record([entry("mine", 2)])
            names = [entry("", number).name for number in range(4)]
            assert {own.answers(names)[name].text for name in names[:3]} == {"from before", "from afar", "mine"}
            assert names[3] not in own.answers(names)
        assert gather(tmp_path) == 1 and mine.is_file(), "that of a living process stays"
    assert gather(tmp_path) == 1 and not (tmp_path / "journals").exists()
    with Journal(tmp_path / "journal.sqlite") as main:
        assert {done.text for done in main.answers(names).values()} == {"from before", "from afar", "mine"}


def test_a_settled_journal_needs_no_helpers(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    with Journal(file) as journal:
        journal.record([entry("x", 0)])
    settle(file)
    assert file.read_bytes()[18:20] == b"\x01\x01" and not list(tmp_path.glob("*-wal"))


def test_file_systems() -> None:
    assert file_system(Path("/proc/self")) in ("proc", "")


# Whole runs


def recipe(folder: Path, shards: int = 8) -> Recipe:
    rows = [
        {"question_id": f"q{i}", "question": f"Follow-up of {i}?", "options": ["none", "CT", "biopsy"], "answer": "CT"}
        for i in range(2 * shards)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return parse(
        {
            "name": "shared",
            "source": {"name": "table", "path": str(folder / "questions.jsonl")},
            "stages": ["questions", "generate", "rollout", "judge", "merge", "select"],
            "generate": {"backend": "scripted:tests.stages.scripts:slow_solver", "solutions": 2},
            "rollout": {"backend": "scripted:tests.stages.scripts:slow_solver", "k": 2},
            "judge": {"backend": "scripted:tests.stages.scripts:judge"},
            "shard_questions": 2,
        },
        (),
    )


def start(file: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "medprm_hf.cli", "build", str(file), "--out", str(out), "--share", *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("more", [(), ("--own-journal",)])
def test_two_processes_share_a_run(tmp_path: Path, more: tuple[str, ...]) -> None:
    made = recipe(tmp_path)
    build_run(tmp_path / "alone", made)
    file, out = tmp_path / "recipe.yaml", tmp_path / "run"
    file.write_text(yaml.safe_dump(made.model_dump(mode="json")))
    both = [start(file, out, *more) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert not (out / "leases").exists() and not (out / ".lock").exists()
    for name in RESULT:
        assert (out / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name


def test_a_shard_of_another_machine_is_waited_for_and_then_taken_over(tmp_path: Path) -> None:
    run = Run.open(tmp_path / "run", recipe(tmp_path, 2))
    with together(run.directory, expires=1.5) as leases:
        foreign(leases, "generate-00000")
        began = time.monotonic()
        assert build_shared(run, leases, lambda *_: None) == 12
        assert time.monotonic() - began > 1.2
    assert run.finished()


def test_a_shard_whose_lease_was_lost_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.open(tmp_path / "run", recipe(tmp_path, 2))
    with together(run.directory) as leases:
        me, lost = leases.me, []
        order = Run.order

        def slept(self: Run, index: int, number: int) -> object:
            if not lost:
                lost.append((index, number))
                later = leases.folder / "questions-00000.2"
                later.write_text(json.dumps(vars(replace(me, owner="other"))))
                threading.Timer(0.5, later.unlink).start()
            return order(self, index, number)

        monkeypatch.setattr(Run, "order", slept)
        assert build_shared(run, leases, lambda *_: None) == 12
    assert lost == [(0, 0)] and run.finished()
