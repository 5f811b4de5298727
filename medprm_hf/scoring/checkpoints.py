"""Opening a trained process reward model: a folder, a Hub id, or one that ships with the package (`phantom:prm`).

    model, processor, settings = open_checkpoint("runs/demo/prm")

The model comes without gradients, in evaluation mode, with torch's fused attention.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from medprm_hf.backends.inside.one_load import ONE_LOAD
from medprm_hf.errors import ConfigError, MissingExtraError
from medprm_hf.registry import resolve
from medprm_hf.scoring.settings import SETTINGS_FILE, PRMSettings, load_settings

_SHIPPED = {"phantom": "medprm_hf.phantom.model:checkpoint"}


def open_checkpoint(
    name: str | Path, device: str | None = None, dtype: str | None = None, settings: PRMSettings | None = None
) -> tuple[Any, Any, PRMSettings]:
    """(model, processor or tokenizer, settings) of a checkpoint with medprm.json, or with `settings` given.

    `device`: cpu, cuda, cuda:1, …; null: a GPU if there is one. `dtype`: float32, bfloat16, float16; null: float32 on
    a CPU, bfloat16 on a GPU. Raises ConfigError where it cannot be loaded, MissingExtraError without torch.
    """
    folder = local_folder(name)
    settings = settings or load_settings(folder)
    try:
        import torch
        from transformers import (
            AutoConfig,
            AutoModel,
            AutoModelForCausalLM,
            AutoModelForImageTextToText,
            AutoProcessor,
            AutoTokenizer,
        )
    except ImportError as error:
        raise MissingExtraError("scoring with a local model", "train", str(error.name)) from None
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    kind: Any = torch_dtype(dtype, place.type)
    try:
        if settings.kind == "two_towers":
            from medprm_hf.scoring import two_towers  # noqa: F401 - registers the architecture

            loader, reader = AutoModel, AutoTokenizer
        else:
            seeing = takes_images(AutoConfig.from_pretrained(folder))
            loader, reader = (
                (AutoModelForImageTextToText, AutoProcessor) if seeing else (AutoModelForCausalLM, AutoTokenizer)
            )
        with ONE_LOAD:
            model = loader.from_pretrained(folder, dtype=kind).to(place).eval().requires_grad_(False)
        return model, reader.from_pretrained(folder), settings
    except (OSError, ValueError) as error:
        raise ConfigError(f"the model {str(name)!r} cannot be loaded: {error}") from error


def local_folder(name: str | Path) -> Path:
    """Where the checkpoint's files are; a Hub id is downloaded (or found in the cache).

    Raises ConfigError where there is no such folder and no such model.
    """
    text = str(name)
    if text.startswith("phantom:"):
        return Path(resolve("checkpoint family", _SHIPPED, "phantom")(text.removeprefix("phantom:")))
    if Path(text).is_dir():
        return Path(text)
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(text))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"there is no folder {text!r}, and the Hub gives no such model ({type(error).__name__}): name the folder "
            "that `medprm train` wrote, a Hub id, or phantom:prm"
        ) from error


def settings_of(source: str | Path | PRMSettings | None) -> PRMSettings | None:
    """Settings as they are, or those in a folder (or of a medprm.json)."""
    if source is None or isinstance(source, PRMSettings):
        return source
    path = Path(source)
    return load_settings(path.parent if path.name == SETTINGS_FILE else local_folder(path))


def takes_images(config: Any) -> bool:
    """Whether models of this config take images and text."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as WITH_IMAGES

    return config.model_type in WITH_IMAGES


def torch_dtype(name: str | None, device: str) -> Any:
    """The torch dtype of a name; ConfigError for one that is none."""
    import torch

    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name is None:
        return torch.float32 if device == "cpu" else torch.bfloat16
    if name not in kinds:
        raise ConfigError(f"dtype={name!r}: there is {', '.join(kinds)}")
    return kinds[name]


def with_max_length(settings: PRMSettings, max_length: int | None) -> PRMSettings:
    """The settings with another token budget; None leaves them as they are."""
    if max_length is None:
        return settings
    return replace(settings, layout=replace(settings.layout, max_length=max_length))
