"""Targets: met, missed, or not measurable; what was not measured is never 0."""

from __future__ import annotations

from typing import Any

import pytest

from medprm_hf.errors import ConfigError
from medprm_hf.recipe import parse
from medprm_hf.runs.report_costs import costs
from medprm_hf.runs.shares import evidence, refused, shares
from medprm_hf.runs.targets import targets
from medprm_hf.specs_report import ReportSpec

LIMITS = {"min_steps": 3, "max_steps": 9}


def row(name: str, labels: str, difficulty: str | None = None, **more: Any) -> dict[str, Any]:
    steps = [f"step {i}" for i in range(len(labels))]
    return {"question_id": name, "steps": steps, "labels": list(labels), "difficulty": difficulty, **more}


def table(
    rows: list[dict[str, Any]], agreement: dict[str, Any] | None = None, **spec: Any
) -> dict[str, dict[str, Any]]:
    given = ReportSpec(**spec)
    return {line["name"]: line for line in targets(given, agreement, shares(rows, given), LIMITS)}


@pytest.mark.parametrize(
    ("kappa", "interval", "state", "note"),
    [
        (0.85, [0.82, 0.88], "met", "100 steps, 3 left out (unknown)"),
        (0.85, [0.75, 0.90], "met", "the interval reaches outside: not certain"),
        (0.80, [0.70, 0.79], "missed", "100 steps, 3 left out (unknown)"),
        (0.70, [0.60, 0.81], "missed", "the interval reaches the target: not certain"),
        (None, None, "not measurable", "kappa says nothing"),
    ],
)
def test_kappa(kappa: float | None, interval: list[float] | None, state: str, note: str) -> None:
    judge = {"kappa": kappa, "interval": interval, "n_steps": 100, "skipped": 3}
    line = table([row("a", "+-")], {"judge": judge, "ece": None})["Cohen's kappa, judge and expert"]
    assert (line["state"], line["value"], line["target"]) == (state, kappa, "> 0.8")
    assert note in line["note"]


def test_what_was_not_measured_says_why() -> None:
    found = table([row("a", "??")])
    assert {line["state"] for name, line in found.items() if "steps" not in name} == {"not measurable"}
    assert "calibrate" in found["Cohen's kappa, judge and expert"]["note"]
    assert found["share of +, all questions"]["note"] == "2 labels, none + or -"
    assert found["share of +, easy questions"]["note"] == "no solution of a question that is marked easy"
    rollout = table([row("a", "+")], {"ece": None})["Cohen's kappa, rollout and expert"]
    assert rollout["note"] == "the rollout stage did not run"
    assert table([])["steps per solution before selection, mean"]["note"] == "no solutions"


def test_shares_of_plus_count_known_labels_alone() -> None:
    rows = [row("a", "+++-??0", "easy"), row("b", "+-", "hard"), row("c", "+" * 9 + "-", "easy")]
    found = table(rows)
    assert found["share of +, all questions"]["value"] == pytest.approx(13 / 16)
    assert found["share of +, easy questions"]["value"] == pytest.approx(12 / 14)
    assert found["share of +, hard questions"]["value"] == 0.5
    reviewed = [row("a", "++", review_labels=["-", "?"])]
    assert table(reviewed)["share of +, all questions"]["value"] == 0.5


def test_steps_are_flagged_and_the_generators_limit_is_said() -> None:
    line = table([row("a", "+" * 4), row("b", "+" * 8), row("c", "+" * 16)])[
        "steps per solution before selection, mean"
    ]
    assert line["value"] == pytest.approx(28 / 3) and line["state"] == "met"
    assert "1 below 5, 1 above 15 of 3" in line["note"] and "3 to 9 steps" in line["note"]


def test_mixes_are_targets_where_the_recipe_gives_them() -> None:
    rows = [row("a", "+", "easy"), row("a", "-", "easy"), row("b", "+", "medium"), row("c", "+", None)]
    found = table(rows, difficulty_mix={"easy": 0.3, "hard": 0.2}, modality_mix={"ct": 1.0})
    assert found["share of questions, difficulty easy"]["value"] == pytest.approx(1 / 3)
    assert found["share of questions, difficulty easy"]["state"] == "met"
    assert found["share of questions, difficulty hard"]["state"] == "missed"
    assert found["share of questions, modality ct"]["state"] == "not measurable"


def test_a_target_of_null_is_left_out_and_a_wrong_one_refused() -> None:
    spec = parse({"report": {"kappa": None, "ece": 0.1, "steps": None}}).report
    assert [line["name"] for line in targets(spec, None, shares([], spec), LIMITS)][0] == "calibration error of label_p"
    with pytest.raises(ConfigError, match="kapa.*kappa"):
        parse({"report": {"kapa": 0.8}})
    changed = parse({"report": {"kappa": 0.6}})
    assert changed.fingerprint() == parse({}).fingerprint()


def test_refused_answers_are_counted_once_a_question() -> None:
    error = {"stage": "generate", "kind": "unusable_solutions",
             "message": "1 of 4 solutions; refused: 3 too_few_steps, 12 unreadable_answer"}  # fmt: skip
    assert refused([row("a", "+", errors=[error]), row("a", "-", errors=[error]), row("b", "+")]) == {
        "too_few_steps": 3, "unreadable_answer": 12,
    }  # fmt: skip


def test_evidence_tells_sound_citations_from_invented_ones() -> None:
    passages = [{"id": "p1", "text": "Nodules.", "source": "book"}]
    checks = [[{"id": "p1", "quote": None, "status": "cited"}], [{"id": "p9", "quote": None, "status": "not_given"}]]
    found = evidence([row("a", "+-", evidence=passages, judge_citations=[["p1"], []], judge_citation_checks=checks)])
    assert found is not None
    assert found["citations"] == {"cited": 1, "not_given": 1}
    assert (found["steps_that_cite"], found["steps_judged"], found["most_cited"][0]["id"]) == (1, 2, "p1")
    assert evidence([row("a", "+")]) is None


def account(stage: str, cost: float | str | None) -> dict[str, Any]:
    return {"stage": stage, "model": "m", "cost": cost}


@pytest.mark.parametrize(
    ("accounts", "unknown", "rollouts", "models", "why"),
    [
        ([account("judge", 0.5), account("rollout", 1.5)], [], 6.0, 2.0, "at what a rollout cost here"),
        ([account("judge", 0.5), account("rollout", "local")], [], None, 0.5, "your own machine"),
        ([account("judge", None), account("rollout", 1.5)], ["m"], 6.0, None, "at what a rollout cost here"),
        ([account("judge", 0.5)], [], None, 0.5, "no rollouts here"),
    ],
)
def test_costs(accounts: Any, unknown: list[str], rollouts: float | None, models: float | None, why: str) -> None:
    usd = sum(a["cost"] for a in accounts if isinstance(a["cost"], float))
    money = {"accounts": accounts, "unknown": unknown, "usd": usd, "all_rollout_usd": rollouts, "all_expert_usd": 50.0}
    found = costs(money, labels=100, expert_steps={"review": 10})
    lines = {line["what"]: line for line in found["compared"]}
    assert lines["this run: models"]["usd"] == models
    assert lines["this run"]["usd"] == (None if models is None else models + 5.0)
    assert lines["an expert on every step"]["usd_per_label"] == 0.5
    assert why in lines["rollouts of every step"]["why"]
    assert {line["stage"]: line["usd"] for line in found["stages"]}["review"] == 5.0
