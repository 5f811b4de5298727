"""After training: temperature and threshold from the development part, and what the model scores there.

The labels of that part are those that training used (merged, never the phantom world's truth), so the figures say how
well the model follows its labels; `medprm eval` says how well it does on data with a truth of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from medprm_hf.labels.agreement import macro_f1
from medprm_hf.labels.scaling import best_threshold, fit_temperature, fit_temperature_to_evidence
from medprm_hf.scoring.settings import PRMSettings
from medprm_hf.training.data import Batcher, Example
from medprm_hf.training.loss import step_logits
from medprm_hf.training.targets import Balance

MIN_STEPS = 50
"""With fewer labelled steps than this nothing is fitted."""


def logits_of(model: Any, batcher: Batcher, examples: Sequence[Example], batch: int = 16) -> list[np.ndarray[Any, Any]]:
    """Logits of the label tokens of each example's kept steps, (kept, C), float32."""
    import torch

    device = next(model.parameters()).device
    model.eval()
    found: list[np.ndarray[Any, Any]] = []
    with torch.no_grad():
        for part in _parts(examples, batch):
            laid, made = batcher.inputs(part)
            inputs = {name: value.to(device) for name, value in made.items()}
            steps = max(len(one.positions) for one in laid)
            places = [[*one.positions, *([-1] * (steps - len(one.positions)))] for one in laid]
            logits = (
                step_logits(model, inputs, torch.tensor(places, device=device), batcher.layout.label_ids).cpu().numpy()
            )
            found += [logits[row, : len(one.positions)] for row, one in enumerate(laid)]
    return found


def _parts(examples: Sequence[Example], size: int) -> Iterator[Sequence[Example]]:
    for start in range(0, len(examples), size):
        yield examples[start : start + size]


def calibrated(
    settings: PRMSettings,
    logits: Sequence[np.ndarray[Any, Any]],
    examples: Sequence[Example],
    balance: Balance | None = None,
) -> tuple[PRMSettings, dict[str, Any]]:
    """The settings with temperature and threshold fitted, and figures on the same development part.

    `balance` where labels are probabilities: they count as evidence then. With too few labelled steps, or one class,
    the settings stay as they are, and the figures say so.
    """
    differences = [one[:, 0] - one[:, 1] for one in logits]
    known = [example.targets.known[: len(one)] for example, one in zip(examples, logits, strict=True)]
    plain = replace(settings, temperature=1.0, threshold=0.5)
    shifted = [_logit(np.array(plain.scores(one.tolist()))) for one in differences]
    right = [example.targets.probs[: len(one), 0] for example, one in zip(examples, logits, strict=True)]
    ratios = [
        np.zeros(len(one)) if balance is None else balance.evidence(example.targets)[: len(one)]
        for example, one in zip(examples, logits, strict=True)
    ]
    x, y, said = (
        np.concatenate([one[has] for one, has in zip(values, known, strict=True)])
        for values in (shifted, right, ratios)
    )
    figures: dict[str, Any] = {"development_solutions": len(examples), "development_steps": len(x)}
    if len(x) < MIN_STEPS or (y > 0.5).all() or not (y > 0.5).any():
        return settings, {**figures, "fitted": False}
    temperature = fit_temperature(x, y) if balance is None else fit_temperature_to_evidence(x, said)
    # Where labels are evidence: what model and signals say together.
    belief = y if balance is None else 1 / (1 + np.exp(-(x / temperature + said)))
    scores = 1 / (1 + np.exp(-x / temperature))
    threshold = best_threshold(scores, belief)
    fitted = replace(settings, temperature=round(temperature, 4), threshold=round(threshold, 4))
    labels = np.where(scores > threshold, "+", "-").tolist()
    agreement = macro_f1([labels], [np.where(y > 0.5, "+", "-").tolist()]).macro_f1
    return fitted, {**figures, "fitted": True, "macro_f1_with_labels": agreement}


def _logit(p: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(p / (1 - p)))
