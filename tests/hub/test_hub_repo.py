"""HubRepo against the local Hub: commits that are whole, races, lost answers, revisions, pull requests, reading."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from medprm_hf.errors import HubConflict, HubError
from medprm_hf.hub import HubRepo, Kind
from tests.hub.fixtures import TestHub


@pytest.mark.parametrize("kind", ["dataset", "model", "space"])
def test_what_is_committed_is_read_again_at_its_revision(hub: TestHub, tmp_path: Path, kind: Kind) -> None:
    repo = hub.repo("owner", hub.name(), kind)
    repo.create(private=False)
    repo.create(private=True)  # exists already: fine, and stays public
    file = tmp_path / "big.bin"
    file.write_bytes(bytes(range(256)) * 5000)
    first = repo.commit({"a.txt": b"one", "data/big.bin": file, "data/empty": b""}, "First", description="Why.")
    assert first.oid == repo.head()
    second = repo.commit({"a.txt": b"two", "data/": None}, "Second")
    assert repo.files() == [".gitattributes", "a.txt"]
    assert repo.files(first.oid, under="data") == ["data/big.bin", "data/empty"]
    assert (repo.read("a.txt"), repo.read("a.txt", first.oid)) == (b"two", b"one")
    assert repo.fetch("data/big.bin", tmp_path / "got" / "x.bin", first.oid).read_bytes() == file.read_bytes()
    got = repo.snapshot(tmp_path / "all", first.oid, under="data")
    assert [path.relative_to(tmp_path / "all").as_posix() for path in got] == ["data/big.bin", "data/empty"]
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == ["data"], "nothing else is left lying"
    assert second.url == f"{repo.url}/commit/{second.oid}"
    assert HubRepo(repo.name, kind, None, hub.url).read("a.txt") == b"two"
    assert repo.commit({"a.txt": b"two"}, "Nothing new").oid == second.oid


def test_a_demanded_parent_that_is_not_the_head_is_a_conflict(hub: TestHub) -> None:
    repo = hub.repo()
    old = repo.head()
    repo.commit({"a": b"1"}, "A", parent=old)
    with pytest.raises(HubConflict, match=r"commit 1 files of dataset .* at 'main': somebody else was first"):
        repo.commit({"a": b"2"}, "B", parent=old)
    assert repo.read("a") == b"1"


@pytest.mark.parametrize(
    ("status", "when", "times"),
    [(409, "before", 2), (412, "before", 2), (500, "before", 2), (0, "before", 2), (503, "after", 1), (0, "after", 1)],
)
def test_a_commit_whose_answer_got_lost_lands_once(hub: TestHub, status: int, when: str, times: int) -> None:
    repo = hub.repo()
    before = repo.head()
    hub.fault("commit", status, when, times)
    done = repo.commit({"a": b"1"}, "A", description="Why it is done")
    told = repo._api.list_repo_commits(repo.name, repo_type="dataset")
    assert [info.title for info in told] == ["A", "initial commit"]
    assert told[0].message.startswith("Why it is done\n\nCommit-Key: ")
    assert (told[0].commit_id, told[1].commit_id) == (done.oid, before)
    assert done.url.endswith(f"/commit/{done.oid}")


def test_a_demanded_parent_and_a_lost_answer(hub: TestHub) -> None:
    repo = hub.repo()
    head = repo.head()
    hub.fault("commit", 503, "after")
    done = repo.commit({"a": b"1"}, "A", parent=head)  # the second try finds that the first has landed
    assert done.oid == repo.head() != head
    other = HubRepo(repo.name, "dataset", hub.token("owner2"), hub.url)
    other.commit({"b": b"1"}, "B")
    hub.fault("commit", 503)
    with pytest.raises(HubConflict):
        repo.commit({"a": b"2"}, "C", parent=done.oid)
    assert [info.title for info in repo._api.list_repo_commits(repo.name, repo_type="dataset")][:2] == ["B", "A"]


@pytest.mark.parametrize("status", [503, 0])
def test_a_pull_request_whose_answer_got_lost_is_opened_once(hub: TestHub, status: int) -> None:
    repo = hub.repo("contributor", hub.repo().name)
    hub.fault("commit", status, "after")
    done = repo.commit({"a": b"1"}, "A", description="Text", pull_request=True)
    assert [(pull.number, pull.description) for pull in repo.pull_requests()] == [(done.pull_request, "Text")]
    assert repo.head("refs/pr/1") == done.oid


def test_a_hub_that_stays_broken_is_told_when_patience_ends(hub: TestHub) -> None:
    repo = hub.repo()
    hub.fault("commit", 503, times=99)
    with pytest.raises(HubError, match="has trouble .503") as caught:
        repo.commit({"a": b"1"}, "A", patience=0.5)
    assert caught.value.kind == "server"
    hub.server.app.faults.waiting.clear()


def test_branches_and_tags_are_revisions(hub: TestHub) -> None:
    repo = hub.repo()
    first = repo.head()
    repo.branch("run-1")
    repo.branch("run-1")
    with pytest.raises(HubConflict):
        repo.branch("run-1", exist_ok=False)
    repo.commit({"x": b"1"}, "X", branch="run-1")
    assert (repo.branches(), repo.head()) == (["main", "run-1"], first)
    assert "x" in repo.files("run-1")
    repo.branch("old", at=first)
    assert repo.head("old") == first


def test_contributors_pull_request_is_listed_commented_merged_and_read(hub: TestHub) -> None:
    owner = hub.repo()
    owner.commit({"kept": b"0", "gone": b"0", "edited": b"0"}, "Before")
    other = hub.repo("contributor", owner.name)
    done = other.commit(
        {"new/labels.jsonl": b"{}\n", "edited": b"1", "gone": None}, "Labels of mine", description="Checked.",
        pull_request=True,
    )  # fmt: skip
    owner.commit({"later": b"0"}, "Main moves on")
    assert done.pull_request == 1
    (pull,) = owner.pull_requests()
    assert (pull.title, pull.author, pull.status, pull.description) == (
        "Labels of mine",
        "contributor",
        "open",
        "Checked.",
    )
    assert owner.changes(1) == {"edited": "changed", "gone": "deleted", "new/labels.jsonl": "added"}
    assert owner.read("new/labels.jsonl", pull.revision) == b"{}\n"
    owner.comment(1, "All checks passed.")
    other.commit({"new/more": b"2"}, "One more", branch="refs/pr/1")
    with pytest.raises(HubError, match="needs write rights"):
        other.merge(1)
    owner.merge(1)
    assert owner.pull_request(1).comments == ("All checks passed.",)
    assert (owner.pull_request(1).status, owner.pull_requests()) == ("merged", [])
    assert [p.number for p in owner.pull_requests(open_only=False)] == [1]
    assert owner.files() == [".gitattributes", "edited", "kept", "later", "new/labels.jsonl", "new/more"]


def test_a_pull_request_that_clashes_is_refused_and_can_be_closed(hub: TestHub) -> None:
    owner = hub.repo()
    owner.commit({"a": b"0"}, "Before")
    hub.repo("contributor", owner.name).commit({"a": b"1"}, "Mine", pull_request=True)
    owner.commit({"a": b"2"}, "Ours")
    assert owner.pull_request(1).conflicts
    with pytest.raises(HubConflict, match="merge pull request #1.*conflicts with main in a"):
        owner.merge(1)
    assert owner.read("a") == b"2"
    owner.close(1, "Superseded.")
    assert (owner.pull_request(1).status, owner.pull_request(1).comments) == ("closed", ("Superseded.",))


def test_no_file_is_written_outside_the_folder_that_was_named(hub: TestHub, tmp_path: Path) -> None:
    repo = hub.repo()
    for path in ("../x", "a/../../x", "/etc/x"):
        with pytest.raises(HubError, match="leads out of the folder"):
            repo.fetch_all([path], tmp_path)


def test_a_large_file_is_read_by_range(hub: TestHub) -> None:
    from huggingface_hub import HfFileSystem

    repo = hub.repo()
    repo.commit({"big.parquet": bytes(2_000_000) + b"PAR1"}, "Big")
    files = HfFileSystem(endpoint=hub.url, token=hub.token("reader"), skip_instance_cache=True)
    with files.open(f"datasets/{repo.name}/big.parquet", block_size=1000) as file:
        file.seek(-4, 2)
        assert file.read() == b"PAR1"
    ranges = [served[2] for served in hub.asked(f"{repo.name}/resolve/") if served[0] == "GET"]
    assert ranges and all(asked.startswith("bytes=199") or asked.startswith("bytes=2000") for asked in ranges), ranges


def test_a_repo_travels_to_other_processes_and_does_not_show_its_token(hub: TestHub) -> None:
    repo = hub.repo("owner")
    assert pickle.loads(pickle.dumps(repo)) == repo
    assert "hf_owner" not in repr(repo)
    assert (repo.whoami(), hub.repo(None, repo.name).whoami()) == ("owner", None)
    assert repo.exists()
    assert not hub.repo("owner", hub.name()).exists()
