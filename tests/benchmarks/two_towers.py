"""Two towers on the phantom world: does a frozen text PRM that is shown images find more than it finds alone?

    python tests/benchmarks/two_towers.py --json       about half an hour on one core

A random text model is trained on the hybrid's labels (`prm_labels.py`) without images: it learns which solutions look
wrong. Then an image tower (a small open_clip ViT, taught to name what scenes show as BiomedCLIP has learnt from
captions) and the fusion are trained beside it, the text tower frozen. Both are measured on other questions against the
truth; `max_abs_change` is what the towers change where no image is given.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
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

TOWER: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "patch_size": 8, "width": 128, "layers": 4, "head_width": 32},
}
MEAN, STD = [0.35] * 3, [0.25] * 3
LAYOUT: dict[str, Any] = {
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


def image_model(folder: Path, steps: int) -> str:
    """An open_clip model in the form of a local checkpoint, its image tower taught to name what fresh scenes show.

    It stands for BiomedCLIP, which has seen medical images and their captions; the scenes are used for nothing else.
    """
    if (folder / "open_clip_config.json").is_file():
        return f"local-dir:{folder}"
    import open_clip
    from torch.nn import functional

    from medprm_hf.phantom.render import NOISE_SD, clean
    from medprm_hf.phantom.world import KINDS, SIDES, SIZE_CLASSES, ZONES, scene_of

    torch.manual_seed(0)
    text = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
    model = open_clip.CLIP(embed_dim=TOWER["embed_dim"], vision_cfg=TOWER["vision_cfg"], text_cfg=text)
    sizes = (3, len(KINDS), len(SIDES), len(ZONES), len(SIZE_CLASSES))
    heads = torch.nn.Linear(TOWER["embed_dim"], sum(sizes))
    learnt = [*model.visual.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(learnt, lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, steps)
    rng = np.random.default_rng(0)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    for step in range(steps):
        scenes = [scene_of(f"phantom-train-s77-{step * 64 + i:06d}") for i in range(64)]
        planes = np.stack([clean(scene) for scene in scenes])
        planes = (planes + rng.normal(0, NOISE_SD, planes.shape)).clip(0, 1).astype(np.float32)
        wanted = torch.tensor([
            [s.count - 1, KINDS.index(s.kind), SIDES.index(s.largest.side), ZONES.index(s.largest.zone),
             SIZE_CLASSES.index(s.size)] for s in scenes
        ])  # fmt: skip
        with torch.autocast("cpu", torch.bfloat16):
            said = heads(model.visual((torch.from_numpy(planes)[:, None].expand(-1, 3, -1, -1) - mean) / std))
        parts = said.float().split(sizes, 1)
        loss = sum(functional.cross_entropy(part, wanted[:, i]) for i, part in enumerate(parts))
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 99:
            hits = [(part.argmax(1) == wanted[:, i]).float().mean().item() for i, part in enumerate(parts)]
            print(f"image tower {step + 1}/{steps} {loss:.3f} {[round(hit, 2) for hit in hits]}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    config = {"embed_dim": TOWER["embed_dim"], "vision_cfg": TOWER["vision_cfg"], "text_cfg": text}
    look = {"mean": MEAN, "std": STD}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": look}))
    return f"local-dir:{folder}"


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
        with redirect_stdout(sys.stderr):  # the trainer prints its log
            train(spec, rows, text, say=lambda line: print(line, file=sys.stderr))
    if not (towers / "medprm.json").is_file():
        tower = image_model(cache / "image-tower", given.image_steps)
        sight = {"image_model": tower, "image_lr": given.rate / 10, "fusion_lr": given.rate}
        spec = TrainSpec(form="two_towers", model=str(text), towers=sight, epochs=given.epochs, lr=given.rate, **own)
        with redirect_stdout(sys.stderr):  # the trainer prints its log
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
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--image-steps", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--cache", default="runs/prm_quality")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args()
    for figure in run(given):
        print(json.dumps(figure) if given.json else f"{figure['case']:12} {figure['metric']:16} {figure['value']:.4f} "
              f"{figure['interval'] or ''}")  # fmt: skip


if __name__ == "__main__":
    main()
