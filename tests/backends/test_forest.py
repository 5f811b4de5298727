"""Token trees and how they are cut into batches and waves."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.backends.inside.forest import Batch, Forest, batches

CHAINS = st.lists(
    st.tuples(st.integers(0, 3), st.lists(st.integers(0, 4), min_size=1, max_size=9)), min_size=1, max_size=12
)


def grown(chains: list[tuple[int, list[int]]]) -> Forest:
    forest = Forest(4, vocabulary=5, capacity=2)
    for tree, tokens in chains:
        forest.insert(tree, tokens)
    return forest


def in_order(forest: Forest) -> list[int]:
    return sorted(range(len(forest)), key=lambda node: (forest.tree[node], node))


@given(CHAINS)
def test_every_chain_is_there_once_and_sees_its_own_path(chains: list[tuple[int, list[int]]]) -> None:
    forest = grown(chains)
    distinct = {(tree, tuple(tokens[:end])) for tree, tokens in chains for end in range(1, len(tokens) + 1)}
    assert len(forest) == len(distinct) == sum(forest.used)
    for tree, tokens in chains:
        node = forest.insert(tree, tokens)
        seen = np.flatnonzero(forest.sees[tree, forest.slot[node]])
        by_slot = {forest.slot[n]: forest.token[n] for n in range(len(forest)) if forest.tree[n] == tree}
        assert [by_slot[int(slot)] for slot in seen] == tokens  # parents have lower slots
        assert forest.depth[node] == len(tokens) - 1


@given(CHAINS, st.integers(1, 200))
def test_batches_hold_every_node_once_parents_before_children(chains: list[tuple[int, list[int]]], most: int) -> None:
    forest = grown(chains)
    nodes = in_order(forest)
    found = batches(forest, nodes, most)
    assert [node for batch in found for node in batch.nodes] == nodes
    for batch in found:
        assert batch.trees * batch.rows * batch.slots <= most or len(batch.nodes) == 1
        places = set(zip(batch.local.tolist(), batch.row.tolist(), strict=True))
        assert len(places) == len(batch.nodes)


def test_padding_sees_one_slot_and_others_their_path() -> None:
    forest = grown([(0, [1, 2, 3]), (1, [4])])
    batch = Batch(forest, in_order(forest))
    assert (batch.trees, batch.rows, batch.slots) == (2, 3, 3)
    assert batch.sees[0].tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert batch.sees[1].tolist() == [[True, False, False]] * 3
