"""`visualprm`: the conversations that VisualPRM is trained on, a `+` or `-` after every step (section 3.2).

One JSONL line a solution; the first human turn holds question and step 1, each later one a bare step:

    {"id": -1, "image": "visualprm_images/3f1c….png", "conversations": [
      {"from": "system", "value": "…"},
      {"from": "human", "value": "### Question:\\n<image>\\nWhich side?\\n\\n### Solution Process:\\nThe left …"},
      {"from": "gpt", "value": "+"},
      {"from": "human", "value": "Answer: Right"}, {"from": "gpt", "value": "-"}]}

A step whose label is unknown or neutral has no turn of its own (`unlabelled`). Also read: the array of the
VisualPRM-Medical-PRM tool, whose first turn is `Question: …`, options and `Step 1: …`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from medprm_hf.errors import ConfigError
from medprm_hf.formats.base import Format, Reading, Record, Refused, Row, Writing
from medprm_hf.formats.marks import (
    NEUTRAL,
    RIGHT,
    UNKNOWN,
    WRONG,
    LabelSource,
    refuse_marks,
    shown_question,
    step_labels,
)

IMAGE_TAG = "<image>"
QUESTION_HEAD = "### Question:\n"
PROCESS_HEAD = "\n\n### Solution Process:\n"
SYSTEM_PROMPT = """\
You check the reasoning of someone who answers a medical question, usually about an image. First you are \
given the question together with the first step of the solution; each later message is the next step. After \
every step reply with one character: "+" if the step is right, given the image, the question and the steps \
before it; "-" if it contains an error of observation, knowledge or logic, or builds on one."""

_TOOL_STEP = re.compile(r"\AStep \d+: ")
_TOKENS = {RIGHT: "+", WRONG: "-"}


@dataclass(frozen=True)
class VisualPRM(Format):
    """VisualPRM conversations."""

    system_prompt: str = SYSTEM_PROMPT
    """Text of the system turn."""
    system_prompt_from: str = ""
    """A file that supplies it instead: a text file, or a VisualPRM file whose first row has a system turn."""
    labels: LabelSource = "final"
    """`final` (review, merge), or from rollouts `value` (mc > threshold) or `advantage` (change of mc)."""
    threshold: float = 0.0
    """Of `value`, 0..1 (VisualPRM: 0)."""
    tokens: Literal["value", "advantage"] = "value"
    """`value`: + and -; `advantage`: also `=` for a neutral step."""
    early_stop: bool = False
    """End the conversation after the first `-`."""
    outcome: bool = False
    """The outcome-only variant: one human turn with the whole solution, labelled like its last step."""
    unlabelled: Literal["join", "truncate", "reject"] = "join"
    """A step without label opens the next labelled turn · ends the conversation · rejects the row."""

    id: ClassVar[str] = "visualprm"
    text: ClassVar[str] = "VisualPRM conversations (VisualPRM400K): a turn a step, + or - after each"
    carries: ClassVar[frozenset[str]] = frozenset(
        {"image", "question", "options", "clinical_context", "steps", "labels"}
    )
    losses: ClassVar[tuple[str, ...]] = (
        "names of questions and solutions",
        "steps without a label are joined to the next labelled step; such steps at the end are left out",
        "turns of a consultation become part of the question",
        "an option or clinical context with a line break is read back as part of the question",
        "review and merge are one label",
    )

    def __post_init__(self) -> None:
        if self.system_prompt_from:
            object.__setattr__(self, "system_prompt", _prompt_of(Path(self.system_prompt_from)))

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One conversation a solution."""
        row = rows[0]
        question = shown_question(row)
        refuse_marks([question], (PROCESS_HEAD, IMAGE_TAG), "question")
        refuse_marks(row["steps"], (IMAGE_TAG,), "steps")
        turns = self._outcome(row, writing) if self.outcome else self._steps(row, writing)
        if not turns:
            writing.skip("rows without a labelled step")
            return
        image = writing.image(row)
        tag = f"{IMAGE_TAG}\n" if image else ""
        turns[0]["value"] = f"{QUESTION_HEAD}{tag}{question}{PROCESS_HEAD}{turns[0]['value']}"
        record: dict[str, Any] = {"id": -1, "image": image} if image else {"id": -1}
        record["conversations"] = [{"from": "system", "value": self.system_prompt}, *turns]
        yield record

    def _steps(self, row: Row, writing: Writing) -> list[dict[str, str]]:
        turns: list[dict[str, str]] = []
        waiting: list[str] = []
        tokens = {**_TOKENS, NEUTRAL: "="} if self.tokens == "advantage" else _TOKENS
        for text, label in zip(row["steps"], step_labels(row, self.labels, self.threshold), strict=True):
            token = tokens.get(label)
            if token is None:
                writing.leave_out(f"steps labelled {label!r}")
                if self.unlabelled == "reject":
                    raise Refused("unlabelled_step", f"a step is labelled {label!r}", "labels")
                if self.unlabelled == "truncate":
                    break
                waiting.append(text)
                continue
            human = "\n\n".join([*waiting, text]) if waiting else text
            turns += ({"from": "human", "value": human}, {"from": "gpt", "value": token})
            waiting = []
            if self.early_stop and label == WRONG:
                break
        return turns

    def _outcome(self, row: Row, writing: Writing) -> list[dict[str, str]]:
        label = step_labels(row, self.labels, self.threshold)[-1]
        if label not in _TOKENS:
            writing.leave_out(f"steps labelled {label!r}")
            return []
        whole = row.get("solution") or "\n\n".join(row["steps"])
        refuse_marks([whole], (IMAGE_TAG,), "solution")
        return [{"from": "human", "value": whole}, {"from": "gpt", "value": _TOKENS[label]}]

    def decode(self, record: Record, reading: Reading) -> Iterable[dict[str, Any]]:
        """One solution a conversation; a reply that is no label is unknown."""
        turns = record["conversations"]
        if turns and turns[0]["from"] == "system":
            turns = turns[1:]
        if not turns or [turn["from"] for turn in turns] != ["human", "gpt"] * (len(turns) // 2):
            raise Refused("turns_do_not_alternate", "human and gpt must alternate", "conversations")
        replies = [turn["value"] for turn in turns[1::2]]
        shown, steps = _parse([turn["value"] for turn in turns[0::2]])
        question, options, context = reading.asked(shown)
        row = {
            **reading.blank, "question": question, "options": options, "clinical_context": context, "steps": steps,
            "labels": [_LABELS.get(reply, UNKNOWN) for reply in replies],
        }
        if "image" in record:
            reading.image(record["image"], row)
        reading.name(row)
        if not self._ours(record, steps, replies):
            reading.keep([row], [record])
        return (row,)

    def _ours(self, record: Mapping[str, Any], steps: list[str], replies: list[str]) -> bool:
        """Whether our writer is sure to give the record back as it stands, so that it need not be tried."""
        turns = record["conversations"]
        image = list(record) == ["id", "image", "conversations"] and isinstance(record["image"], str)
        start = f"{QUESTION_HEAD}{IMAGE_TAG}\n" if image else QUESTION_HEAD
        return (
            (image or list(record) == ["id", "conversations"])
            and record["id"] == -1
            and turns[0] == {"from": "system", "value": self.system_prompt}
            and turns[1]["value"].startswith(start)
            and {*map(tuple, turns)} == {("from", "value")}
            and IMAGE_TAG not in "\0".join(steps)
            and turns[1]["value"].count(IMAGE_TAG) == image
            and _TOKENS.keys() >= {*replies}
        )

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """Turns, the last of them a label."""
        turns = record.get("conversations")
        return isinstance(turns, list) and len(turns) > 1 and turns[-1].get("value") in _LABELS


_LABELS = {"+": RIGHT, "-": WRONG, "=": NEUTRAL}


def _parse(texts: list[str]) -> tuple[str, list[str]]:
    """Question as it was shown, and step texts of the human turns."""
    first = texts[0]
    if first.startswith(QUESTION_HEAD) and PROCESS_HEAD in first:
        shown, _, step = first.removeprefix(QUESTION_HEAD).partition(PROCESS_HEAD)
        return shown.removeprefix(f"{IMAGE_TAG}\n"), [step, *texts[1:]]
    shown, mark, step = first.removeprefix(f"{IMAGE_TAG}\n").partition("\nStep 1: ")
    if shown.startswith("Question: ") and mark:
        later = [_TOOL_STEP.sub("", text, count=1) for text in texts[1:]]
        return shown.removeprefix("Question: "), [step, *later]
    message = f"the first human turn must begin with {QUESTION_HEAD!r}"
    raise Refused("unknown_first_turn", message, "conversations")


def _prompt_of(path: Path) -> str:
    """System prompt from a text file, or from the first row of a VisualPRM file."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.readline() if path.suffix == ".jsonl" else file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"system_prompt_from={path} cannot be read ({error}): name a text file") from None
    if path.suffix != ".jsonl":
        return text
    turn = json.loads(text)["conversations"][0]
    if turn["from"] != "system":
        raise ConfigError(f"the first row of {path} has no system turn: name a file whose rows have one")
    return str(turn["value"])
