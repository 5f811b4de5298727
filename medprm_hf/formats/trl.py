"""`stepwise` and `preference`: the two dataset types of TRL that a PRM or a reward model is trained on.

    {"prompt": "Which side is the effusion on?",
     "completions": ["The left angle is blunted.", "So the answer is right."], "labels": [true, false]}
    {"prompt": "Which side …?", "chosen": "Step 1: …", "rejected": "Step 1: …"}

`stepwise` was TRL's "stepwise supervision" up to 1.13; for images both carry `images`, a list of paths. A step
whose label is unknown or neutral is joined to the next labelled one, with the trainer's own separator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Refused, Row, Writing
from medprm_hf.formats.marks import (
    RIGHT,
    WRONG,
    LabelSource,
    joined_steps,
    shown_question,
    solution_text,
    step_labels,
)
from medprm_hf.formats.medprm_text import raw_steps

SEPARATOR = "\n"
_STEPWISE = ["prompt", "completions", "labels"]
_PREFERENCE = ["prompt", "chosen", "rejected"]
_SIGNS = {True: RIGHT, False: WRONG}
_QUESTION = frozenset({"image", "question", "options", "clinical_context"})
_LOSSES = (
    "names of questions and solutions",
    "an option or clinical context with a line break is read back as part of the question",
    "turns of a consultation become part of the question",
)


@dataclass(frozen=True)
class Stepwise(Format):
    """TRL's stepwise supervision, with images for our own trainer."""

    labels: LabelSource = "final"
    """`final` (review, merge), or from rollouts `value` (mc > threshold) or `advantage` (change of mc)."""
    threshold: float = 0.0
    """Of `value`, 0..1."""

    id: ClassVar[str] = "stepwise"
    text: ClassVar[str] = "TRL stepwise supervision: prompt, completions, labels (and images)"
    carries: ClassVar[frozenset[str]] = _QUESTION | {"steps", "labels"}
    losses: ClassVar[tuple[str, ...]] = (
        *_LOSSES,
        "steps without + or - are joined to the next labelled step; such steps at the end are left out",
        "review and merge are one label",
    )

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One record a solution."""
        row = rows[0]
        labels = step_labels(row, self.labels, self.threshold)
        pairs = joined_steps(row["steps"], labels, SEPARATOR)
        if len(pairs) < len(labels):
            writing.leave_out("steps without + or -", len(labels) - len(pairs))
        if not pairs:
            writing.skip("rows without a labelled step")
            return
        image = writing.image(row)
        yield {
            "prompt": shown_question(row),
            "completions": [text for text, _ in pairs],
            "labels": [label == RIGHT for _, label in pairs],
            **({"images": [image]} if image else {}),
        }

    def decode(self, record: Record, reading: Reading) -> Iterable[dict[str, Any]]:
        """One solution a record."""
        prompt, labels = record["prompt"], record["labels"]
        try:
            signs = [_SIGNS[label] for label in labels]
        except KeyError:
            raise Refused("unknown_label", f"labels must be true or false, not {labels}", "labels") from None
        question, options, context = reading.asked(_text(prompt))
        row = {
            **reading.blank, "question": question, "options": options, "clinical_context": context,
            "steps": record["completions"], "labels": signs,
        }
        if "images" in record:
            reading.image(record["images"], row)
        reading.name(row)
        if list(record) != _STEPWISE or type(prompt) is not str or not {*map(type, labels)} <= {bool}:
            reading.keep([row], [record])
        return (row,)

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """A prompt with completions and labels."""
        return record.keys() >= {"prompt", "completions", "labels"}


@dataclass(frozen=True)
class Preference(Format):
    """TRL's preference pairs: a right solution beside a wrong one of the same question."""

    conversational: bool = False
    """Message lists instead of texts."""

    id: ClassVar[str] = "preference"
    text: ClassVar[str] = "TRL preference pairs: prompt, chosen (right answer), rejected (wrong answer)"
    unit: ClassVar[Any] = "question"
    carries: ClassVar[frozenset[str]] = _QUESTION | {"solution", "steps", "is_correct"}
    losses: ClassVar[tuple[str, ...]] = (
        *_LOSSES,
        "every label: which of two solutions answers right is all it holds",
        "solutions without a partner, and those whose answer cannot be read",
        "an empty solution text is written as its steps, numbered",
        "steps, where the solution's text does not number them",
    )

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """As many pairs a question as both kinds allow, in order."""
        right = [row for row in rows if row.get("is_correct") is True]
        wrong = [row for row in rows if row.get("is_correct") is False]
        pairs = list(zip(right, wrong, strict=False))
        for _ in range(len(rows) - 2 * len(pairs)):
            writing.skip("rows without a partner")
        for chosen, rejected in pairs:
            image = writing.image(chosen)
            yield {
                "prompt": self._shown("user", shown_question(chosen)),
                "chosen": self._shown("assistant", solution_text(chosen)),
                "rejected": self._shown("assistant", solution_text(rejected)),
                **({"images": [image]} if image else {}),
            }

    def _shown(self, role: str, text: str) -> str | list[dict[str, str]]:
        return [{"role": role, "content": text}] if self.conversational else text

    def decode(self, record: Record, reading: Reading) -> Iterable[dict[str, Any]]:
        """Two solutions a record: the chosen one is right, the rejected one wrong."""
        question, options, context = reading.asked(_text(record["prompt"]))
        rows = []
        for key, right in (("chosen", True), ("rejected", False)):
            text = _text(record[key])
            steps = raw_steps(text) or text.split("\n\n")
            row = reading.row(
                question=question, options=options, clinical_context=context, solution=text, is_correct=right,
                steps=steps,
            )
            if "images" in record:
                reading.image(record["images"], row)
            reading.name(row)
            rows.append(row)
        if list(record) != _PREFERENCE or not {*map(type, record.values())} == {str} or "" in record.values():
            reading.keep(rows, [record])
        return rows

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """A prompt with chosen and rejected."""
        return record.keys() >= {"prompt", "chosen", "rejected"}


def _text(value: Any) -> str:
    """A text, or the texts of a message list."""
    if isinstance(value, str):
        return value
    return SEPARATOR.join(str(message["content"]) for message in value)
