"""`MedPRMTwoTower`: a frozen text PRM that is shown images by a second tower.

    text PRM (frozen)  ->  hidden states of each step end   (B, S, D)  --+--------------------------> + -> head -> + -
                                                                         |                            ^
    image tower (open_clip) -> patch tokens (B, N, W) -> projector ------+-> cross-attention -> gate -+

The image tower gives *patch* tokens: attention over one pooled vector would be the same for every step. The gate begins
at 0 and nothing is added where a row has no image, so a text-only solution scores exactly as the text PRM scores it,
before and after training. Reference images (similar cases) add their mean patch tokens with a weight of 0.5. The step
ends' queries are mixed from all layers of the text tower: what a step claims is clearest below the last one.

    model = MedPRMTwoTower.build("runs/demo/text-prm")    # image tower: BiomedCLIP
    model.save_pretrained("two-tower"); AutoModel.from_pretrained("two-tower")
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from medprm_hf.errors import ConfigError, MissingExtraError

DEFAULT_IMAGE_MODEL = "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"


class MedPRMTwoTowerConfig(PretrainedConfig):  # type: ignore[misc]
    """Both towers' architectures and the fusion's sizes; enough to build the model without the Hub."""

    model_type = "medprm_two_tower"

    def __init__(
        self,
        text: dict[str, Any] | None = None,
        image: dict[str, Any] | None = None,
        image_mean: Sequence[float] = (0.48145466, 0.4578275, 0.40821073),
        image_std: Sequence[float] = (0.26862954, 0.26130258, 0.27577711),
        image_size: int = 224,
        fusion_layers: int = 2,
        fusion_heads: int = 4,
        reference_weight: float = 0.5,
        **rest: Any,
    ) -> None:
        self.text = text or {}
        """Config of the text PRM."""
        self.image = image or {}
        """open_clip's embed_dim and vision_cfg."""
        self.image_mean, self.image_std, self.image_size = list(image_mean), list(image_std), image_size
        self.fusion_layers, self.fusion_heads = fusion_layers, fusion_heads
        self.reference_weight = reference_weight
        super().__init__(**rest)


class _Block(nn.Module):
    """Cross-attention of step ends to image tokens, then a feed-forward part; both residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before_attention, self.before_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.forward_part = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, steps: Tensor, image: Tensor) -> Tensor:
        """(B, S, D), (B, N, D) -> (B, S, D)."""
        seen, _ = self.attention(self.before_attention(steps), image, image, need_weights=False)
        steps = steps + seen
        added: Tensor = steps + self.forward_part(self.before_forward(steps))
        return added


class Fusion(nn.Module):
    """What an image adds to the hidden states of the step ends; nothing, until the gate has moved."""

    def __init__(self, width: int, image_width: int, text_layers: int, config: MedPRMTwoTowerConfig) -> None:
        super().__init__()
        heads = config.fusion_heads if width % config.fusion_heads == 0 else 1
        self.projector = nn.Sequential(nn.Linear(image_width, width), nn.GELU(), nn.Linear(width, width))
        self.image_norm = nn.LayerNorm(width)
        self.mix = nn.Parameter(torch.zeros(text_layers + 1))
        self.query_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(config.fusion_layers))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, layers: Tensor, patches: Tensor) -> Tensor:
        """Hidden states of all text layers (L, B, S, D) and patch tokens (B, N, W) -> what is added (B, S, D)."""
        unit = layers / layers.norm(dim=-1, keepdim=True).clamp(min=1e-6) * layers.shape[-1] ** 0.5
        steps = self.query_norm(torch.einsum("l,lbsd->bsd", self.mix.softmax(0), unit))
        image = self.image_norm(self.projector(patches))
        for block in self.blocks:
            steps = block(steps, image)
        added: Tensor = self.gate.tanh() * self.out(steps)
        return added


class MedPRMTwoTower(PreTrainedModel):  # type: ignore[misc]
    """A text PRM with an image tower; see the module."""

    config_class = MedPRMTwoTowerConfig
    base_model_prefix = "towers"
    main_input_name = "input_ids"
    _tied_weights_keys: Any = None

    def __init__(self, config: MedPRMTwoTowerConfig) -> None:
        super().__init__(config)
        own = dict(config.text)
        text_config = AutoConfig.for_model(own.pop("model_type"), **own)
        self.text = AutoModelForCausalLM.from_config(text_config)
        self.image_tower = image_tower(config.image)
        inner = text_config.get_text_config()
        width = inner.hidden_size
        self.fusion = Fusion(width, config.image["vision_cfg"].get("width") or _width(self.image_tower, config),
                             inner.num_hidden_layers, config)  # fmt: skip
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Every part has begun as its own library begins it."""

    @classmethod
    def build(
        cls, text: str, image_model: str | dict[str, Any] = DEFAULT_IMAGE_MODEL, **settings: Any
    ) -> MedPRMTwoTower:
        """From a trained text PRM's folder and an open_clip model by name (hf-hub:…, local-dir:…, ViT-B-32), or its
        embed_dim and vision_cfg as a dict (random weights)."""
        language = AutoModelForCausalLM.from_pretrained(text, dtype=torch.float32)
        tower, image, look = _named_tower(image_model)
        config = MedPRMTwoTowerConfig(text=language.config.to_dict(), image=image, **{**look, **settings})
        model = cls(config)
        model.text.load_state_dict(language.state_dict())
        if tower is not None:
            model.image_tower.load_state_dict(tower.state_dict())
        return model

    def freeze_towers(self, frozen_image_layers: int = 0, image: bool = False) -> None:
        """Stops the training of the text tower, and of the image tower's first layers (or all of it)."""
        self.text.requires_grad_(False)
        if image:
            self.image_tower.requires_grad_(False)
        for block in self._image_blocks()[:frozen_image_layers]:
            block.requires_grad_(False)

    def _image_blocks(self) -> list[nn.Module]:
        tower: Any = self.image_tower
        return list(tower.trunk.blocks if hasattr(tower, "trunk") else tower.transformer.resblocks)

    def train(self, mode: bool = True) -> MedPRMTwoTower:
        """The frozen text tower never drops anything out."""
        super().train(mode)
        self.text.eval()
        return self

    def pixels(self, image: bytes | None) -> Tensor:
        """An encoded image as the tower takes it, (3, H, W); zeros without one."""
        size = self.config.image_size
        if image is None:
            return torch.zeros(3, size, size)
        from open_clip.transform import image_transform
        from PIL import Image

        look = image_transform(size, is_train=False, mean=self.config.image_mean, std=self.config.image_std)
        made: Tensor = look(Image.open(io.BytesIO(image)).convert("RGB"))
        return made

    def patches(self, pixels: Tensor) -> Tensor:
        """Patch tokens of the last layer, (B, N, W), of pixels (B, 3, H, W)."""
        tower: Any = self.image_tower
        found: Tensor = tower.forward_intermediates(
            pixels, indices=1, intermediates_only=True, normalize_intermediates=True, output_fmt="NLC"
        )["image_intermediates"][-1]
        return found

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        positions: Tensor | None = None,
        label_ids: Sequence[int] = (),
        pixel_values: Tensor | None = None,
        image_mask: Tensor | None = None,
        reference_values: Tensor | None = None,
        reference_mask: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Logits of the label tokens at `positions` (B, S), (B, S, C).

        `pixel_values` (B, 3, H, W) with `image_mask` (B,): rows that are false have no image. References (B, R, 3, H,
        W) with mask (B, R).
        """
        if positions is None or not label_ids:
            raise ConfigError("MedPRMTwoTower scores step ends: give positions (B, S) and label_ids (+, -)")
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        has, image = None, None
        if pixel_values is not None:
            image = self._seen(pixel_values, reference_values, reference_mask)
            has = torch.ones(len(positions), device=positions.device) if image_mask is None else image_mask
        return SequenceClassifierOutput(logits=self.read(inputs, positions.clamp(min=0), label_ids, image, has))

    def read(
        self,
        inputs: dict[str, Any],
        places: Tensor,
        label_ids: Sequence[int],
        patches: Tensor | None = None,
        has: Tensor | None = None,
        use_cache: bool = False,
    ) -> Tensor:
        """Logits of the label tokens at `places` (B, S), (B, S, C), of the text tower's own inputs.

        `patches` (B, N, W) are those of `seen_patches`; rows where `has` (B,) is false get nothing of them.
        """
        told = self.text.model(**inputs, use_cache=use_cache, output_hidden_states=True)
        rows = torch.arange(len(places), device=places.device)[:, None]
        steps = told.last_hidden_state[rows, places]
        if patches is not None and has is not None:
            layers = torch.stack([layer[rows, places] for layer in told.hidden_states])
            # where, not times: a row without an image keeps its very bits
            steps = torch.where(has.bool()[:, None, None], steps + self.fusion(layers, patches), steps)
        logits: Tensor = self.text.lm_head(steps)[..., list(label_ids)]
        return logits

    def seen_patches(self, image: bytes | None, references: Sequence[bytes] = ()) -> Tensor:
        """Patch tokens of one encoded image with its references' mean, (N, W); without an image, of zeros."""
        first = next(self.image_tower.parameters())
        pixels = self.pixels(image)[None].to(first)
        shown = None if not references else torch.stack([self.pixels(one) for one in references])[None].to(first)
        mask = None if shown is None else torch.ones(shown.shape[:2], dtype=torch.bool, device=shown.device)
        return self._seen(pixels, shown, mask)[0]

    def _seen(self, pixels: Tensor, references: Tensor | None, mask: Tensor | None) -> Tensor:
        """Patch tokens of the image, and the mean of its references' with their weight."""
        image = self.patches(pixels)
        if references is None or mask is None or not mask.any():
            return image
        batch, count = references.shape[:2]
        flat = self.patches(references.flatten(0, 1))
        tokens = flat.view(batch, count, *flat.shape[1:])
        share = mask.to(tokens) / mask.sum(1, keepdim=True).clamp(min=1).to(tokens)
        weight: float = self.config.reference_weight
        return image + weight * torch.einsum("br,brnw->bnw", share, tokens)


def image_tower(config: dict[str, Any]) -> nn.Module:
    """An untrained open_clip image tower."""
    try:
        from open_clip.model import _build_vision_tower
    except ImportError:
        raise MissingExtraError("two towers", "train", "open_clip_torch") from None
    vision = {**config["vision_cfg"], "timm_model_pretrained": False}
    if not vision.get("timm_model_name"):
        vision.pop("timm_model_pretrained")
    tower: nn.Module = _build_vision_tower(config["embed_dim"], vision)
    return tower


def _named_tower(image_model: str | dict[str, Any]) -> tuple[nn.Module | None, dict[str, Any], dict[str, Any]]:
    """(trained tower or None, embed_dim and vision_cfg, how images are prepared)."""
    if isinstance(image_model, dict):
        return None, image_model, {"image_size": image_model["vision_cfg"]["image_size"]}
    try:
        import open_clip
    except ImportError:
        raise MissingExtraError("two towers", "train", "open_clip_torch") from None
    try:
        model = open_clip.create_model(image_model)
        config = open_clip.get_model_config(image_model)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"towers.image_model={image_model!r} cannot be loaded by open_clip: {error}") from error
    visual = model.visual
    size = visual.image_size if isinstance(visual.image_size, int) else visual.image_size[0]
    image = {"embed_dim": config["embed_dim"], "vision_cfg": config["vision_cfg"]}
    return visual, image, {"image_mean": visual.image_mean, "image_std": visual.image_std, "image_size": size}


def _width(tower: Any, config: MedPRMTwoTowerConfig) -> int:
    """Width of the patch tokens of a timm tower."""
    return int(tower.trunk.num_features)


AutoConfig.register("medprm_two_tower", MedPRMTwoTowerConfig, exist_ok=True)
AutoModel.register(MedPRMTwoTowerConfig, MedPRMTwoTower, exist_ok=True)
