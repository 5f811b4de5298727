"""Selection (M9): why a solution is not exported. The first reason that applies is the row's `drop_reason`.

empty_step         a step without text
too_few_steps      fewer than min_steps
too_many_steps     more than max_steps
repeated_step      two steps say the same (case, punctuation and white space do not count)
unreadable_answer  the final answer could not be read
no_label           no step has a label: all are ?

>>> drop_reason(["Look.", "look", "Answer: B"], "B", ["+", "+", "+"])
'repeated_step'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.schema import Label
from medprm_hf.text.choices import normalise

DROP_REASONS = (
    "empty_step", "too_few_steps", "too_many_steps", "repeated_step", "unreadable_answer", "no_label",
)  # fmt: skip


@dataclass(frozen=True)
class SelectionSettings:
    """What a solution must be like to be exported."""

    min_steps: int = 3
    """Steps at least."""
    max_steps: int = 9
    """Steps at most."""

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
) -> str | None:
    """One of DROP_REASONS, or None for a solution that stays.

    `steps` and `labels` are [num_steps]; `labels` are the final ones, None before anything was labelled (then
    `no_label` is not asked). Raises DataError where they do not line up.
    """
    settings = settings or SelectionSettings()
    if labels is not None and len(labels) != len(steps):
        raise DataError(f"{len(labels)} labels for {len(steps)} steps: each step needs exactly one")
    said = [normalise(step) or step.strip() for step in steps]
    checks = {
        "empty_step": "" in said,
        "too_few_steps": len(steps) < settings.min_steps,
        "too_many_steps": len(steps) > settings.max_steps,
        "repeated_step": len(set(said)) < len(said),
        "unreadable_answer": not final_answer,
        "no_label": labels is not None and all(label == Label.UNKNOWN for label in labels),
    }
    return next((reason for reason, applies in checks.items() if applies), None)
