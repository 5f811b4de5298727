"""What `medprm phantom sample|train|card` do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast, get_args

from medprm_hf.errors import ConfigError
from medprm_hf.phantom.oracle import true_steps
from medprm_hf.phantom.questions import question_rows
from medprm_hf.phantom.world import Split, scene_of
from medprm_hf.registry import near

CHECKPOINTS = ("base", "policy", "prm")


def sample(out: Path, n: int = 12, split: str = "test", seed: int = 0) -> int:
    """Writes n images and `questions.jsonl` (question columns and the true steps) to a folder; gives n."""
    if split not in get_args(Split):
        raise ConfigError(f"unknown split {split!r}{near(split, get_args(Split))}")
    out.mkdir(parents=True, exist_ok=True)
    with (out / "questions.jsonl").open("w", encoding="utf-8") as lines:
        for row in question_rows(cast(Split, split), n, seed):
            image = out / f"{row['question_id']}.png"
            image.write_bytes(row["image"]["bytes"])
            truth = true_steps(scene_of(row["question_id"]))
            lines.write(json.dumps({**row, "image": image.name, "true_steps": truth}, ensure_ascii=False) + "\n")
    return n


def train(out: Path, seed: int = 0) -> None:
    """Trains base and policy from scratch into two folders, and writes the card of each from fresh figures."""
    from medprm_hf.phantom.card import write_card
    from medprm_hf.phantom.figures import measure
    from medprm_hf.phantom.train import train_base, train_policy

    base = train_base(out / "base", seed=seed)
    policy = train_policy(out / "policy", base=base, seed=seed)
    for name, path in (("base", base), ("policy", policy)):
        write_card(name, path, measure(name, path, seed=seed), seed)


def card(name: str) -> str:
    """The model card of a shipped checkpoint."""
    from medprm_hf.phantom.model import checkpoint

    if name not in CHECKPOINTS:
        raise ConfigError(f"no checkpoint is called {name!r}{near(name, CHECKPOINTS)}")
    return (checkpoint(name) / "README.md").read_text(encoding="utf-8")  # type: ignore[arg-type]
