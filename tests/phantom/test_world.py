"""Scenes are functions of their ids; images, questions and splits follow from them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from medprm_hf.errors import DataError
from medprm_hf.ids import bytes_hash
from medprm_hf.phantom.questions import question_rows
from medprm_hf.phantom.render import png_bytes, render
from medprm_hf.phantom.world import (
    DIFFICULTIES,
    KINDS,
    LOOKS,
    OPTIONS,
    SPLITS,
    guideline,
    question_ids,
    scene_of,
)

SCENES = [scene_of(question_id) for question_id in question_ids("test", 400, 3)]


def test_a_scene_is_a_function_of_its_id() -> None:
    assert scene_of("phantom-test-000017") == scene_of("phantom-test-000017")
    assert scene_of("phantom-test-000017") != scene_of("phantom-test-000018")


def test_a_known_scene_never_changes() -> None:
    scene = scene_of("phantom-test-000000")
    assert bytes_hash(render(scene).tobytes())[:16] == "82b04b275954d32d"


def test_splits_and_seeds_are_disjoint() -> None:
    ids = [i for split in SPLITS for seed in (0, 1, 2) for i in question_ids(split, 50, seed)]
    assert len(set(ids)) == len(ids) == 450


@pytest.mark.parametrize("name", ["phantom-test-17", "chest-000017", "", "phantom-test-s-000001"])
def test_other_ids_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="no phantom question id"):
        scene_of(name)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(DataError, match="unknown phantom split"):
        question_ids("validation", 3)  # type: ignore[arg-type]


def test_everything_occurs() -> None:
    assert {scene.look for scene in SCENES} == set(LOOKS)
    assert {scene.difficulty for scene in SCENES} == set(DIFFICULTIES)
    assert {scene.kind for scene in SCENES} == set(KINDS)
    assert {scene.answer for scene in SCENES} == set(OPTIONS)
    assert {scene.count for scene in SCENES} == {1, 2, 3}


def test_the_largest_is_clearly_the_largest() -> None:
    for scene in SCENES:
        others = [nodule.diameter for nodule in scene.nodules[1:]]
        assert all(other < 0.75 * scene.largest.diameter for other in others)


def test_size_classes_have_gaps() -> None:
    borders = {"<6 mm": (3.9, 5.3), "6-8 mm": (6.5, 7.5), ">8 mm": (9.0, 12.0)}
    for scene in SCENES:
        low, high = borders[scene.size]
        assert low <= scene.largest.diameter <= high


@pytest.mark.parametrize(
    ("count", "kind", "size", "advice"),
    [
        (1, "solid", "<6 mm", "no follow-up"),
        (1, "solid", "6-8 mm", "CT at 6-12 months"),
        (1, "solid", ">8 mm", "PET-CT or biopsy"),
        (3, "solid", "<6 mm", "no follow-up"),
        (2, "solid", "6-8 mm", "CT at 3-6 months"),
        (2, "solid", ">8 mm", "CT at 3-6 months"),
        (1, "ground-glass", "<6 mm", "no follow-up"),
        (1, "ground-glass", ">8 mm", "CT at 6-12 months"),
        (2, "ground-glass", "<6 mm", "CT at 3-6 months"),
        (3, "calcified", ">8 mm", "no follow-up"),
    ],
)
def test_the_guideline(count: int, kind: str, size: str, advice: str) -> None:
    assert guideline(count, kind, size) == advice


def test_an_image_is_grey_64_and_repeats() -> None:
    image = render(SCENES[0])
    assert image.shape == (64, 64) and image.dtype == np.uint8
    opened = Image.open(io.BytesIO(png_bytes(SCENES[0])))
    assert opened.mode == "L"
    assert np.array_equal(np.asarray(opened), render(SCENES[0]))


def test_question_rows_carry_no_truth_beyond_the_answer() -> None:
    row = next(iter(question_rows("test", 1)))
    scene = scene_of(row["question_id"])
    assert set(row) == {
        *("question_id", "image", "image_sha256", "question", "turns", "options", "answer"),
        *("answer_index", "modality", "difficulty", "clinical_context", "group", "source", "license"),
    }
    assert row["options"][row["answer_index"]] == row["answer"] == scene.answer
    assert row["image_sha256"] == bytes_hash(row["image"]["bytes"])
    assert row["modality"] in ("phantom_axial", "phantom_projection")
