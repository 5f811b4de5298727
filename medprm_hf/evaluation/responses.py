"""What choosing answers by a model's scores is worth: Best-of-N and weighted vote, beside majority vote and pass@N.

    response_figures(table, scores)["curve"]
        [{"n": 8, "method": "best_of_min", "value": 0.71, "interval": […], "over_majority": 0.1, …}, …]

Each figure is the mean over all subsets of N of a question's responses (labels/choosing_answers.py). Unreadable answers
are counted twice: `value` takes them as wrong, `over_readable` leaves out what chose one. Questions whose answer is not
known, or with fewer than N responses, are left out, and how many stand there is said at each N.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprm_hf.evaluation.table import Score, Table
from medprm_hf.labels.aggregate import AGGREGATORS, aggregate
from medprm_hf.labels.agreement import percentiles, resample
from medprm_hf.labels.choosing_answers import best_of_shares, pass_at, vote_shares

Floats = NDArray[np.float64]
Scores = Sequence[Sequence[Score]]
SIZES = (1, 2, 4, 8, 16, 32, 64)
BASELINES = ("pass@1", "majority", "pass@n")


def response_figures(
    table: Table,
    scores: Scores | None,
    aggregators: Sequence[str] = tuple(AGGREGATORS),
    resamples: int = 1000,
    sizes: Sequence[int] = SIZES,
) -> dict[str, Any] | None:
    """The curve of each method over N; None where no question of known answer has two responses, or none was read.

    `scores`: what is aggregated, [solutions][num_steps]; None gives the methods that need none.
    """
    groups = [own for own in table.groups() if table.gold[own[0]]]
    several = [own for own in groups if len(own) > 1]
    read = any(table.answers[i] is not None or table.right[i] is not None for own in several for i in own)
    if not several or not read:
        return None
    most = max(map(len, several))
    wanted = sorted({n for n in sizes if n <= most})
    outcomes = [_Question(table, own, scores, aggregators).outcomes(wanted) for own in several]
    curve: list[dict[str, Any]] = []
    for n in wanted:
        there = [found[n] for found in outcomes if n in found]
        curve += _at(n, there, resamples)
    return {
        "questions": len(several),
        "single_response": len(groups) - len(several),
        "gold_unknown": len({table.questions[i] for i, known in enumerate(table.gold) if not known}),
        "responses": sum(map(len, several)),
        "unreadable": sum(table.answers[i] is None and table.right[i] is None for own in several for i in own),
        "curve": curve,
    }


class _Question:
    """The responses of one question."""

    def __init__(self, table: Table, own: Sequence[int], scores: Scores | None, aggregators: Sequence[str]) -> None:
        self.right = np.array([table.right[i] is True for i in own], float)
        readable = [table.answers[i] is not None or table.right[i] is not None for i in own]
        self.unread = 1 - np.array(readable, float)
        # Without an answer's text (ProcessBench's like), right and wrong are the two answers there are.
        self.answers = [
            (table.answers[i] or str(table.right[i])) if here else None for i, here in zip(own, readable, strict=True)
        ]
        self.scores = {name: [aggregate(scores[i], name) for i in own] for name in aggregators if scores is not None}
        self.worth = self._worth()

    def _worth(self) -> Mapping[str, float]:
        """Share of right ones among the responses that give each answer (free texts may be judged unlike)."""
        named: dict[str, list[float]] = {}
        for answer, right in zip(self.answers, self.right, strict=True):
            if answer is not None:
                named.setdefault(answer, []).append(float(right))
        return {answer: sum(values) / len(values) for answer, values in named.items()}

    def outcomes(self, sizes: Sequence[int]) -> dict[int, dict[str, tuple[float, float]]]:
        """By N and method: (chance of a right answer, chance of none that can be read)."""
        total = len(self.right)
        possible = [n for n in sizes if n <= total]
        found: dict[int, dict[str, tuple[float, float]]] = {n: {} for n in possible}
        votes = {"majority": self._votes([1.0] * total, possible)}
        votes |= {f"vote_{name}": self._votes(own, possible) for name, own in self.scores.items()}
        right = int(self.right.sum())
        unread = int(self.unread.sum())
        for n in possible:
            found[n]["pass@1"] = (right / total, unread / total)
            found[n]["pass@n"] = (pass_at(right, total, n), 1 - pass_at(total - unread, total, n))
            for name, own in self.scores.items():
                shares = np.array(best_of_shares(own, n))
                nothing = 1 - float(shares.sum())
                found[n][f"best_of_{name}"] = (float(shares @ self.right), float(shares @ self.unread) + nothing)
            for name, by_size in votes.items():
                found[n][name] = by_size[n]
        return found

    def _votes(self, weights: Sequence[Score], sizes: Sequence[int]) -> dict[int, tuple[float, float]]:
        won = vote_shares(self.answers, weights, sizes)
        return {
            n: (sum(share * self.worth[answer] for answer, share in shares.items()), 1 - sum(shares.values()))
            for n, shares in won.items()
        }


def _at(n: int, there: Sequence[Mapping[str, tuple[float, float]]], resamples: int) -> list[dict[str, Any]]:
    """Figures of each method at one N, with intervals over questions and the difference from the majority vote."""
    majority = np.array([one["majority"][0] for one in there])
    found = []
    for method in there[0]:
        right, none = np.array([one[method] for one in there]).T
        sums = np.stack([right, 1 - none, np.ones(len(right)), right - majority], 1)
        drawn = resample(sums, _shares, resamples).reshape(3, -1)
        readable = float((1 - none).sum())
        entry = {
            "n": n,
            "method": method,
            "value": float(right.mean()),
            "interval": percentiles(drawn[0]),
            "over_readable": float(right.sum()) / readable if readable > 1e-12 else None,
            "over_readable_interval": percentiles(drawn[1]),
            "questions": len(there),
        }
        if method not in BASELINES:
            entry |= {
                "over_majority": float((right - majority).mean()),
                "over_majority_interval": percentiles(drawn[2]),
            }
        found.append(entry)
    return found


def _shares(sums: Floats) -> Floats:
    """(3 × samples,): right over all, right over readable, difference from majority."""
    right, readable, count, more = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.concatenate([right / count, np.where(readable > 1e-12, right / readable, np.nan), more / count])


def at(figures: Mapping[str, Any] | None, method: str, n: int) -> Mapping[str, Any] | None:
    """One entry of the curve; None where there is none."""
    for entry in (figures or {}).get("curve", ()):
        if entry["method"] == method and entry["n"] == n:
            found: Mapping[str, Any] = entry
            return found
    return None
