"""Selection (M9): why a solution is not exported. The first reason that applies is the row's `drop_reason`.

    of a solution alone
    empty_step           a step without text
    too_few_steps        fewer than min_steps
    too_many_steps       more than max_steps
    repeated_step        two steps say the same (case, punctuation and white space do not count)
    unreadable_answer    the final answer could not be read
    no_label             no step has a label: all are ?
    wrong_without_minus  the answer is wrong, and no step is - (`wrong_needs_minus`)

    of a solution among the others that are left
    enough_right         the question has max(wrong, 2) right solutions already (`balance_answers`)
    too_many_plus        all its labels are +, of which there are too many (`max_plus_share`)
    less_informative     others say more (`informative`)

>>> drop_reason(["Look.", "look", "Answer: B"], "B", ["+", "+", "+"])
'repeated_step'
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.schema import Label
from medprm_hf.text.choices import normalise

DROP_REASONS = (
    "empty_step", "too_few_steps", "too_many_steps", "repeated_step", "unreadable_answer", "no_label",
    "wrong_without_minus", "enough_right", "too_many_plus", "less_informative",
)  # fmt: skip
CONTRADICTS_EVIDENCE = "contradicts_evidence"
"""Flag of a solution with a step labelled - whose judge cites a passage for it."""
ALPHA = 0.05
"""Weight of solutions whose labels are all alike, in `information`."""
AT_LEAST_RIGHT = 2
"""Right solutions that a question may keep though none is wrong."""


@dataclass(frozen=True)
class SelectionSettings:
    """What a solution must be like to be exported."""

    min_steps: int = 3
    """Steps at least."""
    max_steps: int = 9
    """Steps at most."""
    wrong_needs_minus: bool = False
    """Whether a solution with a wrong answer needs a step labelled -."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_steps <= self.max_steps:
            raise ConfigError(
                f"select.min_steps={self.min_steps} and select.max_steps={self.max_steps} keep nothing: "
                "use 1 <= min_steps <= max_steps"
            )


def drop_reason(
    steps: Sequence[str],
    final_answer: str | None,
    labels: Sequence[str] | None,
    settings: SelectionSettings | None = None,
    is_correct: bool | None = None,
) -> str | None:
    """One of DROP_REASONS, or None for a solution that stays.

    `steps` and `labels` are [num_steps]; `labels` are the final ones, None before anything was labelled (then
    `no_label` is not asked). Raises DataError where they do not line up.
    """
    settings = settings or SelectionSettings()
    if labels is not None and len(labels) != len(steps):
        raise DataError(f"{len(labels)} labels for {len(steps)} steps: each step needs exactly one")
    said = [normalise(step) or step.strip() for step in steps]
    unfound = is_correct is False and labels is not None and Label.WRONG not in labels
    checks = {
        "empty_step": "" in said,
        "too_few_steps": len(steps) < settings.min_steps,
        "too_many_steps": len(steps) > settings.max_steps,
        "repeated_step": len(set(said)) < len(said),
        "unreadable_answer": not final_answer,
        "no_label": labels is not None and all(label == Label.UNKNOWN for label in labels),
        "wrong_without_minus": settings.wrong_needs_minus and unfound,
    }
    return next((reason for reason, applies in checks.items() if applies), None)


def surplus_right(questions: Sequence[Hashable], is_correct: Sequence[bool | None], draws: Sequence[float]) -> set[int]:
    """Right solutions beyond max(wrong, 2) of their question, [solutions]; those with the smallest draws stay."""
    right: dict[Hashable, list[int]] = defaultdict(list)
    wrong: Counter[Hashable] = Counter()
    for i, (question, correct) in enumerate(zip(questions, is_correct, strict=True)):
        if correct:
            right[question].append(i)
        elif correct is False:
            wrong[question] += 1
    return {
        i
        for question, mine in right.items()
        for i in sorted(mine, key=lambda at: draws[at])[max(wrong[question], AT_LEAST_RIGHT) :]
    }


def information(labels: Sequence[str], expected_accuracy: Sequence[float | None] | None, alpha: float = ALPHA) -> float:
    """How much a solution can teach: (p (1 - p) + alpha) x mean mc of its + steps, p its share of +.

    Mixed labels teach most, and + labels only as far as rollouts bear them out (balanced-information score). Without
    any + the reliability is that of its - labels, 1 - mean mc; where nothing was sampled it is 1/2.
    """
    known = [i for i, label in enumerate(labels) if label in (Label.RIGHT, Label.WRONG)]
    if not known:
        return 0.0
    plus = [i for i in known if labels[i] == Label.RIGHT]
    mc = [v for i in plus or known if expected_accuracy is not None and (v := expected_accuracy[i]) is not None]
    mean = sum(mc) / len(mc) if mc else 0.5
    share = len(plus) / len(known)
    return (share * (1 - share) + alpha) * (mean if plus else 1 - mean)


def surplus_plus(counts: Iterable[tuple[int, int, float]], max_plus_share: float) -> float:
    """Draw from which on solutions that are all + are dropped, so that + makes up at most `max_plus_share`.

    `counts` are (labels +, labels -, draw) of each solution; 1.0 where nothing has to go.
    """
    everything = list(counts)
    plus, minus = sum(p for p, _, _ in everything), sum(m for _, m, _ in everything)
    cut = 1.0
    for p, m, draw in sorted(everything, key=lambda entry: -entry[2]):
        if plus <= max_plus_share * (plus + minus):
            break
        if not m and p:
            plus, cut = plus - p, draw
    return cut


def contradicts_evidence(labels: Sequence[str], citations: Sequence[Sequence[str]] | None) -> bool:
    """Whether a step is labelled - and its judge cites a passage for it; lists are [num_steps]."""
    return any(label == Label.WRONG and bool(given) for label, given in zip(labels, citations or (), strict=False))
