"""How far reviewers agree with one another, and machines with them: the figures of the Agree page.

    agreement(store, by="modality")
    {"krippendorff": {"value": 0.71, "low": 0.63, "high": 0.78, "n": 420}, "fleiss": {…}, "cohen": [{"raters": […], …}],
     "by": {"ct_scan": {…}, …}, "machines": {"judge": {…}, "rollout": {…}, "label": {…}}, "revise": {…}}

The measures are in labels/rater_agreement.py; intervals resample whole questions. In a blind store only what was said
before machines' signals were seen is compared: people who have read the same judge agree with it, not with each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Literal

from medprm_hf.errors import ReviewError
from medprm_hf.labels.accuracy import value_labels
from medprm_hf.labels.agreement import cohen_kappa
from medprm_hf.labels.judge_revision import Checked, revise
from medprm_hf.labels.rater_agreement import Figure, alpha, fleiss, pairs
from medprm_hf.review.opinions import Rated, ratings
from medprm_hf.review.reviewers import majority
from medprm_hf.review.store import ReviewStore
from medprm_hf.schema import Label

By = Literal["modality", "reviewer", "difficulty"]
UNKNOWN = Label.UNKNOWN.value


def agreement(store: ReviewStore, by: str = "modality", *, blind: bool = False, target: float = 0.8) -> dict[str, Any]:
    """All figures; `by` splits alpha by modality, difficulty or reviewer (each against the others)."""
    if by not in ("modality", "difficulty", "reviewer"):
        raise ReviewError("value", f"by={by!r} is none of modality, difficulty, reviewer")
    rated = ratings(store, blind=blind)
    labels, groups = [one.labels for one in rated], [one.item["question_id"] for one in rated]
    return {
        "krippendorff": alpha(labels, groups)._asdict(),
        "fleiss": fleiss(labels, groups)._asdict(),
        "cohen": [pair._asdict() for pair in pairs(labels, groups)],
        "by": _by_reviewer(rated) if by == "reviewer" else _by(rated, by),
        "machines": _machines([one for one in rated if one.sampled]),
        "revise": _revision(rated, target),
        "blind": blind,
    }


def _by(rated: Sequence[Rated], name: str) -> dict[str, Any]:
    kinds: dict[str, list[Rated]] = defaultdict(list)
    for one in rated:
        kinds[str(one.item[name])].append(one)
    return {
        kind: alpha([one.labels for one in mine], [one.item["question_id"] for one in mine])._asdict()
        for kind, mine in sorted(kinds.items())
    }


def _by_reviewer(rated: Sequence[Rated]) -> dict[str, Any]:
    """Of each reviewer: kappa with what most others say of the same steps."""
    found = {}
    for name in sorted({name for one in rated for name in one.labels}):
        both = []
        for one in rated:
            others = majority([label for who, label in one.labels.items() if who != name and label != UNKNOWN])
            if name in one.labels and others != UNKNOWN:
                both.append((one.labels[name], others, one.item["question_id"]))
        found[name] = _kappa(both)
    return found


def _kappa(both: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """Kappa of (ours, theirs, question)."""
    kappa = cohen_kappa([[ours] for ours, _, _ in both], [[theirs] for _, theirs, _ in both], [q for _, _, q in both])
    low, high = kappa.interval or (None, None)
    return Figure(kappa.kappa, low, high, kappa.n_steps)._asdict()


def _machines(sample: Sequence[Rated]) -> dict[str, Any]:
    """Kappa of judge, rollouts and merged label with the experts, on the quality sample alone: it was drawn blindly."""
    signals: dict[str, Callable[[Rated], str | None]] = {"judge": _judge, "rollout": _rollout, "label": _label}
    found = {}
    for name, read in signals.items():
        both = [
            (said, majority([label for label in one.labels.values() if label != UNKNOWN]), one.item["question_id"])
            for one in sample
            if (said := read(one)) is not None
        ]
        found[name] = _kappa(both)
    return found


def _judge(one: Rated) -> str | None:
    labels = one.item["machine"].get("judge_labels")
    return labels[one.step] if labels else None


def _label(one: Rated) -> str | None:
    label: str = one.item["machine"]["labels"][one.step]
    return label


def _rollout(one: Rated) -> str | None:
    machine = one.item["machine"]
    if not machine.get("rollout_total"):
        return None
    return str(value_labels(machine["rollout_correct"], machine["rollout_total"])[one.step])


def _revision(rated: Sequence[Rated], target: float) -> dict[str, Any]:
    """Whether the judge agrees with the experts as it should, and which instruction to revise where it does not."""
    checked = [found for one in rated if one.sampled and (found := _checked(one))]
    result = revise(checked, target)
    return {
        "kappa": result.kappa._asdict(), "target": target, "below": result.below,
        "proposals": [proposal._asdict() for proposal in result.proposals],
    }  # fmt: skip


def _checked(one: Rated) -> Checked | None:
    judge, expert = _judge(one), majority([label for label in one.labels.values() if label != UNKNOWN])
    if judge is None:
        return None
    machine = one.item["machine"]
    named = sorted(one.errors.values())
    return Checked(
        judge, expert, one.item["question_id"], one.item["modality"], machine["judge_confidence"][one.step],
        majority(named) if named and majority(named) != UNKNOWN else next(iter(named), None),
        machine["judge_errors"][one.step], (one.item_id, one.step),
    )  # fmt: skip
