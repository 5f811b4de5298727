"""What an expert should look at first: expected label errors mended per minute of expert time.

    gain(step)    = copies of the step x max(0, P(its label is wrong) - P(an expert errs)); a label of ? counts 1/2
    minutes       = opening a solution (image, question, steps before) once, then each step
    priority      = gain per minute of the steps that are asked together

Equal steps after equal steps (`step_tree.py`) are asked once, in the solution where most is to be gained, and the
answer holds for all copies. A step whose label is surer than an expert has priority 0 and is not asked. What an expert
says of one step would change what the label model believes of its neighbours; measured, that changes macro-F1 by less
than 0.0002, so labels of neighbours stay as they are.

    order    priority
    value    as above
    doubt    steps marked `needs_review`, P(right) nearest to 1/2 first
    random   any step, by a draw

>>> asks = queue([Candidate("q", "s0", ["one", "B"], ["+", "-"], [0.6, 0.1], [True, False])], "value")
>>> [(ask.solution, ask.step) for ask in asks]
[(0, 0), (0, 1)]
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from medprm_hf.errors import ConfigError
from medprm_hf.labels.label_signals import EXPERT_ERROR, RIGHT, UNKNOWN
from medprm_hf.labels.sampling import draw_of
from medprm_hf.labels.step_tree import StepTree, plant
from medprm_hf.registry import near

ORDERS = ("value", "doubt", "random")
_TIE = 1e-9  # equal priorities are put in an order of their own, so that a cut falls between any two


@dataclass(frozen=True)
class Candidate:
    """One solution as merge left it; lists are [num_steps]."""

    question: Hashable
    name: str
    """Its id: ties are broken by it."""
    steps: Sequence[str]
    labels: Sequence[str]
    label_p: Sequence[float | None]
    needs_review: Sequence[bool]
    decided: Sequence[bool] = ()
    """Steps on which experts have spoken already; empty for none."""


@dataclass(frozen=True)
class Minutes:
    """Time that an expert takes, in seconds."""

    opening: float = 30.0
    """To open a solution: image, question, steps before."""
    step: float = 15.0
    """For each step asked about."""


class Ask(NamedTuple):
    """One step put to an expert."""

    priority: float
    solution: int
    """Index of the candidate."""
    step: int
    copies: list[tuple[int, int]]
    """(solution, step) of all copies, itself among them."""


def queue(candidates: Sequence[Candidate], order: str, minutes: Minutes | None = None, seed: int = 0) -> list[Ask]:
    """Everything worth asking, most urgent first; ConfigError for an unknown order."""
    if order not in ORDERS:
        raise ConfigError(f"review.order: unknown order {order!r}{near(order, ORDERS)}")
    tree = plant([c.question for c in candidates], [c.steps for c in candidates])
    copies: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for solution, nodes in enumerate(tree.node_of):
        for step, node in enumerate(nodes):
            copies[node].append((solution, step))
    done = {
        node
        for candidate, nodes in zip(candidates, tree.node_of, strict=True)
        for node, decided in zip(nodes, candidate.decided or [False] * len(nodes), strict=True)
        if decided
    }
    open_nodes = {node: found for node, found in copies.items() if node not in done}
    if order == "value":
        asks = _by_value(candidates, tree, open_nodes, minutes or Minutes())
    else:
        priority = _doubt if order == "doubt" else _drawn
        asks = [
            Ask(p, *found[0], found)
            for found in open_nodes.values()
            if (p := max(priority(candidates[s], i, seed) for s, i in found)) > 0
        ]
    tied = [
        ask._replace(priority=ask.priority * (1 + _TIE * _draw(candidates[ask.solution], ask.step))) for ask in asks
    ]
    return sorted(tied, reverse=True)


def _draw(candidate: Candidate, step: int, seed: int = 0) -> float:
    return draw_of(seed, "review", candidate.name, step)


def _doubt(candidate: Candidate, step: int, seed: int) -> float:
    p = candidate.label_p[step]
    return 0.0 if not candidate.needs_review[step] else 1 - abs((0.5 if p is None else p) - 0.5)


def _drawn(candidate: Candidate, step: int, seed: int) -> float:
    return _draw(candidate, step, seed) + _TIE


def gain(candidate: Candidate, step: int) -> float:
    """Label errors that an expert's word on one copy of the step mends, on average."""
    label, p = candidate.labels[step], candidate.label_p[step]
    if label == UNKNOWN:
        return 0.5
    if p is None:
        return 0.5 if candidate.needs_review[step] else 0.0
    return max(0.0, (1 - p if label == RIGHT else p) - EXPERT_ERROR)


def _by_value(
    candidates: Sequence[Candidate], tree: StepTree, nodes: dict[int, list[tuple[int, int]]], minutes: Minutes
) -> list[Ask]:
    worth = {node: sum(gain(candidates[s], i) for s, i in found) for node, found in nodes.items()}
    left = {node for node, value in worth.items() if value > 0}
    solutions: dict[int, list[int]] = defaultdict(list)
    for solution, path in enumerate(tree.node_of):
        if path:
            solutions[int(tree.question[path[0]])].append(solution)
    asks: list[Ask] = []
    for mine in solutions.values():
        while True:
            batches = [(*_batch([n for n in tree.node_of[s] if n in left], worth, minutes), s) for s in mine]
            rate, chosen, solution = max(batches, key=lambda batch: batch[0])
            if not chosen:
                break
            for node in chosen:
                left.discard(node)
                # Later steps of an open solution cost no opening: they come right behind, at their own rate.
                own = min(rate, 60 * worth[node] / minutes.step)
                asks.append(Ask(own, solution, tree.node_of[solution].index(node), nodes[node]))
    return asks


def _batch(nodes: list[int], worth: dict[int, float], minutes: Minutes) -> tuple[float, list[int]]:
    """The steps of a solution that give most per minute together, and that rate."""
    ordered = sorted(nodes, key=lambda node: -worth[node])
    best, total, count = 0.0, 0.0, 0
    for number, node in enumerate(ordered, start=1):
        total += worth[node]
        rate = 60 * total / (minutes.opening + number * minutes.step)
        if rate > best:
            best, count = rate, number
    return best, ordered[:count]
