"""The model that training begins with: any image-text-to-text or text model of transformers, and its processor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError
from medprm_hf.registry import near, resolve
from medprm_hf.scoring.layout import Layout
from medprm_hf.scoring.settings import SETTINGS_FILE, LayoutSettings, load_settings
from medprm_hf.specs_train import TrainSpec

_CHECKPOINTS = {"phantom": "medprm_hf.phantom.model:checkpoint"}


def model_path(name: str) -> str:
    """A Hub id or folder; `phantom:base` is the shipped checkpoint."""
    if name.startswith("phantom:"):
        return str(resolve("checkpoint family", _CHECKPOINTS, "phantom")(name.removeprefix("phantom:")))
    return name


def load_processor(path: str) -> Any:
    """Processor of a vision-language checkpoint, tokenizer of a text one."""
    from transformers import AutoConfig, AutoProcessor, AutoTokenizer

    kind = AutoProcessor if sees(AutoConfig.from_pretrained(path)) else AutoTokenizer
    return kind.from_pretrained(path)


def load_model(path: str, dtype: Any = None) -> Any:
    """The model, in float32 unless told otherwise (the Trainer's bf16 is mixed precision)."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    try:
        config = AutoConfig.from_pretrained(path)
        kind = AutoModelForImageTextToText if sees(config) else AutoModelForCausalLM
        # On a CPU the backward pass of torch's fused attention is slower than plain products.
        attention = {} if torch.cuda.is_available() else {"attn_implementation": "eager"}
        return kind.from_pretrained(path, dtype=dtype or torch.float32, **attention)
    except (OSError, ValueError) as error:
        raise ConfigError(f"train.model={path!r} cannot be loaded: {error}") from error


def sees(config: Any) -> bool:
    """Whether models of this config take images and text."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as WITH_IMAGES

    return config.model_type in WITH_IMAGES


def layout_settings(spec: TrainSpec) -> LayoutSettings:
    """The layout that a spec asks for; ConfigError for an unknown key of train.layout."""
    own: dict[str, Any] = {
        "form": "chat" if spec.form == "chat" else "marker",
        "max_length": spec.value("max_length"),
        "unit": "solution" if spec.outcome else "step",
        "equal": "=" if spec.labels == "advantage" else "",
    }
    if spec.form == "two_towers" and (Path(model_path(spec.model)) / SETTINGS_FILE).is_file():
        own = vars(load_settings(model_path(spec.model)).layout)  # as the text PRM was trained
    try:
        return LayoutSettings(**{**own, **spec.layout})
    except TypeError as error:
        raise ConfigError(f"train.layout: {error}; see medprm_hf/scoring/settings.py for its keys") from None


def fit_embeddings(model: Any, layout: Layout) -> bool:
    """Makes room for a marker that was added to the tokenizer; whether that was needed."""
    rows = model.get_input_embeddings().weight.shape[0]
    needed = len(layout.tokenizer)
    if needed <= rows:
        return False
    model.resize_token_embeddings(needed)
    return True


def freeze(model: Any, parts: Sequence[str]) -> int:
    """Stops the training of parameters whose name holds one of `parts`; gives how many numbers that were.

    ConfigError where a part is in no name.
    """
    named = list(model.named_parameters())
    for part in parts:
        if not any(part in name for name, _ in named):
            heads = sorted({".".join(name.split(".")[:2]) for name, _ in named})
            raise ConfigError(f"train.freeze: no parameter has {part!r} in its name; there is {', '.join(heads)}")
    frozen = 0
    for name, parameter in named:
        if any(part in name for part in parts):
            parameter.requires_grad = False
            frozen += parameter.numel()
    return frozen


def lora(spec: TrainSpec, layout: Layout, added: bool) -> Any:
    """PEFT's config for train.lora, or None; a marker that was added is trained whole."""
    if not spec.lora:
        return None
    from peft import LoraConfig

    tokens = [layout.marker_id] if added and layout.marker_id is not None else None
    return LoraConfig(
        r=spec.lora,
        lora_alpha=2 * spec.lora,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        trainable_token_indices=tokens,
    )


TOWERS: dict[str, Any] = {
    "image_model": "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
    "image_lr": 1e-5,
    "fusion_lr": 1e-4,
    "frozen_image_layers": 0,
    "reference_weight": 0.5,
    "fusion_layers": 2,
    "fusion_heads": 4,
}
"""Settings of train.towers and their defaults; references come with the rows' similar cases."""


def towers(spec: TrainSpec) -> dict[str, Any]:
    """train.towers with its defaults; ConfigError with near names for an unknown key."""
    for name in spec.towers:
        if name not in TOWERS:
            raise ConfigError(f"train.towers has no {name!r}{near(name, TOWERS)}")
    return {**TOWERS, **spec.towers}


def group_rates(spec: TrainSpec) -> dict[str, float] | None:
    """Learning rates by the beginning of parameter names; null: one for all."""
    if spec.form != "two_towers":
        return None
    said = towers(spec)
    return {"image_tower": said["image_lr"], "fusion": said["fusion_lr"]}
