"""The model that training begins with: any image-text-to-text or text model of transformers, and its processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medprm_hf.errors import ConfigError
from medprm_hf.phantom.model import checkpoint
from medprm_hf.scoring.layout import Layout
from medprm_hf.scoring.settings import LayoutSettings
from medprm_hf.specs import TrainSpec


def model_path(name: str) -> str:
    """A Hub id or folder; `phantom:base` is the shipped checkpoint."""
    if name.startswith("phantom:"):
        return str(checkpoint(name.removeprefix("phantom:")))  # type: ignore[arg-type]
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
        return kind.from_pretrained(path, dtype=dtype or torch.float32)
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
