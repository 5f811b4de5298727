"""The label model on a world with known truth: it finds who can be trusted, says so, and survives poor input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.labels.agreement import macro_f1
from medprm_hf.labels.label_learning import FOLDS, Learnt, fold_of, label, learn
from medprm_hf.labels.label_model import LabelModel, fit
from medprm_hf.labels.label_signals import Solved, Verdicts, listen
from medprm_hf.labels.merge import METHODS, merge

Truth = list[list[str]]


def world(n: int = 400, seed: int = 0, error: float = 0.15, blind: bool = False, alike: bool = False,
          groups: tuple[str, ...] = ("ct",)) -> tuple[list[Solved], Truth]:  # fmt: skip
    """Two solutions of each question, four steps; an error leads astray, but for those of step 1. The judge errs as
    stated (three times as often where it is unsure; in modality `mr` it guesses)."""
    rng = np.random.default_rng(seed)
    solutions, truths = [], []
    for question in range(n):
        words = [f"{question}-{rng.integers(2)}" for _ in range(4)]
        memory: dict[str, tuple[bool, str, str, str]] = {}
        for number in range(2):
            astray, truth, steps, said, sure, counts, before = False, [], [], [], [], [], ""
            for place in range(4):
                before += f"/{words[place]}" if number and place < 2 else f"/{words[place]}-{number}-{place > 1}"
                group = groups[question % len(groups)]
                wrong = bool(rng.random() < (0.8 if astray and place > 1 else 0.2))
                unsure = bool(rng.random() < 0.3)
                rate = 0.5 if group == "mr" else min(0.5, error * (2 if unsure else 4 / 7))
                flip = bool(rng.random() < rate)
                verdict = "-" if wrong != flip else "+"
                if blind and place == 1:
                    verdict = "+"
                if alike and before in memory:
                    wrong, _, verdict, _ = memory[before]
                memory[before] = (wrong, "", verdict, "")
                astray = astray or (wrong and place != 1)
                truth.append("-" if wrong else "+")
                steps.append(before)
                said.append(verdict)
                sure.append("low" if unsure else "high")
                counts.append(int(rng.binomial(8, 0.08 if astray else 0.85)))
            judge = Verdicts(said, sure, [None] * 4, [None] * 4)
            solutions.append(Solved(f"q{question}", steps, (judge,), counts, [8] * 4, None, None, 0.25,
                                    groups[question % len(groups)]))  # fmt: skip
            truths.append(truth)
    return solutions, truths


def with_experts(solutions: list[Solved], truths: Truth, count: int = 100) -> list[Solved]:
    return [
        replace(solved, experts=[[step] for step in truth]) if i < count else solved
        for i, (solved, truth) in enumerate(zip(solutions, truths, strict=True))
    ]


def f1(labels: Truth, truths: Truth) -> float:
    return macro_f1(labels, truths).macro_f1 or 0.0


@pytest.fixture(scope="module")
def plain() -> tuple[list[Solved], Truth]:
    return world()


def test_fusion_beats_each_signal_without_experts_and_more_with(plain: tuple[list[Solved], Truth]) -> None:
    solutions, truths = plain
    judge = f1([list(s.judges[0].labels) for s in solutions], truths)
    rollouts = f1([["+" if c > 3 else "-" for c in s.correct or ()] for s in solutions], truths)
    alone = f1([m.labels for m in label(solutions, learn(solutions))], truths)
    taught = with_experts(solutions, truths)
    merged = label(taught, learn(taught))
    assert alone > max(judge, rollouts) + 0.01
    assert f1([m.labels for m in merged[100:]], truths[100:]) > alone - 0.01
    right = np.array([step == "+" for truth in truths[100:] for step in truth])
    p = np.array([p for m in merged[100:] for p in m.label_p])
    bins = np.minimum((p * 10).astype(int), 9)
    gaps = [abs(p[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in set(bins.tolist())]
    assert sum(gaps) < 0.05
    assert all(m.split(":")[1] in METHODS["label_model"] for each in merged for m in each.label_method)


def test_never_worse_than_consensus_without_experts(plain: tuple[list[Solved], Truth]) -> None:
    solutions, truths = plain
    agreed = [
        merge("consensus", judge_labels=s.judges[0].labels, rollout_correct=s.correct, rollout_total=s.total).labels
        for s in solutions
    ]
    ours = [m.labels for m in label(solutions, learn(solutions))]
    kept = [[o if a != "?" else "?" for o, a in zip(x, y, strict=True)] for x, y in zip(ours, agreed, strict=True)]
    assert f1(kept, truths) >= f1(agreed, truths) - 0.005
    assert (macro_f1(ours, truths).macro_f1_all or 0) > (macro_f1(agreed, truths).macro_f1_all or 0)


def test_experts_reveal_a_blind_spot() -> None:
    solutions, truths = world(blind=True)
    taught = with_experts(solutions, truths, 150)
    unseen = [m.label_p[1] for m in label(solutions, learn(solutions))]
    seen = [m.label_p[1] for m in label(taught, learn(taught))[150:]]
    wrong = np.mean([truth[1] == "-" for truth in truths])
    assert abs(np.mean([1 - (p or 0) for p in seen]) - wrong) < 0.08
    assert np.mean([1 - (p or 0) for p in unseen]) < wrong


def test_confidence_and_modality_are_learnt() -> None:
    solutions, truths = world(n=800, groups=("ct", "mr"))
    model = fit(listen(with_experts(solutions, truths, 400)))
    signals = listen(solutions)
    judge = signals.channels[0]
    minus_high, minus_low = (judge.categories.index(name) for name in ("-high", "-low"))
    ct, mr = (model.channels["judge"][model.groups.index(name) + 1][2] for name in ("ct", "mr"))
    assert ct[1, minus_high] / ct[0, minus_high] > 2 * ct[1, minus_low] / ct[0, minus_low]
    assert ct[1, minus_high] / ct[0, minus_high] > 2 * mr[1, minus_high] / mr[0, minus_high]


def test_a_judge_that_repeats_itself_counts_once() -> None:
    independent = fit(listen(world(alike=False)[0]))
    repeating = [replace(s, question=f"r{i // 2}", steps=["same", "words", f"x{i}", f"y{i}"]) for i, s in
                 enumerate(x for s in world(200)[0] for x in (s, s))]  # fmt: skip
    assert fit(listen(repeating)).alike["judge"] > 0.7
    assert independent.alike["judge"] <= 0.7


def test_unseen_modality_and_unknown_kinds_of_error_use_what_all_share(plain: tuple[list[Solved], Truth]) -> None:
    solutions, _ = plain
    model = fit(listen(solutions))
    named = Verdicts(["-"] * 4, ["high"] * 4, None, ["never seen"] * 4)
    other = replace(solutions[0], group="new", judges=(named,))
    known = replace(solutions[0], judges=(replace(named, errors=None),))
    assert model.p_right(listen([other])) == pytest.approx(model.p_right(listen([known])))


POOR: list[tuple[str, dict[str, object], str]] = [
    ("rollouts only", {"judges": ()}, "1 signal"),
    ("judge only", {"correct": None, "total": None}, "1 signal"),
    ("judge says + of everything", {"judges": (Verdicts(["+"] * 4, ["high"] * 4),)}, "the same of every step"),
    ("all right everywhere", {"judges": (Verdicts(["+"] * 4),), "correct": [8] * 4}, "the same of every step"),
]


@pytest.mark.parametrize(("name", "change", "note"), POOR, ids=[row[0] for row in POOR])
def test_poor_signals_give_sensible_labels_and_are_said(name: str, change: dict[str, object], note: str) -> None:
    solutions = [replace(s, **change) for s in world(60)[0]]  # type: ignore[arg-type]
    learnt = learn(solutions)
    assert any(note in said for said in learnt.whole.model.notes), learnt.whole.model.notes
    for merged in label(solutions, learnt):
        assert all(p is not None and 0 < p < 1 for p in merged.label_p)
    if name == "all right everywhere":
        assert all(m.labels == ["+"] * 4 for m in label(solutions, learnt))
    if name == "judge only":
        merged_labels = [m.labels for m in label(solutions, learnt)]
        assert f1(merged_labels, [list(s.judges[0].labels) for s in solutions]) > 0.9


def test_zero_disagreement() -> None:
    solutions = [
        replace(s, judges=(Verdicts(t, ["high"] * 4),), correct=[8 if x == "+" else 0 for x in t])
        for s, t in zip(*world(80), strict=True)
    ]
    for solved, merged in zip(solutions, label(solutions, learn(solutions)), strict=True):
        assert merged.labels == list(solved.judges[0].labels)


def test_experts_who_contradict_each_other_are_said_and_cancel_out() -> None:
    solutions, _ = world(40)
    torn = [replace(s, experts=[["+", "-"]] * 4) for s in solutions]
    learnt = learn(torn)
    assert any("contradict" in note for note in learnt.whole.model.notes)
    assert label(torn, learnt)[0].label_p == pytest.approx(label(solutions, learn(solutions))[0].label_p, abs=0.02)


def test_nothing_known_stays_unknown() -> None:
    blank = Solved("q", ["a", "b"])
    merged = label([blank], learn([blank, *world(20)[0]]))[0]
    assert (merged.labels, merged.label_p, merged.needs_review) == (["?", "?"], [None, None], [True, True])
    assert learn([]).whole.model.notes and label([], learn([])) == []


def test_experts_are_not_measured_on_what_was_fitted(plain: tuple[list[Solved], Truth]) -> None:
    solutions, truths = plain
    taught = with_experts(solutions, truths)
    learnt = learn(taught)
    assert len(learnt.folds) == FOLDS
    lying = [replace(s, experts=[["+"] * 1] * 4) if fold_of(s.question) == 0 and s.experts else s for s in taught]
    own = next(i for i, s in enumerate(taught) if fold_of(s.question) == 0 and s.experts)
    assert label(taught, learnt)[own] == label(lying, learn(lying))[own]


def test_kept_as_text_it_labels_alike(plain: tuple[list[Solved], Truth]) -> None:
    taught = with_experts(*plain)
    learnt = learn(taught)
    again = Learnt.from_json(learnt.to_json())
    assert label(taught, again) == label(taught, learnt)
    assert again.to_json() == learnt.to_json()
    assert isinstance(again.whole.model, LabelModel)


def test_one_solution_alone_cannot_be_learnt_from_and_lists_must_line_up() -> None:
    with pytest.raises(ConfigError, match="many solutions"):
        merge("label_model", judge_labels=["+"])
    with pytest.raises(DataError, match="line up"):
        listen([Solved("q", ["a", "b"], correct=[1], total=[1])])
    with pytest.raises(DataError, match="0 to total"):
        listen([Solved("q", ["a"], correct=[2], total=[1])])
