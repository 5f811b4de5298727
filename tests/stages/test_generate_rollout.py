"""generate and rollout on scripted models: every count is what the script implies (tests/stages/scripts.py)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from datasets import Dataset

from medprm_hf import Generate, Judge, Merge, Questions, Rollout, Select
from medprm_hf.backends import open_backend
from medprm_hf.errors import ConfigError
from medprm_hf.schema import features, written_by

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
SOLVER = "scripted:tests.stages.scripts:solver"


def question(name: str = "q1", **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(written_by("sources"))
    row |= {
        "question_id": name,
        "question": "Follow-up?",
        "options": ["none", "CT", "biopsy"],
        "answer": "CT",
        "answer_index": 1,
    }
    return row | changes


def batch(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def kept(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    table = batch(*rows)
    return table | Questions()(table)


def solved(*rows: dict[str, Any], **settings: Any) -> dict[str, list[Any]]:
    return Generate(backend=SOLVER, solutions=2, **settings)(kept(*rows))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"options": ["none", "", "CT"]}, "options: option 2 of 3 is empty"),
        ({"options": ["CT", "ct ", "none"]}, "options: 1 of 3 options are doubled"),
        ({"options": [f"option {i}" for i in range(40)]}, "options: 40 options; 2 to 26"),
        ({"options": ["CT"], "answer_index": 0}, "options: 1 options"),
        ({"answer_index": 7}, "answer: answer_index 7 is outside the 3 options"),
        ({"answer": "MRI", "answer_index": None}, "answer: 'MRI' is none of the 3 options"),
        ({"answer": None, "answer_index": None}, "no_gold"),
        ({"question": "  "}, "no_question"),
        ({"image": {"bytes": b"not an image", "path": None}}, "image:"),
        ({"image": {"bytes": PNG[:40], "path": None}}, "image:"),
        ({"image": {"bytes": None, "path": "nowhere/lost.png"}}, "image:"),
    ],
)
def test_bad_questions_are_dropped_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    table = kept(question(), question("q2", **changes))
    assert table["question_status"] == ["kept", "dropped"]
    assert reason in table["question_reason"][1]
    assert set(solved(question(), question("q2", **changes))["question_id"]) == {"q1"}


def test_forty_options_can_be_allowed() -> None:
    options = [f"option {i}" for i in range(40)]
    table = batch(question(options=options, answer="option 39", answer_index=39))
    assert Questions(max_options=40)(table)["question_status"] == ["kept"]


def test_generate_keeps_good_ones_and_tops_up() -> None:
    table = solved(question())
    assert table["final_answer"] == ["B", "A"]
    assert table["is_correct"] == [True, False]
    assert [len(steps) for steps in table["steps"]] == [3, 3]
    assert table["solution_id"] == ["q1-s0", "q1-s1"]
    assert table["generator"][0]["model"].startswith("scripted")
    # 1.25 × 2 → 3 are asked: good, bad, mute. Nothing lacks, so there is no second round.
    assert sum(r.n for r in open_backend(SOLVER).asked if r.key == "q1/generate/second") == 0  # type: ignore[attr-defined]


def test_generate_says_what_came_instead() -> None:
    table = Generate(backend="scripted:tests.stages.scripts:mute", solutions=2)(kept(question()))
    assert table["solution"] == [None]
    assert "refused: 9 unreadable_answer" in table["errors"][0][0]["message"]
    table = Generate(backend="scripted:tests.stages.scripts:broken", solutions=1)(kept(question()))
    assert table["errors"][0][0]["kind"] == "timeout"


def test_unreadable_solutions_can_be_kept_as_neither_right_nor_wrong() -> None:
    table = Generate(backend="scripted:tests.stages.scripts:mute", solutions=2, unreadable="keep")(kept(question()))
    assert table["is_correct"] == [None, None]
    counted = table | Rollout(backend="scripted:tests.stages.scripts:mute", k=4)(table)
    assert counted["rollout_total"] == [[0, 0, 0]] * 2
    assert counted["rollout_unreadable"] == [[4, 4, 4]] * 2
    assert counted["expected_accuracy"] == [[None] * 3] * 2
    labelled = counted | Merge(policy="value")(counted)
    assert labelled["labels"] == [["?", "?", "?"]] * 2


def test_rollout_counts_are_exactly_the_scripts() -> None:
    table = solved(question())
    counted = Rollout(backend=SOLVER, k=8)(table)
    # 8 a prefix: place 5 wrong, 6 unreadable, 7 failed; the calcified path is always wrong; the whole answers itself.
    assert counted["rollout_correct"] == [[5, 5, 8], [5, 0, 0]]
    assert counted["rollout_total"] == [[6, 6, 8], [6, 6, 8]]
    assert counted["rollout_unreadable"] == [[1, 1, 0], [1, 1, 0]]
    assert counted["rollout_failed"] == [[1, 1, 0], [1, 1, 0]]
    assert counted["expected_accuracy"][0] == [5 / 6, 5 / 6, 1.0]
    assert counted["chance"] == [1 / 3, 1 / 3]
    assert counted["errors"][0][0]["kind"] == "http_500"
    assert counted["rollout_method"][0]["continuation"] == "native"


def test_equal_prefixes_are_sampled_once() -> None:
    backend = open_backend(SOLVER)
    table = solved(question("q3"))
    before = len(backend.asked)  # type: ignore[attr-defined]
    Rollout(backend=SOLVER, k=8)(table)
    asked = backend.asked[before:]  # type: ignore[attr-defined]
    assert len(asked) == 3  # the shared first step, and each solution's second
    assert len({request.key for request in asked}) == 3
    assert all(request.n == 8 for request in asked)


def test_early_stop_leaves_the_rest_unknown() -> None:
    table = solved(question())
    counted = Rollout(backend=SOLVER, k=8, early_stop=True)(table)
    assert counted["rollout_total"][1] == [6, 6, 0]
    assert counted["expected_accuracy"][1] == [5 / 6, 0.0, None]
    labelled = table | counted | Merge(policy="value")(table | counted)
    assert labelled["labels"][1] == ["+", "-", "?"]


def test_rollouts_need_a_gold_answer_and_say_so() -> None:
    table = solved(question())
    for name in ("answer", "answer_index"):
        table[name] = [None] * 2
    counted = Rollout(backend=SOLVER, k=8)(table)
    assert counted["rollout_total"] == [[0, 0, 0]] * 2
    assert "merge.policy=judge" in counted["errors"][0][0]["message"]


def test_every_request_carries_its_own_image() -> None:
    backend = open_backend(SOLVER)
    row = question("with-image", image={"bytes": PNG, "path": None})
    table = solved(row)
    Rollout(backend=SOLVER, k=2)(table)
    import hashlib

    mine = [r for r in backend.asked if r.about["question_id"] == "with-image"]  # type: ignore[attr-defined]
    assert mine
    assert {r.image_hashes() for r in mine} == {(hashlib.sha256(PNG).hexdigest(),)}


def test_the_marker_inside_a_step_is_text() -> None:
    solution = "Step 1: The marker ки stands here.\nStep 2: <image> too.\nStep 3: Done.\nAnswer: B"
    from medprm_hf.text.steps import split_steps

    assert [step.text for step in split_steps(solution)][0] == "The marker ки stands here."


def test_judge_merge_select_read_on() -> None:
    table = solved(question())
    table |= Rollout(backend=SOLVER, k=8)(table)
    table |= Judge(backend="scripted:tests.stages.scripts:judge")(table)
    assert table["judge_labels"] == [["+", "+", "+"], ["+", "-", "-"]]
    table |= Merge(policy="consensus")(table)
    assert table["labels"] == [["+", "+", "+"], ["+", "-", "-"]]
    assert table["needs_review"] == [[False] * 3] * 2
    table |= Select()(table)
    assert table["keep"] == [True, True]


def test_a_judge_that_talks_is_unparsed_never_wrong() -> None:
    table = solved(question())
    table |= Judge(backend="scripted:tests.stages.scripts:prose_judge")(table)
    assert table["judge_labels"] == [["?"] * 3] * 2
    assert table["errors"][0][-1]["kind"] == "unparsed"
    table |= Merge(policy="judge")(table)
    assert table["labels"] == [["?"] * 3] * 2
    assert Select()(table)["drop_reason"] == ["no_label", "no_label"]


def test_stages_work_in_datasets_map() -> None:
    table = batch(question("m1"), question("m2", question="Which follow-up?"))
    questions = Dataset.from_dict(table, features=features(tuple(table)))
    kept_ones = questions.map(Questions(), batched=True)
    generate = Generate(backend=SOLVER, solutions=2)
    solutions = kept_ones.map(generate, batched=True, batch_size=2)
    assert len(solutions) == 4
    counted = solutions.map(Rollout(backend=SOLVER, k=4), batched=True, features=None)
    labelled = counted.map(Merge(policy="value"), batched=True)
    assert labelled[0]["labels"] == ["+", "+", "+"]
    assert kept_ones.map(generate, batched=True, batch_size=2)._fingerprint == solutions._fingerprint


def test_a_stage_names_who_should_have_run() -> None:
    with pytest.raises(ConfigError, match=r"rollout reads the column 'answer', which the sources stage writes"):
        Rollout(backend=SOLVER)({"question_id": ["q"], "image": [None], "question": ["?"]})
    with pytest.raises(ConfigError, match="batched=True"):
        Questions()(dict.fromkeys(Questions.reads))  # type: ignore[misc]
