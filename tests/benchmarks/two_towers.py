"""Two towers on the phantom world: does a frozen text PRM that is shown images find more than it finds alone?

    python tests/benchmarks/two_towers.py --json       about half an hour on one core

A random text model is trained on the hybrid's labels (`prm_labels.py`) without images: it learns which solutions look
wrong. Then an image tower (a random open_clip ViT) and the fusion are trained beside it, the text tower frozen. Both
are measured on other questions against the truth; `max_abs_change` is what the towers change where no image is given.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).parents[2]))
from medprm_hf.labels.agreement import bootstrap, bootstrap_difference, macro_f1  # noqa: E402
from medprm_hf.phantom.model import build_tokenizer  # noqa: E402
from medprm_hf.scoring.layout import Layout  # noqa: E402
from medprm_hf.scoring.settings import load_settings  # noqa: E402
from medprm_hf.specs_train import TrainSpec  # noqa: E402
from medprm_hf.training.calibrate import logits_of  # noqa: E402
from medprm_hf.training.data import Batcher, Survey, examples_of  # noqa: E402
from medprm_hf.training.models import load_model, load_processor  # noqa: E402
from medprm_hf.training.run import train  # noqa: E402
from medprm_hf.training.towers import TowerBatcher  # noqa: E402
from tests.benchmarks.prm_labels import Row, labelled, table, truth_of  # noqa: E402

TOWER = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "patch_size": 8, "width": 128, "layers": 4, "head_width": 32},
}
LAYOUT = {
    "system": "",
    "template": "plain",
    "question_head": "",
    "process_head": "",
    "numbered": False,
    "marker": "\n\n",
}
SAID = {"disable_tqdm": True, "logging_steps": 200, "bf16": True, "save_strategy": "no"}


def text_model(folder: Path) -> Path:
    """A random text model with the phantom world's tokenizer."""
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=256, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def scores(model: Any, batcher: Batcher, folder: Path, rows: list[Row]) -> list[list[float]]:
    """P(right) of each step."""
    settings = load_settings(folder)
    examples = examples_of([{**row, "judge_labels": ["+"] * len(row["steps"])} for row in rows],
                           TrainSpec(form="marker", labels="judge"), Survey())  # fmt: skip
    logits = logits_of(model, batcher, examples, batch=32)
    return [settings.scores((one[:, 0] - one[:, 1]).tolist()) for one in logits]


def run(given: argparse.Namespace) -> list[dict[str, Any]]:
    """All figures."""
    torch.set_num_threads(1)
    cache = Path(given.cache)
    rows = [
        row
        for seed in given.seeds
        for row in labelled("hybrid", table("train", given.training, 4, seed, True, cache), seed)
    ]
    text, towers = cache / "text-prm", cache / "two-towers"
    own: dict[str, Any] = {"loss": "soft", "batch": 16, "accumulate": 1, "trainer": SAID}
    if not (text / "medprm.json").is_file():
        base = text_model(cache / "text-base")
        spec = TrainSpec(form="marker", model=str(base), layout=LAYOUT, epochs=2, lr=1e-3, **own)
        train(spec, rows, text, say=lambda line: print(line, file=sys.stderr))
    if not (towers / "medprm.json").is_file():
        sight = {"image_model": TOWER, "image_lr": given.rate, "fusion_lr": given.rate}
        spec = TrainSpec(form="two_towers", model=str(text), towers=sight, epochs=given.epochs, lr=given.rate, **own)
        train(spec, rows, towers, say=lambda line: print(line, file=sys.stderr))
    return measure(text, towers, table("test", given.questions, 8, 0, False, cache))


def measure(text: Path, towers: Path, rows: list[Row]) -> list[dict[str, Any]]:
    """Macro-F1 of both, their difference, and what the towers change without images."""
    truth = [["+" if step.right else "-" for step in truth_of(row)] for row in rows]
    groups = [row["question_id"] for row in rows]
    layout = Layout.open(load_processor(str(text)), load_settings(text).layout)
    model = AutoModel.from_pretrained(towers).eval()
    blind = [{**row, "image": None} for row in rows[:200]]
    alone = scores(load_model(str(text)), Batcher(layout), text, rows)
    seeing = scores(model, TowerBatcher(layout, model), towers, rows)
    settings = load_settings(text)
    examples = examples_of([{**row, "judge_labels": ["+"] * len(row["steps"])} for row in blind],
                           TrainSpec(form="marker", labels="judge"), Survey())  # fmt: skip
    pairs = zip(
        logits_of(load_model(str(text)), Batcher(layout), examples),
        logits_of(model, TowerBatcher(layout, model), examples),
        strict=True,
    )
    change = max(float(np.abs(x - y).max()) for x, y in pairs)
    said = [
        [["+" if p > line else "-" for p in row] for row in found]
        for found, line in ((alone, settings.threshold), (seeing, load_settings(towers).threshold))
    ]
    figures = [
        ("text_prm", "macro_f1", macro_f1(said[0], truth).macro_f1, bootstrap(said[0], truth, groups), None),
        ("two_towers", "macro_f1", macro_f1(said[1], truth).macro_f1, bootstrap(said[1], truth, groups), None),
        ("two_towers", "max_abs_change", change, None, change <= 1e-6),
    ]
    gained = bootstrap_difference(said[1], said[0], truth, groups)
    assert gained is not None
    difference = (figures[1][2] or 0) - (figures[0][2] or 0)
    figures.append(("two_towers", "over_text_prm", difference, gained, gained[0] > 0))
    return [
        {"case": case, "metric": metric, "value": round(value or 0, 6), "unit": "0..1", "goal": 0 if holds is not None
         else None, "holds": holds, "interval": spread}
        for case, metric, value, spread, holds in figures
    ]  # fmt: skip


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--training", type=int, default=1200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=float, default=6.0)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--cache", default="runs/prm_quality")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args()
    for figure in run(given):
        print(json.dumps(figure) if given.json else f"{figure['case']:12} {figure['metric']:16} {figure['value']:.4f} "
              f"{figure['interval'] or ''}")  # fmt: skip


if __name__ == "__main__":
    main()
