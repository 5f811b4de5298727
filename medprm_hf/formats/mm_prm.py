"""`mm-prm`: MM-PRM's files, by `shape`: training conversations, marked paths, or search trees.

    train  {"id": "q1", "image": "1.png", "conversations": [
             {"from": "human", "value": "Question: Which side?\\nProcess: Look.<prm>\\n\\nLeft.<prm>"},
             {"from": "gpt", "value": [0.75, 0.0]}]}
    paths  {"question": …, "answer": …, "image_path": …, "process": "Look.<prm>\\n\\nLeft.<prm>", "labels": [0.75, 0.0]}
    tree   {"question": …, "answer": …, "image_path": …, "partial_solution": [], "mc_value": null, "children": […]}

Values are expected accuracies (`values="soft"`) or 1.0 and 0.0 of the final labels (`hard`, as the BIS
repository writes them). A step without value has no `<prm>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from medprm_hf.formats.base import Format, Reading, Record, Refused, Row, Writing
from medprm_hf.formats.marks import (
    RIGHT,
    WRONG,
    answer_place,
    refuse_marks,
    shown_question,
    step_labels,
)

MARKER = "<prm>"
_JOINT = "\n\n"
_QUESTION, _PROCESS = "Question: ", "\nProcess: "


@dataclass(frozen=True)
class MMPRM(Format):
    """MM-PRM's training files, paths and trees."""

    shape: Literal["train", "paths", "tree"] = "train"
    """Which of its files."""
    values: Literal["soft", "hard"] = "soft"
    """Expected accuracies, or 1.0 and 0.0 of the final labels."""
    early_stop: bool = False
    """End a path at its first value of 0, as MM-PRM does."""

    id: ClassVar[str] = "mm-prm"
    text: ClassVar[str] = "MM-PRM: training conversations, marked paths or search trees with float labels"
    unit: ClassVar[Any] = "question"
    carries: ClassVar[frozenset[str]] = frozenset(
        {"question", "options", "clinical_context", "answer", "answer_index", "image", "steps", "expected_accuracy"}
    )
    losses: ClassVar[tuple[str, ...]] = (
        "names of solutions",
        "an option or clinical context with a line break is read back as part of the question",
        "turns of a consultation become part of the question",
        "labels (unless values='hard'), and rollout counts",
        "steps without a value are joined to the next one; such steps at the end are left out",
        "the gold answer, in the shape `train`",
    )

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterator[Record]:
        """One record a solution; one tree a question."""
        paths = [path for row in rows if (path := self._path(row, writing))]
        first = rows[0]
        if self.shape == "tree":
            told = {"question": shown_question(first), "answer": first.get("answer")}
            root: dict[str, Any] = {"partial_solution": [], "mc_value": None, "children": []}
            yield {**told, "image_path": writing.image(first), **_grown(root, paths)}
            return
        for path in paths:
            process = _text_of(path)
            values = [value for _, value in path]
            if self.shape == "paths":
                yield {
                    "question": shown_question(first),
                    "answer": first.get("answer"),
                    "image_path": writing.image(first),
                    "process": process,
                    "labels": values,
                }
            else:
                shown = f"{_QUESTION}{shown_question(first)}{_PROCESS}{process}"
                turns = [{"from": "human", "value": shown}, {"from": "gpt", "value": values}]
                yield {"id": first["question_id"], "image": writing.image(first), "conversations": turns}

    def _path(self, row: Row, writing: Writing) -> list[tuple[str, float]]:
        """Text and value of each step that has one."""
        refuse_marks([shown_question(row)], (MARKER, _PROCESS), "question")
        refuse_marks(row["steps"], (MARKER,), "steps")
        hard: dict[str, float | None] = {RIGHT: 1.0, WRONG: 0.0}
        values = row.get("expected_accuracy") or [None] * len(row["steps"])
        if self.values == "hard":
            values = [hard.get(label) for label in step_labels(row)]
        writing.leave_out("steps without a value", values.count(None))
        if None not in values and not self.early_stop:
            return list(zip(row["steps"], values, strict=True))
        path: list[tuple[str, float]] = []
        waiting: list[str] = []
        for text, value in zip(row["steps"], values, strict=True):
            waiting.append(text)
            if value is not None:
                path.append((_JOINT.join(waiting), value))
                waiting = []
                if self.early_stop and value <= 0:
                    break
        if not path:
            writing.skip("rows without a step that has a value")
        return path

    def decode(self, record: Record, reading: Reading) -> Iterable[dict[str, Any]]:
        """One row a path; trees give one a leaf."""
        if "conversations" in record:
            human, reply = record["conversations"][-2:]
            shown, mark, process = human["value"].partition(_PROCESS)
            if not mark:
                raise Refused("unknown_first_turn", f"the human turn has no {_PROCESS!r}", "conversations")
            shown = shown.removeprefix("<image>\n").removeprefix(_QUESTION)
            paths, answer = [_path_of(process, reply["value"])], None
            exact = (
                self == MMPRM()
                and list(record) == ["id", "image", "conversations"]
                and [list(turn.items()) for turn in record["conversations"]]
                == [
                    [("from", "human"), ("value", f"{_QUESTION}{shown}{_PROCESS}{_text_of(paths[0])}")],
                    [("from", "gpt"), ("value", reply["value"])],
                ]
                and None not in reply["value"]
                and type(record["id"]) is str
                and type(record["image"]) in (str, type(None))
                and record["image"] != ""
                and MARKER not in shown
            )
        else:
            exact = False
            shown, answer = record["question"], record.get("answer", record.get("correct_answer"))
            paths = _paths(record)
        question, options, context = reading.asked(shown)
        rows = []
        named = record.get("id")
        for path in paths:
            row = reading.row(
                question=question, options=options, clinical_context=context, answer=answer,
                answer_index=answer_place(answer, options), steps=[text for text, _ in path],
                expected_accuracy=[value for _, value in path],
            )
            reading.image(record.get("image", record.get("image_path")), row)
            reading.name(row, None if named is None else str(named))
            rows.append(row)
        if rows and not exact and self._shape_of(record) == self.shape:
            reading.keep(rows, [record])
        return rows

    def _shape_of(self, record: Mapping[str, Any]) -> str:
        return "train" if "conversations" in record else "paths" if "process" in record else "tree"

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """A list of floats as reply, `<prm>` in the process, or a tree of partial solutions."""
        turns = record.get("conversations")
        if isinstance(turns, list) and turns:
            return isinstance(turns[-1].get("value"), list)
        return MARKER in str(record.get("process")) or {"children", "question"} <= record.keys()


def _text_of(path: Sequence[tuple[str, float | None]]) -> str:
    return _JOINT.join([text + MARKER for text, _ in path])


def _path_of(process: str, values: Sequence[float]) -> list[tuple[str, float | None]]:
    *texts, rest = process.split(MARKER)
    if len(texts) != len(values) or rest.strip():
        raise Refused("uneven_steps", f"{len(values)} labels for {len(texts)} markers", "labels")
    own = [*texts[:1], *(text.removeprefix(_JOINT) for text in texts[1:])]
    return list(zip(own, values, strict=True))


def _paths(record: Mapping[str, Any]) -> list[list[tuple[str, float | None]]]:
    if "process" in record:
        return [_path_of(record["process"], record["labels"])]
    paths: list[list[tuple[str, float | None]]] = []
    waiting: list[tuple[Mapping[str, Any], list[tuple[str, float | None]]]] = [(record, [])]
    while waiting:
        here, path = waiting.pop()
        if not here["children"] and path:
            paths.append(path)
        for child in reversed(here["children"]):
            text = child["partial_solution"]
            text = text if isinstance(text, str) else _JOINT.join(text)
            waiting.append((child, [*path, (text, child["mc_value"])]))
    return paths


def _grown(root: dict[str, Any], paths: Sequence[Sequence[tuple[str, float]]]) -> dict[str, Any]:
    """The tree of several paths; equal beginnings with equal values are one branch."""
    for path in paths:
        node = root
        for text, value in path:
            found = [c for c in node["children"] if c["partial_solution"] == [text] and c["mc_value"] == value]
            if not found:
                found = [{"partial_solution": [text], "mc_value": value, "children": []}]
                node["children"] += found
            node = found[0]
    return root
