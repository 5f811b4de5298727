"""Figures of hand-written solutions, and the card written from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medprm_hf.phantom.card import write_card
from medprm_hf.phantom.figures import answer_of, base_figures, interval, majority, policy_figures
from medprm_hf.phantom.oracle import true_steps
from medprm_hf.phantom.steps import LETTERS, join
from medprm_hf.phantom.world import OPTIONS, Scene, question_ids, scene_of

SCENES = [scene_of(question_id) for question_id in question_ids("development", 4)]


def right(scene: Scene) -> str:
    return join(true_steps(scene))


def wrong(scene: Scene) -> str:
    letter = LETTERS[(OPTIONS.index(scene.answer) + 1) % 4]
    return join([*true_steps(scene)[:-1], f"Answer: {letter}."])


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("Nodules: one.\n\nAnswer: B.", "CT at 6-12 months"),
        ("Nodules: one.", None),
        ("Answer: E.", None),
        ("", None),
    ],
)
def test_answers_are_read_from_the_last_step(solution: str, answer: str | None) -> None:
    assert answer_of(solution) == answer


def test_a_majority_ignores_what_cannot_be_read() -> None:
    assert majority([None, None, "a", "b", "b"]) == "b"
    assert majority(["b", "a", "a", "b"]) == "b"
    assert majority([None, None]) is None


def test_policy_figures_by_hand() -> None:
    one, two, three, four = SCENES
    solutions = [
        [right(one)] * 4,
        [right(two), wrong(two), wrong(two), wrong(two)],
        [wrong(three)] * 4,
        [right(four), right(four), right(four), "no idea"],
    ]
    figures = policy_figures(SCENES, solutions)
    assert figures["pass@1"].value == pytest.approx((4 + 1 + 0 + 3) / 16)
    assert figures["pass@4"].value == 0.75
    assert figures["majority@4"].value == 0.5
    assert figures["unreadable"].value == figures["format"].value == pytest.approx(1 / 16)
    assert figures["first error answer"].value == pytest.approx(7 / 16)
    assert figures["all steps right"].value == pytest.approx(8 / 16)


def test_base_figures_by_hand() -> None:
    figures = base_figures(SCENES, [right(scene) for scene in SCENES[:3]] + [wrong(SCENES[3])])
    assert figures["greedy"].value == figures["step answer"].value == 0.75
    assert figures["step rule"].value == 1.0


def test_intervals_repeat_and_hold_the_mean() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0] * 20
    figure = interval(values)
    assert figure == interval(values)
    assert figure.low < figure.value == 0.6 < figure.high
    assert figure.n == 100


@pytest.mark.parametrize("name", ["base", "policy"])
def test_a_card_says_how_and_how_well(name: str, tmp_path: Path) -> None:
    note = {"name": name, "steps": 10, "batch": 128, "muon_rate": 0.02, "adam_rate": 0.0015}
    note |= {"seed": 0, "processes": 2, "compiled": True, "seconds": 120}
    (tmp_path / "training.json").write_text(json.dumps(note))
    card = write_card(name, tmp_path, {"greedy": interval([1.0, 0.0, 1.0, 1.0])}).read_text()
    assert "1,280 in all" in card and "2 minutes" in card and "On 4 unseen scenes" in card
    assert ("counted as two" in card) == (name == "policy")
