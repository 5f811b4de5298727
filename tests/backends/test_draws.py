"""Draws: uniform, independent, and the inverse CDF that turns them into tokens."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.backends.inside.draws import cumulated, uniforms_of


def test_known_values_of_splitmix64() -> None:
    # Output 1, 2, 3 for seed 1234567, as listed with the reference implementation.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    found = uniforms_of(np.array([1234567], dtype=np.uint64), 0, 3)[0]
    assert np.array_equal(found, [(value >> 11) * 2.0**-53 for value in expected])


@given(st.integers(0, 2**63 - 1), st.integers(0, 500), st.integers(1, 50))
def test_a_block_is_a_part_of_the_whole(seed: int, first: int, count: int) -> None:
    seeds = np.array([seed, 7], dtype=np.uint64)
    whole = uniforms_of(seeds, 0, first + count)
    assert np.array_equal(uniforms_of(seeds, first, count), whole[:, first:])
    assert (whole >= 0).all() and (whole < 1).all()


def test_uniform_over_seeds_and_over_steps() -> None:
    draws = uniforms_of(np.arange(2000, dtype=np.uint64), 0, 64)
    for axis in (0, 1):
        assert np.abs(draws.mean(axis) - 0.5).max() < 5 * np.sqrt(1 / 12 / draws.shape[axis])
    assert np.abs(np.corrcoef(draws[:, :16].T) - np.eye(16)).max() < 0.12
    counts = np.histogram(draws, bins=64, range=(0, 1))[0]
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 120  # chi-square, 63 degrees: p ~ 1e-5


def test_cumulated_is_the_cdf_of_the_softmax() -> None:
    logits = torch.tensor([[0.0, 1.0, -torch.inf, 3.0]])
    found = cumulated(logits, 0.5, 1.0)[0]
    expected = torch.softmax(logits[0].double() / 0.5, -1).cumsum(-1)
    assert torch.allclose(found, expected, atol=1e-7) and found[-1] == 1.0


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.5, 0.15, 0.25]]))
    cases = {0.5: [0, 1, 0, 0], 0.6: [0, 2 / 3, 0, 1 / 3], 0.76: [0, 5 / 9, 1.5 / 9, 2.5 / 9], 1e-9: [0, 1, 0, 0]}
    for top_p, expected in cases.items():
        steps = torch.diff(cumulated(logits, 1.0, top_p)[0], prepend=torch.zeros(1, dtype=torch.float64))
        assert torch.allclose(steps, torch.tensor(expected, dtype=torch.float64), atol=1e-6), top_p
