"""Decisions: kept once, never changed, taken back by appending; items change by versions."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medprm_hf.errors import ReviewError
from medprm_hf.review.adjudication import adjudicate, disagreements, settled, words_on
from medprm_hf.review.decisions import Judged
from medprm_hf.review.progress import counts, progress
from medprm_hf.review.store import ReviewStore
from tests.review.rows import Clock, png, row, rows, store


def key(number: int) -> str:
    return f"key-{number:06d}"


def label(found: ReviewStore, who: str, item: str, step: int) -> str | None:
    mine = found.show(who, item)["steps"][step]["mine"]
    return mine["label"] if mine else None


def test_a_second_add_changes_nothing(tmp_path: Path) -> None:
    found = store(tmp_path)
    before = list(found.database.read().execute("SELECT * FROM items"))
    assert found.add(rows(3)) == (0, 0, 3)
    assert list(map(tuple, found.database.read().execute("SELECT * FROM items"))) == list(map(tuple, before))


def test_images_are_kept_once(tmp_path: Path) -> None:
    found = store(tmp_path, 0)
    found.add([row(0, s, image={"bytes": png(), "path": None}) for s in range(3)] + [row(1, 0, image=png(40))])
    assert found.database.read().execute("SELECT count(*) FROM images").fetchone()[0] == 2
    data, mime = found.image("q0-s2") or (b"", "")
    assert (data, mime) == (png(), "image/png")
    assert found.show("ann", "q0-s0")["image"] == {"url": "/review/api/image/q0-s0", "width": 8, "height": 8}


def test_an_image_that_cannot_be_read_is_told_not_lost(tmp_path: Path) -> None:
    found = store(tmp_path, 0)
    found.add([row(0, 0, image={"bytes": b"no image", "path": None})])
    shown = found.show("ann", "q0-s0")
    assert shown["image"] is None and "cannot be decoded" in shown["image_problem"]


def test_save_again_with_the_same_key_is_one_decision(tmp_path: Path) -> None:
    found = store(tmp_path)
    first = found.save(key(1), "ann", "q0-s0", 1, 0, Judged("-", "factual_error", "severe", "why", (0, 0, 0.5, 1), 2.5))
    assert found.save(key(1), "ann", "q0-s0", 1, 0, Judged("-")) == first
    [kept] = found.decisions()
    assert (kept["error_type"], kept["severity"], kept["note"], kept["seconds"]) == (
        "factual_error",
        "severe",
        "why",
        2.5,
    )
    assert found.show("ann", "q0-s0")["steps"][0]["mine"]["box"] == [0, 0, 0.5, 1]
    with pytest.raises(ReviewError, match="another decision") as error:
        found.save(key(1), "ann", "q0-s0", 1, 1, Judged("-"))
    assert error.value.kind == "key"


def test_nothing_can_change_or_delete_a_decision(tmp_path: Path) -> None:
    found = store(tmp_path)
    found.save(key(1), "ann", "q0-s0", 1, 0, Judged("+"))
    for statement in ("UPDATE decisions SET label = '-'", "DELETE FROM decisions"):
        with pytest.raises(sqlite3.IntegrityError, match="never"), found.database.write() as db:
            db.execute(statement)


def test_undo_brings_back_what_was_said_before(tmp_path: Path) -> None:
    found = store(tmp_path)
    for number, said in enumerate("+-"):
        found.save(key(number), "ann", "q0-s0", 1, 0, Judged(said))
    assert found.undo(key(10), "ann", "q0-s0", 0).label == "+"
    assert found.undo(key(10), "ann", "q0-s0", 0).label == "+"  # the same key is the same undo
    assert found.undo(key(11), "ann", "q0-s0", 0).label is None
    with pytest.raises(ReviewError, match="nothing to undo"):
        found.undo(key(12), "ann", "q0-s0", 0)
    assert len(list(found.decisions())) == 4
    assert found.save(key(13), "ann", "q0-s0", 1, 0, Judged("0")).label == "0"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.integers(0, 1), st.sampled_from("+-0u")), max_size=30))
def test_any_order_of_saves_and_undos_is_a_stack(tmp_path_factory: Any, acts: list[tuple[str, int, str]]) -> None:
    found = store(tmp_path_factory.mktemp("acts"), 1)
    stacks: dict[tuple[str, int], list[str]] = {}
    for number, (who, step, act) in enumerate(acts):
        stack = stacks.setdefault((who, step), [])
        if act != "u":
            found.save(key(number), who, "q0-s0", 1, step, Judged(act))
            stack.append(act)
        elif stack:
            found.undo(key(number), who, "q0-s0", step)
            stack.pop()
    for (who, step), stack in stacks.items():
        assert label(found, who, "q0-s0", step) == (stack[-1] if stack else None)
    assert counts(found, "ann")["mine"] == sum(bool(stack) for (who, _), stack in stacks.items() if who == "ann")
    done = {step for (_, step), stack in stacks.items() if stack}
    assert counts(found, "ann") | {"mine": 0} == {"open": 3 - len(done), "done": len(done), "mine": 0}


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        (Judged("!"), "none of"),
        (Judged("+", note="x" * 4001), "4001 characters"),
        (Judged("+", seconds=-1), "outside"),
        (Judged("+", box=(0.5, 0, 0.5, 1)), "box"),
        (Judged("+", box=(0, 0, 1.5, 1)), "box"),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, judged: Judged, said: str) -> None:
    found = store(tmp_path)
    with pytest.raises(ReviewError, match=said) as error:
        found.save(key(1), "ann", "q0-s0", 1, 0, judged)
    assert error.value.kind == "value" and not list(found.decisions())


@pytest.mark.parametrize(
    ("item", "step", "version", "kind"),
    [
        ("q9-s9", 0, 1, "unknown_item"),
        ("q0-s0", 3, 1, "unknown_step"),
        ("q0-s0", -1, 1, "unknown_step"),
        ("q0-s0", 0, 2, "changed"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, item: str, step: int, version: int, kind: str) -> None:
    found = store(tmp_path)
    with pytest.raises(ReviewError) as error:
        found.save(key(1), "ann", item, version, step, Judged("+"))
    assert error.value.kind == kind


def test_decisions_hold_for_the_words_they_were_made_on(tmp_path: Path) -> None:
    found = store(tmp_path, 1)
    found.save(key(1), "ann", "q0-s0", 1, 0, Judged("+"))
    found.save(key(2), "ann", "q0-s0", 1, 1, Judged("-"))
    changed = row(0)
    changed["steps"] = [changed["steps"][0], "something else", changed["steps"][2]]
    assert found.add([changed]).changed == 1
    assert [label(found, "ann", "q0-s0", step) for step in range(3)] == ["+", None, None]
    assert found.show("ann", "q0-s0")["version"] == 2
    assert counts(found, "ann")["done"] == 1
    found.add([row(0)])  # the old words again: what was said of them counts again
    assert [label(found, "ann", "q0-s0", step) for step in range(3)] == ["+", "-", None]


def test_new_machine_labels_are_no_new_version(tmp_path: Path) -> None:
    found = store(tmp_path, 1)
    assert found.add([row(0, labels=["+", "+", "+"], needs_review=[False, False, True])]).changed == 1
    shown = found.show("ann", "q0-s0")
    assert shown["version"] == 1 and [step["asked"] for step in shown["steps"]] == [False, False, True]


def test_fewer_steps_than_before_are_no_trouble(tmp_path: Path) -> None:
    found = store(tmp_path, 1)
    for step in range(3):
        found.save(key(step), "ann", "q0-s0", 1, step, Judged("+"))
    found.add([row(0, steps=1)])
    assert counts(found, "ann") == {"open": 0, "done": 1, "mine": 3}
    assert found.next("bob") is None


def test_words_of_several_people_and_the_one_that_counts(tmp_path: Path) -> None:
    found = store(tmp_path, 1, reviewers_per_item=2)
    for number, (who, said) in enumerate([("ann", "+"), ("bob", "-")]):
        found.save(key(number), who, "q0-s0", 1, 0, Judged(said))
    [one] = disagreements(found)
    assert one["labels"] == {"ann": "+", "bob": "-"} and one["adjudicated"] is None
    assert settled(words_on(found, "q0-s0")[0]) == "?"
    assert disagreements(found, answered_by="zoe") == []
    adjudicate(found, key(9), "prof", "q0-s0", 0, "-", "see the lateral view")
    adjudicate(found, key(9), "prof", "q0-s0", 0, "-")
    assert disagreements(found) == [] and len(disagreements(found, resolved=True)) == 1
    assert settled(words_on(found, "q0-s0")[0]) == "-"
    adjudicate(found, key(10), "prof", "q0-s0", 0, "+")
    assert settled(words_on(found, "q0-s0")[0]) == "+"


def test_pace_and_time(tmp_path: Path) -> None:
    clock = Clock()
    found = store(tmp_path, clock=clock)
    for step in range(3):
        clock.now += 6
        found.save(key(step), "ann", "q0-s0", 1, step, Judged("+", seconds=float(step + 1)))
    told = progress(found, "ann")
    assert told["by_reviewer"]["ann"] == {"steps": 3, "decisions": 3, "seconds_per_step": 2.0}
    assert told["labels_per_minute"] == pytest.approx(15.0)
    assert progress(found, "bob")["labels_per_minute"] is None


def test_text_comes_back_as_it_was(tmp_path: Path) -> None:
    nasty = "<script>alert('x')</script> \u202e '; DROP TABLE items; -- \x00 &amp; 결절 🫁"
    found = store(tmp_path, 0)
    found.add([row(0, steps=1) | {"steps": [nasty], "question": nasty}])
    found.save(key(1), "ann", "q0-s0", 1, 0, Judged("-", note=nasty))
    shown = found.show("ann", "q0-s0")
    assert shown["steps"][0]["text"] == nasty and shown["question"] == nasty
    assert shown["steps"][0]["mine"]["note"] == nasty
