"""`math-aps`, read: openr's search trees over solutions, with the Monte Carlo value of every prefix.

    {"question": "Find c.", "final_answer": "3", "question_id": "7", "reasoning_steps": {"text": "Find c.",
     "mc_value": 0.9, "children": [{"text": "By the factor theorem …", "mc_value": 1.0, "children": []}]}}

`reasoning_steps` is a tree, or a flat list of prefixes ({"solution_prefix", "mc_value"}). One row is one path
from the question to a leaf, in order of the file; the root's value is the question's own and has no step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medprm_hf.formats.base import Format, Reading, Record, Refused

Steps = list[tuple[str, float | None]]


@dataclass(frozen=True)
class MathAPS(Format):
    """openr's MATH-APS files, flat and as trees."""

    id: ClassVar[str] = "math-aps"
    text: ClassVar[str] = "MATH-APS (openr): trees or flat prefixes with Monte Carlo values"
    writes: ClassVar[bool] = False
    carries: ClassVar[frozenset[str]] = frozenset(
        {"question_id", "question", "options", "answer", "solution_index", "steps", "expected_accuracy"}
    )

    def decode(self, record: Record, reading: Reading) -> Iterator[dict[str, Any]]:
        """One row a path."""
        found = record["reasoning_steps"]
        question = record["question"]
        paths = list(leaves(found)) if isinstance(found, Mapping) else list(chains(question, found))
        if not any(paths):
            raise Refused("no_steps", "nothing was written beyond the question", "reasoning_steps")
        for path in filter(None, paths):
            row = reading.row(question=question, options=[], answer=record.get("final_answer"))
            row.update(steps=[text for text, _ in path], expected_accuracy=[value for _, value in path])
            named = record.get("question_id")
            reading.name(row, None if named is None else str(named))
            yield row

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """A tree or a list under `reasoning_steps`."""
        return "reasoning_steps" in record


def leaves(node: Mapping[str, Any]) -> Iterator[Steps]:
    """Every path from below the root to a leaf; a loop, since trees may be deep."""
    waiting: list[tuple[Mapping[str, Any], Steps]] = [(node, [])]
    while waiting:
        here, path = waiting.pop()
        children = here.get("children") or []
        if not children:
            yield path
        for child in reversed(children):
            waiting.append((child, [*path, (_clean(child["text"]), child.get("mc_value"))]))


def chains(question: str, prefixes: Sequence[Mapping[str, Any]]) -> Iterator[Steps]:
    """Paths of a flat list: each prefix that no longer prefix continues, cut at the shorter ones."""
    values: dict[str, float | None] = {}
    for entry in prefixes:
        text = entry["solution_prefix"]
        text = text if isinstance(text, str) else "\n\n".join(text)
        if not text.startswith(question):
            message = "a solution_prefix does not begin with the question"
            raise Refused("unknown_prefix", message, "solution_prefix")
        values[text] = entry.get("mc_value")
    ordered = sorted(values)
    inner = {one for one, after in zip(ordered, ordered[1:], strict=False) if _continues(after, one)}
    for text in values:
        if text not in inner and text != question:
            yield _cut(text, question, values)


def _continues(text: str, prefix: str) -> bool:
    """Whether `text` goes on after `prefix` at a line break."""
    return text.startswith(prefix) and text[len(prefix) :].startswith("\n")


def _cut(text: str, question: str, values: Mapping[str, float | None]) -> Steps:
    lengths = sorted({len(prefix) for prefix in values if len(question) < len(prefix) < len(text)})
    bounds = [*(end for end in lengths if text[end] == "\n" and text[:end] in values), len(text)]
    path: Steps = []
    start = len(question)
    for end in bounds:
        path.append((_clean(text[start:end]), values[text[:end]]))
        start = end
    return path


def _clean(text: str) -> str:
    """A step without the line breaks and spaces that joined it to the one before."""
    return text.strip()
