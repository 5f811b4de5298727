"""What a user reads when the Hub says no: repo, revision, file, rights, login, connection; each with a way out."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

import pytest

from medprm_hf.errors import HubError, MedPRMError
from medprm_hf.hub import HubRepo
from tests.hub.fixtures import TestHub

PRIVATE = "org/private"


@pytest.fixture
def private(hub: TestHub) -> str:
    repo = hub.repo("owner", PRIVATE)
    repo.create(private=True)
    return PRIVATE


def write(repo: HubRepo) -> object:
    return repo.commit({"a": b"1"}, "A")


def propose(repo: HubRepo) -> object:
    return repo.commit({"a": b"1"}, "A", pull_request=True)


CASES: list[tuple[str | None, bool, Callable[[HubRepo], object], str, str]] = [
    # who, on the private repo, what they do, kind, what they read
    ("owner", False, lambda r: r.read("a", "v9"), "revision", "dataset org/.* has no revision 'v9': it was deleted"),
    ("owner", False, lambda r: r.read("a", "0" * 40), "revision", "has no revision '0000"),
    ("owner", False, lambda r: r.files("gone"), "revision", "has no revision 'gone'"),
    ("owner", False, lambda r: r.commit({"a": b""}, "A", branch="gone"), "revision", "has no revision 'gone'"),
    ("owner", False, lambda r: r.read("not/there"), "file", "has no file 'not/there' at revision 'main'"),
    ("owner", False, lambda r: r.files(under="nowhere"), "file", "has no file 'nowhere'"),
    ("owner", False, lambda r: r.commit({"a": None}, "A"), "file", "has no file"),
    ("owner", False, lambda r: r.commit({"README.md": b"---\n- x: [\n---\n"}, "A"), "card", "mend the header"),
    ("owner", False, lambda r: r.merge(7), "pull_request", "has no pull request #7"),
    ("stranger", False, write, "rights", "medprm contribute FILE --to org/.*write access"),
    ("stranger", False, propose, "rights", "403"),
    ("contributor", False, write, "rights", "medprm contribute FILE --to org/"),
    ("reader", False, propose, "rights", "403"),
    ("stranger", False, lambda r: r.branch("x"), "rights", "cannot make the branch 'x'"),
    (None, False, write, "login", "missing or was not accepted.*hf auth login"),
    ("expired", False, lambda r: r.head(), "login", "was not accepted"),
    ("expired", False, lambda r: r.whoami(), "login", "was not accepted"),
    ("stranger", True, lambda r: r.read("a"), "repo", "may not see it .a private repo looks missing"),
    (None, True, lambda r: r.files(), "login", "a private repo cannot be seen"),
    ("reader", True, write, "rights", "403"),
]


@pytest.mark.parametrize(("who", "hidden", "act", "kind", "words"), CASES)
def test_each_refusal_names_what_and_the_way_out(
    hub: TestHub, private: str, who: str | None, hidden: bool, act: Callable[[HubRepo], object], kind: str, words: str
) -> None:
    repo = hub.repo(who, private if hidden else hub.repo().name)
    with pytest.raises(HubError) as caught:
        act(repo)
    assert caught.value.kind == kind
    assert re.search(words, str(caught.value)), caught.value
    assert "hf_" not in str(caught.value).replace("HF_", "")
    assert isinstance(caught.value, MedPRMError)


def test_a_private_repo_is_there_for_its_reader(hub: TestHub, private: str) -> None:
    hub.repo("owner", private).commit({"a": b"1"}, "A")
    assert hub.repo("reader", private).read("a") == b"1"


def test_a_repo_that_is_not_there(hub: TestHub) -> None:
    with pytest.raises(HubError, match=r"there is no dataset org/never at http://127.0.0.1:\d+, or this token"):
        hub.repo("owner", "org/never").read("a")


def test_a_hub_that_cannot_be_reached(hub: TestHub) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        repo = HubRepo("org/x", token="hf_owner", endpoint=nobody)
        for act in (lambda: repo.head(), lambda: repo.branch("x"), lambda: repo.commit({"a": b""}, "A", patience=0.2)):
            with pytest.raises(HubError, match=f"{nobody} cannot be reached .*HF_ENDPOINT") as caught:
                act()
            assert caught.value.kind == "connection"


def test_a_hub_that_is_switched_off(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repo = HubRepo("org/x", token="hf_owner", endpoint=hub.url)
    for act in (lambda: repo.read("a"), lambda: repo.files(), lambda: repo.commit({"a": b""}, "A")):
        with pytest.raises(HubError, match="HF_HUB_OFFLINE") as caught:
            act()
        assert caught.value.kind == "offline"


@pytest.mark.parametrize("name", ["medmm-prm", "a/b/c", "", "org/", "org/na me"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(HubError, match="write it as org/name"):
        HubRepo(name)


def test_a_revision_that_vanished(hub: TestHub) -> None:
    repo = hub.repo()
    repo.branch("draft")
    gone = repo.commit({"a": b"1"}, "A", branch="draft")
    assert repo.read("a", gone.oid) == b"1"
    repo._api.delete_branch(repo.name, branch="draft", repo_type="dataset")
    for revision in (gone.oid, "draft"):
        with pytest.raises(HubError, match=f"has no revision '{revision}': it was deleted, rewritten or never"):
            repo.read("a", revision)


def test_limits_and_discussions_are_told(hub: TestHub) -> None:
    repo = hub.repo()
    for status in (413, 429):
        hub.fault("commit", status)
        with pytest.raises(HubError, match=f"over a limit of the Hub .{status}.*wait, or send less") as caught:
            repo.commit({"a": b"1"}, "A")
        assert caught.value.kind == "limit"
    hub.fault("refs", 418)
    with pytest.raises(HubError, match="refused .418"):
        repo.branches()
    talk = repo._api.create_discussion(repo.name, "A question", repo_type="dataset")
    with pytest.raises(HubError, match=f"#{talk.num} of dataset .* is a discussion, not a pull request"):
        repo.pull_request(talk.num)
    assert repo.pull_requests() == []


def test_an_upload_that_breaks_is_told_as_what_it_was(hub: TestHub) -> None:
    repo = hub.repo()
    hub.fault("lfs_put", 403, times=2)
    with pytest.raises(HubError, match="commit 1 files of dataset") as caught:
        repo.commit({"a.parquet": b"PAR1"}, "A")
    assert caught.value.kind == "rights"


def test_reading_lasts_through_a_hiccup(hub: TestHub) -> None:
    repo = hub.repo()
    repo.commit({"a": b"1"}, "A")
    hub.fault("info_at", 503)
    assert repo.head()
    hub.fault("resolve", 503)
    assert repo.read("a") == b"1"
    hub.fault("tree", 503)
    assert repo.files() == [".gitattributes", "a"]
