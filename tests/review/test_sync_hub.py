"""Sync against a Hub that speaks HTTP: commits, readers without rights, a repo that is not there yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from medprm_hf.errors import HubError
from medprm_hf.hub import HubRepo
from medprm_hf.review.decisions import Judged
from medprm_hf.review.store import ReviewStore
from medprm_hf.review.sync import Pulled, Repo, Sync
from tests.hub.fixtures import TestHub
from tests.review.rows import store
from tests.review.test_sync import filled, plain


def as_repo(repo: HubRepo) -> Repo:
    """HubRepo is what Sync wants of a repo: mypy says so."""
    return repo


def test_an_empty_disk_gets_everything_back_from_the_hub(hub: TestHub, tmp_path: Path) -> None:
    here, repo = filled(tmp_path / "a"), as_repo(hub.repo("owner"))
    assert Sync(here, repo).both() == (Pulled(0, 0, 0), 8)
    assert Sync(here, repo).push() == 0
    again = ReviewStore(tmp_path / "b.sqlite")
    assert Sync(again, repo).pull() == (8, 4, 0)
    assert plain(again) == plain(here)
    assert again.image("q5-s0") == here.image("q5-s0")


def test_two_spaces_push_at_once(hub: TestHub, tmp_path: Path) -> None:
    repo = hub.repo("owner")
    stores = [store(tmp_path / name, 2) for name in "ab"]
    for number, found in enumerate(stores):
        found.save(f"label-{number:04d}", f"r{number}", "q0-s0", 1, 0, Judged("+-"[number]))
        Sync(found, repo).push()
    for found in stores:
        assert Sync(found, repo).pull().decisions == 1
    assert plain(stores[0]) == plain(stores[1])


def test_who_may_not_write_is_told_and_loses_nothing(hub: TestHub, tmp_path: Path) -> None:
    here, repo = filled(tmp_path / "a"), hub.repo("owner")
    with pytest.raises(HubError) as error:
        Sync(here, hub.repo("stranger", repo.name)).push()
    assert error.value.kind in ("rights", "login")
    assert Sync(here, repo).push() == 8


def test_a_repo_that_is_not_there_is_named(hub: TestHub, tmp_path: Path) -> None:
    here = filled(tmp_path / "a")
    with pytest.raises(HubError) as error:
        Sync(here, HubRepo(hub.name(), "dataset", hub.token("owner"), hub.url)).both()
    assert error.value.kind == "repo"


def test_a_broken_connection_is_tried_again(hub: TestHub, tmp_path: Path) -> None:
    here, repo = filled(tmp_path / "a"), hub.repo("owner")
    hub.fault("commit", 503)
    assert Sync(here, repo).push() == 8
    again = ReviewStore(tmp_path / "b.sqlite")
    assert Sync(again, repo).pull().decisions == 8
