"""Figures of steps by hand-computed tables; nothing unknown is ever counted as 0."""

from __future__ import annotations

import json
import random

import pytest

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.evaluation.fitting import Fit, fit_on, known_steps, parts, split
from medprm_hf.evaluation.steps import auc, error_place, prmbench, slices, step_figures
from medprm_hf.evaluation.table import Table, scores_of
from medprm_hf.evaluation.worst import worst_cases
from tests.evaluation.rows import noisy_rows, row


def test_step_figures_by_hand() -> None:
    rows = [
        row("q1", 0, "++-0", [0.9, 0.4, 0.2, 0.1]),  # right hit, right missed, wrong hit, neutral
        row("q2", 0, "-+?", [0.7, None, 0.9]),  # wrong missed, no score, no label
    ]
    found = step_figures(Table.of_rows(rows), scores_of(rows), Fit(0.5), resamples=50)
    # +: hits 1, said 2, there 2 (the one without a score is skipped). -: hits 1, said 2, there 2.
    assert found["f1_right"] == pytest.approx(0.5) and found["f1_wrong"] == pytest.approx(0.5)
    assert found["macro_f1"] == pytest.approx(0.5)
    assert (found["n_steps"], found["skipped"], found["neutral_dropped"], found["unlabelled"]) == (4, 1, 1, 1)
    # As missed: + has 3 there, 1 hit, 2 said: 2/5; - is as before.
    assert found["macro_f1_all"] == pytest.approx((2 / 5 + 1 / 2) / 2)
    assert found["confusion"] == {"+": {"+": 1, "-": 1, "?": 1}, "-": {"+": 1, "-": 1, "?": 0}}
    assert found["brier"] == pytest.approx((0.1**2 + 0.6**2 + 0.2**2 + 0.7**2) / 4)
    assert found["kappa"] == pytest.approx(0.0)
    assert found["share_right"] == pytest.approx(3 / 5)


def test_a_step_without_score_is_not_a_score_of_zero() -> None:
    rows = [row("q1", 0, "++--", [0.9, None, 0.1, None])]
    table = Table.of_rows(rows)
    found = step_figures(table, scores_of(rows), Fit(0.5), resamples=10)
    assert found["macro_f1"] == 1.0 and found["skipped"] == 2 and found["brier"] == pytest.approx(0.01)
    zeros = step_figures(table, [[0.9, 0.0, 0.1, 0.0]], Fit(0.5), resamples=10)
    assert zeros["macro_f1"] < 1.0


def test_nothing_labelled_or_scored_is_none() -> None:
    for labels, scores in (("??", [0.1, 0.9]), ("+-", [None, None]), ("00", [0.2, 0.3])):
        rows = [row("q1", 0, labels, scores)]
        found = step_figures(Table.of_rows(rows), scores_of(rows), Fit(), resamples=10)
        for name in ("macro_f1", "ece", "brier", "pearson", "auc", "kappa", "interval", "ece_interval"):
            assert found[name] is None, name
        assert found["n_steps"] == 0


def test_pooled_and_mean_of_sources_differ() -> None:
    good = [row(f"g{i}", 0, "+-", [0.9, 0.1], source="large") for i in range(9)]
    bad = [row("b", 0, "+-", [0.1, 0.9], source="small"), row("c", 0, "+", [0.9], source="one_class")]
    rows = [*good, *bad]
    found = step_figures(Table.of_rows(rows), scores_of(rows), Fit(), resamples=50)
    assert found["per_source"]["sources"] == {"large": 1.0, "small": 0.0, "one_class": None}
    assert found["per_source"]["mean"] == 0.5
    assert found["per_source"]["one_class_alone"] == ["one_class"]
    assert found["macro_f1"] == pytest.approx((2 * 10 / 22 + 2 * 9 / 20) / 2, abs=0.05) and found["macro_f1"] > 0.85


def test_order_of_rows_does_not_matter() -> None:
    rows = noisy_rows(30)
    mixed = random.Random(1).sample(rows, len(rows))
    one, other = (step_figures(Table.of_rows(r), scores_of(r), Fit(), resamples=10) for r in (rows, mixed))
    for name in ("macro_f1", "ece", "adaptive_ece", "brier", "pearson", "auc", "kappa"):
        assert one[name] == pytest.approx(other[name]), name
        assert -1 <= one[name] <= 1


@pytest.mark.parametrize(
    ("scores", "right", "value"),
    [([0.9, 0.1], [1, 0], 1.0), ([0.1, 0.9], [1, 0], 0.0), ([0.5, 0.5], [1, 0], 0.5), ([0.5], [1], None)],
)
def test_auc(scores: list[float], right: list[float], value: float | None) -> None:
    assert auc(scores, right) == value


def test_slices_by_modality_and_position() -> None:
    rows = [row("q1", 0, "+-", [0.9, 0.1]), row("q2", 0, "+-", [0.1, 0.1], modality="chest_xray", difficulty="easy")]
    found = slices(Table.of_rows(rows), scores_of(rows), Fit(), resamples=20)
    assert {one["value"]: one["macro_f1"] for one in found["modality"]} == {
        "ct_scan": 1.0, "chest_xray": pytest.approx((0 + 2 / 3) / 2),
    }  # fmt: skip
    assert [one["value"] for one in found["position"]] == ["1", "2"]
    assert found["position"][0]["share_right"] == 1.0
    assert {one["value"] for one in found["difficulty"]} == {"unknown", "easy"}


def test_first_error_of_rows() -> None:
    rows = [row("q1", 0, "+-?", [0.9, 0.2, 0.9]), row("q2", 0, "++", [0.9, 0.8]), row("q3", 0, "?-", [0.1, 0.1])]
    found = error_place(Table.of_rows(rows), scores_of(rows), Fit(), resamples=20)
    assert found["f1"] == 1.0 and found["truth_unknown"] == 1
    assert (found["n_with_error"], found["n_without_error"]) == (1, 1)


def test_prmbench_categories() -> None:
    def told(kind: str) -> str:
        return json.dumps({"prmbench": {"classification": kind}})

    rows = [
        row("a", 0, "+-", [0.9, 0.1], source="prmbench", extra=told("circular")),
        row("b", 0, "+-", [0.9, 0.9], source="prmbench", extra=told("redundency")),
        row("c", 0, "++", [0.9, 0.1], source="prmbench", extra=told("multi_solutions")),
    ]
    found = prmbench(Table.of_rows(rows), scores_of(rows), Fit(), resamples=20)
    assert found is not None
    assert found["categories"]["circular"]["score"] == 1.0
    assert found["categories"]["redundency"]["score"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["categories"]["multi_solutions"]["score"] == 0.5  # no wrong step: share of right ones found
    assert found["subjects"]["simplicity"] == pytest.approx((1 + 1 / 3) / 2)
    # pooled: pp 3, pm 1, mp 1, mm 1
    assert found["overall"]["score"] == pytest.approx((2 * 3 / (2 * 3 + 2) + 2 / (2 + 2)) / 2)
    assert prmbench(Table.of_rows([row("x")]), [[0.1, 0.2]], Fit()) is None


def test_worst_cases_are_the_farthest_and_one_a_question() -> None:
    rows = [
        row("q1", 0, "+-", [0.9, 0.95]), row("q1", 1, "+-", [0.9, 0.99]),
        row("q2", 0, "+-", [0.2, 0.1]), row("q3", 0, "+-", [0.8, None]),
    ]  # fmt: skip
    found = worst_cases(Table.of_rows(rows), scores_of(rows), 0.5)
    assert [(one["solution_id"], one["worst_step"]) for one in found] == [("q1/1", 1), ("q2/0", 0)]


# --- threshold -----------------------------------------------------------------------------------------------


def test_fit_finds_the_gap_and_says_when_it_cannot() -> None:
    rows = [row(f"q{i}", 0, "+-", [0.4, 0.2]) for i in range(40)]
    fit = fit_on(Table.of_rows(rows), scores_of(rows))
    assert fit.fitted and 0.2 < fit.threshold < 0.4 and fit.steps == 80
    few = fit_on(Table.of_rows(rows[:5]), scores_of(rows[:5]), Fit(0.3))
    assert not few.fitted and few.threshold == 0.3 and "50 are needed" in few.note
    right = [row(f"q{i}", 0, "++", [0.4, 0.2]) for i in range(40)]
    assert "all development steps are +" in fit_on(Table.of_rows(right), scores_of(right)).note


def test_split_keeps_questions_images_and_patients_whole() -> None:
    rows = [
        row(f"q{i}", s, image_sha256=f"image{i // 2}", group=f"patient{i // 4}" if i < 8 else None)
        for i in range(40)
        for s in range(2)
    ]
    development, test = split(rows, 0.25)
    assert sorted(development + test) == list(range(80))
    assert 16 <= len(development) <= 32
    for key in ("question_id", "image_sha256", "group"):
        sides = [{rows[i][key] for i in side} - {None} for side in (development, test)]
        assert not sides[0] & sides[1]
    order = list(range(80))
    random.Random(0).shuffle(order)
    again, _ = split([rows[i] for i in order], 0.25)
    assert {rows[i]["solution_id"] for i in development} == {rows[order[i]]["solution_id"] for i in again}


def test_text_questions_of_one_wording_hang_together() -> None:
    def asked(name: str, text: str, **columns: str) -> dict[str, object]:
        return {**row(name, **columns), "question": text}

    assert len(set(parts([asked("a", "Same?"), asked("b", "SAME?"), asked("c", "Other?")]))) == 2
    shown = [asked("a", "Same?", image_sha256="1"), asked("b", "Same?", image_sha256="2")]
    assert len(set(parts(shown))) == 2
    with pytest.raises(DataError, match="hang together"):
        split([row("a"), row("a", 1)], 0.5)


# --- rows ----------------------------------------------------------------------------------------------------


def test_truth_comes_from_the_column_that_was_asked_for() -> None:
    one = row("q", 0, "+-", review_labels=["?", "+"], judge_labels=["-", "-"], expected_accuracy=[0.5, None])
    assert [Table.of_rows([one], truth).truth[0] for truth in ("final", "review", "judge", "rollouts")] == [
        ["+", "+"], ["?", "+"], ["-", "-"], ["+", "?"],
    ]  # fmt: skip
    bare = {**one, "labels": None, "review_labels": None}
    assert Table.of_rows([bare]).truth == [["?", "?"]]  # not the judge's in silence
    with pytest.raises(ConfigError):
        Table.of_rows([one], "gold")  # type: ignore[arg-type]


def test_scores_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(DataError, match="1 of 2 rows have no step_scores"):
        scores_of([row("a", scores=[0.1, 0.2]), row("b")])
    assert scores_of([row("a", scores=[0.1, 0.2]), row("b")], force=True) == [[0.1, 0.2], [None, None]]
    with pytest.raises(DataError, match="no row has"):
        scores_of([row("a")])
    with pytest.raises(DataError, match="2 steps and 1 scores"):
        scores_of([row("a", scores=[0.1])])
    with pytest.raises(DataError, match="probabilities"):
        scores_of([row("a", scores=[1.5, 0.1])])
    assert scores_of([row("a", scores=[float("nan"), None])]) == [[None, None]]
    x, _, _ = known_steps(Table.of_rows([row("a")]), [[None, 0.25]])
    assert x == [0.25]
