"""Each family of vision-language models trains a step in both forms, with and without images in one batch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from medprm_hf.scoring.layout import Layout
from medprm_hf.training.data import Batcher, Survey, examples_of
from medprm_hf.training.models import fit_embeddings, layout_settings
from medprm_hf.training.run import trainer_config
from medprm_hf.training.targets import fit_balance
from medprm_hf.training.trainer import PRMTrainer
from tests.training.architectures import FAMILIES, make
from tests.training.rows import LAYOUT, labelled_rows, spec

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("form", ["chat", "marker"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_trains_a_step(family: str, form: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    model, processor = make(family)
    rows = labelled_rows(2, 2)
    for row in rows[2:]:
        row["image"] = row["image_sha256"] = None
    changes: dict[str, Any] = {} if form == "chat" else {"layout": {**LAYOUT, "marker": " ки"}}
    one = spec(form, freeze=(), **changes)
    layout = Layout.open(processor, layout_settings(one), add_marker=True)
    fit_embeddings(model, layout)
    assert layout.sees
    examples = examples_of(rows, one, Survey())
    with_image, without = (layout.lay(examples[i].case) for i in (0, 2))
    assert with_image.image_inputs["pixel_values"].numel() and not without.image_inputs
    for laid, row in ((with_image, rows[0]), (without, rows[2])):
        for step, place in zip(row["steps"], laid.positions, strict=True):
            before = layout.tokenizer.decode(laid.input_ids[: place + 1])
            assert before.rstrip().endswith("ки" if form == "marker" else "assistant")
            assert step in before[-len(step) - 60 :]
    balance = fit_balance([example.targets for example in examples], "none")
    args = trainer_config(one, len(examples), tmp_path)
    before_training = model.get_input_embeddings().weight.clone()
    trainer = PRMTrainer(model, batcher=Batcher(layout), examples=examples, balance=balance, args=args)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses and all(math.isfinite(loss) for loss in losses)
    assert trainer.state.global_step == 1
    assert model.get_input_embeddings().weight.shape == before_training.shape


@pytest.mark.parametrize("family", list(FAMILIES))
def test_padding_and_company_do_not_change_a_score(family: str) -> None:
    from medprm_hf.training.calibrate import logits_of

    model, processor = make(family)
    layout = Layout.open(processor, layout_settings(spec("chat")))
    rows = labelled_rows(2, 1)
    rows[0]["steps"] = rows[0]["steps"][:2]
    rows[0]["labels"] = rows[0]["labels"][:2]
    examples = examples_of(rows, spec("chat"), Survey())
    together = logits_of(model, Batcher(layout), examples)
    alone = [logits_of(model, Batcher(layout), [example])[0] for example in examples]
    for x, y in zip(together, alone, strict=True):
        assert abs(x - y).max() < 1e-4
