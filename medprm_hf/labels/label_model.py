"""The label model: how far each signal can be trusted, learnt from agreement and from what experts have labelled.

Each step hides whether it is right, each chain whether it is still on its way (`tree_inference.py`); every signal is a
noisy witness of one of the two, independent of the others given them (Dawid and Skene 1979, on a tree):

    P(state | chain before)         by place of the step, and by how many of the question's solutions take it
    P(verdict | right or wrong)     by place, and by modality where there are several
    P(correct of total | astray)    a mixture of binomials over a grid of success rates, by place and by what the
                                    prefix before scored
    P(decision | right or wrong)    an expert errs on 2 % of the steps, several err independently

Expectation-maximisation (Dempster et al. 1977) estimates all of them, with and without experts: every table leans by
pseudo-counts on what all places share, and that on a prior (`label_tables.py`). A judge that is asked again about the
same words counts again only as far as it contradicts itself as often as independent errors would (`alike`). With one
signal and no expert nothing agrees or disagrees: its table stays at the prior, and `notes` says so.

>>> model = fit(signals)                                     # Signals of label_signals.py
>>> LabelModel.from_json(model.to_json()).p_right(signals)   # P(step is right), (nodes,)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from medprm_hf.labels.label_signals import SAID_WRONG, TWO_SIDES, Channel, Signals
from medprm_hf.labels.label_tables import (
    MC_BINS,
    RATES,
    STEP_PRIOR,
    channel_prior,
    count_likelihoods,
    rates_before,
    rollout_prior,
    shares,
)
from medprm_hf.labels.step_tree import PLACES, SHARES, Floats, Ints
from medprm_hf.labels.tree_inference import ASTRAY_IN, STATES, WRONG_IN, Beliefs, believe

LEAN = 10.0
"""Pseudo-counts by which a place leans on what all places share."""
LEAN_GROUP = 100.0
"""Pseudo-counts by which a modality leans on all of them."""
UNSEEN_GROUP = 10
"""How many times more it leans where no expert has looked: agreement alone makes up differences."""
LEAN_ROLLOUTS = 30.0
"""The same for rollouts, whose tables are larger."""
PRIOR = 20.0
"""Pseudo-counts of the prior."""
FIXED = 1e9
"""Pseudo-counts of a prior that nothing may move."""
EXPERT_WEIGHT = 2.0
"""How often a step that an expert labelled counts."""
ROUNDS = 60
TOLERANCE = 1e-5
"""Learning ends where the log likelihood grows by less than this share."""
DIGITS = 5
"""Digits that are kept of what was learnt."""
LEAST = 1e-4
"""No signal is taken to be impossible."""


@dataclass(frozen=True)
class LabelModel:
    """What was learnt."""

    step: Floats
    """P(state | chain before), (PLACES, SHARES, 2, STATES)."""
    rollouts: Floats
    """P(rate | astray), (PLACES, MC_BINS, 2, RATES)."""
    channels: Mapping[str, Floats]
    """P(category | right, wrong) by channel, (groups, PLACES, 2, categories); group 0 is for any modality."""
    categories: Mapping[str, tuple[str, ...]]
    """Categories of each channel."""
    groups: tuple[str, ...] = ()
    """Modalities that have tables of their own: groups 1, 2, …"""
    alike: Mapping[str, float] = field(default_factory=dict)
    """By judge, how much its verdicts on the same words are one verdict: 0 independent, 1 the same."""
    notes: tuple[str, ...] = ()
    """What a reader should know of how far this can be trusted."""

    def believe(self, signals: Signals) -> Beliefs:
        """Beliefs of each node."""
        return _Heard.of(signals, self).beliefs(self)

    def p_right(self, signals: Signals) -> Floats:
        """P(the step is right), (nodes,)."""
        return self.believe(signals).right

    def to_plain(self) -> dict[str, Any]:
        """Plain values for JSON, rounded."""
        return {
            "step": _rounded(self.step), "rollouts": _rounded(self.rollouts),
            "channels": {name: _rounded(table) for name, table in self.channels.items()},
            "categories": {name: list(found) for name, found in self.categories.items()},
            "groups": list(self.groups), "alike": dict(self.alike), "notes": list(self.notes),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> LabelModel:
        """The model that `to_plain` gave."""
        return cls(
            np.array(plain["step"]),
            np.array(plain["rollouts"]),
            {name: np.array(table) for name, table in plain["channels"].items()},
            {name: tuple(found) for name, found in plain["categories"].items()},
            tuple(plain["groups"]),
            plain["alike"],
            tuple(plain["notes"]),
        )


def _rounded(table: Floats) -> Any:
    return np.round(table, DIGITS).tolist()


def fit(signals: Signals, rounds: int = ROUNDS) -> LabelModel:
    """Learns from signals, and from the experts' decisions among them."""
    model = _unlearnt(signals)
    heard = _Heard.of(signals, model)
    before = -np.inf
    for number in range(rounds):
        heard = heard.counted_alike(model)
        beliefs = heard.beliefs(model)
        model = heard.learn(model, beliefs)
        now = beliefs.log_likelihood
        if number > rounds // 6 and now - before < TOLERANCE * abs(now):
            break
        before = now
    return replace(model, notes=_notes(signals))


def _unlearnt(signals: Signals) -> LabelModel:
    names = sorted({group for group in signals.group if group is not None})
    groups = tuple(names) if len(names) > 1 else ()
    return LabelModel(
        np.broadcast_to(STEP_PRIOR, (PLACES, SHARES, 2, STATES)).copy(),
        np.broadcast_to(rollout_prior(), (PLACES, MC_BINS, 2, RATES)).copy(),
        {
            channel.name: np.broadcast_to(
                channel_prior(channel), (len(groups) + 1, PLACES, TWO_SIDES, len(channel.categories))
            ).copy()
            for channel in signals.channels
        },
        {channel.name: channel.categories for channel in signals.channels},
        groups,
        {channel.name: 0.5 for channel in signals.channels if channel.is_judge},
    )


def _notes(signals: Signals) -> tuple[str, ...]:
    experts = int((signals.expert != 0).sum())
    found = [f"{experts} of {signals.tree.size} different steps were labelled by experts"]
    if not experts:
        found = ["no expert labels: trust rests on how the signals agree"]
    if signals.witnesses < 2:
        found.append(f"{signals.witnesses} signal(s): without a second one only experts can say how good it is")
    if signals.contradictions:
        found.append(f"experts contradict each other on {signals.contradictions} step(s): these count as not labelled")
    for channel in signals.channels:
        if channel.is_judge and len(set(SAID_WRONG[channel.said].tolist())) < TWO_SIDES:
            found.append(f"{channel.name} says the same of every step")
    return tuple(found)


@dataclass(frozen=True)
class _Heard:
    """Signals as a model reads them."""

    signals: Signals
    known: tuple[tuple[Channel, Ints], ...]
    """Channels that the model knows, their observations as its categories."""
    group: Ints
    """Of each node, 0 for a modality without tables of its own."""
    likelihood: Floats
    """P(counts | rate), (nodes, RATES)."""
    before: Ints
    """Bin of what the prefix before scored, (nodes,)."""
    weights: Mapping[str, Floats]
    """By judge, what one of its verdicts counts for, (nodes,)."""

    @classmethod
    def of(cls, signals: Signals, model: LabelModel) -> _Heard:
        known = []
        for channel in signals.channels:
            if channel.name not in model.categories:
                continue
            names = model.categories[channel.name]
            place = np.array([names.index(c) if c in names else -1 for c in channel.categories], dtype=np.int64)
            said = place[channel.said]
            known.append((replace(channel, nodes=channel.nodes[said >= 0], said=said[said >= 0]), said[said >= 0]))
        numbers = {name: i + 1 for i, name in enumerate(model.groups)}
        heard = cls(
            signals,
            tuple(known),
            np.array([numbers.get(group or "", 0) for group in signals.group], dtype=np.int64),
            count_likelihoods(signals.correct, signals.total, signals.chance),
            rates_before(signals.correct, signals.total, signals.tree.parent),
            {},
        )
        return replace(heard, weights=heard._weights(model))

    @property
    def _has_experts(self) -> bool:
        return bool((self.signals.expert != 0).any())

    def _weights(self, model: LabelModel) -> dict[str, Floats]:
        """m verdicts that are alike by a count as m / (1 + (m - 1) a): the design effect (Kish 1965, 8.2)."""
        found = {}
        for channel, _ in self.known:
            if channel.is_judge:
                asked = np.bincount(channel.nodes, minlength=self.signals.tree.size)
                found[channel.name] = 1 / (1 + np.maximum(asked - 1, 0) * model.alike.get(channel.name, 0.5))
        return found

    def evidence(self, model: LabelModel) -> tuple[Floats, Floats]:
        """Likelihood of everything at a node by state, (nodes, STATES), and of its counts by chain, (nodes, 2)."""
        tree = self.signals.tree
        log = np.zeros((tree.size, TWO_SIDES))
        log[:, 0] = self.signals.expert
        for channel, said in self.known:
            at = channel.nodes
            weight = self.weights.get(channel.name.split(":")[0], np.ones(tree.size))[at]
            told = model.channels[channel.name][self.group[at], tree.place[at], :, said]
            np.add.at(log, at, np.log(np.maximum(told, LEAST)) * weight[:, None])
        counts = np.einsum("vg,vag->va", self.likelihood, model.rollouts[tree.place, self.before])
        counts[self.signals.total <= 0] = 1.0
        return np.exp(log - log.max(1, keepdims=True))[:, WRONG_IN] * counts[:, ASTRAY_IN], counts

    def beliefs(self, model: LabelModel) -> Beliefs:
        """What to believe of each node."""
        tree = self.signals.tree
        return believe(tree, model.step[tree.place, tree.share], self.evidence(model)[0])

    def counted_alike(self, model: LabelModel) -> _Heard:
        """With the weights that the model's `alike` asks for."""
        return replace(self, weights=self._weights(model))

    def learn(self, model: LabelModel, beliefs: Beliefs) -> LabelModel:
        """Tables that make the beliefs likeliest (the M step)."""
        boost = np.where(self.signals.expert != 0, EXPERT_WEIGHT, 1.0)
        sides = np.stack([beliefs.right, 1 - beliefs.right], 1)
        free = self.signals.witnesses > 1 or self._has_experts
        return replace(
            model,
            step=self._step_table(beliefs, boost),
            rollouts=self._rollout_table(model, beliefs, boost),
            channels={
                **model.channels,
                **{channel.name: self._channel_table(model, channel, sides, boost, free) for channel, _ in self.known},
            },
            alike={
                **model.alike,
                **{c.name: (model.alike[c.name] + self._alike(model, c, sides)) / 2 for c, _ in self.known
                   if c.is_judge},
            },
        )  # fmt: skip

    def _step_table(self, beliefs: Beliefs, boost: Floats) -> Floats:
        tree = self.signals.tree
        counts = np.zeros((PLACES, SHARES, 2, STATES))
        np.add.at(counts, (tree.place, tree.share), beliefs.joint * (tree.copies * boost)[:, None, None])
        by_place = counts.sum(1, keepdims=True)
        overall = shares(by_place.sum(0, keepdims=True) + PRIOR * STEP_PRIOR)
        return shares(counts + LEAN * shares(by_place + LEAN * overall))

    def _rollout_table(self, model: LabelModel, beliefs: Beliefs, boost: Floats) -> Floats:
        tree = self.signals.tree
        states = beliefs.states
        chain = np.stack([states[:, ASTRAY_IN == a].sum(1) for a in (0, 1)], 1)
        told = self.likelihood[:, None, :] * model.rollouts[tree.place, self.before]
        counted = (self.signals.total > 0) * boost
        rates = shares(told) * (chain * counted[:, None])[:, :, None]
        counts = np.zeros((PLACES, MC_BINS, 2, RATES))
        np.add.at(counts, (tree.place, self.before), rates)
        overall = shares(counts.sum((0, 1), keepdims=True) + PRIOR / 4 * rollout_prior())
        return shares(counts + LEAN_ROLLOUTS * shares(counts.sum(0, keepdims=True) + LEAN_ROLLOUTS * overall))

    def _channel_table(self, model: LabelModel, channel: Channel, sides: Floats, boost: Floats, free: bool) -> Floats:
        at = channel.nodes
        counts = np.zeros_like(model.channels[channel.name])
        seen = (sides * boost[:, None])[at]
        for side in range(TWO_SIDES):
            np.add.at(counts[:, :, side], (self.group[at], self.signals.tree.place[at], channel.said), seen[:, side])
        prior = channel_prior(replace(channel, categories=model.categories[channel.name]))
        by_place = counts.sum(0, keepdims=True)
        overall = shares(by_place.sum(1, keepdims=True) + (PRIOR if free else FIXED) * prior)
        placed = shares(by_place + (LEAN if free else FIXED) * overall)
        # A modality has one factor a category, not a table a place: there are too few verdicts for that.
        seen_here = counts[1:].sum(1, keepdims=True)
        expected = (counts[1:].sum(-1, keepdims=True) * placed).sum(1, keepdims=True)
        lean = (LEAN_GROUP * (1 if self._has_experts else UNSEEN_GROUP) if free else FIXED) * overall
        return np.concatenate([placed, shares(placed * (seen_here + lean) / (expected + lean))])

    def _alike(self, model: LabelModel, channel: Channel, sides: Floats) -> float:
        """1 - disagreement between verdicts on the same words / what independent errors would show; 0 to 1."""
        tree, at = self.signals.tree, channel.nodes
        says = model.channels[channel.name][0][:, :, SAID_WRONG].sum(-1)
        claim = self.signals.claim[at]
        asked, said = np.bincount(claim), np.bincount(claim, SAID_WRONG[channel.said])
        right = np.bincount(claim, sides[at, 0]) / np.maximum(asked, 1)
        place = np.zeros(len(asked), dtype=np.int64)
        place[claim] = tree.place[at]
        seen = 2 * said * (asked - said) / np.maximum(asked * (asked - 1), 1)
        split = 2 * says[place] * (1 - says[place])
        expected = right * split[:, 0] + (1 - right) * split[:, 1]
        again = asked > 1
        ratio = (seen[again].sum() + 0.5 * PRIOR / 4) / (expected[again].sum() + PRIOR / 4)
        return float(np.clip(1 - ratio, 0, 1))
