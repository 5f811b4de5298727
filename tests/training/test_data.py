"""Rows to examples: nothing on both sides of a split, everything left out is counted, any format is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprm_hf import formats
from medprm_hf.errors import ConfigError, DataError
from medprm_hf.phantom.model import build_processor
from medprm_hf.scoring.layout import Layout
from medprm_hf.training.data import Album, Batcher, Prefixes, Survey, examples_of, fitting, hold_back, parted, read_rows
from medprm_hf.training.models import layout_settings
from medprm_hf.training.targets import fit_balance
from tests.training.rows import labelled_rows, spec

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])


@given(st.lists(st.tuples(NAMES, st.none() | NAMES, st.none() | NAMES), min_size=3, max_size=20), st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_no_question_image_or_group_on_both_sides(keys: list[tuple[str, str | None, str | None]], seed: int) -> None:
    rows = [{"question_id": q, "image_sha256": i, "group": g} for q, i, g in keys]
    try:
        training, development = hold_back(rows, 0.3, seed)
    except DataError:
        return
    assert len(training) + len(development) == len(rows)
    for name in ("question_id", "image_sha256", "group"):
        sides = [{row[name] for row in side if row[name]} for side in (training, development)]
        assert not sides[0] & sides[1]


def test_split_is_the_same_again_and_needs_several_questions() -> None:
    rows = labelled_rows(10)
    assert hold_back(rows, 0.2, 1) == hold_back(rows, 0.2, 1)
    assert hold_back(rows, 0.2, 1) != hold_back(rows, 0.2, 2)
    with pytest.raises(DataError, match="all 2 rows hang together"):
        hold_back(rows[:2], 0.2)


def test_the_rows_own_splits_decide() -> None:
    def row(name: str, split: str | None) -> dict[str, object]:
        return {"question_id": name, "split": split}

    plain = [row(f"q{n}", "train") for n in range(10)]
    held = [row("t1", "test"), row("b1", "benchmark")]
    training, development, said = parted([*plain, *held], 0.2)
    assert {r["question_id"] for r in [*training, *development]} == {f"q{n}" for n in range(10)}
    assert development and said == ["left alone: 2 rows of the test split"]
    training, development, said = parted([*plain, row("d1", "development"), row("n1", None)], 0.2)
    assert [r["question_id"] for r in development] == ["d1"] and len(training) == 11
    assert said == ["development: the 1 rows of that split"]
    with pytest.raises(DataError, match="for measuring"):
        parted(held, 0.2)


def test_what_is_left_out_is_counted() -> None:
    rows = labelled_rows(3)
    rows[0]["image"] = {"bytes": b"broken", "path": None}
    rows[1]["labels"] = ["?"] * 6
    rows[2]["image"] = None
    survey = Survey()
    found = examples_of(rows, spec(), survey)
    assert len(found) == 4
    assert dict(survey.left_out) == {"image cannot be read": 1, "no step with a label": 1}
    assert "images: 3 solutions with one, 1 without" in survey.lines()


def test_lost_steps_are_counted_exactly() -> None:
    rows = labelled_rows(2)
    rows[0]["labels"][5] = "?"
    layout = Layout.open(build_processor(), layout_settings(spec()))
    examples = examples_of(rows, spec(), Survey())
    lengths = [Prefixes(layout).lay(one) for one in examples]
    limit = min(laid.positions[4] for laid in lengths) + 1
    cut = Layout.open(layout.processor, layout_settings(spec(max_length=limit)))
    survey = Survey()
    kept = fitting(examples, Prefixes(cut), survey)
    expected = [sum(place >= limit for place in laid.positions) for laid in lengths]
    assert len(kept) == 4 and survey.lost == sum(expected) > 0
    assert survey.lost_known == survey.lost - (expected[0] > 0)
    assert any("lost to max_length" in line for line in survey.lines())
    with pytest.raises(DataError, match="max_length=20 has room for a labelled step of none of 4"):
        fitting(examples, Prefixes(Layout.open(layout.processor, layout_settings(spec(max_length=20)))), Survey())


def test_supervised_places_are_the_known_step_ends() -> None:
    from medprm_hf.training.trainer import PRMCollator

    rows = labelled_rows(2)
    rows[1]["labels"][2] = "?"
    for form, changes in (("marker", {}), ("chat", {}), ("chat", {"outcome": True}), ("marker", {"loss": "soft"})):
        one = spec(form, **changes)
        layout = Layout.open(build_processor(), layout_settings(one), add_marker=True)
        examples = examples_of(rows, one, Survey())
        targets = [example.targets for example in examples]
        batch = PRMCollator(Batcher(layout), examples, fit_balance(targets, "none"))([{"row": i} for i in range(4)])
        known = batch["labels"] != -100
        assert known.sum() == sum(example.targets.known.sum() for example in examples)
        assert batch["labels"].dtype == batch["input_ids"].dtype == batch["positions"].dtype
        assert str(batch["labels"].dtype) == "torch.int64" and str(batch["probs"].dtype) == "torch.float32"
        assert (batch["scale"].sum(-1) > 0).equal(known)
        for row, places in enumerate(batch["positions"]):
            for step, place in zip(rows[row]["steps"], places.tolist(), strict=False):
                before = layout.tokenizer.decode(batch["input_ids"][row, : place + 1])
                end = "\n\n" if form == "marker" else "<|im_end|>\n<|im_start|>assistant\n"
                text = "\n\n".join(rows[row]["steps"]) if one.outcome else step
                assert before.endswith(f"{text}{end}")


def test_history_shows_known_labels_to_later_steps() -> None:
    from medprm_hf.training.trainer import PRMCollator

    rows = labelled_rows(1, 1)
    rows[0]["labels"] = ["-", "?", "+", "+", "-", "+"]
    one = spec("chat", layout={"system": "", "history": "labels"})
    layout = Layout.open(build_processor(), layout_settings(one))
    examples = examples_of(rows, one, Survey())
    batch = PRMCollator(Batcher(layout), examples, fit_balance([examples[0].targets], "none"))([{"row": 0}])
    replies = layout.lay(examples[0].case).replies
    shown = layout.tokenizer.decode(batch["input_ids"][0, replies])
    assert shown == "-+++-"  # unknown is shown as +, as all are when scoring


@pytest.mark.parametrize("format", ["stepwise", "visualprm", "raw-json", "prm800k"])
def test_files_of_other_formats_are_read(format: str, tmp_path: Path) -> None:
    rows = labelled_rows(2)
    complete = [{name: row.get(name) for name in formats_columns(row)} for row in rows]
    path = tmp_path / f"rows{formats.open_format(format).extension}"
    formats.write(complete, path, format=format)
    found = list(read_rows(path))
    assert [row["steps"] for row in found] == [row["steps"] for row in rows]
    survey = Survey()
    examples = examples_of(found, spec(), survey)
    assert [one.targets.classes.tolist() for one in examples] == [
        [0 if label == "+" else 1 for label in row["labels"]] for row in rows
    ]
    if format in ("stepwise", "visualprm"):
        assert survey.with_image == 4


def formats_columns(row: dict[str, Any]) -> list[str]:
    from medprm_hf.schema import BY_NAME

    return [name for name in BY_NAME if name not in ("errors",)]


def test_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no dataset/"):
        list(read_rows(tmp_path))


def test_references_are_images_of_training_questions() -> None:
    rows = labelled_rows(3, 1)
    other, own = rows[1]["question_id"], rows[0]["question_id"]
    rows[0]["similar_cases"] = [
        {"question_id": name, "diagnosis": "", "similarity": 1.0} for name in (other, own, "elsewhere")
    ]
    assert Album(rows).of(rows[0]) == (rows[1]["image"]["bytes"],)
