"""Tiny random models of five vision-language families, each with its own processor class and a template like its own.

All share one tokenizer (the phantom world's, with the family's special tokens): no network is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from medprm_hf.phantom.model import build, build_tokenizer

TEXT: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 1024,
}  # fmt: skip
VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip
SIZE = {"height": 32, "width": 32}


def template(image: str, start: str = "<|im_start|>", end: str = "<|im_end|>\n") -> str:
    """A chat template that writes `image` for each image; texts are trimmed, as many templates do."""
    return (
        "{%- for m in messages -%}{{ '" + start + "' + m.role + '\\n' }}"
        "{%- for part in m.content -%}{%- if part.type == 'image' -%}{{ '" + image + "' }}"
        "{%- else -%}{{ part.text | trim }}{%- endif -%}{%- endfor -%}"
        "{{ '" + end.replace("\n", "\\n") + "' }}{%- endfor -%}"
    )  # fmt: skip


def tokenizer(**special: str) -> Any:
    """The phantom tokenizer with a family's named special tokens."""
    made = build_tokenizer()
    made.add_special_tokens({"extra_special_tokens": list(special.values())}, False)
    for name, token in special.items():
        setattr(made, name, token)
        setattr(made, f"{name}_id", made.convert_tokens_to_ids(token))
    return made


def qwen_vl() -> tuple[Any, Any]:
    return build(seed=0)


def internvl() -> tuple[Any, Any]:
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
    )

    words = tokenizer(
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<vid>"
    )
    processor = InternVLProcessor(
        GotOcr2ImageProcessor(size=SIZE, crop_to_patches=False),
        words,
        InternVLVideoProcessor(size=SIZE),
        image_seq_length=4,
        chat_template=template("<IMG_CONTEXT>\\n"),
    )
    config = InternVLConfig(
        vision_config={**VISION, "image_size": [32, 32], "patch_size": [8, 8]},
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(words)},
        image_token_id=words.context_image_token_id,
        image_seq_length=4,
    )
    return InternVLForConditionalGeneration(config), processor


def smolvlm() -> tuple[Any, Any]:
    pytest.importorskip("num2words", reason="SmolVLM's processor needs num2words")
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    words = tokenizer(
        fake_image_token="<fake_token_around_image>", image_token="<image>", global_image_token="<global-img>",
        end_of_utterance_token="<end_of_utterance>", video_token="<video>",
    )  # fmt: skip
    looks = {"size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 32}}
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(**looks, do_image_splitting=False),
        words,
        SmolVLMVideoProcessor(**looks),
        image_seq_len=4,
        chat_template=template("<image>", end="<end_of_utterance>\n"),
    )
    config = SmolVLMConfig(
        vision_config=VISION,
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(words), "pad_token_id": 0},
        image_token_id=words.image_token_id,
        scale_factor=2,
        pad_token_id=0,
    )
    return SmolVLMForConditionalGeneration(config), processor


def llava() -> tuple[Any, Any]:
    from transformers import CLIPImageProcessor, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    words = tokenizer(image_token="<image>")
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIZE),
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>\\n", start="", end=" "),
    )
    config = LlavaConfig(
        vision_config={**VISION, "model_type": "clip_vision_model"},
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(words)},
        image_token_index=words.image_token_id,
    )
    return LlavaForConditionalGeneration(config), processor


def gemma() -> tuple[Any, Any]:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3ImageProcessor, Gemma3Processor

    words = tokenizer(boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>")
    processor = Gemma3Processor(
        Gemma3ImageProcessor(size=SIZE), words, chat_template=template("<start_of_image>"), image_seq_length=4
    )
    config = Gemma3Config(
        vision_config={**VISION, "model_type": "siglip_vision_model", "vision_use_head": False},
        text_config={**TEXT, "vocab_size": len(words), "sliding_window": 512, "query_pre_attn_scalar": 16},
        mm_tokens_per_image=4,
        image_token_index=words.image_token_id,
        boi_token_index=words.boi_token_id,
        eoi_token_index=words.eoi_token_id,
    )
    return Gemma3ForConditionalGeneration(config), processor


FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "qwen_vl": qwen_vl,
    "internvl": internvl,
    "smolvlm": smolvlm,
    "llava": llava,
    "gemma": gemma,
}


def make(name: str) -> tuple[Any, Any]:
    """(model, processor) of a family, the same each time."""
    torch.manual_seed(0)
    return FAMILIES[name]()
