"""Two towers behind the scorer: the text prefix and the image once, the scores of the model's own forward."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medprm_hf.phantom.questions import question_rows
from medprm_hf.scoring.layout import Case
from medprm_hf.scoring.scorer import Scorer
from medprm_hf.scoring.settings import LayoutSettings, PRMSettings, save_settings
from medprm_hf.scoring.two_towers import MedPRMTwoTower
from tests.scoring.models import plain, rows, text_model

TOWER: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 64, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16},
}
SETTINGS = PRMSettings(
    LayoutSettings(form="marker", marker="\n\n", system="", template="plain"), kind="two_towers", aggregator="mean"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-tower checkpoint whose gate is open."""
    torch.set_num_threads(1)
    base = tmp_path_factory.mktemp("towers")
    language, tokenizer = text_model()
    language.save_pretrained(base / "text")
    torch.manual_seed(0)
    model = MedPRMTwoTower.build(str(base / "text"), TOWER)
    with torch.no_grad():
        model.fusion.gate.fill_(1.0)
    model.save_pretrained(base / "prm")
    tokenizer.save_pretrained(base / "prm")
    save_settings(base / "prm", SETTINGS)
    return base / "prm"


def own_forward(one: Scorer, row: dict[str, Any], references: tuple[bytes, ...] = ()) -> list[float]:
    """P(+) by the model's own forward of one whole solution."""
    case = Case.of_row(row)
    laid = one.layout.lay(case)
    model = one.reader.model
    shown: dict[str, Any] = {}
    if case.image is not None:
        shown["pixel_values"] = model.pixels(case.image)[None]
    if references:
        shown["reference_values"] = torch.stack([model.pixels(image) for image in references])[None]
        shown["reference_mask"] = torch.ones(1, len(references), dtype=torch.bool)
    with torch.no_grad():
        logits = model(
            **one.layout.collate([laid]),
            positions=torch.tensor([laid.positions]),
            label_ids=one.layout.label_ids,
            **shown,
        ).logits
    found: list[float] = logits[0].softmax(-1)[:, 0].tolist()
    return found


def test_scores_are_those_of_its_own_forward(folder: Path) -> None:
    one = Scorer.open(folder, device="cpu")
    table = rows((3, 1, 2))
    for budget in (1, 100_000):
        for row, scores in zip(table, one.score_rows(table, budget), strict=True):
            assert scores.p_plus == pytest.approx(own_forward(one, row), abs=5e-6)
    blind = [{**row, "image": None} for row in table]
    moved = zip(one.score_rows(table), one.score_rows(blind), strict=True)
    assert max(abs(a.p_plus[0] - b.p_plus[0]) for a, b in moved) > 1e-4


def test_without_images_it_is_the_text_prm(folder: Path) -> None:
    one = Scorer.open(folder, device="cpu")
    model, tokenizer = text_model()
    text = Scorer(model, tokenizer, replace(SETTINGS, kind="language"))
    for row in rows((3, 1), images=False):
        blind = {**row, "image": None}
        assert one.score_rows([blind])[0].p_plus == pytest.approx(plain(text, blind), abs=1e-6)


def test_references_are_seen(folder: Path) -> None:
    one = Scorer.open(folder, device="cpu")
    row = rows((1, 1))[0]
    others = tuple(other["image"]["bytes"] for other in question_rows("test", 3, 5))
    asked = (row["question"], row["steps"], row["image"], row["options"])
    found = one.score(*asked, references=others)
    assert found.p_plus == pytest.approx(own_forward(one, row, others), abs=5e-6)
    assert found.p_plus != pytest.approx(one.score(*asked).p_plus, abs=1e-6)
