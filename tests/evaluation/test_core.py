"""A whole evaluation: development and test apart, baselines beside, suites, ablations, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.evaluation.checks import refuse_seen
from medprm_hf.evaluation.core import PRIOR, EvalSettings, evaluate
from medprm_hf.evaluation.fitting import Fit
from medprm_hf.evaluation.responses import at
from medprm_hf.evaluation.scores import ablations, mean_change, scored, shuffled_images
from medprm_hf.evaluation.suites import SUITES, load_suite
from medprm_hf.scoring.settings import load_seen, save_seen
from tests.evaluation.rows import noisy_rows, row

FAST = EvalSettings(resamples=50)


def test_a_skilled_model_beats_the_prior_and_an_unskilled_one_does_not() -> None:
    skilled = evaluate(noisy_rows(60), settings=FAST)
    assert skilled["model"]["steps"]["macro_f1"] > 0.85
    assert skilled["over"][PRIOR]["interval"][0] > 0.1
    blind = evaluate(noisy_rows(60, skill=0.0), settings=FAST)
    assert blind["model"]["steps"]["macro_f1"] < 0.65
    best, majority = (at(skilled["model"]["responses"], name, 4) for name in ("best_of_last", "majority"))
    assert best is not None and majority is not None and best["value"] > majority["value"]


def test_the_threshold_never_sees_the_test_part() -> None:
    rows = noisy_rows(60)
    report = evaluate(rows, settings=FAST)
    places = report["test_places"]
    changed = [{**one, "labels": ["-"] * 4} if i in set(places) else one for i, one in enumerate(rows)]
    again = evaluate(changed, settings=FAST)
    assert again["development"] == report["development"]
    assert "held back by question" in report["development"]["from"]
    assert report["counts"]["questions"] == 45 and report["development"]["questions"] == 15


def test_given_development_data_must_be_other_questions() -> None:
    rows = noisy_rows(30)
    with pytest.raises(DataError, match="share question, image or group with the development part"):
        evaluate(rows[:80], rows[60:], settings=FAST)
    report = evaluate(rows[:60], rows[60:], settings=FAST)
    assert report["development"]["from"] == "given" and report["counts"]["solutions"] == 60
    forced = EvalSettings(resamples=20, force=True)
    assert evaluate(rows[:80], rows[60:], settings=forced)["counts"]["solutions"] == 80


def test_a_given_threshold_holds_nothing_back() -> None:
    report = evaluate(noisy_rows(10), settings=EvalSettings(threshold=0.4, resamples=20))
    assert report["counts"]["questions"] == 10 and report["development"]["threshold"] == 0.4
    assert PRIOR not in report["beside"]  # nothing to fit it on


def test_without_labels_only_answers_are_measured() -> None:
    rows = [{**one, "labels": None} for one in noisy_rows(10)]
    report = evaluate(rows, settings=FAST)
    assert report["counts"]["questions"] == 10 and report["model"]["steps"]["macro_f1"] is None
    assert report["model"]["responses"]["questions"] == 10


def test_others_stand_beside_the_model() -> None:
    rows = noisy_rows(40)
    outcome = [{**one, "step_scores": [None, None, None, one["step_scores"][3]]} for one in rows]
    report = evaluate(rows, settings=FAST, beside={"outcome": outcome})
    assert report["beside"]["outcome"]["steps"]["skipped"] == 3 * report["counts"]["solutions"]
    assert at(report["beside"]["outcome"]["responses"], "best_of_last", 4) is not None


def test_too_little_development_data_keeps_the_models_threshold() -> None:
    report = evaluate(noisy_rows(8), settings=FAST, start=Fit(0.37))
    assert report["development"]["threshold"] == 0.37 and "50 are needed" in report["development"]["note"]


def test_advantage_models_are_aggregated_over_their_expectations() -> None:
    rows = [{**one, "step_expectations": [2 * s - 1 for s in one["step_scores"]]} for one in noisy_rows(20)]
    methods = {entry["method"] for entry in evaluate(rows, settings=FAST)["model"]["responses"]["curve"]}
    assert "best_of_mean" in methods and "best_of_product" not in methods


# --- training that has seen the rows -------------------------------------------------------------------------


def test_rows_of_the_training_are_refused_by_question_and_by_image(tmp_path: Path) -> None:
    picture = {"bytes": b"not decoded here", "path": None}
    save_seen(tmp_path, [row("trained"), row("other") | {"image_sha256": "abc"}])
    seen = load_seen(tmp_path)
    refuse_seen([row("new")], seen, "prm")
    with pytest.raises(DataError, match="1 of 2 rows were in the training of prm"):
        refuse_seen([row("trained"), row("new")], seen, "prm")
    with pytest.raises(DataError, match="--skip-seen"):
        refuse_seen([row("renamed") | {"image_sha256": "abc"}], seen, "prm")
    from medprm_hf.ids import bytes_hash

    save_seen(tmp_path, [row("other") | {"image_sha256": bytes_hash(picture["bytes"])}])  # type: ignore[arg-type]
    with pytest.raises(DataError):
        refuse_seen([row("renamed") | {"image": picture}], load_seen(tmp_path), "prm")


# --- images ---------------------------------------------------------------------------------------------------


def _seeing(rows: list[dict[str, Any]]) -> list[list[float]]:
    """A scorer that knows the truth only of the image that belongs to the question."""
    return [
        [0.9 if label == "+" else 0.1 for label in one["labels"]]
        if one["image"] and one["image"]["path"] == one["question_id"]
        else [0.6] * len(one["labels"])
        for one in rows
    ]


def test_images_off_and_shuffled_show_that_a_model_looks() -> None:
    rows = [{**one, "image": {"bytes": None, "path": one["question_id"]}} for one in noisy_rows(40)]
    mine = scored(rows, lambda own: _seeing(own))  # type: ignore[arg-type]
    variants = ablations(rows, ["image"])
    others = {name: scored(own, lambda o: _seeing(o)) for name, own in variants.items()}  # type: ignore[arg-type]
    report = evaluate(mine, settings=FAST, beside=others)
    for name in ("images off", "images shuffled"):
        assert report["over"][name]["interval"][0] > 0.3
        assert mean_change(mine, others[name]) == pytest.approx(0.35, abs=0.1)


def test_shuffling_gives_each_question_another_image() -> None:
    rows = [row(f"q{i}", s, image_sha256=f"s{i}") | {"image": {"bytes": None, "path": f"{i}"}} for i in range(5)
            for s in range(2)]  # fmt: skip
    moved = shuffled_images(rows)
    assert all(one["image"]["path"] != other["image"]["path"] for one, other in zip(rows, moved, strict=True))
    assert {one["image"]["path"] for one in moved} == {str(i) for i in range(5)}
    assert all(moved[2 * i]["image"] == moved[2 * i + 1]["image"] for i in range(5))
    with pytest.raises(DataError, match="1 different images"):
        shuffled_images(rows[:2])
    for what in ("image", "evidence"):
        with pytest.raises(ConfigError, match=what):
            ablations([row("q")], [what])


# --- suites ---------------------------------------------------------------------------------------------------

SOLUTIONS = ["Step 1: Look.\nStep 2: So it is B. Answer: B", "Step 1: Look.\nStep 2: Answer: A"]
RECORDS: dict[str, dict[str, Any]] = {
    "medqa": {"question": "Q?", "options": dict(zip("ABCD", "wxyz", strict=True)), "answer_idx": "B"},
    "medqa5": {"question": "Q?", "options": dict(zip("ABCDE", "vwxyz", strict=True)), "answer_idx": "B"},
    "medmcqa": {"question": "Q?", "opa": "w", "opb": "x", "opc": "y", "opd": "z", "cop": 1},
    "pubmedqa": {"question": "Q?", "context": {"contexts": ["Seen.", "Done."]}, "final_decision": "no"},
    "mmlu-med": {"question": "Q?", "choices": ["w", "x", "y", "z"], "answer": 1},
    "ddxplus": {"question": "Q?", "options": ["Flu", "Croup"], "PATHOLOGY": "Croup"},
    "agentclinic": {"question": "Q?", "Correct_Diagnosis": "B"},
    "vqa-rad": {"question": "Q?", "answer": "B"},
    "slake": {"question": "Q?", "answer": "B"},
    "pathvqa": {"question": "Q?", "answer": "B"},
    "own": {"question": "Q?", "options": ["x", "y"], "answer": "y"},
}


@pytest.mark.parametrize("name", SUITES)
def test_suites_read_their_columns(name: str, tmp_path: Path) -> None:
    file = tmp_path / "solutions.jsonl"
    file.write_text(json.dumps({**RECORDS[name], "solutions": SOLUTIONS}) + "\n")
    loaded = load_suite(file, name)
    assert not loaded.problems
    assert [one["is_correct"] for one in loaded.rows] == [True, False]
    assert [len(one["steps"]) for one in loaded.rows] == [2, 2]
    assert len({one["question_id"] for one in loaded.rows}) == 1
    assert loaded.rows[0]["source"] == name


def test_suite_rows_that_do_not_fit_are_problems(tmp_path: Path) -> None:
    good = {**RECORDS["medqa"], "solutions": [{"solution": SOLUTIONS[0], "step_scores": [0.5, 0.25]}]}
    bad = [
        {**RECORDS["medqa5"], "solutions": SOLUTIONS},
        {**RECORDS["medqa"], "answer_idx": "", "solutions": SOLUTIONS},
        {**RECORDS["medqa"], "answer_idx": "E", "solutions": SOLUTIONS},
        {"question": "Q?", "solutions": SOLUTIONS},
    ]
    file = tmp_path / "solutions.jsonl"
    file.write_text("\n".join(json.dumps(one) for one in [good, *bad]) + "\n")
    loaded = load_suite(file, "medqa")
    assert [one["step_scores"] for one in loaded.rows] == [[0.5, 0.25]]
    assert [str(one).partition(": ")[2] for one in loaded.problems] == [
        "5 options where medqa has 4",
        "no answer: nothing can be told right or wrong",
        "the answer 'E' is none of the 4 options",
        "'options' is missing",
    ]
    with pytest.raises(ConfigError, match="did you mean medqa"):
        load_suite(file, "medqaa")
    with pytest.raises(DataError, match="no solution that fits"):
        load_suite(file, "mmlu-med")
