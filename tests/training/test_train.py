"""Training end to end at tiny size: the loss falls, a killed run resumes bitwise, a saved model scores the same."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from medprm_hf.errors import ConfigError, DataError, StoreError
from medprm_hf.scoring.layout import Layout
from medprm_hf.scoring.settings import load_seen, load_settings
from medprm_hf.training.calibrate import logits_of
from medprm_hf.training.data import Batcher, Survey, examples_of
from medprm_hf.training.models import layout_settings, load_model, load_processor, model_path
from medprm_hf.training.run import make_trainer, prepare, train
from tests.training.rows import MARKER, labelled_rows, spec


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def logits(folder: Path | str, rows: list[dict[str, Any]]) -> list[Any]:
    settings = load_settings(folder)
    layout = Layout.open(load_processor(str(folder)), settings.layout)
    examples = examples_of(rows, spec(layout={}), Survey())
    return logits_of(load_model(str(folder)), Batcher(layout), examples)


@pytest.mark.parametrize(
    "form, changes",
    [
        ("marker", {}),
        ("marker", {"loss": "counts"}),
        ("marker", {"loss": "evidence", "layout": {**MARKER, "marker": " ки"}}),
        ("chat", {"loss": "soft"}),
        ("chat", {"outcome": True}),
        ("chat", {"labels": "advantage", "loss": "hard"}),
    ],
)
def test_loss_falls_and_the_checkpoint_says_what_it_is(form: str, changes: dict[str, Any], tmp_path: Path) -> None:
    rows = labelled_rows(4, 3)
    if changes.get("labels") == "advantage":
        for row in rows:
            row["expected_accuracy"] = [0.5, 0.9, 0.2, 0.2, 0.6, 1.0]
    said: list[str] = []
    one = spec(form, epochs=8, **changes)
    report = train(one, rows, tmp_path / "prm", say=said.append)
    first, last = report["losses"][:3], report["losses"][-3:]
    assert sum(last) < 0.9 * sum(first)
    assert any("solutions" in line for line in said)
    settings = load_settings(tmp_path / "prm")
    assert settings.layout.form == form and settings.trained_on["simulated"] is True
    seen = load_seen(tmp_path / "prm")
    assert seen is not None
    assert 0 < sum(seen.has(row) for row in rows) < len(rows)  # development rows are not seen
    assert "not for clinical\nuse" in (tmp_path / "prm" / "README.md").read_text()
    assert [len(one) for one in logits(tmp_path / "prm", rows[:2])] == ([1, 1] if one.outcome else [6, 6])


def test_saved_model_scores_the_same(tmp_path: Path) -> None:
    rows = labelled_rows(4, 1)
    one = spec()
    prepared = prepare(one, rows, [])
    model, trainer = make_trainer(one, prepared, tmp_path, print)
    trainer.train()
    batcher = Batcher(prepared.layout)
    before = logits_of(model, batcher, prepared.training)
    model.save_pretrained(tmp_path / "saved")
    after = logits_of(load_model(str(tmp_path / "saved")), batcher, prepared.training)
    assert all((x == y).all() for x, y in zip(before, after, strict=True))


def test_killed_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    rows = labelled_rows(8, 2)
    one = spec(
        epochs=2, curriculum=0.5, trainer={"disable_tqdm": True, "save_steps": 2, "logging_steps": 1}, development=0.1
    )
    train(one, rows, tmp_path / "whole")

    class Killed(Exception):
        pass

    def stop_at(step: int) -> Any:
        from transformers import TrainerCallback

        class Stop(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if state.global_step == step:
                    raise Killed

        return Stop()

    import medprm_hf.training.run as run

    plain = run.make_trainer

    def interrupted(*given: Any) -> Any:
        model, trainer = plain(*given)
        trainer.add_callback(stop_at(5))
        return model, trainer

    run.make_trainer = interrupted
    try:
        with pytest.raises(Killed):
            train(one, rows, tmp_path / "broken")
    finally:
        run.make_trainer = plain
    said: list[str] = []
    train(one, rows, tmp_path / "broken", say=said.append)
    assert any(line.startswith("going on from checkpoint-4") for line in said)
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_loss_that_is_no_number_stops_and_keeps_good_weights(tmp_path: Path) -> None:
    rows = labelled_rows(4, 2)
    one = spec(lr=1e-3)
    prepared = prepare(one, rows, [])
    _, trainer = make_trainer(one, prepared, tmp_path, print)
    prepared.balance.weights[0, 0] = math.nan  # any broken number on its way to the loss
    with pytest.raises(ConfigError, match=r"not a finite number at step 1.*last-good.*Lower train.lr"):
        trainer.train()
    kept = load_file(tmp_path / "checkpoints" / "last-good" / "model.safetensors")
    base = load_file(Path(model_path("phantom:base")) / "model.safetensors")
    assert all(torch.equal(kept[name], base[name].float()) for name in kept)


def test_one_class_is_refused_before_training(tmp_path: Path) -> None:
    rows = labelled_rows(4)
    for row in rows:
        row["labels"] = ["+"] * 6
    with pytest.raises(DataError, match=r"labelled steps are '\+'"):
        train(spec(), rows, tmp_path)


def test_images_missing_in_half_the_rows(tmp_path: Path) -> None:
    rows = labelled_rows(6, 2)
    for row in rows[::2]:
        row["image"] = row["image_sha256"] = None
    said: list[str] = []
    report = train(spec(), rows, tmp_path, say=said.append)
    assert any("images:" in line and "without" in line for line in said)
    assert all(math.isfinite(loss) for loss in report["losses"])


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    rows = labelled_rows(4)
    train(spec(), rows, tmp_path)
    with pytest.raises(StoreError, match="trained with other settings"):
        train(spec(lr=2e-3), rows, tmp_path)


def test_settings_that_cannot_work_are_named(tmp_path: Path) -> None:
    rows = labelled_rows(4)
    with pytest.raises(ConfigError, match="no parameter has 'vision_tower'"):
        train(spec(freeze=("vision_tower",)), rows, tmp_path / "a")
    with pytest.raises(ConfigError, match="train.layout.*markr"):
        train(spec(layout={"markr": "x"}), rows, tmp_path / "b")
    with pytest.raises(ConfigError, match="train.trainer.*SFTConfig"):
        train(spec(trainer={"nonsense": 1}), rows, tmp_path / "c")
    with pytest.raises(ConfigError, match="would move the step ends"):
        train(spec(trainer={"packing": True}), rows, tmp_path / "d")


def test_lora_trains_adapters_and_is_merged(tmp_path: Path) -> None:
    rows = labelled_rows(4, 2)
    train(spec(lora=4, freeze=(), epochs=2), rows, tmp_path)
    assert not list(tmp_path.glob("adapter*"))
    trained = load_file(tmp_path / "model.safetensors")
    base = load_file(Path(model_path("phantom:base")) / "model.safetensors")
    changed = [name for name in trained if not torch.equal(trained[name], base[name].float())]
    assert changed and all("embed" not in name for name in changed)


def test_text_model_takes_a_marker_of_its_own(tmp_path: Path, text_base: Path) -> None:
    rows = labelled_rows(4, 2)
    said: list[str] = []
    one = spec(model=str(text_base), freeze=(), layout={"system": "", "template": "plain"}, epochs=2)
    train(one, rows, tmp_path / "prm", say=said.append)
    assert any("images are not shown" in line for line in said)
    assert load_processor(str(tmp_path / "prm")).convert_tokens_to_ids(" ки") >= 0
    assert [len(one) for one in logits(tmp_path / "prm", rows[:1])] == [6]


def test_report_is_plain_json(tmp_path: Path) -> None:
    train(spec(), labelled_rows(4), tmp_path)
    report = json.loads((tmp_path / "train.json").read_text())
    assert report["spec"]["form"] == "marker" and report["classes"]["+"] > 0


def test_layout_of_a_spec() -> None:
    settings = layout_settings(spec("chat", labels="advantage", layout={}))
    assert settings.equal == "=" and settings.form == "chat"
