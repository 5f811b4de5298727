"""What is worth reading, by hand; pictures from little; hostile text stays text."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from medprm_hf.runs import pictures, pictures_quality
from medprm_hf.runs.worth_reading import chosen, disagreement, doubt, example, thumbnail


def row(name: str, judge: str, mc: list[float | None], **more: Any) -> dict[str, Any]:
    return {
        "question_id": name, "solution_id": f"{name}-s0", "steps": [f"s{i}" for i in range(len(judge))],
        "judge_labels": list(judge), "judge_confidence": ["high"] * len(judge), "expected_accuracy": mc,
        "accuracy_low": mc, "accuracy_high": mc, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("judge", "mc", "value"),
    [("+", 0.0, 1.0), ("-", 0.0, 0.0), ("-", 0.75, 0.75), ("?", 0.0, None), ("0", 0.0, None), ("+", None, None)],
)
def test_disagreement(judge: str, mc: float | None, value: float | None) -> None:
    assert disagreement(row("a", judge, [mc]), 0) == value


def test_unsure_signals_weigh_less() -> None:
    low = row("a", "+", [0.0], judge_confidence=["low"])
    assert disagreement(low, 0) == 0.5
    wide = row("a", "+", [0.0], accuracy_low=[0.0], accuracy_high=[0.5])
    assert disagreement(wide, 0) == 0.75
    assert disagreement(row("a", "+", [0.5], judge_p_plus=[0.5]), 0) == 0.0


def test_the_clearest_contradiction_of_each_question_comes_first() -> None:
    rows = [
        row("a", "+", [0.5]), row("b", "+", [0.0]), row("c", "+", [1.0]), row("a", "-", [0.9], solution_id="a-s1"),
    ]  # fmt: skip
    found, by = chosen(rows, 8)
    assert [one["solution_id"] for one in found] == ["b-s0", "a-s1"] and by == "judge and rollouts"
    assert chosen(rows, 1)[0] == found[:1] and chosen([], 8) == ([], "merge")


def test_with_one_signal_doubt_of_merge_stands_instead() -> None:
    sure = row("a", "+", [None], label_p=[0.99], expected_accuracy=None)
    unsure = row("b", "+", [None], label_p=[0.55], expected_accuracy=None)
    assert doubt(unsure, 0) == pytest.approx(0.9)
    assert chosen([sure, unsure], 8) == ([unsure], "merge")


def test_an_example_says_what_is_unknown() -> None:
    shown = example(row("a", "?", [None], rollout_correct=[0], rollout_total=[0], image=None))
    step = shown["steps"][0]
    assert (step["mc"], step["mc_why"], step["label"], shown["no_image"]) == (None, "none readable", "?", "text only")
    assert example(row("a", "+", [None]))["steps"][0]["mc_why"] == "not sampled"


def test_images_are_made_small_or_refused_in_words() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (2000, 500), "red").save(buffer, "PNG")
    url, _ = thumbnail({"bytes": buffer.getvalue(), "path": None})
    assert url is not None
    with Image.open(io.BytesIO(base64.b64decode(url.partition("base64,")[2]))) as image:
        assert image.size == (640, 160)
    nothing, why = thumbnail({"bytes": b"not an image", "path": None})
    assert nothing is None and why.startswith("image cannot be read")


def test_pictures_of_nothing_are_none_and_of_little_are_drawn() -> None:
    assert pictures_quality.kappa({"judge": {"kappa": None}}, 0.8) is None
    assert pictures_quality.reliability([]) is None
    assert pictures_quality.steps({"counts": {}}, (8, 12), 5, 15) is None
    one = {"kappa": -0.2, "interval": None}
    drawn = [
        pictures_quality.kappa({"judge": one}, None),
        pictures_quality.reliability([{"low": 0.9, "high": 1.0, "n": 1, "mean_score": 0.95, "share_right": 1.0}]),
        pictures_quality.steps({"counts": {"3": 1, "17": 2}}, (8, 12), 5, 15),
        pictures_quality.money([{"what": "this run", "usd": None, "why": "no price"}]),
        pictures.label_shares([]),
    ]
    assert all(url and url.startswith("data:image/svg+xml;base64,") for url in drawn)
