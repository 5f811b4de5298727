"""Losses against hand-written ones; step logits against the model's full logits."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from medprm_hf.errors import ConfigError
from medprm_hf.training.loss import beta_binomial, cross_entropy, from_evidence, step_logits


def test_cross_entropy_is_two_way() -> None:
    logits = torch.tensor([[[2.0, 0.0], [0.5, 1.5]]])
    mass = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    d = logits[..., 0] - logits[..., 1]
    expected = -functional.logsigmoid(d[0, 0]) - 3 * functional.logsigmoid(-d[0, 1])
    assert cross_entropy(logits, mass).item() == pytest.approx(expected.item())


def test_masked_steps_have_no_gradient() -> None:
    logits = torch.randn(1, 3, 2, requires_grad=True)
    scale = torch.tensor([[[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]])
    for loss in (
        cross_entropy(logits, torch.tensor([[[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]])),
        from_evidence(logits, torch.tensor([[1.0, 0.0, -1.0]]), scale),
        beta_binomial(logits, torch.tensor([[[3, 4], [0, 0], [0, 8]]]), scale, 8.0),
    ):
        (grad,) = torch.autograd.grad(loss, logits)
        assert grad[0, 1].abs().sum() == 0 and torch.isfinite(grad).all() and grad.abs().sum() > 0


@pytest.mark.parametrize("concentration", [1e6])
def test_beta_binomial_is_binomial_when_concentrated(concentration: float) -> None:
    logits = torch.tensor([[[1.0, 0.0]]], requires_grad=True)
    loss = beta_binomial(logits, torch.tensor([[[3, 4]]]), torch.ones(1, 1, 2), concentration)
    (grad,) = torch.autograd.grad(loss, logits)
    p = torch.sigmoid(torch.tensor(1.0))
    assert grad[0, 0, 0].item() == pytest.approx((p - 0.75).item(), abs=0.02)


def test_evidence_gradient_is_that_of_the_signals_likelihood() -> None:
    logits = torch.tensor([[[0.3, -0.4]]], dtype=torch.float64, requires_grad=True)
    evidence = torch.tensor([[1.2]], dtype=torch.float64)
    (ours,) = torch.autograd.grad(from_evidence(logits, evidence, torch.ones(1, 1, 2, dtype=torch.float64)), logits)
    p = (logits[..., 0] - logits[..., 1]).sigmoid()
    (theirs,) = torch.autograd.grad(-(p * evidence.exp() + 1 - p).log().sum(), logits)
    torch.testing.assert_close(ours, theirs)


def test_advantage_labels_fit_cross_entropy_alone() -> None:
    three = torch.zeros(1, 1, 3)
    with pytest.raises(ConfigError, match="counts needs labels"):
        beta_binomial(three, torch.zeros(1, 1, 2), three, 8.0)
    with pytest.raises(ConfigError, match="evidence needs labels"):
        from_evidence(three, torch.zeros(1, 1), three)


def test_step_logits_are_those_of_the_whole_sequence() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    model = LlamaForCausalLM(config).eval()
    ids = torch.randint(0, 50, (2, 9))
    positions = torch.tensor([[2, 7], [4, -1]])
    found = step_logits(model, {"input_ids": ids}, positions, (3, 5))
    whole = model(input_ids=ids).logits
    torch.testing.assert_close(found[0], whole[0, [2, 7]][:, [3, 5]])
    torch.testing.assert_close(found[1, 0], whole[1, 4, [3, 5]])
    assert found.dtype == torch.float32
