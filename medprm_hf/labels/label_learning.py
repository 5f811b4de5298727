"""The label model from solutions to labels: learnt once on a run, cross-fitted, with a threshold for each place.

A solution that experts have labelled gets its labels from a model that has not seen them (five folds by question), so
what is measured on it is not measured on what was fitted. All others get theirs from the model that saw everything.

    label  + where P(right) is above the threshold of its place, else -; ? where no signal speaks of the solution

The threshold is 1/2, or higher: where errors are rare, 1/2 would overrule a judge that finds most of them. It is
raised until the model expects to find the share of wrong steps that the judge finds at this place, and `MARGIN` more,
but never above `HIGHEST`. (Likelihood ratios without the prior have the same aim.)

>>> learnt = learn(solutions)
>>> [merged.labels for merged in label(solutions, Learnt.from_json(learnt.to_json()))]
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from medprm_hf.ids import stable_seed
from medprm_hf.labels.label_model import LabelModel, fit
from medprm_hf.labels.label_signals import RIGHT, SAID_WRONG, UNKNOWN, WRONG, Signals, Solved, listen
from medprm_hf.labels.merge import Merged
from medprm_hf.labels.step_tree import PLACES, Floats

FOLDS = 5
MARGIN = 0.03
"""How much more of the wrong steps than the judge a place has to find, by the model's own expectation."""
HIGHEST = 0.9
"""No step is called wrong above this P(right)."""
DOUBT = 0.1
"""An expert should look where the label is wrong with at least this probability."""
LIMIT = 20_000
"""Solutions that are learnt from; of more, whole questions are drawn by their names."""
SUREST = 0.001
"""No label is surer than this."""
DIGITS = 6


@dataclass(frozen=True)
class Fitted:
    """A model and where it draws the line."""

    model: LabelModel
    thresholds: tuple[float, ...]
    """P(right) above which a step is +, by place, (PLACES,)."""


@dataclass(frozen=True)
class Learnt:
    """What a run has taught."""

    whole: Fitted
    """Learnt with every expert's decision."""
    folds: tuple[Fitted, ...] = ()
    """Fold f was learnt without the decisions on its questions; empty where there are no decisions."""

    def to_json(self) -> str:
        """Text that `from_json` reads."""
        plain = [{"model": f.model.to_plain(), "thresholds": list(f.thresholds)} for f in (self.whole, *self.folds)]
        return json.dumps(plain, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Learnt:
        """What `to_json` wrote."""
        whole, *folds = (Fitted(LabelModel.from_plain(f["model"]), tuple(f["thresholds"])) for f in json.loads(text))
        return cls(whole, tuple(folds))


def fold_of(question: object) -> int:
    """Which fold a question belongs to: the same in every run."""
    return stable_seed("fold", str(question)) % FOLDS


def learn(solutions: Sequence[Solved], keep_recall: bool = True) -> Learnt:
    """Learns from solutions; `keep_recall` false draws every line at 1/2."""
    chosen = _thinned([solved for solved in solutions if solved.steps])
    signals = listen(chosen)
    whole = _with_lines(signals, keep_recall)
    if not any(decisions for solved in chosen for decisions in solved.experts or ()):
        return Learnt(whole)
    return Learnt(whole, tuple(_with_lines(listen(_hidden(chosen, f)), keep_recall) for f in range(FOLDS)))


def _thinned(solutions: list[Solved]) -> list[Solved]:
    if len(solutions) <= LIMIT:
        return solutions
    keep = LIMIT / len(solutions)
    drawn = {solved.question: stable_seed("learn", str(solved.question)) / 2**63 < keep for solved in solutions}
    return [solved for solved in solutions if drawn[solved.question] or any(solved.experts or ())]


def _hidden(solutions: Sequence[Solved], fold: int) -> list[Solved]:
    """The solutions without the decisions on a fold's questions."""
    return [replace(solved, experts=None) if fold_of(solved.question) == fold else solved for solved in solutions]


def _with_lines(signals: Signals, keep_recall: bool) -> Fitted:
    # Each is learnt from nothing: from a model without experts, what it takes for impossible would stay so for long.
    # What was learnt is rounded before the lines are drawn, so that the kept text decides alike.
    model = LabelModel.from_plain(fit(signals).to_plain())
    lines = _lines(signals, model.p_right(signals)) if keep_recall else np.full(PLACES, 0.5)
    return Fitted(model, tuple(np.round(lines, DIGITS).tolist()))


def _lines(signals: Signals, p_right: Floats) -> Floats:
    """Thresholds by place, (PLACES,)."""
    tree = signals.tree
    asked, minus = np.zeros(tree.size), np.zeros(tree.size)
    for channel in signals.channels:
        if channel.is_judge:
            np.add.at(asked, channel.nodes, 1)
            np.add.at(minus, channel.nodes, SAID_WRONG[channel.said])
    lines = np.full(PLACES, 0.5)
    for place in range(PLACES):
        here = np.flatnonzero((tree.place == place) & (asked > 0))
        wrong = tree.copies[here] * (1 - p_right[here])
        if len(here) and wrong.sum() > 1:
            found = float((wrong * minus[here] / asked[here]).sum() / wrong.sum())
            order = np.argsort(p_right[here])
            below = np.cumsum(wrong[order]) / wrong.sum()
            enough = min(int(np.searchsorted(below, found + MARGIN)), len(here) - 1)
            lines[place] = np.clip(p_right[here][order[enough]] + 10.0**-DIGITS, 0.5, HIGHEST)
    return lines


def label(solutions: Sequence[Solved], learnt: Learnt, doubt: float = DOUBT) -> list[Merged]:
    """Labels of each solution, in order."""
    results = _labelled(solutions, learnt.whole, doubt)
    seen = [i for i, solved in enumerate(solutions) if any(solved.experts or ())]
    for fold, fitted in enumerate(learnt.folds):
        mine = {solutions[i].question for i in seen if fold_of(solutions[i].question) == fold}
        if mine:
            at = [i for i, solved in enumerate(solutions) if solved.question in mine]
            found = _labelled([replace(solutions[i], experts=None) for i in at], fitted, doubt)
            unseen = dict(zip(at, found, strict=True))
            for i in set(seen) & set(at):
                results[i] = unseen[i]
    return results


def _labelled(solutions: Sequence[Solved], fitted: Fitted, doubt: float) -> list[Merged]:
    signals = listen(solutions)
    p_right, place = np.clip(fitted.model.p_right(signals), SUREST, 1 - SUREST), signals.tree.place
    return [
        _merged(solved, [float(p_right[n]) for n in nodes], [fitted.thresholds[place[n]] for n in nodes], doubt)
        for solved, nodes in zip(solutions, signals.tree.node_of, strict=True)
    ]


def _merged(solved: Solved, p_right: Sequence[float], lines: Sequence[float], doubt: float) -> Merged:
    n = len(solved.steps)
    if not _heard(solved):
        return Merged([UNKNOWN] * n, [None] * n, ["label_model:unheard"] * n, [True] * n)
    labels = [RIGHT if p > line else WRONG for p, line in zip(p_right, lines, strict=True)]
    said = [str(step) for step in solved.judges[0].labels] if solved.judges else [UNKNOWN] * n
    reasons = [
        "unjudged" if judge == UNKNOWN else "with_judge" if judge == own else "against_judge"
        for judge, own in zip(said, labels, strict=True)
    ]
    wrong = [1 - p if own == RIGHT else p for p, own in zip(p_right, labels, strict=True)]
    return Merged(
        labels,
        [round(p, DIGITS) for p in p_right],
        [f"label_model:{reason}" for reason in reasons],
        [chance >= doubt for chance in wrong],
    )


def _heard(solved: Solved) -> bool:
    """Whether any signal speaks of the solution."""
    judged = any(step != UNKNOWN for judge in solved.judges for step in judge.labels)
    counted = any(solved.total or ()) or any(p is not None for p in solved.p_right or ())
    return judged or counted or solved.own_right is not None or any(solved.experts or ())
