"""Merge policies of M7: a table of what judge and rollouts say, and what each policy makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.labels.merge import METHODS, POLICIES, Merged, MergeSettings, merge

NO = None
ALONE = sorted(name for name, policy in POLICIES.items() if policy.decide)  # label_model learns from many
# policy, judge label, confidence, P(+), correct, total -> label, label_p, reason, needs_review; first steps
ONE_STEP: list[tuple[str, str, str | None, float | None, int, int, str, float | None, str, bool]] = [
    ("consensus", "+", "low", NO, 8, 8, "+", 0.95, "agree+", False),
    ("consensus", "+", "low", NO, 6, 8, "+", 0.75, "agree+", False),
    ("consensus", "-", "low", NO, 0, 8, "-", 0.05, "agree-", False),
    ("consensus", "-", "low", NO, 2, 8, "-", 0.25, "agree-", False),
    ("consensus", "+", "high", NO, 7, 10, "?", 0.5, "unclear", True),  # 0.7 is not above 0.7
    ("consensus", "-", "high", NO, 3, 10, "?", 0.5, "unclear", True),
    ("consensus", "+", "high", NO, 1, 8, "?", 0.5, "disagree", True),
    ("consensus", "-", "high", NO, 8, 8, "?", 0.5, "disagree", True),
    ("consensus", "0", "high", NO, 8, 8, "?", 0.5, "neutral", True),
    ("consensus", "?", NO, NO, 8, 8, "?", 0.5, "unjudged", True),
    ("consensus", "+", "high", NO, 0, 0, "?", 0.5, "unsampled", True),
    ("consensus", "?", NO, NO, 0, 0, "?", NO, "unknown", True),
    ("judge_first", "+", "high", NO, 0, 8, "+", NO, "judge", False),  # a sure judge is not overruled
    ("judge_first", "-", "high", 0.1, 8, 8, "-", 0.1, "judge", False),
    ("judge_first", "0", "high", NO, 8, 8, "0", NO, "judge", False),
    ("judge_first", "+", "medium", NO, 1, 4, "-", 0.25, "rollouts", False),
    ("judge_first", "-", "low", NO, 3, 4, "+", 0.75, "rollouts", False),
    ("judge_first", "+", NO, NO, 2, 4, "-", 0.5, "rollouts", False),  # 0.5 is not above 0.5
    ("judge_first", "?", "high", NO, 4, 4, "+", 1.0, "rollouts", False),
    ("judge_first", "+", "medium", 0.6, 0, 0, "+", 0.6, "unsure", True),
    ("judge_first", "?", NO, NO, 0, 0, "?", NO, "unknown", True),
    ("value", "-", "high", NO, 1, 16, "+", 0.0625, "above", False),
    ("value", "+", "high", NO, 0, 16, "-", 0.0, "below", False),
    ("value", "+", "high", NO, 0, 0, "?", NO, "unsampled", True),
    ("advantage", "-", "high", NO, 1, 16, "+", NO, "above", False),
    ("advantage", "+", "high", NO, 0, 16, "-", NO, "below", False),
    ("advantage", "+", "high", NO, 0, 0, "?", NO, "unsampled", True),
    ("judge", "+", "high", 0.9, 0, 8, "+", 0.9, "judge", False),
    ("judge", "-", "low", NO, 8, 8, "-", NO, "judge", True),
    ("judge", "0", "medium", NO, 8, 8, "0", NO, "judge", False),
    ("judge", "?", NO, NO, 8, 8, "?", NO, "unjudged", True),
    ("medprm", "-", "high", 0.2, 8, 8, "-", 0.2, "judge", False),
    ("medprm", "?", NO, NO, 8, 8, "?", NO, "unjudged", True),
]


def solution(policy: str, judge: str, mc: list[tuple[int, int]] | None = None, **more: Any) -> Merged:
    """Merges one solution; judge labels as a string, confidence high unless given."""
    n = len(judge)
    counts = mc or [(0, 0)] * n
    return merge(
        policy,
        judge_labels=list(judge),
        judge_confidence=more.pop("confidence", ["high"] * n),
        judge_p_plus=more.pop("p_plus", [None] * n),
        rollout_correct=[correct for correct, _ in counts],
        rollout_total=[total for _, total in counts],
        **more,
    )


@pytest.mark.parametrize("row", ONE_STEP, ids=lambda row: f"{row[0]}:{row[8]}:{row[1]}{row[2]}{row[4]}of{row[5]}")
def test_one_step(row: tuple[Any, ...]) -> None:
    policy, judge, confidence, p_plus, correct, total, label, p, reason, review = row
    merged = solution(policy, judge, [(correct, total)], confidence=[confidence], p_plus=[p_plus])
    assert (merged.labels, merged.label_method, merged.needs_review) == ([label], [f"{policy}:{reason}"], [review])
    assert merged.label_p == [p if p is None else pytest.approx(p)]


@pytest.mark.parametrize("policy", ALONE)
def test_every_reason_of_the_table_is_in_the_list_and_back(policy: str) -> None:
    seen = {row[8] for row in ONE_STEP if row[0] == policy}
    rises = {"rise", "level", "uncertain", "fall"}
    several = {"advantage": rises, "value": {"inferred"}, "medprm": {"after_first_wrong"}}
    later = several.get(policy, set())
    assert seen | later == set(METHODS[policy])


def test_advantage_compares_with_the_step_before() -> None:
    merged = solution("advantage", "??????", [(4, 8), (6, 8), (3, 4), (1, 8), (0, 0), (8, 8)])
    assert "".join(merged.labels) == "++0-??"
    assert [method.split(":")[1] for method in merged.label_method] == [
        "above", "rise", "level", "fall", "unsampled", "unsampled",
    ]  # fmt: skip


def test_medprm_is_wrong_after_the_first_wrong() -> None:
    merged = solution("medprm", "+?0-+?0", p_plus=[0.9, None, None, 0.3, 0.8, None, 0.1])
    assert "".join(merged.labels) == "+?0----"
    assert merged.label_p == [0.9, None, None, 0.3, 0.3, 0.3, 0.1]
    assert merged.needs_review == [False, True, False, False, False, False, False]


@given(st.text("+-0?", min_size=1, max_size=8), st.data())
def test_judge_first_does_not_depend_on_rollouts_of_sure_steps(judge: str, data: st.DataObject) -> None:
    sure = [label != "?" for label in judge]
    some = [(0, 0) if s else data.draw(st.sampled_from([(0, 4), (4, 4), (0, 0)])) for s in sure]
    every = [data.draw(st.sampled_from([(0, 4), (4, 4)])) if s else count for s, count in zip(sure, some, strict=True)]
    assert solution("judge_first", judge, some) == solution("judge_first", judge, every)


_COUNT = st.integers(0, 16).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(
    st.sampled_from(ALONE),
    st.lists(st.tuples(st.sampled_from("+-0?"), st.sampled_from(["high", "low", None]), _COUNT), max_size=9),
)
def test_shapes_and_states(policy: str, steps: list[tuple[str, str | None, tuple[int, int]]]) -> None:
    judge, confidence, counts = ([step[k] for step in steps] for k in range(3))
    if not steps:
        assert merge(policy, judge_labels=[], rollout_correct=[], rollout_total=[]) == Merged([], [], [], [])
        return
    merged = solution(policy, "".join(judge), counts, confidence=confidence)  # type: ignore[arg-type]
    assert len(merged.labels) == len(merged.label_p) == len(merged.needs_review) == len(steps)
    for label, p, method, review in zip(*vars(merged).values(), strict=True):
        assert label in "+-0?" and (label != "?" or review)
        assert p is None or 0 <= p <= 1
        assert method.split(":")[1] in METHODS[policy]


def test_settings_move_the_thresholds() -> None:
    counts = [(5, 8)]
    assert solution("consensus", "+", counts).labels == ["?"]
    assert solution("consensus", "+", counts, settings=MergeSettings(high=0.6)).labels == ["+"]
    assert solution("consensus", "+", [(8, 8)], settings=MergeSettings(cap=0.9)).label_p == [0.9]
    assert solution("value", "?", counts, settings=MergeSettings(threshold=0.625)).labels == ["-"]
    assert solution("judge_first", "?", counts, settings=MergeSettings(majority=0.7)).labels == ["-"]


def test_one_signal_alone() -> None:
    judged = merge("judge", judge_labels=["+", "-"])
    assert judged.labels == ["+", "-"] and judged.label_p == [None, None]
    rolled = merge("value", rollout_correct=[1, 0], rollout_total=[4, 4])
    assert rolled.labels == ["+", "-"]
    assert merge("consensus", rollout_correct=[4], rollout_total=[4]).label_method == ["consensus:unjudged"]


def test_what_cannot_be_merged_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'consensos'; did you mean consensus"):
        merge("consensos", judge_labels=["+"])
    with pytest.raises(DataError, match=r"'judge_labels': 2, 'rollout_total': 1"):
        merge("consensus", judge_labels=["+", "-"], rollout_total=[4])
    with pytest.raises(DataError, match="neither judge nor rollout"):
        merge("judge")
    with pytest.raises(DataError, match="5 correct of 4"):
        merge("value", rollout_correct=[5], rollout_total=[4])
    with pytest.raises(ConfigError, match=r"merge.low=0.8 and merge.high=0.7"):
        MergeSettings(low=0.8)
    with pytest.raises(ConfigError, match=r"merge.cap=2"):
        MergeSettings(cap=2)


@pytest.mark.parametrize(
    ("correct", "total", "labels"),
    [
        ([0, 0, 0, 0, 8], [0, 8, 0, 0, 8], "?---+"),  # what follows the first - is wrong
        ([0, 0, 5, 0, 0], [0, 0, 8, 8, 0], "+++--"),
        ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0], "?????"),
    ],
)
def test_monotone_value_infers_what_was_not_sampled(correct: list[int], total: list[int], labels: str) -> None:
    found = merge("value", rollout_correct=correct, rollout_total=total, settings=MergeSettings(monotone=True))
    assert "".join(found.labels) == labels
    inferred = [i for i, (label, n) in enumerate(zip(labels, total, strict=True)) if label != "?" and not n]
    assert [i for i, method in enumerate(found.label_method) if method == "value:inferred"] == inferred
    assert all(found.label_p[i] is None for i in inferred)


def test_another_figure_in_the_place_of_mc() -> None:
    signals = {"judge_labels": ["+", "-", "+"], "rollout_correct": [1, 1, 0], "rollout_total": [2, 2, 0]}
    found = merge("consensus", **signals, figures=[0.9, -0.1, None])
    assert found.labels == ["+", "-", "?"]
    assert found.label_p == [0.9, pytest.approx(0.05), 0.5]
    assert merge("value", **signals, figures=[0.9, -0.1, None]).label_p == [0.9, 0.0, None]
