"""The queue: doubtful first, a hidden sample, one holder at a time, several readers, nothing twice."""

import gc
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from medprm_hf.errors import ReviewError
from medprm_hf.review.decisions import Judged
from medprm_hf.review.progress import counts
from medprm_hf.review.questions import QuestionJudged, decide_question
from medprm_hf.review.settings import StoreSettings
from medprm_hf.review.store import ReviewStore
from tests.review.rows import Clock, row, rows, store


def answer(found: ReviewStore, who: str, item: dict[str, Any], label: str = "+") -> None:
    for step, shown in enumerate(item["steps"]):
        if shown["asked"] and shown["mine"] is None:
            found.save(uuid4().hex, who, item["item_id"], item["version"], step, Judged(label))


def test_least_sure_comes_first(tmp_path: Path) -> None:
    found = store(tmp_path, 0)
    found.add([row(q, label_p=[p] * 3) for q, p in enumerate((0.1, 0.45, 0.3))])
    order = []
    while item := found.next("ann"):
        order.append(item["item_id"])
        answer(found, "ann", item)
    assert order == ["q1-s0", "q2-s0", "q0-s0"]


def test_only_doubtful_steps_are_asked(tmp_path: Path) -> None:
    found = store(tmp_path, 0)
    found.add([row(0, needs_review=[False, True, False]), row(1, needs_review=[False] * 3)])
    item = found.next("ann")
    assert item and [step["asked"] for step in item["steps"]] == [False, True, False]
    answer(found, "ann", item)
    assert found.next("ann") is None


def test_equal_steps_after_equal_steps_are_asked_once(tmp_path: Path) -> None:
    found = store(tmp_path, 0)
    found.add([row(0, s) | {"steps": ["same", "same too", f"other {s}"]} for s in range(2)])
    asked = [[step["asked"] for step in found.show("x", f"q0-s{s}")["steps"]] for s in range(2)]
    assert sorted(map(sum, asked)) == [1, 3] and all(step[2] for step in asked)


def test_two_reviewers_never_hold_one_item(tmp_path: Path) -> None:
    found = store(tmp_path, 3)
    first, second = found.next("ann"), found.next("bob")
    assert first and second and first["item_id"] != second["item_id"]
    again = found.next("ann")
    assert again and again["item_id"] == first["item_id"]  # after a reload one goes on where one was
    with pytest.raises(ReviewError) as error:
        found.next("bob", item=first["item_id"])
    assert error.value.kind == "held" and "ann" not in str(error.value)


def test_a_lease_runs_out_and_a_beat_keeps_it(tmp_path: Path) -> None:
    clock = Clock()
    found = store(tmp_path, 1, clock, lease=60.0)
    item = found.next("ann")
    assert item and found.next("bob") is None
    clock.now += 50
    assert found.beat("ann", item["item_id"]) == clock.now + 60
    clock.now += 50
    assert found.next("bob") is None
    clock.now += 11
    taken = found.next("bob")
    assert taken and taken["item_id"] == item["item_id"]
    assert found.beat("ann", item["item_id"]) is None
    saved = found.save("late-key-1", "ann", item["item_id"], 1, 0, Judged("-"))  # a late answer is not lost
    assert saved.held is False and saved.label == "-"


def test_release_finish_and_skip(tmp_path: Path) -> None:
    clock = Clock()
    found = store(tmp_path, 2, clock)
    one = found.next("ann")
    assert one
    clock.now += 1
    two = found.next("ann", skip=True)
    assert two and two["item_id"] != one["item_id"]
    clock.now += 1
    back = found.next("ann", skip=True)
    assert back and back["item_id"] == one["item_id"]  # the oldest skipped one, when nothing else is left
    found.finish("ann", one["item_id"])
    assert found.next("bob", item=one["item_id"])
    found.release("bob", one["item_id"])
    last = found.next("ann")
    assert last and last["item_id"] == two["item_id"]
    found.finish("ann", two["item_id"])
    assert found.next("ann") is None and found.next("bob")


def test_an_item_by_its_name(tmp_path: Path) -> None:
    found = store(tmp_path, 3)
    item = found.next("ann", item="q2-s0")
    assert item and item["item_id"] == "q2-s0"
    answer(found, "ann", item)
    again = found.next("ann", item="q2-s0")  # one's own finished item, to look at once more
    assert again and again["steps"][0]["mine"]["label"] == "+"
    with pytest.raises(ReviewError) as error:
        found.next("ann", item="nothing")
    assert error.value.kind == "unknown_item"


def test_several_readers_each_once(tmp_path: Path) -> None:
    found = store(tmp_path, 4, reviewers_per_item=2)
    seen: Counter[tuple[str, str]] = Counter()
    for _ in range(3):
        for who in ("ann", "bob", "cid"):
            item = found.next(who)
            if item:
                seen[who, item["item_id"]] += 1
                answer(found, who, item)
    while (item := found.next("cid")) or (item := found.next("ann")):
        who = "cid" if ("cid", item["item_id"]) not in seen else "ann"
        seen[who, item["item_id"]] += 1
        answer(found, who, item)
    assert set(seen.values()) == {1}
    assert set(Counter(item for _, item in seen).values()) == {2}


def test_routing_by_specialty(tmp_path: Path) -> None:
    found = store(tmp_path, 0)
    found.add([row(0, modality="ct_scan"), row(1, modality="H&E slide"), row(2, modality="chest_xray")])
    names = {
        kind: (found.next(kind, specialty=kind) or {}).get("item_id")
        for kind in ("pathology", "chest_xray", "clinical")
    }
    assert names == {"pathology": "q1-s0", "chest_xray": "q2-s0", "clinical": None}
    radiology = found.next("rad", specialty="radiology")
    assert radiology and radiology["item_id"] == "q0-s0"


def test_the_sample_is_fair_and_cannot_be_told_apart(tmp_path: Path) -> None:
    found = ReviewStore(tmp_path / "s.sqlite", StoreSettings(sample=0.2, blind=True))
    found.add(row(q, s, needs_review=[q % 3 == 0, False, q % 4 == 0]) for q in range(300) for s in range(2))
    masks = found.database.read().execute("SELECT item_id, sample, doubt, asked FROM items").fetchall()
    share = sum(m["sample"].count("1") for m in masks) / 1800
    assert 0.16 < share < 0.24
    of_doubtful = [m["sample"][0] == "1" for m in masks if m["doubt"][0] == "1"]
    assert 0.13 < sum(of_doubtful) / len(of_doubtful) < 0.27  # drawn whatever the machines think
    assert all(set(m["asked"]) <= {"0", "1"} and m["asked"] >= m["sample"] for m in masks)
    before = {item["item_id"]: item["sample"] for item in masks}
    found.add([row(q, needs_review=[False] * 3) for q in range(300, 400)])
    after = dict(map(tuple, found.database.read().execute("SELECT item_id, sample FROM items")))
    kept = [after[name][i] for name, mask in before.items() for i, mark in enumerate(mask) if mark == "1"]
    assert set(kept) == {"1"} and len(after) == 700
    item = found.next("ann")
    assert item and not {"sample", "qc", "doubt", "priority", "rank", "draw"} & {*item, *item["steps"][0]}


def test_the_sample_is_strewn_through_the_queue(tmp_path: Path) -> None:
    found = ReviewStore(tmp_path / "s.sqlite", StoreSettings(sample=0.2))
    found.add(row(q, needs_review=[q % 2 == 0] * 3) for q in range(200))
    order = found.database.read().execute("SELECT doubt FROM items WHERE open = 1 ORDER BY rank").fetchall()
    alone = [place for place, item in enumerate(order) if "1" not in item["doubt"]]
    assert len(alone) > 20
    assert 0.3 < sum(alone) / len(alone) / len(order) < 0.7 and min(alone) < len(order) / 4


def test_questions_that_wait_come_first(tmp_path: Path) -> None:
    found = store(tmp_path, 2)
    waiting = {"question_status": "needs_review", "question_reason": "identifiers: name", "solution_id": None}
    found.add([row(7) | waiting | {"steps": []}])
    item = found.next("ann")
    assert item and item["kind"] == "question" and item["steps"] == []
    assert item["asked_because"] == "identifiers: name"


def test_threads_share_the_work_without_overlap(tmp_path: Path) -> None:
    found = ReviewStore(tmp_path / "s.sqlite", StoreSettings(sample=0.0))
    found.add(rows(60))

    def work(who: str) -> list[str]:
        mine = []
        while item := found.next(who):
            mine.append(item["item_id"])
            answer(found, who, item)
        return mine

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(work, [f"r{i}" for i in range(6)]))
    assert sorted(sum(done, [])) == sorted(f"q{q}-s0" for q in range(60))
    assert len(list(found.decisions())) == 180


WORKER = """
import sys
from pathlib import Path
from uuid import uuid4
from medprm_hf.review.decisions import Judged
from medprm_hf.review.store import ReviewStore
store = ReviewStore(Path(sys.argv[1]))
while item := store.next(sys.argv[2]):
    for step in range(len(item["steps"])):
        store.save(uuid4().hex, sys.argv[2], item["item_id"], item["version"], step, Judged("+"))
    print(item["item_id"])
"""


def test_processes_share_the_work_without_overlap(tmp_path: Path) -> None:
    found = ReviewStore(tmp_path / "s.sqlite", StoreSettings(sample=0.0))
    found.add(rows(60))
    running = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(found.path), f"r{i}"], stdout=subprocess.PIPE, text=True)
        for i in range(3)
    ]
    done = [name for process in running for name in process.communicate(timeout=120)[0].split()]
    assert sorted(done) == sorted(f"q{q}-s0" for q in range(60))
    assert len(list(found.decisions())) == 180


def test_a_share_of_all_steps_is_asked_the_most_urgent(tmp_path: Path) -> None:
    found = store(tmp_path, 0, share=0.2)
    table = [row(q, label_p=[0.5 - q / 100] * 3) for q in range(10)]
    found.add(table)
    asked = dict(map(tuple, found.database.read().execute("SELECT item_id, asked_n FROM items WHERE asked_n > 0")))
    assert asked == {"q0-s0": 3, "q1-s0": 3}
    assert found.add(table) == (0, 0, 10)
    found.add([row(q, label_p=[0.5] * 3) for q in range(10, 20)])  # the share is of all, and goes to the least sure
    assert sum(r[0] for r in found.database.read().execute("SELECT asked_n FROM items")) == 12
    found.change(share=0.0)
    found.add([row(20)])
    assert found.next("ann") is None


def test_more_readers_may_be_asked_for_later(tmp_path: Path) -> None:
    found = store(tmp_path, 1)
    item = found.next("ann")
    assert item
    answer(found, "ann", item)
    assert found.next("bob") is None
    found.change(reviewers_per_item=2)
    found.add(rows(1))
    assert found.next("ann") is None and (found.next("bob") or {}).get("item_id") == "q0-s0"


def test_a_rejected_question_is_asked_no_more(tmp_path: Path) -> None:
    found = store(tmp_path, 2)
    decide_question(found, "verdict-1", "ann", "q0-s0", QuestionJudged("reject", feedback="blurred"))
    assert counts(found, "ann") == {"open": 3, "done": 3, "mine": 1}
    item = found.next("ann")
    assert item and item["item_id"] == "q1-s0"
    found.add([row(0) | {"question": "Another question?"}])  # other words: the verdict was not on these
    assert counts(found, "ann")["open"] == 6
    found.add([row(0)])
    decide_question(found, "verdict-2", "ann", "q0-s0", QuestionJudged("keep"))
    assert counts(found, "ann")["open"] == 6


def test_what_is_no_longer_in_the_run_is_asked_no_more(tmp_path: Path) -> None:
    found = store(tmp_path, 0, sample=0.3)
    found.add(rows(4), batch="run", complete=True)
    found.save("label-0001", "ann", "q3-s0", 1, 0, Judged("+"))
    found.add(rows(2), batch="run", complete=True)
    assert counts(found, "ann")["open"] == 6 and len(list(found.decisions())) == 1
    found.add(rows(4), batch="run", complete=True)
    assert counts(found, "ann") == {"open": 11, "done": 1, "mine": 1}


def test_connections_end_with_their_threads(tmp_path: Path) -> None:
    found = store(tmp_path)
    for _ in range(5):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: counts(found, f"r{number}"), range(16)))
    gc.collect()
    assert len(found.database._opened) <= 3


def test_next_and_save_look_things_up_and_scan_nothing(tmp_path: Path) -> None:
    found = store(tmp_path, 30, reviewers_per_item=2, blind=True)
    said: list[str] = []
    found.database._writer.set_trace_callback(said.append)
    for who in ("ann", "bob", "ann"):
        item = found.next(who)
        assert item
        answer(found, who, item)
        found.undo(uuid4().hex, who, item["item_id"], 0)
    found.database._writer.set_trace_callback(None)
    plans = {}
    for statement in said:
        if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
            plan = found.database.read().execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            plans[statement] = " / ".join(step["detail"] for step in plan)
    assert len(plans) > 30
    small = ("SCAN totals", "SCAN CONSTANT")
    slow = [f"{plan}: {said}" for said, plan in plans.items() if "SCAN" in plan and not plan.startswith(small)]
    assert not [one for one in slow if "SCAN i" not in one or "USING INDEX items_queue" not in one]
    assert not [plan for plan in plans.values() if "decisions_reviewer" in plan]
