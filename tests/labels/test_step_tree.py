"""Solutions as a tree, and beliefs on it: compared with every assignment of hidden states, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprm_hf.labels.step_tree import LAST, plant
from medprm_hf.labels.tree_inference import ASTRAY_IN, STATES, believe

CHAINS = [["one", "solid", "B"], ["one", " solid ", "C"], ["one", "calcified", "A"], ["one"]]


def test_equal_beginnings_are_one_node() -> None:
    tree = plant(["q", "q", "q", "other"], CHAINS)
    assert tree.node_of == [[0, 1, 2], [0, 1, 3], [0, 4, 5], [6]]
    assert tree.copies.tolist() == [3, 2, 1, 1, 1, 1, 1]
    assert tree.siblings.tolist() == [3] * 6 + [1]
    assert tree.place.tolist() == [0, 1, LAST, LAST, 1, LAST, LAST]
    assert tree.share.tolist() == [4, 3, 1, 1, 1, 1, 0]


def test_nothing_planted() -> None:
    assert plant([], []).size == 0 and plant(["q"], [[]]).node_of == [[]]
    assert believe(plant([], []), np.ones((0, 2, STATES)), np.ones((0, STATES))).right.shape == (0,)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=3), min_size=1, max_size=2), st.integers(0, 99))
def test_beliefs_are_exact(chains: list[list[str]], seed: int) -> None:
    tree = plant(["q"] * len(chains), chains)
    rng = np.random.default_rng(seed)
    step, evidence = rng.dirichlet(np.ones(STATES), (tree.size, 2)), rng.random((tree.size, STATES))
    found = believe(tree, step, evidence)
    mass = np.zeros((tree.size, STATES))
    for states in itertools.product(range(STATES), repeat=tree.size):
        before = [0 if p < 0 else ASTRAY_IN[states[p]] for p in tree.parent]
        weight = np.prod([step[v, before[v], s] * evidence[v, s] for v, s in enumerate(states)])
        mass[range(tree.size), states] += weight
    assert found.states == pytest.approx(mass / mass.sum(1, keepdims=True), abs=1e-9)
    assert found.log_likelihood == pytest.approx(np.log(mass[0].sum()))
