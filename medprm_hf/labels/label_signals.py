"""What each signal says of each step, as numbers that the label model can count.

A verdict becomes a category (`-high`, `+p3`: its label with the stated confidence, or with an eighth of P(+)), and so
does the kind of error that a `-` names. Rollouts stay counts, unless the estimator's P(right) stands in their place.

    channel       category                                  counted
    judge         label and confidence, or label and P(+)   once a verdict: copies of a step are judged again
    judge:error   kind of error that a `-` names            once a `-`
    estimate      tenth of the estimator's P(right)         once a node
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from medprm_hf.errors import DataError
from medprm_hf.labels.step_tree import Floats, Ints, StepTree, plant
from medprm_hf.schema import Label

RIGHT, WRONG, UNKNOWN = Label.RIGHT.value, Label.WRONG.value, Label.UNKNOWN.value
CONFIDENCES = ("high", "medium", "low", "")
P_BINS, P_RIGHT_BINS = 8, 10
TWO_SIDES = 2
"""Right and wrong, in this order wherever a table has both."""
JUDGED = tuple(f"{label}{level}" for label in "+-0" for level in (*CONFIDENCES, *(f"p{i}" for i in range(P_BINS))))
"""Categories of a judge's verdict."""
SAID_WRONG = np.array([category[0] == WRONG for category in JUDGED])
"""Whether a category is a `-`."""
ESTIMATES = tuple(str(i) for i in range(P_RIGHT_BINS))
"""Categories of an estimator's P(right)."""
EXPERT_ERROR = 0.02
"""How often one decision of an expert is taken to be wrong; several are taken to err independently."""


@dataclass(frozen=True)
class Verdicts:
    """One judge on one solution; lists are [num_steps]."""

    labels: Sequence[str]
    confidence: Sequence[str | None] | None = None
    p_plus: Sequence[float | None] | None = None
    errors: Sequence[str | None] | None = None


@dataclass(frozen=True)
class Solved:
    """One solution and everything that was said of it; lists are [num_steps]."""

    question: Hashable
    """Its question."""
    steps: Sequence[str]
    judges: Sequence[Verdicts] = ()
    """One entry a judge, in the same order in every solution."""
    correct: Sequence[int] | None = None
    """Right rollouts of each prefix."""
    total: Sequence[int] | None = None
    """Readable rollouts of each prefix."""
    p_right: Sequence[float | None] | None = None
    """The estimator's P(right), where it stands in the place of counts."""
    own_right: bool | None = None
    """Whether its own answer is right."""
    chance: float | None = None
    """Success rate of a guess."""
    group: str | None = None
    """Modality: signals may be trusted differently in each."""
    experts: Sequence[Sequence[str]] | None = None
    """Decisions of experts on each step."""


@dataclass(frozen=True)
class Channel:
    """Observations of one kind."""

    name: str
    nodes: Ints
    """What was looked at, (observations,)."""
    said: Ints
    """Index into the categories, (observations,)."""
    categories: tuple[str, ...]

    @property
    def is_judge(self) -> bool:
        """Whether these are a judge's verdicts."""
        return self.categories == JUDGED


@dataclass(frozen=True)
class Signals:
    """Everything heard of a tree of solutions; arrays are (nodes,)."""

    tree: StepTree
    channels: tuple[Channel, ...]
    correct: Floats
    total: Floats
    """0 where nothing is known."""
    chance: Floats
    """0 where none is known."""
    group: tuple[str | None, ...]
    expert: Floats
    """Log odds of right over wrong by the experts' decisions; 0 where nobody looked, or they cancel out."""
    claim: Ints
    """Number of its words within its question: nodes with equal words share it."""
    contradictions: int
    """Nodes on which experts say both + and -."""

    @property
    def witnesses(self) -> int:
        """Independent signals: judges, and rollouts or estimates."""
        counted = bool((self.total > 0).any()) or any(channel.name == "estimate" for channel in self.channels)
        return sum(channel.is_judge for channel in self.channels) + counted


def listen(solutions: Sequence[Solved]) -> Signals:
    """The signals of solutions; DataError where lists of one solution do not line up."""
    for solved in solutions:
        _check(solved)
    tree = plant([s.question for s in solutions], [s.steps for s in solutions])
    channels = [
        channel
        for number in range(max((len(s.judges) for s in solutions), default=0))
        for channel in _judge_channels(number, tree, solutions)
    ]
    if any(s.p_right is not None for s in solutions):
        channels.append(_estimates(tree, solutions))
    group: list[str | None] = [None] * tree.size
    chance = np.zeros(tree.size)
    for solved, nodes in zip(solutions, tree.node_of, strict=True):
        known = solved.chance is not None and solved.chance == solved.chance
        for node in nodes:
            group[node] = solved.group
            chance[node] = solved.chance if known else 0.0
    expert, contradictions = _experts(tree, solutions)
    heard = tuple(channel for channel in channels if len(channel.nodes))
    return Signals(
        tree, heard, *_counts(tree, solutions), chance, tuple(group), expert, _claims(tree, solutions), contradictions
    )


def _check(solved: Solved) -> None:
    lists: dict[str, Sequence[object] | None] = {
        "correct": solved.correct, "total": solved.total, "p_right": solved.p_right, "experts": solved.experts,
        **{f"judge {i}": judge.labels for i, judge in enumerate(solved.judges)},
    }  # fmt: skip
    for name, values in lists.items():
        if values is not None and len(values) != len(solved.steps):
            raise DataError(f"{name} has {len(values)} entries for {len(solved.steps)} steps: they must line up")


def _claims(tree: StepTree, solutions: Sequence[Solved]) -> Ints:
    numbers: dict[tuple[int, str], int] = {}
    claim = np.zeros(tree.size, dtype=np.int64)
    for solved, nodes in zip(solutions, tree.node_of, strict=True):
        for text, node in zip(solved.steps, nodes, strict=True):
            claim[node] = numbers.setdefault((int(tree.question[node]), " ".join(text.split())), len(numbers))
    return claim


def _counts(tree: StepTree, solutions: Sequence[Solved]) -> tuple[Floats, Floats]:
    """Counts of each node: copies hold the same rollouts, so the longest count stands; a whole solution answers
    itself, once."""
    correct, total = np.zeros(tree.size), np.zeros(tree.size)
    for solved, nodes in zip(solutions, tree.node_of, strict=True):
        if solved.correct is None or solved.total is None or solved.p_right is not None:
            continue
        for node, c, t in zip(nodes, solved.correct, solved.total, strict=True):
            if not 0 <= c <= t:
                raise DataError(f"{c} correct of {t} rollouts: correct must be 0 to total")
            if t > total[node]:
                correct[node], total[node] = c, t
    for solved, nodes in zip(solutions, tree.node_of, strict=True):
        if nodes and solved.own_right is not None and solved.p_right is None:
            correct[nodes[-1]], total[nodes[-1]] = float(solved.own_right), 1.0
    return correct, total


def _experts(tree: StepTree, solutions: Sequence[Solved]) -> tuple[Floats, int]:
    votes = np.zeros((tree.size, TWO_SIDES))
    for solved, nodes in zip(solutions, tree.node_of, strict=True):
        for node, decisions in zip(nodes, solved.experts or [()] * len(nodes), strict=True):
            for label in decisions:
                votes[node] += (label == RIGHT, label == WRONG)
    sure = float(np.log((1 - EXPERT_ERROR) / EXPERT_ERROR))
    return sure * (votes[:, 0] - votes[:, 1]), int((votes.min(1) > 0).sum())


def _judge_channels(number: int, tree: StepTree, solutions: Sequence[Solved]) -> list[Channel]:
    """What judge `number` says: its verdicts, and the errors it names."""
    said: list[tuple[int, int]] = []
    named: list[tuple[int, str]] = []
    for solved, path in zip(solutions, tree.node_of, strict=True):
        verdicts = solved.judges[number] if number < len(solved.judges) else Verdicts([UNKNOWN] * len(path))
        for step, node in enumerate(path):
            label = str(verdicts.labels[step])
            if label != UNKNOWN:
                said.append((node, JUDGED.index(_category(label, verdicts, step))))
            if label == WRONG and verdicts.errors and (kind := verdicts.errors[step]):
                named.append((node, kind))
    kinds = tuple(sorted({kind for _, kind in named}))
    name = f"judge{number or ''}"
    return [
        _channel(name, said, JUDGED),
        _channel(f"{name}:error", [(node, kinds.index(kind)) for node, kind in named], kinds),
    ]


def _category(label: str, verdicts: Verdicts, step: int) -> str:
    p = verdicts.p_plus[step] if verdicts.p_plus else None
    if p is not None:
        return f"{label}p{min(int(p * P_BINS), P_BINS - 1)}"
    confidence = (verdicts.confidence[step] if verdicts.confidence else None) or ""
    return f"{label}{confidence if confidence in CONFIDENCES else ''}"


def _estimates(tree: StepTree, solutions: Sequence[Solved]) -> Channel:
    known: dict[int, int] = {}
    for solved, path in zip(solutions, tree.node_of, strict=True):
        for node, p in zip(path, solved.p_right or [None] * len(path), strict=True):
            if p is not None:
                known[node] = min(int(p * P_RIGHT_BINS), P_RIGHT_BINS - 1)
    return _channel("estimate", list(known.items()), ESTIMATES)


def _channel(name: str, seen: Sequence[tuple[int, int]], categories: tuple[str, ...]) -> Channel:
    nodes, said = np.array(seen, dtype=np.int64).reshape(-1, 2).T
    return Channel(name, nodes, said, categories)
