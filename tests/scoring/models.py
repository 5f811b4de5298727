"""Tiny random models with their scorers and rows, and the plain forward that scores are compared with."""

from __future__ import annotations

import random
from typing import Any

import torch

from medprm_hf.phantom.model import build, build_tokenizer
from medprm_hf.phantom.questions import question_rows
from medprm_hf.scoring.layout import Case
from medprm_hf.scoring.scorer import Scorer
from medprm_hf.scoring.settings import LayoutSettings, PRMSettings

WORDS = ("Nodules: one.", "Largest: right middle.", "Type: solid.", "Size: 6-8 mm.", "CT at 6-12 months.", "Answer: B.")


def text_model(**changes: Any) -> tuple[Any, Any]:
    """A Llama of two layers and the phantom tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    config: dict[str, Any] = {
        "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096, "pad_token_id": 0,
        "tie_word_embeddings": False, "initializer_range": 0.2,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**{**config, **changes})).eval(), tokenizer


def scorer(kind: str, form: str, **changes: Any) -> Scorer:
    """A scorer of an untrained model: `text` or `vision`, `chat` or `marker`."""
    torch.set_num_threads(1)
    model, processor = text_model() if kind == "text" else build(seed=0)
    own: dict[str, Any] = {"form": form, "system": "", "marker": "\n\n"}
    if kind == "text":
        own["template"] = "plain"
    return Scorer(model.eval(), processor, PRMSettings(LayoutSettings(**{**own, **changes})))


def rows(solutions: tuple[int, ...] = (3, 1, 4), seed: int = 0, images: bool = True) -> list[dict[str, Any]]:
    """Solutions of different lengths; the last question has no image."""
    rng = random.Random(seed)
    found = []
    for number, question in enumerate(question_rows("test", len(solutions), seed)):
        shown = {} if images and number + 1 < len(solutions) else {"image": None, "image_sha256": None}
        for _ in range(solutions[number]):
            found.append({**question, **shown, "steps": [rng.choice(WORDS) for _ in range(rng.choice((1, 2, 6)))]})
    return found


def plain(one: Scorer, row: dict[str, Any]) -> list[float]:
    """P(+) of each step by one whole forward with all logits."""
    laid = one.layout.lay(Case.of_row(row))
    with torch.no_grad():
        logits = one.reader.model(**one.layout.collate([laid]), use_cache=False).logits
    both = logits[0, laid.positions][:, list(one.layout.label_ids[:2])].softmax(-1)
    found: list[float] = both[:, 0].tolist()
    return found
