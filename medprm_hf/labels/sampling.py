"""A stratified sample of solutions, drawn by their names: the same in every process, the same when redone.

Each solution has a draw in [0, 1) that depends on its name alone; each stratum takes its smallest draws. How many a
stratum takes is its proportional share, rounded up or down at random so that every solution has the same chance
(systematic rounding of cumulated shares): figures of the sample are unbiased without weights.

>>> cutoffs({"ct": [0.1, 0.7, 0.4, 0.9], "mr": [0.3, 0.8]}, count=3, seed=0)
{'ct': 0.4, 'mr': 0.3}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor

from medprm_hf.ids import Part, stable_seed, uniforms


def draw_of(*name: Part) -> float:
    """The draw of a name, in [0, 1)."""
    return stable_seed(*name) / 2**63


def cutoffs(draws: Mapping[str, Sequence[float]], count: int, seed: int) -> dict[str, float]:
    """The largest draw that each stratum takes, so that `count` are taken in all (-1: none of this stratum)."""
    everyone = sum(map(len, draws.values()))
    wanted = min(count, everyone)
    start, done = float(uniforms(stable_seed(seed, "strata"), 1)[0]), 0
    cumulated = 0.0
    found: dict[str, float] = {}
    for stratum in sorted(draws):
        cumulated += wanted * len(draws[stratum]) / everyone if everyone else 0.0
        upto = wanted if stratum == max(draws) else floor(cumulated + start)
        take = min(max(upto - done, 0), len(draws[stratum]))
        done += take
        found[stratum] = sorted(draws[stratum])[take - 1] if take else -1.0
    return found
