"""The README of a shipped checkpoint: how it was made and what it scores, written from measured figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medprm_hf.phantom.chains import HABITS, RECOVERY, RULE_HABITS, SLIP
from medprm_hf.phantom.figures import Figure

_ABOUT = {
    "base": "It perceives well and reasons rightly: trained from random weights on true solutions.",
    "policy": "It errs the way language models do: the base, tuned on solutions with systematic errors.",
}

_CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
tags: [phantom, simulated, process-reward-model]
---
# medprm-hf phantom {name}

A tiny Qwen2.5-VL (1.9 million parameters, bfloat16) that answers one question about procedural 64x64 images:
which follow-up does the guideline ask for?
{about}

**A simulated world, not for clinical use.** It has never seen a medical image. It exists so that the whole
pipeline of medprm-hf can run on real models where the truth of every step is known.

## How it was made
`medprm phantom train`: {steps} steps of {batch} fresh scenes ({samples:,} in all{after}), seed {seed},
{processes} processes on one core each, {minutes:.0f} minutes. Muon (learning rate {muon_rate}) on matrices,
AdamW ({adam_rate}) on the rest.
{habits}
## What it scores
On {n} unseen scenes of the test split (both looks, all difficulties), {how};
95 % bootstrap intervals over scenes, seed {figure_seed}.

| figure | value | interval |
|---|---|---|
{rows}
"""


def write_card(name: str, path: Path, figures: dict[str, Figure], seed: int = 0) -> Path:
    """Write README.md into a checkpoint directory, from its training note and these figures."""
    note: dict[str, Any] = json.loads((path / "training.json").read_text())
    rows = [f"| {key} | {f.value:.3f} | {f.low:.3f} to {f.high:.3f} |" for key, f in figures.items()]
    card = _CARD.format(
        **note | {"name": name},
        about=_ABOUT[name],
        samples=note["steps"] * note["batch"],
        minutes=note["seconds"] / 60,
        after=", after the base" if name == "policy" else "",
        habits=_habits() if name == "policy" else "",
        n=next(iter(figures.values())).n,
        how="8 solutions each at temperature 0.8, top_p 1" if name == "policy" else "greedy",
        figure_seed=seed,
        rows="\n".join(rows),
    )
    file = path / "README.md"
    file.write_text(card)
    return file


def _habits() -> str:
    """The errors that were injected."""
    lines = [f"- {habit.name} ({habit.kind}, probability {habit.chance})" for habit in HABITS]
    for rule in RULE_HABITS:
        number = "several" if rule.several else "single"
        where = f"{number} {rule.kind} {rule.size}"
        lines.append(f"- {where} remembered as {rule.advice} (rule, probability {rule.chance})")
    tail = f"Beside them random slips (probability {SLIP} a step); {RECOVERY:.0%} recover at the rule."
    return "\nInjected habits, wherever their trigger holds:\n\n" + "\n".join(lines) + f"\n\n{tail}\n"
