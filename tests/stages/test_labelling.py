"""calibrate, merge by the label model, review and select on a small run of rows: nothing asked twice, nothing lost."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from medprm_hf.errors import ConfigError
from medprm_hf.labels.agreement import macro_f1
from medprm_hf.labels.sampling import cutoffs
from medprm_hf.phantom.chains import sampled_solution
from medprm_hf.phantom.world import question_ids, scene_of
from medprm_hf.recipe import parse
from medprm_hf.review.reviewers import COPIED
from medprm_hf.runs.signals import truth_of
from medprm_hf.stages.base import Learner
from medprm_hf.stages.calibrate import Calibrate
from medprm_hf.stages.judge import Judge
from medprm_hf.stages.merge import Merge
from medprm_hf.stages.review import Review
from medprm_hf.stages.select import Select

Table = dict[str, list[Any]]


@pytest.fixture(scope="module")
def table() -> Table:
    """120 questions with 3 solutions, two of them often alike; rollouts see all but the place."""
    rows = []
    for q, name in enumerate(question_ids("train", 120)):
        for s in range(3):
            steps = sampled_solution(scene_of(name), np.random.default_rng([q, s // 2, s * (q % 2)]))
            row: dict[str, Any] = {"question_id": name, "solution_id": f"{name}-s{s}", "steps": steps}
            truth = truth_of(row)
            seen = [t.right or t.kind == "location" for t in truth]
            astray = [not all(seen[: i + 1]) for i in range(len(steps))]
            row |= {"truth": ["+" if t.right else "-" for t in truth], "is_correct": truth[-1].right, "image": None}
            row |= {"rollout_correct": [1 if a else 7 for a in astray], "rollout_total": [8] * len(steps)}
            row |= {"modality": ("axial", "projection")[q % 2], "difficulty": "easy", "source": "x", "chance": 0.25}
            row |= {"question": "?", "options": [], "answer": "A", "clinical_context": None, "final_answer": "A"}
            row |= {"expected_accuracy": [c / 8 for c in row["rollout_correct"]], "errors": []}
            rows.append(row)
    columns: Table = {name: [row[name] for row in rows] for name in rows[0]}
    return columns | Judge(backend="simulated-judge:error=0.15")(columns)


def run(table: Table, calibrate: dict[str, Any], merge: dict[str, Any], review: dict[str, Any]) -> Table:
    done = table | Calibrate(**calibrate)(table)
    done |= Merge(policy="label_model", **merge)(done)
    return done | Review(**review)(done)


def final(done: Table) -> list[list[str]]:
    return [
        [o if r == "?" else r for o, r in zip(*pair, strict=True)]
        for pair in zip(done["labels"], done["review_labels"], strict=True)
    ]


def f1(labels: list[list[str]], table: Table) -> float:
    return macro_f1(labels, table["truth"]).macro_f1 or 0.0


def test_the_sample_is_stratified_whole_and_the_same_when_drawn_again(table: Table) -> None:
    stage = Calibrate(solutions=36)
    done = stage(table)
    sampled = [i for i, labels in enumerate(done["calibration_labels"]) if "?" not in labels]
    assert len(sampled) == 36
    assert all(set(done["calibration_labels"][i]) == {"?"} for i in set(range(360)) - set(sampled))
    assert Counter(table["modality"][i] for i in sampled) == {"axial": 18, "projection": 18}
    halves: list[Table] = [{k: v[s] for k, v in table.items()} for s in (slice(0, 180), slice(180, 360))]
    taught = Calibrate(solutions=36, learnt=stage.learn(halves))
    assert [x for half in halves for x in taught(half)["calibration_labels"]] == done["calibration_labels"]
    assert Calibrate(share=0.1)(table) == done
    assert Calibrate(share=0.0)(table)["calibration_labels"][0] == ["?"] * len(table["steps"][0])


def test_every_solution_has_the_same_chance_of_being_sampled() -> None:
    taken: Counter[str] = Counter()
    for seed in range(3000):
        for stratum, cut in cutoffs({"a": [0.5], "b": [0.1, 0.2], "c": [0.3, 0.4, 0.6]}, 2, seed).items():
            taken[stratum] += sum(d <= cut for d in {"a": [0.5], "b": [0.1, 0.2], "c": [0.3, 0.4, 0.6]}[stratum])
    assert sum(taken.values()) == 6000
    for stratum, size in (("a", 1), ("b", 2), ("c", 3)):
        assert abs(taken[stratum] / 3000 - 2 * size / 6) < 0.05


def test_label_model_learns_from_the_sample_and_review_asks_nothing_twice(table: Table) -> None:
    none = run(table, {"share": 0.0}, {}, {"share": 0.0})
    some = run(table, {"solutions": 40}, {}, {"share": 0.0})
    more = run(table, {"solutions": 40}, {}, {"share": 0.1, "order": "value"})
    judge = f1(table["judge_labels"], table)
    assert judge < f1(none["labels"], table) <= f1(some["labels"], table) + 0.03
    assert f1(final(some), table) < f1(final(more), table)
    asked = [r for row in more["reviews"] for step in row for r in step if not (r["note"] or "").startswith(COPIED)]
    sampled = sum("?" not in labels for labels in more["calibration_labels"])
    steps = sum(map(len, table["steps"]))
    assert len(asked) <= round(0.1 * steps) + 6 * sampled
    for row, earlier in zip(more["reviews"], more["calibration_reviews"], strict=True):
        for step, before in zip(row, earlier, strict=True):
            assert step[: len(before)] == before and len(step) <= max(1, len(before))


def test_copies_of_a_step_share_a_decision(table: Table) -> None:
    done = run(table, {"share": 0.05}, {}, {"order": "random", "share": 1.0})
    decided: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for name, steps, labels in zip(table["question_id"], table["steps"], done["review_labels"], strict=True):
        for i, label in enumerate(labels):
            assert label != "?"
            decided.setdefault((name, tuple(steps[: i + 1] + ["last"] * (i == len(steps) - 1))), set()).add(label)
    assert sum(map(len, table["steps"])) > len(decided)


def test_value_beats_random_twice_its_size(table: Table) -> None:
    value = run(table, {"solutions": 40}, {}, {"share": 0.05, "order": "value"})
    chance = run(table, {"solutions": 40}, {}, {"share": 0.1, "order": "random"})
    assert f1(final(value), table) > f1(final(chance), table)


def test_a_run_s_share_is_met_over_its_shards(table: Table) -> None:
    done = table | Calibrate(solutions=30)(table)
    done |= Merge(policy="label_model")(done)
    halves: list[Table] = [{k: v[s] for k, v in done.items()} for s in (slice(0, 90), slice(90, 360))]
    for order in ("value", "doubt", "random"):
        stage = Review(order=order, share=0.04)
        taught = Review(order=order, share=0.04, learnt=stage.learn(halves))
        there = [r for half in halves for row in taught(half)["reviews"] for step in row for r in step]
        fresh = [r for r in there if not (r["note"] or "").startswith(COPIED)]
        sampled = sum(len(labels) for labels in done["calibration_labels"] if "?" not in labels)
        budget = round(0.04 * sum(map(len, table["steps"])))
        assert len(fresh) - sampled == budget or (order == "doubt" and len(fresh) - sampled < budget), order


def test_stages_learn_and_what_they_learnt_is_no_setting(table: Table) -> None:
    for stage in (Calibrate(), Merge(policy="label_model"), Review(), Select(informative=0.5)):
        assert isinstance(stage, Learner)
    assert repr(Merge(learnt="x")) == repr(Merge())
    assert Merge(policy="consensus").learn(iter([])) == "" and Select().learn(iter([])) == ""
    learnt = Merge(policy="label_model").learn([table])
    assert json.loads(learnt)[0]["model"]["notes"]
    assert Merge(policy="label_model", learnt=learnt)(table) == Merge(policy="label_model")(table)


def test_select_keeps_the_share_that_says_most(table: Table) -> None:
    done = run(table, {"share": 0.0}, {}, {"share": 0.0})
    kept = Select(informative=0.25)(done)
    left = [i for i, keep in enumerate(kept["keep"]) if keep]
    open_before = sum(Select()(done)["keep"])
    assert len(left) == round(0.25 * open_before)
    mixed = [len(set(done["labels"][i])) for i in left]
    assert np.mean(mixed) > np.mean([len(set(labels)) for labels in done["labels"]])
    balanced = Select(balance_answers=True, wrong_needs_minus=True, max_plus_share=0.65)(done)
    reasons = Counter(balanced["drop_reason"])
    assert reasons["too_many_plus"] and reasons["enough_right"]
    labels = Counter(label for i, keep in enumerate(balanced["keep"]) if keep for label in done["labels"][i])
    assert labels["+"] / (labels["+"] + labels["-"]) <= 0.65


def test_recipes_that_cannot_work_are_refused() -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"stages": ["questions", "generate", "merge"], "merge": {"policy": "label_model"}}, "weighs signals"),
        ({"stages": ["questions", "generate", "judge", "merge", "calibrate"], "merge": {"policy": "judge"}}, "before"),
        ({"review": {"order": "valeu"}}, "value"),
        ({"calibrate": {"strata": ["age"]}}, "modality"),
    ]
    for data, said in bad:
        with pytest.raises(ConfigError, match=said):
            parse(data)
