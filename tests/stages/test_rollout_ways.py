"""rollout's other ways: a letter bias against shuffled or hidden options, chance, estimators, recipe errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from medprm_hf import Merge, Rollout
from medprm_hf.backends import open_backend
from medprm_hf.errors import ConfigError
from medprm_hf.labels.accuracy import given_wrong_answer
from medprm_hf.labels.monte_carlo import ESTIMATORS, Problem, State, make_estimator
from medprm_hf.recipe import parse
from medprm_hf.text.answers import matches, read_answer
from medprm_hf.text.prompts import letter
from medprm_hf.text.steps import split_steps
from tests.stages.scripts import BAD, GOOD
from tests.stages.test_generate_rollout import batch, question

Table = dict[str, list[Any]]
SCRIPTS = "scripted:tests.stages.scripts:"
WORDS = ["CT", "none", "biopsy", "PET"]
STEPS = "Step 1: A nodule is seen.\nStep 2: It is solid.\nStep 3: It grows.\nAnswer: {}"


def solution(name: str = "q1", text: str = GOOD, **changes: Any) -> dict[str, Any]:
    row = question(name, **changes)
    steps, answer = split_steps(text), read_answer(text, row["options"])
    return row | {
        "solution": text,
        "steps": [step.text for step in steps],
        "final_answer": answer,
        "is_correct": matches(answer, row["options"], row["answer"], row["answer_index"]),
    }


def gold_at(place: int, steps: str = STEPS) -> dict[str, Any]:
    """A question of four options whose right one, CT, stands at this place; a right solution."""
    options = [word for word in WORDS if word != "CT"]
    options.insert(place, "CT")
    return solution(f"gold-at-{place}", steps.format(letter(place)), options=options, answer_index=place)


def counted(script: str, *rows: dict[str, Any], **settings: Any) -> Table:
    table = batch(*rows)
    return table | Rollout(backend=SCRIPTS + script, **settings)(table)


def asked(script: str, name: str) -> list[Any]:
    return [r for r in open_backend(SCRIPTS + script).asked if r.about["question_id"] == name]  # type: ignore[attr-defined]


# --- a planted letter bias -----------------------------------------------------------------------------------


def test_a_letter_bias_looks_like_knowledge_until_the_options_are_shuffled() -> None:
    rows = [gold_at(place) for place in range(4)]
    plain = counted("always_a", *rows, k=16)
    assert [mc[0] for mc in plain["expected_accuracy"]] == [1.0, 0.0, 0.0, 0.0]
    shuffled = counted("always_a", *rows, k=16, shuffle_options=True)
    # Four requests of four rollouts, each option at A once: exactly chance, wherever the right one stands.
    assert shuffled["rollout_correct"] == [[4, 4, 16]] * 4
    assert shuffled["expected_accuracy"] == [[0.25, 0.25, 1.0]] * 4
    assert shuffled["chance"] == [0.25] * 4
    assert shuffled["rollout_method"][0]["options"] == "shuffled"


def test_knowledge_survives_the_shuffle_and_hidden_options() -> None:
    rows = [gold_at(place) for place in range(4)]
    for way in ({}, {"shuffle_options": True}, {"options_shown": False}):
        table = counted("reader", *rows, k=8, **way)
        assert table["expected_accuracy"] == [[1.0, 1.0, 1.0]] * 4, way


def test_a_letter_earns_nothing_where_no_options_are_shown() -> None:
    table = counted("always_a", gold_at(0), k=8, options_shown=False)
    assert table["rollout_correct"][0][:2] == [0, 0] and table["rollout_total"][0][:2] == [8, 8]
    assert table["chance"] == [None]
    request = asked("always_a", "gold-at-0")[-1]
    assert "Options:" not in request.messages[-1].text and "answer in a few words" in request.messages[-1].text


def test_answers_in_words_are_right_wrong_or_unreadable() -> None:
    table = counted("mumbler", gold_at(2), k=8, options_shown=False)
    assert table["rollout_correct"][0][0] == 2
    assert table["rollout_total"][0][0] == 4  # "ultrasound" is no option, so wrong
    assert table["rollout_unreadable"][0][0] == 4  # two options, or nothing


@pytest.mark.parametrize(
    ("step", "options"),
    [
        ("So option B fits.", None),
        ("The second option fits.", None),
        ("A nodule is seen.", ["CT", "none", "all of the above"]),
    ],
)
def test_prompts_whose_letters_count_keep_their_order(step: str, options: list[str] | None) -> None:
    name = f"letters-{step}"
    row = solution(name, f"Step 1: {step}\nStep 2: It is solid.\nStep 3: So.\nAnswer: A", options=options or WORDS)
    counted("always_a", row, k=8, shuffle_options=True)
    requests = asked("always_a", name)
    assert {r.n for r in requests} == {8} and len(requests) == 2
    assert len({r.messages[-1].text for r in requests}) == 1


def test_orders_are_the_same_in_every_run_and_differ_between_prefixes() -> None:
    rows = [gold_at(1)]
    first = counted("always_a", *rows, k=16, shuffle_options=True)
    prompts = [r.messages[-1].text for r in asked("always_a", "gold-at-1")][-8:]
    again = counted("always_a", *rows, k=16, shuffle_options=True)
    assert [r.messages[-1].text for r in asked("always_a", "gold-at-1")][-8:] == prompts
    assert first == again
    assert len(set(prompts[:4])) == 4


# --- chance --------------------------------------------------------------------------------------------------


def test_the_empty_prefix_is_asked_once_a_question_and_recorded() -> None:
    rows = [solution("empty", GOOD), solution("empty", BAD), solution("other", GOOD)]
    table = counted("noisy", *rows, k=16, chance="empty_prefix")
    empty = [r for name in ("empty", "other") for r in asked("noisy", name) if not r.prefix]
    assert [r.n for r in empty] == [16, 16]
    for row, method in zip(table["chance"], table["rollout_method"], strict=True):
        assert method["chance"] == "empty_prefix" and method["empty_total"] == 16
        assert row == (method["empty_correct"] + 0.5) / 17
    assert table["chance"][0] == table["chance"][1]
    assert counted("noisy", *rows, k=16, chance="none")["chance"] == [None] * 3


def test_an_empty_prefix_that_gives_nothing_falls_back_and_says_so() -> None:
    table = counted("broken", solution(), k=4, chance="empty_prefix")
    assert table["chance"] == [1 / 3]
    assert [e["kind"] for e in table["errors"][0]] == ["timeout", "no_baseline"]
    assert table["rollout_failed"] == [[4, 4, 0]] and table["expected_accuracy"] == [[None, None, 1.0]]
    labelled = table | Merge(policy="value")(table)
    assert labelled["labels"] == [["?", "?", "+"]]


def test_merge_holds_the_thresholds_against_the_corrected_figure() -> None:
    table = counted("always_a", *[gold_at(place) for place in range(2)], k=16, shuffle_options=True)
    assert Merge(policy="value")(table)["labels"] == [["+", "+", "+"]] * 2  # mc > 0: guessing is enough
    merged = Merge(policy="value", figure="corrected")(table)
    assert merged["labels"] == [["-", "-", "+"]] * 2
    assert merged["label_p"] == [[0.0, 0.0, 1.0]] * 2
    assert table["accuracy_low"][0][0] > 0.05  # the interval is the raw counts'


def test_early_stop_by_the_corrected_figure() -> None:
    row = gold_at(0)
    raw = counted("always_a", row, k=16, shuffle_options=True, early_stop=True)
    assert raw["rollout_total"] == [[16, 16, 16]]
    stopped = counted("always_a", row, k=16, shuffle_options=True, early_stop=True, corrected=True)
    assert stopped["rollout_total"] == [[16, 0, 0]]


def test_the_neutral_band_of_the_advantage_policy() -> None:
    table = batch(solution()) | {"rollout_correct": [[8, 9, 4]], "rollout_total": [[16, 16, 16]]}
    assert Merge(policy="advantage")(table)["labels"] == [["+", "+", "-"]]
    assert Merge(policy="advantage", band=0.1)(table)["labels"] == [["+", "0", "-"]]


@pytest.mark.parametrize(
    ("correct", "total", "certainty", "labels"),
    [
        ([8, 9, 4], [16, 16, 16], 0.0, "++-"),
        ([8, 9, 4], [16, 16, 16], 0.8, "+0-"),  # P(9/16 > 8/16) is about 0.63, P(4/16 < 9/16) 0.96
        ([8, 9, 4], [16, 16, 16], 0.99, "+00"),
        ([80, 90, 40], [160, 160, 160], 0.8, "++-"),  # the same rise, ten times the rollouts
        ([1, 2, 0], [2, 2, 0], 0.8, "++?"),
        ([1, 2, 0], [2, 2, 0], 0.9, "+0?"),
    ],
)
def test_advantage_needs_a_direction_it_can_be_sure_of(
    correct: list[int], total: list[int], certainty: float, labels: str
) -> None:
    table = batch(solution()) | {"rollout_correct": [correct], "rollout_total": [total]}
    merged = Merge(policy="advantage", certainty=certainty)(table)
    assert "".join(merged["labels"][0]) == labels
    assert ["uncertain" in how for how in merged["label_method"][0]] == [label == "0" for label in labels]


# --- estimators that learn -----------------------------------------------------------------------------------


@pytest.fixture
def learner() -> Iterator[str]:
    ESTIMATORS["learner"] = "tests.stages.scripts:Learner"
    yield "learner"
    del ESTIMATORS["learner"]


def many() -> list[dict[str, Any]]:
    return [solution(f"n{i}", text) for i in range(6) for text in (GOOD, BAD)]


def test_a_shard_done_again_gives_the_same(learner: str) -> None:
    first = counted("noisy", *many(), estimator=learner)
    again = counted("noisy", *many(), estimator=learner)
    assert first == again
    method = first["rollout_method"][0]
    assert method["estimator"] == learner and method["k"] is None and method["rounds"] > 1
    assert 0 < json.loads(method["learnt"])["mean"] < 1


def test_counts_and_what_was_learnt_give_the_labels_again(learner: str) -> None:
    table = counted("noisy", *many(), estimator=learner)
    n = len(table["steps"])
    problem = Problem.of([3] * n, table["question_id"], table["is_correct"], table["chance"])
    state = State.empty(problem)
    state.correct, state.total = np.array(table["rollout_correct"]), np.array(table["rollout_total"])
    state.learnt = json.loads(table["rollout_method"][0]["learnt"])
    assert make_estimator(learner).decide(problem, state).p_right.tolist() == table["p_right"]


def test_a_whole_solution_answers_itself() -> None:
    for estimator, totals in (("first_error", {1}), ("first_success", {1, 16}), ("sequential", {4, 6})):
        table = counted("noisy", *many(), estimator=estimator)
        assert {row[-1] for row in table["rollout_total"]} <= totals, estimator
        assert [bool(row[-1]) for row in table["rollout_correct"]] == [True, False] * 6
    assert not [r for r in asked("noisy", "n0") if "Answer" in r.prefix]


def test_an_unreadable_answer_is_asked_again_up_to_a_bound(learner: str) -> None:
    table = counted("mute", solution(), estimator=learner)
    assert table["rollout_total"][0][:2] == [0, 0]
    assert table["rollout_unreadable"] == [[8, 8, 0]]


def test_merge_can_read_p_right(learner: str) -> None:
    table = counted("noisy", *many(), estimator=learner)
    merged = Merge(policy="value", figure="p_right", threshold=0.5)(table)
    assert merged["label_p"] == table["p_right"]
    assert merged["labels"] == [["+" if p > 0.5 else "-" for p in row] for row in table["p_right"]]


def test_first_error_through_the_stage() -> None:
    table = counted("noisy", *many(), estimator="first_error")
    assert table == counted("noisy", *many(), estimator="first_error")
    fixed = counted("noisy", *many(), k=16)
    spent = sum(sum(row[:-1]) for row in table["rollout_total"])
    assert 0 < spent < sum(sum(row[:-1]) for row in fixed["rollout_total"])
    good, bad = table["p_right"][0::2], table["p_right"][1::2]
    assert min(row[0] for row in good) > 0.5 > max(row[2] for row in bad)
    assert json.loads(table["rollout_method"][0]["learnt"])


@pytest.mark.parametrize(
    ("settings", "merge", "most"),
    [
        ({"estimator": "first_success", "k": 16}, {}, 16 * 24),
        ({"estimator": "bisect", "k": 16, "threshold": 0.45}, {"monotone": True, "threshold": 0.45}, 16 * 24),
        ({"estimator": "sequential", "k": 16}, {"figure": "p_right", "threshold": 0.5}, 16 * 24),
        ({"estimator": "first_error"}, {"figure": "p_right", "threshold": 0.5}, 16 * 24),
    ],
)
def test_every_estimator_labels_every_step_for_less(settings: Any, merge: Any, most: int) -> None:
    table = counted("noisy", *many(), **settings)
    assert 0 < sum(sum(row[:-1]) for row in table["rollout_total"]) < most
    labels = Merge(policy="value", **merge)(table)["labels"]
    assert "?" not in {label for row in labels for label in row}
    if settings["estimator"] not in ("first_success",):  # 0.2 of 16 is above 0: what makes mc > 0 weak
        assert sum(row == ["+", "+", "+"] for row in labels[0::2]) >= 5
        assert sum(row[2] == "-" for row in labels[1::2]) >= 5


def test_a_wrong_answer_means_a_wrong_step() -> None:
    p = np.array([[0.9, 0.8, 0.6, np.nan], [0.9, 0.8, 0.6, 0.6], [1.0, 1.0, 1.0, 1.0]])
    found = given_wrong_answer(p, [3, 4, 4], [True, False, True])
    assert found[0] == pytest.approx([0.75, 0.5, 0.0, np.nan], nan_ok=True)
    assert found[1].tolist() == p[1].tolist()
    assert found[2].tolist() == [1.0, 1.0, 1.0, 0.0]
    table = counted("noisy", *many(), estimator="first_error")
    assert [row[-1] for row in table["p_right"]][1::2] == [0.0] * 6


# --- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("rollout.k=0", r"rollout\.k: .*greater than or equal to 1 \(found 0\)"),
        ("rollout.threshold=-0.1", r"rollout\.threshold: .*greater than or equal to 0 \(found -0\.1\)"),
        ("rollout.estimator=fixt", "unknown estimator 'fixt'; did you mean fixed"),
        ("rollout.settings.price=0.1", r"settings\.price=0\.1 is no .* rollout\.estimator=fixed; there is: .*k"),
        ("rollout.settings.k=4", r"rollout\.settings\.k=4 stands beside rollout\.k=8: write rollout\.k=4"),
        ("rollout.settings.band=-1", "band=-1 is no share"),
        ("rollout.estimator=first_error rollout.early_stop=true", r"early_stop=True is no .*=first_error.*fixed"),
        ("rollout.estimator=first_error rollout.threshold=0.5", r"threshold=0\.5 is no .*=first_error.*sequential"),
        ("rollout.estimator=first_error", r"merge\.figure=mc .*estimator=first_error .*merge\.figure=p_right"),
        ("rollout.estimator=bisect", r"merge\.figure=mc .* rollout\.estimator=bisect .*merge\.monotone=true"),
        ("rollout.estimator=first_success merge.threshold=0.5", r"=first_success only .*merge\.threshold=0\.5 .*fixed"),
        ("merge.figure=p_right", r"rollout\.estimator=fixed does not give: .*merge\.figure=mc"),
        ("rollout.estimator=sequential merge.figure=p_right", r"=p_right with merge\.threshold=0 .*threshold=0\.5"),
        ("rollout.estimator=sequential merge.figure=p_right merge.policy=advantage", "=advantage .*=p_right"),
        ("rollout.shuffle_options=true rollout.options_shown=false", "shuffle_options=true and .*options_shown=false"),
        ("rollout.corrected=true rollout.chance=none", r"corrected=true .*chance=none: take options or empty_prefix"),
        ("rollout.corrected=true rollout.options_shown=false", r"options_shown=false .*take .*empty_prefix"),
        ("rollout.corrected=true", r"rollout\.corrected=true .*merge\.figure=mc .*merge\.figure=corrected"),
        ("merge.figure=corrected rollout.early_stop=true", r"corrected=false\): set rollout\.corrected=true"),
        ("merge.figure=corrected rollout.chance=none", r"merge\.figure=corrected .*rollout\.chance=none"),
        ("rollout.early_stop=true merge.threshold=0.5", r"rollout\.threshold=0, but merge\.threshold=0\.5 .*alike"),
    ],
)
def test_recipe_errors_name_both_values_and_the_way_out(settings: str, message: str) -> None:
    plain = {
        "stages": ["questions", "generate", "rollout", "merge", "select"],
        "rollout": {"k": 8},
        "merge": {"policy": "value"},
    }
    with pytest.raises(ConfigError, match=message):
        parse(plain, tuple(settings.split()))


def test_what_fits_is_taken(learner: str) -> None:
    plain = {"stages": ["questions", "generate", "rollout", "merge"], "merge": {"policy": "value", "threshold": 0.5}}
    ways: dict[str, dict[str, Any]] = {
        "rollout.threshold=0.5 rollout.early_stop=true": {"k": 16, "tau": 0.5, "early_stop": True},
        "rollout.corrected=true merge.figure=corrected": {"k": 16, "early_stop": False, "corrected": True},
        "rollout.estimator=learner rollout.settings.most=6 merge.figure=p_right": {"most": 6},
        "rollout.estimator=first_error rollout.k=8 merge.figure=p_right": {},
        "rollout.estimator=first_success merge.threshold=0": {"k": 16, "early_stop": False},
        "rollout.estimator=bisect merge.monotone=true rollout.threshold=0.1": {"k": 16, "tau": 0.1},
        "rollout.estimator=sequential rollout.k=8": {"k": 8, "early_stop": False},
        "rollout.options_shown=false rollout.chance=empty_prefix merge.figure=corrected": {"k": 16},
    }
    for settings, expected in ways.items():
        assert parse(plain, tuple(settings.split())).rollout.estimator_settings().items() >= expected.items()
