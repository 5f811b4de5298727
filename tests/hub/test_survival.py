"""Many writers at once, a push killed half-way, a server killed: nothing is lost, nothing half there."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medprm_hf.hub import HubRepo
from tests.hub.fixtures import ROOT, TestHub
from tests.hub.local_hub import LocalHub

WRITER = """
import sys
from medprm_hf.hub import HubRepo
name, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
repo = HubRepo(name)
for n in range(count):
    repo.commit({f"by-{who}/{n}.txt": f"{who} {n}".encode(), "latest.txt": who.encode()}, f"{who} {n}")
"""


def writers(hub: TestHub, name: str, people: int, count: int, home: Path) -> None:
    """So many processes commit at once; each must end well."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, name, str(person), str(count)],
            env=hub.environment("owner", home),
            cwd=ROOT,
        )
        for person in range(people)
    ]
    assert [process.wait(timeout=180) for process in started] == [0] * people


@pytest.mark.parametrize("count", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_six_writers_at_once_lose_nothing(hub: TestHub, tmp_path: Path, count: int) -> None:
    repo = hub.repo()
    writers(hub, repo.name, 6, count, tmp_path)
    wanted = {f"by-{person}/{n}.txt": f"{person} {n}".encode() for person in range(6) for n in range(count)}
    got = {path: repo.read(path) for path in repo.files() if path.startswith("by-")}
    assert got == wanted
    told = repo._api.list_repo_commits(repo.name, repo_type="dataset")
    assert len(told) == 6 * count + 1, "each commit is there once"


PUSH = """
import sys
from pathlib import Path
from medprm_hf.hub import HubRepo
HubRepo(sys.argv[1]).commit({"data.bin": Path(sys.argv[2]), "note.txt": b"new"}, "New version")
"""


def test_a_push_that_is_killed_half_way_leaves_the_old_version(hub: TestHub, tmp_path: Path) -> None:
    repo = hub.repo()
    old = repo.commit({"data.bin": b"\0old", "note.txt": b"old"}, "Old version")
    file = tmp_path / "new.bin"
    file.write_bytes(os.urandom(300_000))
    sent = hub.folder / "store" / "lfs" / hashlib.sha256(file.read_bytes()).hexdigest()
    hub.fault("lfs_put", None, "after", seconds=3)  # the bytes are there, the client does not know it yet
    push = subprocess.Popen([sys.executable, "-c", PUSH, repo.name, str(file)], env=hub.environment("owner", tmp_path))
    while not sent.exists():
        assert push.poll() is None
        time.sleep(0.01)
    push.send_signal(signal.SIGKILL)
    push.wait()
    assert repo.head() == old.oid
    assert (repo.read("data.bin"), repo.read("note.txt")) == (b"\0old", b"old")
    puts = len(hub.asked("/_lfs/"))
    repo.commit({"data.bin": file, "note.txt": b"new"}, "New version")
    assert len(hub.asked("/_lfs/")) == puts, "what had arrived is not sent again"
    assert repo.read("data.bin") == file.read_bytes()
    assert repo.read("data.bin", old.oid) == b"\0old"


def test_what_the_local_hub_holds_survives_a_restart(hub: TestHub, tmp_path: Path) -> None:
    name, big = "org/kept", os.urandom(100_000) + b"\0"
    with LocalHub(tmp_path) as server:
        repo = HubRepo(name, "dataset", "hf_owner", server.url)
        repo.create(private=True)
        repo.commit({"a": b"1", "big.bin": big}, "A")
        repo.branch("run")
        proposed = HubRepo(name, "dataset", "hf_contributor", server.url)
        proposed.commit({"b": b"2"}, "B", description="Please.", pull_request=True)
        head = repo.head()
    with LocalHub(tmp_path) as server:
        repo = HubRepo(name, "dataset", "hf_owner", server.url)
        assert (repo.head(), repo.branches(), repo.read("big.bin")) == (head, ["main", "run"], big)
        assert [pull.description for pull in repo.pull_requests()] == ["Please."]
        repo.merge(1)
        assert repo.read("b") == b"2"
        assert not HubRepo(name, "dataset", "hf_stranger", server.url).exists()


@pytest.mark.slow
def test_a_local_hub_that_is_killed_keeps_every_commit_that_it_confirmed(hub: TestHub, tmp_path: Path) -> None:
    for round in range(5):
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.hub.local_hub", "--folder", str(tmp_path / "hub"), "--port", "0"],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        assert server.stdout is not None
        repo = HubRepo("org/kept", "dataset", "hf_owner", server.stdout.readline().split()[2].rstrip(";"))
        repo.create()
        assert repo.files() == [".gitattributes", *sorted(f"{n}.txt" for n in range(round))]
        repo.commit({f"{round}.txt": b"x"}, "One more")
        server.send_signal(signal.SIGKILL)
        server.wait()
