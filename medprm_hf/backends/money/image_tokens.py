"""How many tokens an image costs, by each provider's own rule (named in `prices.yaml`).

image_tokens(1024, 1024, {"rule": "tiles", "base": 85, "tile": 170})    765       GPT-4o, detail high
image_tokens(1024, 1024, {"rule": "crops"})                             1032      Gemini 2
image_tokens(1024, 1024, {})                                            1369      28-pixel patches: Qwen2.5-VL
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, floor, sqrt
from typing import Any

MOST_PATCHES = 1536
"""32-pixel patches of one image at most (OpenAI)."""
_CROP_TOKENS, _CROP, _SMALL = 258, 768, 384


def image_tokens(width: int, height: int, rule: Mapping[str, Any]) -> int:
    """Tokens of an image of `width` × `height` pixels; without a rule 28-pixel patches, as Qwen2.5-VL takes them."""
    return _RULES[rule.get("rule", "qwen")](width, height, rule)


def _tiles(width: int, height: int, rule: Mapping[str, Any]) -> int:
    """Fit into 2048, then the shorter side into 768; `base` and `tile` for each 512-pixel tile (OpenAI, high)."""
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    tiles = ceil(width * scale / 512) * ceil(height * scale / 512)
    return int(rule["base"] + rule["tile"] * tiles)


def _patches(width: int, height: int, rule: Mapping[str, Any]) -> int:
    """32-pixel patches, scaled down to 1,536 at most, times the model's factor (OpenAI, newer small models)."""
    count = ceil(width / 32) * ceil(height / 32)
    if count > MOST_PATCHES:  # scaled down until whole patches fit one side
        scale = sqrt(32**2 * MOST_PATCHES / (width * height)) / 32
        scale *= min(floor(side * scale) / (side * scale) for side in (width, height))
        count = ceil(round(width * scale, 6)) * ceil(round(height * scale, 6))
    return ceil(count * float(rule["factor"]))


def _crops(width: int, height: int, rule: Mapping[str, Any]) -> int:
    """258 tokens when both sides are at most 384, else for each crop of about 768 pixels (Gemini)."""
    if max(width, height) <= _SMALL:
        return _CROP_TOKENS
    return _CROP_TOKENS * ceil(width / _CROP) * ceil(height / _CROP)


def _qwen(width: int, height: int, rule: Mapping[str, Any]) -> int:
    """28-pixel patches (two by two of 14 merged into one token), 4 at least and 16,384 at most."""
    return min(16384, max(4, round(width / 28) * round(height / 28)))


_RULES: dict[str, Callable[[int, int, Mapping[str, Any]], int]] = {
    "tiles": _tiles,
    "patches": _patches,
    "crops": _crops,
    "qwen": _qwen,
}
