"""People's decisions in a run: taken in on resume, for the very words they were made on; questions kept or rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medprm_hf.app.review_commands import ReviewOptions, review, status, sync
from medprm_hf.errors import ConfigError, StoreError
from medprm_hf.recipe import parse
from medprm_hf.review.adjudication import adjudicate
from medprm_hf.review.decisions import Judged
from medprm_hf.review.from_store import StoreReviewer, question_words
from medprm_hf.review.items import identities
from medprm_hf.review.questions import QuestionJudged, decide_question
from medprm_hf.review.reviewers import Asked, label_of, open_reviewer
from medprm_hf.review.store import ReviewStore
from medprm_hf.runs.finish import solution_rows
from medprm_hf.runs.pipeline import Run
from medprm_hf.stages.calibrate import Calibrate
from medprm_hf.stages.question_verdicts import settle
from medprm_hf.stages.questions import Questions
from medprm_hf.stages.review import Review
from tests.review.rows import row, rows, store


def asked(table: list[dict[str, Any]]) -> list[Asked]:
    return [
        Asked(one["question_id"], one["solution_id"], tuple(one["steps"]), step, name)
        for one in table
        for step, name in enumerate(identities(one))
    ]


def batch(table: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [one[name] for one in table] for name in table[0]}


def test_every_word_comes_and_silence_stays_silence(tmp_path: Path) -> None:
    found = store(tmp_path, 2)
    for number, (who, step, label) in enumerate([("ann", 0, "+"), ("bob", 0, "-"), ("ann", 1, "-"), ("ann", 2, "?")]):
        found.save(f"label-{number:04d}", who, "q0-s0", 1, step, Judged(label, "size" if label == "-" else None))
    reviewer = StoreReviewer(found.path)
    words = reviewer.words(asked(rows(2)))
    assert [[(one.reviewer, one.label) for one in step] for step in words] == [
        [("ann", "+"), ("bob", "-")], [("ann", "-")], [("ann", "?")], [], [], [],
    ]  # fmt: skip
    added = Review(reviewer=f"store:{found.path}")(batch(rows(2)))
    assert added["review_labels"] == [["?", "-", "?"], ["?", "?", "?"]]
    assert added["reviews"][0][1][0]["error_type"] == "size"
    adjudicate(found, "word-00001", "prof", "q0-s0", 0, "-")
    assert Review(reviewer=f"store:{found.path}")(batch(rows(2)))["review_labels"][0] == ["-", "-", "?"]


def test_a_copy_of_a_step_has_its_word_and_other_words_have_not(tmp_path: Path) -> None:
    table = [row(0, 0), row(0, 1) | {"steps": ["Step 0 of q0-s0", "another"]}]
    found = ReviewStore(tmp_path / "s.sqlite")
    found.add(table)
    found.save("label-0001", "ann", "q0-s0", 1, 0, Judged("-", note="small", seconds=3.0))
    copy = StoreReviewer(found.path).words(asked(table))[3]
    assert [(one.label, one.note, one.seconds) for one in copy] == [("-", "as in q0-s0: small", None)]
    changed = row(0, 0, image_sha256="another image")
    assert StoreReviewer(found.path).words(asked([changed])) == [[], [], []]


def test_the_sample_is_what_was_drawn_and_answered_blindly(tmp_path: Path) -> None:
    found = store(tmp_path, 4, sample=0.9, sample_part=0.9)
    sample = dict(map(tuple, found.database.read().execute("SELECT item_id, sample FROM items")))
    item = next(name for name, mask in sample.items() if mask.count("1") >= 2)
    first, second = [step for step, mark in enumerate(sample[item]) if mark == "1"][:2]
    found.save("label-0001", "ann", item, 1, first, Judged("+"), blind=True)
    found.save("label-0002", "ann", item, 1, first, Judged("-"), blind=True)  # she has seen the judge by now
    found.next("bob", item="q3-s0", blind=False)
    found.save("label-0003", "bob", "q3-s0", 1, 0, Judged("-"), blind=False)
    added = Calibrate(reviewer=f"store:{found.path}")(batch(rows(4)))
    labels = dict(zip([one["solution_id"] for one in rows(4)], added["calibration_labels"], strict=True))
    assert labels[item][first] == "+" and labels[item][second] == "?"
    assert set(labels["q3-s0"]) == {"?"} or item == "q3-s0"


def test_a_batch_that_went_back_begins_anew(tmp_path: Path) -> None:
    from medprm_hf.review.gate import reject

    found = store(tmp_path, 1)
    found.save("label-0001", "ann", "q0-s0", 1, 0, Judged("+"))
    before = StoreReviewer(found.path).state()
    reject(found, "reject-001", "lead", None, "why")
    reviewer = StoreReviewer(found.path)
    assert reviewer.state() != before and reviewer.words(asked(rows(1)))[0] == []
    assert [one.label for one in reviewer.at(before).words(asked(rows(1)))[0]] == ["+"]  # as it stood then


def test_no_file_yet_is_no_decision_yet(tmp_path: Path) -> None:
    spec = f"store:{tmp_path / 'later.sqlite'}"
    assert Review(reviewer=spec)(batch(rows(1)))["review_labels"] == [["?", "?", "?"]]
    assert not (tmp_path / "later.sqlite").exists()
    (tmp_path / "text.sqlite").write_text("no database" * 1000)
    for wrong in ("store:", f"store:{tmp_path / 'text.sqlite'}"):
        with pytest.raises(ConfigError, match="file"):
            open_reviewer(wrong)


def test_label_of() -> None:
    def word(who: str, label: str, at: str = "1") -> dict[str, str]:
        return {"reviewer": who, "label": label, "at": at}

    assert label_of([]) == "?"
    assert label_of([word("a", "+"), word("b", "-"), word("c", "-")]) == "-"
    assert label_of([word("a", "+"), word("b", "+"), word("prof (adjudicator)", "-")]) == "-"
    assert label_of([word("x (adjudicator)", "-", "1"), word("y (adjudicator)", "0", "2")]) == "0"


QUESTION = {
    "question_id": "q1",
    "question": "Which?",
    "options": ["cyst", "nodule"],
    "answer": "cyst",
    "answer_index": 0,
}


@pytest.mark.parametrize(
    ("said", "changed", "dropped", "held"),
    [
        ({"verdict": "keep", "difficulty": "hard"}, {"difficulty": "hard"}, None, None),
        ({"verdict": "correct", "answer": "B"}, {"answer": "nodule", "answer_index": 1}, None, None),
        ({"verdict": "correct", "answer": "Nodule "}, {"answer": "nodule", "answer_index": 1}, None, None),
        ({"verdict": "correct", "question": "Which one?"}, {"question": "Which one?"}, None, None),
        ({"verdict": "correct", "answer": "tumour"}, {}, None, "none of the 2 options"),
        ({"verdict": "correct", "feedback": "two are right"}, {}, None, "two are right"),
        ({"verdict": "reject", "feedback": "blurred"}, {}, "rejected: by ann: blurred", None),
    ],
)
def test_verdicts_at_work(said: dict[str, Any], changed: dict[str, Any], dropped: str | None, held: str | None) -> None:
    from medprm_hf.review.items import question_identity

    name = f"q1 {question_identity('Which?', ['cyst', 'nodule'], None)}"
    found = settle(QUESTION, {name: [{"reviewer": "ann", **said}]})
    assert found.row == {**QUESTION, **changed} and found.dropped == dropped
    assert (held in (found.held or "")) if held else found.held is None
    assert settle({**QUESTION, "question": "Other?"}, {name: [{"reviewer": "ann", **said}]}).row["answer"] == "cyst"
    two = settle(QUESTION, {name: [{"reviewer": "ann", "verdict": "keep"}, {"reviewer": "bob", "verdict": "reject"}]})
    assert two.held == "verdicts: people differ (ann: keep, bob: reject): agree on one in the Space"


def test_held_questions_wait_for_a_person(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hold_written"):
        Questions(hold_written=True).check()
    found = ReviewStore(tmp_path / "s.sqlite")
    held = row(1) | {"question": "Mr. John Smith, born 12/03/1961, phone 555-123-4567: which?", "steps": []}
    stage = Questions(reviewer=f"store:{tmp_path / 's.sqlite'}", needs_answer=False)
    table = {name: [held[name]] for name in ("question_id", "question", "image", "options", "answer", "answer_index")}
    first = stage(table)
    assert first["question_status"] == ["needs_review"]
    waiting = {"question_status": "needs_review", "question_reason": first["question_reason"][0], "solution_id": None}
    found.add([held | waiting])
    assert stage.state() == ""
    item = found.next("ann")
    assert item and item["kind"] == "question" and "identifiers" in item["asked_because"]
    decide_question(found, "verdict-1", "ann", item["item_id"], QuestionJudged("keep"))
    assert found.next("ann") is None and stage.state() and question_words(stage.reviewer)
    assert stage(table)["question_status"] == ["kept"]


def recipe(folder: Path) -> dict[str, Any]:
    spec = f"store:{folder / 'review.sqlite'}"
    return {
        "name": "people", "source": {"name": "phantom", "split": "train", "n": 6}, "shard_questions": 3,
        "stages": ["questions", "generate", "judge", "calibrate", "merge", "review", "select"],
        "generate": {"backend": "phantom:policy", "solutions": 2, "max_tokens": 96},
        "judge": {"backend": "simulated-judge:error=0.2"}, "merge": {"policy": "judge"},
        "questions": {"reviewer": spec}, "calibrate": {"reviewer": spec}, "review": {"reviewer": spec},
    }  # fmt: skip


def labelled(run: Run, column: str) -> int:
    return sum(label != "?" for one in solution_rows(run) for label in one[column] or [])


def test_decisions_return_by_resume(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = Run.open(folder, parse(recipe(folder)))
    run.build()
    assert labelled(run, "review_labels") == 0 and run.build() == 0
    told = "\n".join(review(folder, ReviewOptions(blind=True, sample=0.4)))
    solutions = sum(one["solution"] is not None for one in solution_rows(run))
    assert f"{solutions} new items" in told and f"medprm resume {folder}" in told
    found = ReviewStore(folder / "review.sqlite")
    while item := found.next("ann"):
        for step, shown in enumerate(item["steps"]):
            if shown["asked"]:
                found.save(f"{item['item_id']}-{step}", "ann", item["item_id"], item["version"], step, Judged("-"))
    run = Run.resume(folder)
    assert run.build() > 0 and labelled(run, "review_labels") > 0 and labelled(run, "calibration_labels") > 0
    assert {label for one in solution_rows(run) for label in one["review_labels"]} == {"-", "?"}
    assert Run.resume(folder).build() == 0
    decide_question(found, "verdict-1", "ann", "phantom-train-000000-s0", QuestionJudged("reject", feedback="blurred"))
    run = Run.resume(folder)
    run.build()
    assert "phantom-train-000000" not in {one["question_id"] for one in solution_rows(run)}
    assert "0 new items" in review(folder, ReviewOptions())[0]
    assert "ann" in "\n".join(status(folder / "review.sqlite"))
    (tmp_path / "share").mkdir()
    assert "decisions went" in sync(folder / "review.sqlite", str(tmp_path / "share"))[0]


def test_review_says_what_lacks(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no review store"):
        status(tmp_path / "nothing.sqlite")
    folder = tmp_path / "run"
    Run.open(folder, parse(recipe(folder)))
    with pytest.raises(StoreError, match="no finished shards"):
        review(folder, ReviewOptions())
