"""Union-find against the plain definition: who is reachable over shared names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.together import Together


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3), max_size=8))
def test_the_same_root_means_connected(joins: list[list[str]]) -> None:
    together = Together()
    parts = [{name} for name in "abcdefgh"]
    for names in joins:
        together.join(*names)
        met = [part for part in parts if part & set(names)]
        parts = [part for part in parts if part not in met] + [set().union(*met)]
    for part in parts:
        assert {together.root(name) for name in part} == {together.root(min(part))}
    assert len({together.root(name) for name in "abcdefgh"}) == len(parts)
