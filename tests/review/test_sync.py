"""Sync: every decision once, both ways, from an empty disk; what two copies said is a disagreement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from medprm_hf.errors import HubError
from medprm_hf.review.adjudication import adjudicate, disagreements
from medprm_hf.review.decisions import Judged
from medprm_hf.review.folder_repo import FolderRepo
from medprm_hf.review.gate import reject
from medprm_hf.review.progress import progress
from medprm_hf.review.questions import QuestionJudged, decide_question, verdicts
from medprm_hf.review.store import ReviewStore
from medprm_hf.review.sync import Every, Sync
from tests.review.rows import png, row, rows, store


def plain(found: ReviewStore) -> list[dict[str, Any]]:
    """Decisions without the number that each copy counts for itself."""
    return sorted(({**one, "id": 0} for one in found.decisions()), key=lambda one: str(one["key"]))


def filled(folder: Path) -> ReviewStore:
    """A store in which everything has happened once."""
    found = store(folder, 3, reviewers_per_item=2)
    found.add([row(5, image={"bytes": png(), "path": None})], batch="five")
    for number, (who, label) in enumerate([("ann", "+"), ("bob", "-"), ("ann", "-")]):
        found.save(f"label-{number:04d}", who, "q0-s0", 1, number // 2, Judged(label, note="né <b>", seconds=2.0))
    found.undo("undo-00001", "ann", "q0-s0", 1)
    adjudicate(found, "word-00001", "prof", "q0-s0", 0, "-")
    decide_question(found, "verdict-1", "ann", "q1-s0", QuestionJudged("correct", "cyst", "hard", "why"))
    found.save("before-back", "bob", "q5-s0", 1, 0, Judged("+"))
    reject(found, "reject-001", "lead", "five", "blurred")
    found.save("after-back", "bob", "q5-s0", 1, 1, Judged("0"))
    return found


def test_an_empty_disk_gets_everything_back(tmp_path: Path) -> None:
    here, repo = filled(tmp_path / "a"), FolderRepo(tmp_path / "hub")
    assert Sync(here, repo).push() == 8
    again = ReviewStore(tmp_path / "b" / "review.sqlite")
    assert Sync(again, repo).pull() == (8, 4, 0)
    assert plain(again) == plain(here) and again.settings == here.settings
    assert progress(again, "ann") | {"labels_per_minute": 0} == progress(here, "ann") | {"labels_per_minute": 0}
    for item in ("q0-s0", "q5-s0"):
        assert again.show("bob", item, blind=False) == here.show("bob", item, blind=False)
    assert again.image("q5-s0") == here.image("q5-s0")
    assert verdicts(again)["q1"].judged.answer == "cyst"
    order = "SELECT item_id, rank, open, settled_n, round FROM items ORDER BY rank, item_id"
    assert [tuple(r) for r in again.database.read().execute(order)] == [
        tuple(r) for r in here.database.read().execute(order)
    ]


def test_a_second_sync_does_nothing(tmp_path: Path) -> None:
    here, repo = filled(tmp_path / "a"), FolderRepo(tmp_path / "hub")
    Sync(here, repo).both()
    before = repo.files()
    assert Sync(here, repo).both() == ((0, 0, 0), 0) and repo.files() == before
    again = ReviewStore(tmp_path / "b.sqlite")
    Sync(again, repo).both()
    assert Sync(again, repo).both() == ((0, 0, 0), 0) and repo.files() == before


def test_a_push_that_was_not_noted_is_read_once(tmp_path: Path) -> None:
    here, repo = filled(tmp_path / "a"), FolderRepo(tmp_path / "hub")
    Sync(here, repo).push()
    here.write_meta("pushed", "0")  # killed after the commit, before the note
    here.save("one-more-1", "ann", "q2-s0", 1, 0, Judged("+"))
    assert Sync(here, repo).push() == 9
    again = ReviewStore(tmp_path / "b.sqlite")
    assert Sync(again, repo).pull().decisions == 9
    assert plain(again) == plain(here)


def test_rows_may_come_after_their_decisions(tmp_path: Path) -> None:
    here, repo = filled(tmp_path / "a"), FolderRepo(tmp_path / "hub")
    Sync(here, repo, items=False).push()
    again = ReviewStore(tmp_path / "b.sqlite", here.settings)
    assert Sync(again, repo, items=False).pull() == (8, 0, 0)
    again.add(rows(3))
    again.add([row(5, image={"bytes": png(), "path": None})], batch="five")
    assert again.show("bob", "q5-s0", blind=False) == here.show("bob", "q5-s0", blind=False)
    assert progress(again, "ann")["done"] == progress(here, "ann")["done"]


def test_what_two_copies_said_is_a_disagreement(tmp_path: Path) -> None:
    repo = FolderRepo(tmp_path / "hub")
    here = store(tmp_path / "a", 1)
    here.save("first-0001", "ann", "q0-s0", 1, 0, Judged("+"))
    Sync(here, repo).both()
    there = ReviewStore(tmp_path / "b.sqlite", clock=here.clock)
    Sync(there, repo).both()
    for found, label in ((here, "-"), (there, "0")):
        found.save(f"second-{label}--", "ann", "q0-s0", 1, 0, Judged(label))
    for found in (here, there, here):
        Sync(found, repo).both()
    for found in (here, there):
        [one] = disagreements(found)
        assert one["labels"] == {f"ann ({here.origin})": "-", f"ann ({there.origin})": "0"}
    there.save("third-0001", "ann", "q0-s0", 1, 0, Judged("-"))  # having seen both, she says what she means
    for found in (there, here):
        Sync(found, repo).both()
        assert disagreements(found) == []


def test_an_undo_reaches_the_other_copy(tmp_path: Path) -> None:
    repo = FolderRepo(tmp_path / "hub")
    here = store(tmp_path / "a", 1)
    here.save("first-0001", "ann", "q0-s0", 1, 0, Judged("+"))
    Sync(here, repo).both()
    there = ReviewStore(tmp_path / "b.sqlite")
    Sync(there, repo).both()
    there.undo("undo-00001", "ann", "q0-s0", 0)
    Sync(there, repo).both()
    assert Sync(here, repo).both()[0].decisions == 1
    assert here.show("ann", "q0-s0")["steps"][0]["mine"] is None


@pytest.mark.parametrize("line", ["", "no json", "[]", "{}", '{"key": 1}'])
def test_broken_lines_are_left_out_and_told(tmp_path: Path, line: str) -> None:
    here, repo = filled(tmp_path / "a"), FolderRepo(tmp_path / "hub")
    Sync(here, repo).push()
    [file] = (tmp_path / "hub" / "review" / "decisions").rglob("*.jsonl")
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], line, *lines[2:]]) + "\n")
    pulled = Sync(ReviewStore(tmp_path / "b.sqlite"), repo).pull()
    assert (pulled.decisions, pulled.broken) == (7, 1)


class Down(FolderRepo):
    """A Hub that cannot be reached."""

    def commit(self, files: Mapping[str, bytes | Path | None], message: str) -> None:
        raise HubError("the Hub cannot be reached", "connection")

    def files(self, revision: str = "main", under: str = "") -> list[str]:
        raise HubError("the Hub cannot be reached", "connection")


def test_what_cannot_be_pushed_goes_with_the_next(tmp_path: Path) -> None:
    here = filled(tmp_path / "a")
    with pytest.raises(HubError):
        Sync(here, Down(tmp_path / "hub")).both()
    assert Sync(here, FolderRepo(tmp_path / "hub")).push() == 8


def test_every_so_often_and_at_the_end(tmp_path: Path) -> None:
    here, repo = filled(tmp_path / "a"), FolderRepo(tmp_path / "hub")
    loop = Every(Sync(here, repo), seconds=1000)
    loop.start()
    assert loop.now()[0].decisions == 0
    here.save("the-last-1", "ann", "q2-s0", 1, 0, Judged("+"))
    loop.stop()
    parts = [json.loads(line) for path in repo.files(under="review/decisions") for line in repo.read(path).splitlines()]
    assert {one["key"] for one in parts} == {one["key"] for one in here.decisions()}
    Every(Sync(here, Down(tmp_path / "hub"))).stop()  # a failing end is logged, never raised
