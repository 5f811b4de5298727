"""The oracle: whether each step of a solution is right, and if not, which kind of error it is.

A step is right when its claim is true of the scene, its rule is the guideline's for this scene, or its
answer is the right one. A step that is wrong only because it follows an earlier wrong step is `carried`;
so the first error of a solution always has a kind of its own. What cannot be read is `format`.

    Nodules: two.                                   wrong, count     (the scene has one)
    Several solid 6-8 mm: CT at 3-6 months.         wrong, carried   (the rule is right for two)
    Answer: C.                                      wrong, carried
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from medprm_hf.phantom import steps as text
from medprm_hf.phantom.world import OPTIONS, Scene, guideline


class ErrorKind(StrEnum):
    """What is wrong with a step."""

    COUNT = "count"
    """The number of nodules."""
    LOCATION = "location"
    """Side or zone of the largest: never changes the answer, so rollouts cannot see it."""
    TYPE = "type"
    """Solid, ground-glass or calcified."""
    SIZE = "size"
    """The size class of the largest."""
    RULE = "rule"
    """The guideline says something else for these conditions."""
    ANSWER = "answer"
    """The letter is not that of the advice just given."""
    FORMAT = "format"
    """Not a step that can be read."""
    CARRIED = "carried"
    """Wrong only because it follows an earlier wrong step."""


ROOT_KINDS = tuple(kind for kind in ErrorKind if kind is not ErrorKind.CARRIED)
"""The kinds that a first error can have."""


@dataclass(frozen=True)
class StepTruth:
    """The oracle's verdict on one step."""

    right: bool
    """Whether the step is right."""
    kind: str | None = None
    """An ErrorKind when it is wrong, else null."""


@dataclass
class _Reading:
    """What the steps so far have claimed; null before the first claim."""

    several: bool | None = None
    kind: str | None = None
    size: str | None = None
    advice: str | None = None


def true_steps(scene: Scene) -> list[str]:
    """The solution that is right in every step."""
    claims = text.claims_of(scene)
    rule = text.rule_of(claims, scene.answer)
    return [*text.perception_steps(claims), text.rule_step(rule), text.answer_step(scene.answer)]


def check_steps(scene: Scene, steps: list[str]) -> list[StepTruth]:
    """The verdict on every step, shape [num_steps]."""
    reading = _Reading()
    return [_check(scene, step.strip(), reading) for step in steps]


def first_error(truths: list[StepTruth]) -> str | None:
    """The kind of the first wrong step, or None when all are right."""
    return next((truth.kind for truth in truths if not truth.right), None)


def _check(scene: Scene, step: str, reading: _Reading) -> StepTruth:
    """The verdict on one step; the reading learns what it claims."""
    if match := text.COUNT.fullmatch(step):
        count = text.COUNTS.index(match[1]) + 1
        reading.several = count > 1
        return _verdict(None if count == scene.count else ErrorKind.COUNT)
    if match := text.PLACE.fullmatch(step):
        place = (scene.largest.side, scene.largest.zone)
        return _verdict(None if match.groups() == place else ErrorKind.LOCATION)
    if match := text.KIND.fullmatch(step):
        reading.kind = match[1]
        return _verdict(None if match[1] == scene.kind else ErrorKind.TYPE)
    if match := text.SIZE.fullmatch(step):
        reading.size = match[1]
        return _verdict(None if match[1] == scene.size else ErrorKind.SIZE)
    if rule := text.read_rule(step):
        reading.advice = rule.advice
        return _verdict(_rule_error(scene, rule, reading))
    if match := text.ANSWER.fullmatch(step):
        return _verdict(_answer_error(scene, OPTIONS[text.LETTERS.index(match[1])], reading))
    return _verdict(ErrorKind.FORMAT)


def _verdict(kind: ErrorKind | None) -> StepTruth:
    return StepTruth(kind is None, None if kind is None else kind.value)


def _rule_error(scene: Scene, rule: text.Rule, reading: _Reading) -> ErrorKind | None:
    """Advice wrong for its own conditions is a rule error; a wrong condition claimed before is carried."""
    if rule.advice != guideline(2 if rule.several else 1, rule.kind, rule.size or ""):
        return ErrorKind.RULE
    conditions = (
        (ErrorKind.TYPE, rule.kind, scene.kind, reading.kind),
        (ErrorKind.COUNT, rule.several, scene.count > 1, reading.several),
        (ErrorKind.SIZE, rule.size, scene.size, reading.size),
    )
    wrong = [
        ErrorKind.CARRIED if stated == earlier else kind
        for kind, stated, true, earlier in conditions
        if stated is not None and stated != true
    ]
    roots = [kind for kind in wrong if kind is not ErrorKind.CARRIED]
    return next(iter(roots or wrong), None)


def _answer_error(scene: Scene, answer: str, reading: _Reading) -> ErrorKind | None:
    """A wrong letter is carried when it is that of the advice, or of the claims where no advice stands."""
    if answer == scene.answer:
        return None
    several = scene.count > 1 if reading.several is None else reading.several
    kind, size = reading.kind or scene.kind, reading.size or scene.size
    expected = reading.advice or guideline(2 if several else 1, kind, size)
    return ErrorKind.CARRIED if answer == expected else ErrorKind.ANSWER
