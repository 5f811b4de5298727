"""The README of a trained PRM: how it was made, how to score with it, what it was measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medprm_hf.scoring.settings import PRMSettings

_CARD = """\
---
library_name: transformers
base_model: {base}
tags: [process-reward-model, medprm-hf{simulated}]
---
# {name}

A process reward model in the {form} form, trained by medprm-hf from {base}. **Research software, not for clinical
use.**{note}

## Use
```python
from medprm_hf import Scorer
Scorer("{name}").score(question, image, steps)   # P(step is right), one a step
```
Its form, tokens, temperature ({temperature:g}) and threshold ({threshold:g}) stand in `medprm.json`.

## Training
{survey}

Labels: {labels}; loss: {loss}; balance: {balance}; seed {seed}; {seconds:.0f} seconds. All settings: `train.json`.

## Development part
{figures}
"""
_SIMULATED = """
It was trained on the **simulated** phantom world and has never seen a medical image."""


def write_card(out: Path, settings: PRMSettings, report: dict[str, Any]) -> None:
    """Writes README.md into a trained checkpoint's folder."""
    facts = settings.trained_on
    layout = settings.layout
    card = _CARD.format(
        name=out.name,
        base=settings.base,
        form=layout.form,
        simulated=", simulated" if facts["simulated"] else "",
        note=_SIMULATED if facts["simulated"] else "",
        temperature=settings.temperature,
        threshold=settings.threshold,
        survey="\n".join(f"- {line}" for line in report["survey"]),
        seconds=report["seconds"],
        figures=_figures(report["figures"]),
        **{name: facts[name] for name in ("labels", "loss", "balance", "seed")},
    )
    (out / "README.md").write_text(card, encoding="utf-8")


def _figures(figures: dict[str, Any]) -> str:
    if not figures["fitted"]:
        return "Too little data was held back to fit temperature and threshold: both are the defaults."
    return (
        f"{figures['development_solutions']} solutions ({figures['development_steps']} labelled steps) of other "
        f"questions and images. Agreement with *their training labels* (not with a truth): macro-F1 "
        f"{figures['macro_f1_with_labels']:.3f}, on the part that temperature and threshold were fitted on."
    )
