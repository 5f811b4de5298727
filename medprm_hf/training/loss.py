"""The losses on step ends, and how their logits are read from a model without building all of them.

logits  (B, S, C)   float32, of the tokens + and - (and =) at the places that decide
mass    (B, S, C)   target probabilities times weights; zeros where unknown
counts  (B, S, 2)   rollouts right, rollouts read
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from medprm_hf.errors import ConfigError


def step_logits(model: Any, inputs: dict[str, Any], positions: Tensor, label_ids: tuple[int, ...]) -> Tensor:
    """Logits of the label tokens at `positions` (B, S), (B, S, C) in float32; places of -1 hold nonsense.

    Only the columns of the sequence where any row of the batch has a place go through the head.
    """
    if getattr(bare(model).config, "model_type", "") == "medprm_two_tower":
        told: Tensor = model(**inputs, positions=positions, label_ids=label_ids).logits
        return told.float()
    places = positions.clamp(min=0)
    if _keeps_logits(model):
        columns, index = torch.unique(places, return_inverse=True)
        logits = model(**inputs, logits_to_keep=columns, use_cache=False).logits
    else:
        logits, index = model(**inputs, use_cache=False).logits, places
    rows = torch.arange(len(positions), device=logits.device)[:, None]
    chosen: Tensor = logits[rows, index][..., list(label_ids)]
    return chosen.float()


def bare(model: Any) -> Any:
    """The model inside whatever accelerate and PEFT have wrapped it in."""
    while hasattr(model, "module"):
        model = model.module
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _keeps_logits(model: Any) -> bool:
    return "logits_to_keep" in inspect.signature(bare(model).forward).parameters


def cross_entropy(logits: Tensor, mass: Tensor) -> Tensor:
    """Sum over steps of -mass · log softmax: hard and soft labels, weighted by class and step."""
    return -(mass * logits.log_softmax(-1)).sum()


def from_evidence(logits: Tensor, evidence: Tensor, scale: Tensor, trust: float = 1.0) -> Tensor:
    """Cross-entropy towards what the model believes after it has seen the evidence (one step of EM).

    Without balance its gradient is that of -log(P L+ + (1 - P) L-), the likelihood of the signals themselves. Balance
    has moved the logits by log(scale of + / scale of -): the belief is taken before that. `trust`, 0..1, is how much
    the model's belief counts: a young model knows little more than the prior, which drowns rare errors, so training
    begins with the evidence alone.
    """
    if logits.shape[-1] != 2:
        raise ConfigError("loss: evidence needs labels + and - alone: use labels: final")
    moved = (scale[..., 0].clamp(min=1e-9) / scale[..., 1].clamp(min=1e-9)).log()
    right = trust * ((logits[..., 0] - logits[..., 1]).detach() - moved) + evidence
    belief = torch.stack([right.sigmoid(), (-right).sigmoid()], -1)
    return cross_entropy(logits, belief * scale)


def beta_binomial(logits: Tensor, counts: Tensor, scale: Tensor, concentration: float) -> Tensor:
    """Sum over steps of the negative log-likelihood of k of n, P ~ Beta(p c, (1 - p) c), p the model's P(+).

    It trusts 8 of 8 more than 1 of 1, and forgives rollouts of one prefix that fall alike.
    """
    if logits.shape[-1] != 2:
        raise ConfigError("loss: counts needs labels + and - alone: use labels: final or rollouts")
    p = (logits[..., 0] - logits[..., 1]).sigmoid().clamp(1e-6, 1 - 1e-6)
    right, read = counts[..., 0].to(p), counts[..., 1].to(p)
    a, b = p * concentration, (1 - p) * concentration
    likelihood = _log_beta(right + a, read - right + b) - _log_beta(a, b)
    share = right / read.clamp(min=1)
    weights = share * scale[..., 0] + (1 - share) * scale[..., 1]
    # Divided by the rollouts read, so that a step counts as one step, however often it was sampled.
    return -(likelihood / read.clamp(min=1) * weights).sum()


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
