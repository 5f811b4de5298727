"""The tiny Qwen2.5-VL of the phantom world: its architecture, its processor, and where its checkpoints lie.

Text width 160, 4 layers, 5 heads on one key-value head; vision width 128, 2 layers, 8x8 patches merged two
by two: 16 image tokens for a 64x64 image. About 2 million parameters. It is a standard
`Qwen2_5_VLForConditionalGeneration` with a byte-level BPE tokenizer trained on the world's own texts, so
transformers, vLLM and TRL load it as they load the large ones. "\\n\\n" is a token of its own: the tokens
of a solution's first steps are the first tokens of the solution, wherever it is cut (continuing from a
prefix samples exactly what the whole solution was sampled from).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from medprm_hf.backends.inside.one_load import ONE_LOAD
from medprm_hf.errors import ConfigError
from medprm_hf.phantom import steps as text
from medprm_hf.phantom.world import KINDS, OPTIONS, SIDES, SIZE_CLASSES, ZONES
from medprm_hf.text.prompts import question_text

if TYPE_CHECKING:
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
    )

    Model: TypeAlias = Qwen2_5_VLForConditionalGeneration
    Processor: TypeAlias = Qwen2_5_VLProcessor

Name = Literal["base", "policy", "prm"]

VOCABULARY = 640
PIXELS = 64 * 64
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""Special tokens; their ids are 0 to 6. A turn ends with <|im_end|>, padding is <|endoftext|>."""

# A blank line alone, a line break alone, else a word with its punctuation and the blank before it.
_WORDS = r"\n\n|\n| ?[^\s]+|\s"

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.content is string -%}
{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' or part.type == 'image_url' or 'image' in part or 'image_url' in part -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- elif 'text' in part -%}
{{- part.text -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


def checkpoint(name: Name) -> Path:
    """The directory of a shipped checkpoint, as `from_pretrained` takes it."""
    if name not in ("base", "policy", "prm"):
        raise ConfigError(f"unknown phantom checkpoint {name!r}: there is base, policy, prm")
    return Path(__file__).parent / "checkpoints" / name


def build(seed: int = 0) -> tuple[Model, Processor]:
    """An untrained model (float32) and its processor."""
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    processor = build_processor()
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config(len(processor.tokenizer)))
    model.generation_config = _generation_config()
    _initialise(model)
    return model, processor


def load(path: Path | str) -> tuple[Model, Processor]:
    """A checkpoint's model (float32) and processor."""
    import torch
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

    with ONE_LOAD:
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(path, dtype=torch.float32)
    return model.eval(), AutoProcessor.from_pretrained(path)


def save(model: Model, processor: Processor, path: Path) -> Path:
    """Write a checkpoint with bf16 weights, as transformers, vLLM and TRL read it."""
    import torch

    shadow = type(model)(config(model.config.text_config.vocab_size))  # a loaded config remembers its float32
    shadow.load_state_dict(model.state_dict())
    shadow.generation_config = model.generation_config
    path.mkdir(parents=True, exist_ok=True)
    shadow.to(torch.bfloat16).save_pretrained(path)
    processor.save_pretrained(path)
    _tidy_tokenizer(path)
    (path / "model.safetensors").chmod(0o644)  # safetensors writes it for its owner alone
    return path


def config(vocabulary: int) -> Qwen2_5_VLConfig:
    """The architecture; the vision window covers the whole image."""
    from transformers import Qwen2_5_VLConfig

    ids = {token: index for index, token in enumerate(SPECIAL)}
    shared: dict[str, Any] = {
        "bos_token_id": None,
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "tie_word_embeddings": True,
    }
    return Qwen2_5_VLConfig(
        text_config=_text_config(vocabulary) | shared,
        vision_config=_vision_config(),
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        architectures=["Qwen2_5_VLForConditionalGeneration"],
        **shared,
    )


def _text_config(vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": 160,
        "intermediate_size": 448,
        "num_hidden_layers": 4,
        "num_attention_heads": 5,
        "num_key_value_heads": 1,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [4, 6, 6],  # halves of the head size of 32: time, height, width
        },
    }


def _vision_config() -> dict[str, Any]:
    return {
        "depth": 2,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_heads": 4,
        "patch_size": 8,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 64,
        "fullatt_block_indexes": [0, 1],
        "out_hidden_size": 160,
    }


def _generation_config() -> Any:
    from transformers import GenerationConfig

    return GenerationConfig(
        eos_token_id=SPECIAL.index("<|im_end|>"),
        pad_token_id=SPECIAL.index("<|endoftext|>"),
        do_sample=False,
        max_new_tokens=64,
    )


def _initialise(model: Model) -> None:
    """Linears as nn.Linear starts them: at this width the usual sd of 0.02 learns far more slowly."""
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    nn.init.normal_(model.model.visual.patch_embed.proj.weight, std=0.03)
    model.tie_weights()


def build_processor() -> Processor:
    """Tokenizer, image processor (every image becomes about 64x64) and chat template."""
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    sizes: dict[str, Any] = {
        "size": {"shortest_edge": PIXELS, "longest_edge": PIXELS},
        "patch_size": 8,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.35, 0.35, 0.35],
        "image_std": [0.25, 0.25, 0.25],
    }
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**sizes),
        tokenizer=build_tokenizer(),
        video_processor=Qwen2VLVideoProcessor(**sizes),
        chat_template=CHAT_TEMPLATE,
    )


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE trained on the texts of the world; any other text falls back to bytes."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[t for t in SPECIAL if t not in ("<|im_end|>", "<|endoftext|>")],
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def _corpus() -> list[str]:
    """Every text of the world, each word in it often enough to become one token."""
    claims = [
        text.Claims(count, side, zone, kind, size)
        for count in (1, 2, 3)
        for side in SIDES
        for zone in ZONES
        for kind in KINDS
        for size in SIZE_CLASSES
    ]
    solutions = [
        text.join(
            [
                *text.perception_steps(claim),
                text.rule_step(text.rule_of(claim, advice)),
                text.answer_step(advice),
            ]
        )
        for claim in claims
        for advice in OPTIONS
    ]
    turns = ["user\n", "assistant\n", "system\n", question_text(text.QUESTION, OPTIONS)]
    return solutions + turns * 50


def _tidy_tokenizer(path: Path) -> None:
    """The class name that transformers 4 and 5 both know, and nothing about where it was loaded from."""
    file = path / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings = {key: value for key, value in settings.items() if key not in ("is_local", "local_files_only")}
    file.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
