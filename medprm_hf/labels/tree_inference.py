"""Exact inference on a tree of steps: two hidden things a step, and messages up and down.

Each node hides whether its *step is right*, and whether the *chain so far leads astray*: an error that does not
change the answer leaves the chain on its way, and a right step after an error is right though the chain is lost.
Rollouts see only the second, a judge only the first (so a judge finds what rollouts are blind to, and the other
way round). Belief propagation (Pearl 1988, chapter 4) is exact on a tree, and with one solution a question it is
the forward-backward algorithm of a hidden Markov chain.

    state   step    chain
    0       right   on its way
    1       right   astray
    2       wrong   on its way     (an error that rollouts cannot see)
    3       wrong   astray
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medprm_hf.labels.step_tree import StepTree

Floats = NDArray[np.float64]
WRONG_IN = np.array([0, 0, 1, 1])
"""Whether the step is wrong, by state."""
ASTRAY_IN = np.array([0, 1, 0, 1])
"""Whether the chain is astray, by state."""
STATES = len(WRONG_IN)
_TINY = 1e-300


class Beliefs(NamedTuple):
    """What is believed of each node when everything has been heard."""

    joint: Floats
    """P(chain before, state), (nodes, 2, STATES): 0 on its way, 1 astray."""
    log_likelihood: float
    """Of all the evidence."""

    @property
    def states(self) -> Floats:
        """P(state), (nodes, STATES)."""
        return np.asarray(self.joint.sum(1))

    @property
    def right(self) -> Floats:
        """P(the step is right), (nodes,)."""
        return np.asarray(self.joint[:, :, :2].sum((1, 2)))


def believe(tree: StepTree, step: Floats, evidence: Floats) -> Beliefs:
    """Beliefs from the step probabilities P(state | chain before), (nodes, 2, STATES), and the likelihood of what was
    seen at each node, (nodes, STATES)."""
    up, inside = np.ones((tree.size, 2)), np.zeros((tree.size, 2))
    levels, total = tree.levels, 0.0
    for level in reversed(levels):
        heard = evidence[level] * np.exp(inside[level])[:, ASTRAY_IN]
        message = np.einsum("vps,vs->vp", step[level], heard)
        scale = np.maximum(message.max(1, keepdims=True), _TINY)
        up[level] = np.maximum(message / scale, _TINY)
        total += float(np.log(scale).sum())
        below = level[tree.parent[level] >= 0]
        np.add.at(inside, tree.parent[below], np.log(up[below]))
    joint = np.zeros((tree.size, 2, STATES))
    for level in levels:
        first = tree.parent[level] < 0
        before = np.zeros((len(level), 2))
        before[first, 0] = 1.0
        total += float(np.log(up[level[first], 0]).sum())
        rest = level[~first]
        chain = joint[tree.parent[rest]].sum(1)
        before[~first] = np.stack([chain[:, ASTRAY_IN == a].sum(1) for a in (0, 1)], 1) / up[rest]
        both = before[:, :, None] * step[level] * (evidence[level] * np.exp(inside[level])[:, ASTRAY_IN])[:, None]
        joint[level] = both / np.maximum(both.sum((1, 2), keepdims=True), _TINY)
    return Beliefs(joint, total)
