"""Measures of agreement against published examples, the gate's plan, and which instruction is to be revised."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from medprm_hf.errors import ConfigError, ReviewError
from medprm_hf.labels.acceptance import acceptance_number, check, smallest_sample
from medprm_hf.labels.judge_revision import Checked, revise
from medprm_hf.labels.rater_agreement import alpha, fleiss, pairs
from medprm_hf.review.agreement import agreement
from medprm_hf.review.decisions import Judged
from medprm_hf.review.gate import gate, reject
from medprm_hf.review.opinions import ratings
from medprm_hf.review.settings import StoreSettings
from medprm_hf.review.store import ReviewStore
from medprm_hf.review.study import choose, study_store
from tests.review.rows import row, rows, store

# Krippendorff, "Computing Krippendorff's alpha-reliability", 2011: four observers, missing data; nominal alpha 0.743.
NOMINAL = {
    "A": "1 2 3 3 2 1 4 1 2 . . .", "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .", "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}  # fmt: skip
# Fleiss 1971 in the form of the usual worked example: 10 subjects, 14 raters, 5 categories; kappa 0.210.
TABLE = (
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
)  # fmt: skip


def test_alpha_of_the_published_example() -> None:
    columns = zip(*(line.split() for line in NOMINAL.values()), strict=True)
    units = [{who: said for who, said in zip(NOMINAL, unit, strict=True) if said != "."} for unit in columns]
    found = alpha(units, labels="12345")
    assert found.value == pytest.approx(0.743, abs=5e-4) and found.n == 11


def test_fleiss_of_the_published_example() -> None:
    units = []
    for counts in TABLE:
        said = [str(label + 1) for label, count in enumerate(counts) for _ in range(count)]
        units.append({str(rater): label for rater, label in enumerate(said)})
    assert fleiss(units, labels="12345").value == pytest.approx(0.210, abs=5e-4)


@pytest.mark.parametrize(
    "units", [[], [{"ann": "+"}], [{"ann": "+", "bob": "?"}], [{"ann": "+", "bob": "+"}] * 5], ids=str
)
def test_what_cannot_be_measured_is_none(units: list[dict[str, str]]) -> None:
    assert alpha(units).value is None and fleiss(units).value is None
    assert alpha(units).low is None


def test_chance_is_zero_and_the_interval_covers_it() -> None:
    rng = random.Random(0)
    units = [{who: rng.choice("+-") for who in ("ann", "bob", "cid")} for _ in range(600)]
    for found in (alpha(units), fleiss(units)):
        assert found.value == pytest.approx(0, abs=0.06) and found.low < 0 < found.high  # type: ignore[operator]
    assert [pair.n for pair in pairs(units)] == [600, 600, 600]


def test_intervals_resample_whole_questions() -> None:
    """Steps that say the same thing ten times are one observation: the interval must not shrink."""
    rng = random.Random(1)
    single = [{"ann": rng.choice("+-"), "bob": rng.choice("+-")} for _ in range(60)]
    repeated = [unit for unit in single for _ in range(10)]
    groups = [number for number in range(60) for _ in range(10)]
    wide, narrow = alpha(repeated, groups), alpha(repeated)
    assert wide.high - wide.low > 2.5 * (narrow.high - narrow.low)  # type: ignore[operator]


def test_acceptance_numbers() -> None:
    # ln(0.05) / ln(0.95) = 58.4; binomial tables: P(X <= 1 | 100, 0.05) = 0.037, P(X <= 2) = 0.118
    assert smallest_sample(0.05, 0.05) == 59
    assert [acceptance_number(n, 0.05, 0.05) for n in (58, 59, 100, 200)] == [None, 0, 1, 4]
    assert check(100, 1, 0.05, 0.05).verdict == "accepted" and check(30, 2, 0.05, 0.05, 100).verdict == "rejected"
    assert check(30, 1, 0.05, 0.05, 100).verdict == "open" and check(0, 0, 0.05, 0.05, 100).share is None
    assert check(59, 0, 0.05, 0.05).upper == pytest.approx(0.05, abs=1e-3)
    with pytest.raises(ConfigError, match="59 steps or more"):
        check(20, 0, 0.05, 0.05)


def test_a_bad_batch_is_let_through_as_rarely_as_the_plan_says() -> None:
    rng = random.Random(3)
    passed = sum(
        check(100, sum(rng.random() < 0.05 for _ in range(100)), 0.05, 0.05).verdict == "accepted" for _ in range(2000)
    )
    assert passed / 2000 < 0.06


def checked(n: int, misread: float, seed: int = 0) -> list[Checked]:
    """A judge that misses `misread` of the errors in reading the image and 5 % of the others."""
    rng = random.Random(seed)
    found = []
    for number in range(n):
        wrong = rng.random() < 0.5
        kind = rng.choice(["image_misreading", "factual_error"]) if wrong else None
        missed = wrong and rng.random() < (misread if kind == "image_misreading" else 0.05)
        found.append(
            Checked("+" if not wrong or missed else "-", "-" if wrong else "+", f"q{number // 4}", "ct_scan",
                    rng.choice(["high", "low"]), kind, None, (f"i{number}", 0))
        )  # fmt: skip
    return found


def test_the_instruction_that_costs_most_is_proposed() -> None:
    found = revise(checked(600, 0.7))
    assert found.below and found.proposals[0].value == "image_misreading" and found.proposals[0].by == "error"
    first = found.proposals[0]
    assert first.misses == first.n * first.differs and first.false_alarms == 0 and "image_misreading" in first.text
    assert first.examples and first.p < 1e-6


def test_a_judge_that_agrees_is_left_alone() -> None:
    assert not revise(checked(600, 0.05)).below
    even = revise(checked(600, 0.05), target=0.99)
    assert even.below and even.proposals == []  # it is below, but nothing stands out
    nothing = revise([])
    assert nothing.kappa.kappa is None and not nothing.below


def labelled(found: ReviewStore, wrong_every: int, who: str = "ann", blind: bool = True) -> None:
    """Answers everything as the machine says, but says otherwise on each `wrong_every`th step."""
    number = 0
    while item := found.next(who, blind=blind):
        for step, shown in enumerate(item["steps"]):
            if shown["asked"]:
                number += 1
                label = "+" if number % wrong_every == 0 else "-"
                found.save(f"{who}-{item['item_id']}-{step}", who, item["item_id"], 1, step, Judged(label), blind=blind)


@pytest.mark.parametrize(("wrong_every", "verdict"), [(1000, "accepted"), (8, "rejected")])
def test_the_gate_reads_the_sample(tmp_path: Path, wrong_every: int, verdict: str) -> None:
    found = ReviewStore(tmp_path / "s.sqlite", StoreSettings(sample=0.5))
    found.add(rows(120, needs_review=[False] * 3), batch="run-7")
    assert gate(found, batch="run-7")["verdict"] == "open"
    labelled(found, wrong_every)
    told = gate(found, 100, 0.05, batch="run-7", blind=True)
    assert told["verdict"] == verdict and told["labels"]["n"] == 100
    assert gate(found, batch="another")["labels"]["n"] == 0
    with pytest.raises(ReviewError, match="59 steps or more"):
        gate(found, 20)


def test_a_rejected_batch_goes_back_whole_and_keeps_its_history(tmp_path: Path) -> None:
    found = ReviewStore(tmp_path / "s.sqlite", StoreSettings(sample=0.0))
    found.add(rows(2, needs_review=[True, False, False]), batch="one")
    found.add([row(7, needs_review=[True, False, False])], batch="two")
    labelled(found, 2)
    assert found.next("ann") is None and len(ratings(found)) == 3
    with pytest.raises(ReviewError, match="no batch"):
        reject(found, "reject-0", "lead", "three", "why")
    with pytest.raises(ReviewError, match="reason"):
        reject(found, "reject-0", "lead", "one", " ")
    assert reject(found, "reject-1", "lead", "one", "laterality") == 2
    assert len(ratings(found)) == 1 and len(list(found.decisions())) == 3
    back = found.next("ann")
    assert back and [step["asked"] for step in back["steps"]] == [True] * 3
    assert all(step["mine"] is None for step in back["steps"])
    found.add(rows(2, needs_review=[False] * 3), batch="one")  # the run is read again: it stays asked whole
    assert found.database.read().execute("SELECT sum(asked_n) FROM items WHERE batch = 'one'").fetchone()[0] == 6


def test_a_rater_study(tmp_path: Path) -> None:
    table = rows(12, 4, image=None)
    chosen = choose(table, questions=3, traces=2)
    assert len(chosen) == 12 and {r["difficulty"] for r in chosen} == {"easy", "hard"}
    assert all(
        len({r["is_correct"] for r in chosen if r["question_id"] == q}) == 2 for q in {r["question_id"] for r in chosen}
    )
    assert choose(table, 3, 2) == chosen
    with pytest.raises(ConfigError, match="6 easy questions"):
        choose(table, 7, 2)
    found = study_store(tmp_path / "study.sqlite", chosen, raters=2)
    item = found.next("ann")
    assert item and item["blind"] and item["answer_shown"] is None and all(step["asked"] for step in item["steps"])
    found.release("ann", item["item_id"])
    for who, every in (("ann", 3), ("bob", 4)):
        labelled(found, every, who)
    told = agreement(found, "difficulty", blind=True)
    assert told["krippendorff"]["n"] == 36 and set(told["by"]) == {"easy", "hard"}


def test_only_what_was_said_blindly_counts_in_a_blind_store(tmp_path: Path) -> None:
    found = store(tmp_path, 1, blind=True, reviewers_per_item=2)
    for number, (who, label) in enumerate([("ann", "+"), ("ann", "-"), ("bob", "-")]):
        found.save(f"key-{number:05d}", who, "q0-s0", 1, 0, Judged(label))
    [blind], [open_] = ratings(found, blind=True), ratings(found)
    assert blind.labels == {"ann": "+", "bob": "-"} and open_.labels == {"ann": "-", "bob": "-"}
    found.undo("undo-00001", "bob", "q0-s0", 0)
    assert ratings(found, blind=True)[0].labels == {"ann": "+"}
