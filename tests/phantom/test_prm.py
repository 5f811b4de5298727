"""The shipped PRM: small, described, and it sees what is wrong with a solution, a wrong place included."""

from __future__ import annotations

import numpy as np
import torch

from medprm_hf.phantom.chains import sampled_solution
from medprm_hf.phantom.model import checkpoint, load
from medprm_hf.phantom.oracle import check_steps, true_steps
from medprm_hf.phantom.questions import question_row
from medprm_hf.phantom.world import question_ids, scene_of
from medprm_hf.scoring.layout import Case, Layout
from medprm_hf.scoring.settings import load_seen, load_settings

FOLDER = checkpoint("prm")


def scores(names: list[str], solutions: list[list[str]]) -> list[list[float]]:
    torch.set_num_threads(1)
    model, processor = load(FOLDER)
    settings = load_settings(FOLDER)
    layout = Layout.open(processor, settings.layout)
    laid = [
        layout.lay(Case.of_row({**question_row(name), "steps": steps}))
        for name, steps in zip(names, solutions, strict=True)
    ]
    with torch.no_grad():
        logits = model(**layout.collate(laid)).logits
    found = []
    for row, one in enumerate(laid):
        at = logits[row, one.positions]
        found.append(settings.scores((at[:, layout.plus_id] - at[:, layout.minus_id]).tolist()))
    return found


def test_small_and_described() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 5_000_000
    card = (FOLDER / "README.md").read_text()
    assert "not for clinical" in card and "simulated" in card and "macro_f1" in card
    assert load_settings(FOLDER).trained_on["simulated"] is True


def test_no_test_question_was_seen_in_training() -> None:
    seen = load_seen(FOLDER)
    assert seen is not None and len(seen.questions) > 1000
    for split in ("test", "development"):
        assert not any(seen.has(question_row(name)) for name in question_ids(split, 20))
    assert sum(seen.has({"question_id": name}) for name in question_ids("train", 100)) > 80


def test_it_tells_right_from_wrong_steps() -> None:
    rng = np.random.default_rng(0)
    names = question_ids("test", 60, seed=7)
    solutions = [sampled_solution(scene_of(name), rng) for name in names]
    truth = [[step.right for step in check_steps(scene_of(n), s)] for n, s in zip(names, solutions, strict=True)]
    found = scores(names, solutions)
    threshold = load_settings(FOLDER).threshold
    hits = [
        (p > threshold) == right
        for row, true in zip(found, truth, strict=True)
        for p, right in zip(row, true, strict=True)
    ]
    assert np.mean(hits) > 0.85


def test_it_sees_a_wrong_place_which_rollouts_cannot() -> None:
    """The policy calls right upper right middle by habit: the same words, true of one image and not of the other."""
    by_place: dict[str, list[str]] = {"upper": [], "middle": []}
    for name in question_ids("test", 400, seed=8):
        largest = scene_of(name).largest
        if largest.side == "right" and largest.zone in by_place:
            by_place[largest.zone].append(name)
    names = by_place["upper"][:20] + by_place["middle"][:20]
    solutions = [[true_steps(scene_of(name))[0], "Largest: right middle."] for name in names]
    found = [row[1] for row in scores(names, solutions)]
    wrong, right = np.array(found[:20]), np.array(found[20:])
    assert (right[:, None] > wrong[None]).mean() > 0.9
