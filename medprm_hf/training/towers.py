"""Two towers in training: the model from a text PRM and an image tower, and batches that hold images beside tokens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from medprm_hf.errors import ConfigError
from medprm_hf.ids import bytes_hash
from medprm_hf.scoring.layout import Laid, Layout
from medprm_hf.scoring.two_towers import MedPRMTwoTower
from medprm_hf.specs_train import TrainSpec
from medprm_hf.training.data import Batcher, Example
from medprm_hf.training.models import model_path, sees, towers

HELD = 2048
"""Prepared images that are kept for their next use."""


def build_towers(spec: TrainSpec) -> MedPRMTwoTower:
    """The model of a spec, its text tower frozen.

    Raises ConfigError where train.model is no text model, or the image tower cannot be loaded.
    """
    from transformers import AutoConfig

    path = model_path(spec.model)
    if sees(AutoConfig.from_pretrained(path)):
        raise ConfigError(
            f"train.model={spec.model!r} takes images itself: two towers begin with a text PRM (train one with form: "
            "marker), or take form: chat for this model"
        )
    said = towers(spec)
    settings = {name: said[name] for name in ("reference_weight", "fusion_layers", "fusion_heads")}
    model = MedPRMTwoTower.build(path, said["image_model"], **settings)
    model.freeze_towers(said["frozen_image_layers"])
    return model


class TowerBatcher(Batcher):
    """Adds pixel_values, image_mask and, where any row has them, references."""

    def __init__(self, layout: Layout, model: MedPRMTwoTower) -> None:
        super().__init__(layout)
        self._pixels = model.pixels
        self._held: OrderedDict[str, Tensor] = OrderedDict()

    def inputs(self, examples: Sequence[Example]) -> tuple[list[Laid], dict[str, Any]]:
        """Each example as tokens, and all of them as one batch with images."""
        laid, batch = super().inputs(examples)
        images = [example.case.image for example in examples]
        if any(image is not None for image in images):
            batch["pixel_values"] = torch.stack([self._prepared(image) for image in images])
            batch["image_mask"] = torch.tensor([image is not None for image in images])
        most = max(len(example.references) for example in examples)
        if most and "pixel_values" in batch:
            rows = [[*example.references, *([None] * (most - len(example.references)))] for example in examples]
            batch["reference_values"] = torch.stack([torch.stack([self._prepared(one) for one in row]) for row in rows])
            batch["reference_mask"] = torch.tensor([[one is not None for one in row] for row in rows])
        return laid, batch

    def _prepared(self, image: bytes | None) -> Tensor:
        key = "" if image is None else bytes_hash(image)
        if key not in self._held:
            self._held[key] = self._pixels(image)
            if len(self._held) > HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return self._held[key]
