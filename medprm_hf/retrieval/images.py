"""Image encoders by open_clip: BiomedCLIP by default, any open_clip name, or a local checkpoint.

    hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224     from the Hub (arXiv 2303.00915)
    local-dir:PATH                                                      a folder with open_clip_config.json
    ViT-B-32?pretrained=laion2b_s34b_b79k                               an open_clip name and its weights

A bare open_clip name has random weights, so it is refused. As with text, an index keeps what its encoder made of
fixed images (`probe`).
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprm_hf.errors import ConfigError, MissingExtraError

Floats = NDArray[np.float32]

BIOMEDCLIP = "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
_TOGETHER = 32  # images in one forward pass

_opened: dict[str, ImageEncoder] = {}
_lock = threading.RLock()


class ImageEncoder:
    """Images to vectors of length one; `dim` numbers each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._model, self._prepare = _load(name)
        self.probe: Floats = self._encode(_probe_images())
        """What it makes of fixed images, (3, dim)."""

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return int(self.probe.shape[1])

    def images(self, images: Sequence[bytes]) -> Floats:
        """Vectors of encoded images (PNG or JPEG bytes that can be read), (n, dim), each of length one."""
        from PIL import Image

        return self._encode([Image.open(io.BytesIO(data)) for data in images])

    def same_as(self, probe: Floats) -> bool:
        """Whether a probe was made by this encoder, up to rounding."""
        return probe.shape == self.probe.shape and bool((np.einsum("nd,nd->n", probe, self.probe) > 0.999).all())

    def _encode(self, images: Sequence[Any]) -> Floats:
        import torch

        parts = []
        for start in range(0, len(images), _TOGETHER):
            pixels = [self._prepare(image.convert("RGB")) for image in images[start : start + _TOGETHER]]
            with torch.inference_mode():
                parts.append(self._model.encode_image(torch.stack(pixels), normalize=True).float().numpy())
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)


def open_image_encoder(name: str = BIOMEDCLIP) -> ImageEncoder:
    """The encoder of that name; the same object for the same name within one process.

    Raises ConfigError where it cannot be loaded, and MissingExtraError.
    """
    with _lock:
        if name not in _opened:
            _opened[name] = ImageEncoder(name)
        return _opened[name]


def _load(name: str) -> tuple[Any, Any]:
    """The model in evaluation mode and its preprocessing."""
    target, _, option = name.partition("?pretrained=")
    if ":" not in target and not option:
        raise ConfigError(
            f"image encoder {name!r} has random weights: write {name}?pretrained=TAG, local-dir:PATH or hf-hub:ORG/NAME"
        )
    try:
        import open_clip  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise MissingExtraError("image retrieval", "retrieval", "open_clip_torch") from error
    try:
        model, _, prepare = open_clip.create_model_and_transforms(target, pretrained=option or None)
    except Exception as error:  # open_clip hands on whatever its loaders raise
        said = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"image encoder {name!r} cannot be loaded ({said}); the default is {BIOMEDCLIP}, which needs the Hub once; "
            f"without a network give local-dir:PATH"
        ) from error
    return model.eval(), prepare


def _probe_images() -> list[Any]:
    """A slope, a chessboard and a disc, 64 x 64."""
    from PIL import Image

    y, x = np.mgrid[:64, :64]
    shapes = (4 * x, 255 * ((x // 8 + y // 8) % 2), 255 * ((x - 32) ** 2 + (y - 32) ** 2 < 400))
    return [Image.fromarray(shape.astype(np.uint8)) for shape in shapes]
