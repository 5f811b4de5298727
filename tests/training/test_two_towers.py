"""Two towers: no image is the text PRM itself; images move it; it is saved, loaded, trained and frozen as promised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM

from medprm_hf.errors import ConfigError
from medprm_hf.scoring.two_towers import MedPRMTwoTower
from medprm_hf.training.calibrate import logits_of
from medprm_hf.training.data import Album, Survey, examples_of
from medprm_hf.training.models import towers
from medprm_hf.training.run import make_trainer, prepare, train
from medprm_hf.training.towers import TowerBatcher
from tests.training.rows import labelled_rows, spec

TOWER: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 64, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16},
}
TEXT = {"system": "", "template": "plain"}


@pytest.fixture(scope="module")
def text_prm(tmp_path_factory: pytest.TempPathFactory, text_base: Path) -> Path:
    """A text PRM with a marker of its own."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("towers") / "text-prm"
    train(spec(model=str(text_base), freeze=(), layout=TEXT), labelled_rows(4, 2), folder)
    return folder


def tower_spec(text_prm: Path, **changes: Any) -> Any:
    own: dict[str, Any] = {"model": str(text_prm), "freeze": (), "layout": {}, "towers": {"image_model": TOWER}}
    return spec("two_towers", **{**own, **changes})


def batch_logits(model: Any, batcher: Any, examples: Any) -> list[Any]:
    return [torch.from_numpy(one) for one in logits_of(model, batcher, examples)]


def test_without_images_it_is_the_text_prm(text_prm: Path) -> None:
    model = MedPRMTwoTower.build(str(text_prm), TOWER).eval()
    text = AutoModelForCausalLM.from_pretrained(text_prm).eval()
    with torch.no_grad():
        model.fusion.gate.fill_(0.7)  # as after training
    ids = torch.randint(5, 100, (3, 20))
    positions = torch.tensor([[4, 9], [7, 19], [3, -1]])
    with torch.no_grad():
        whole = text(input_ids=ids).logits
        said = {"input_ids": ids, "positions": positions, "label_ids": (17, 19)}
        alone = model(**said).logits
        image = torch.randn(3, 3, 64, 64)
        shown = model(**said, pixel_values=image, image_mask=torch.tensor([True, False, True])).logits
    for row, step, place in ((0, 0, 4), (0, 1, 9), (1, 0, 7), (1, 1, 19), (2, 0, 3)):
        assert (alone[row, step] - whole[row, place, [17, 19]]).abs().max() <= 1e-6
    assert (shown[1] - alone[1]).abs().max() <= 1e-6
    assert (shown[0] - alone[0]).abs().max() > 1e-3


def test_gate_starts_shut_and_patches_are_many(text_prm: Path) -> None:
    model = MedPRMTwoTower.build(str(text_prm), TOWER).eval()
    said = {"input_ids": torch.randint(5, 100, (1, 9)), "positions": torch.tensor([[4, 8]]), "label_ids": (17, 19)}
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(model(**said).logits, model(**said, pixel_values=image).logits)
    assert model.patches(image).shape == (1, 16, 32)


def test_saved_and_loaded_by_automodel(text_prm: Path, tmp_path: Path) -> None:
    model = MedPRMTwoTower.build(str(text_prm), TOWER, reference_weight=0.25).eval()
    with torch.no_grad():
        model.fusion.gate.fill_(0.5)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(loaded, MedPRMTwoTower) and loaded.config.reference_weight == 0.25
    said = {
        "input_ids": torch.randint(5, 100, (2, 9)),
        "positions": torch.tensor([[4, 8], [2, 6]]),
        "label_ids": (17, 19),
        "pixel_values": torch.randn(2, 3, 64, 64),
        "reference_values": torch.randn(2, 2, 3, 64, 64),
        "reference_mask": torch.tensor([[True, True], [False, False]]),
    }
    assert torch.equal(model(**said).logits, loaded(**said).logits)
    without = {name: value for name, value in said.items() if "reference" not in name}
    moved = (model(**said).logits - model(**without).logits).abs().amax((1, 2))
    assert moved[0] > 0 and moved[1] == 0


def test_training_moves_fusion_and_image_tower_but_not_text(text_prm: Path, tmp_path: Path) -> None:
    rows = labelled_rows(6, 2)
    for row in rows[::3]:
        row["image"] = row["image_sha256"] = None
    rows[1]["similar_cases"] = [{"question_id": rows[4]["question_id"], "diagnosis": "", "similarity": 0.9}]
    one = tower_spec(text_prm, epochs=6, towers={"image_model": TOWER, "image_lr": 1e-3, "fusion_lr": 1e-2})
    prepared = prepare(one, rows, [])
    model, trainer = make_trainer(one, prepared, tmp_path)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batcher = TowerBatcher(prepared.layout, model)
    unseen = [example for example in prepared.training if example.case.image is None]
    text_only = batch_logits(model, batcher, unseen)
    trainer.train()
    rates = {round(group["initial_lr"], 6) for group in trainer.optimizer.param_groups}
    assert rates == {1e-3, 1e-2}
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"fusion", "image_tower"}
    after = batch_logits(model, batcher, unseen)
    assert all((x - y).abs().max() <= 1e-6 for x, y in zip(text_only, after, strict=True))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert sum(losses[-4:]) < sum(losses[:4])


def test_trained_from_spec_and_frozen_layers(text_prm: Path, tmp_path: Path) -> None:
    one = tower_spec(text_prm, towers={"image_model": TOWER, "frozen_image_layers": 1})
    report = train(one, labelled_rows(4, 2), tmp_path)
    assert report["losses"]
    loaded = AutoModel.from_pretrained(tmp_path)
    loaded.freeze_towers(1)
    trained = {name for name, parameter in loaded.named_parameters() if parameter.requires_grad}
    assert not any(name.startswith("text.") or ".resblocks.0." in name for name in trained)
    assert any(".resblocks.1." in name for name in trained)


def test_references_travel_in_batches(text_prm: Path) -> None:
    rows = labelled_rows(3, 1)
    rows[0]["similar_cases"] = [{"question_id": rows[1]["question_id"], "diagnosis": "", "similarity": 0.9}]
    one = tower_spec(text_prm)
    prepared = prepare(one, rows, [])
    examples = examples_of(rows, one, Survey(), Album(rows))
    _, batch = TowerBatcher(prepared.layout, MedPRMTwoTower.build(str(text_prm), TOWER)).inputs(examples)
    assert batch["reference_values"].shape == (3, 1, 3, 64, 64)
    assert batch["reference_mask"].tolist() == [[True], [False], [False]]


def test_what_cannot_work_is_named(text_prm: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes images itself"):
        train(tower_spec(text_prm, model="phantom:base"), labelled_rows(4), tmp_path / "a")
    with pytest.raises(ConfigError, match="train.towers has no 'fusion_rate'; did you mean fusion_lr"):
        towers(tower_spec(text_prm, towers={"fusion_rate": 1}))
    with pytest.raises(ConfigError, match="step ends"):
        MedPRMTwoTower.build(str(text_prm), TOWER)(input_ids=torch.ones(1, 2, dtype=torch.long))
