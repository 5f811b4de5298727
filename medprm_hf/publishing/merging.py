"""How contributed labels, solutions and questions enter the table: nobody overwrites anybody.

    label there   contributors say   published   label_state
    +             +                  +           as before (the decisions are kept in `reviews`)
    +             -                  +           disputed: it stays, and needs review
    ?             -                  -           contributed
    ?             + and -            ?           disputed
    any           an adjudicator: -  -           adjudicated

What counts of an author is the last word; all words are kept, with author and time, in `reviews`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from medprm_hf.publishing.contributions import Contribution, LabelLine, QuestionLine, SolutionLine, text_sha
from medprm_hf.schema import COLUMNS, Label, final_labels

CONTRIBUTOR = "hub:"
"""Begins the name of a reviewer who contributed a label."""
CONTRIBUTED = "contribution:"
"""Begins `generator.origin` of a contributed solution."""
UNKNOWN = Label.UNKNOWN.value
_BLANK = {column.name: None for column in COLUMNS}

Row = dict[str, Any]


@dataclass(frozen=True)
class Word:
    """One author's label of one step."""

    author: str
    at: str
    line: LabelLine


@dataclass
class Contributed:
    """All contributions of a dataset, by what they are about."""

    words: dict[str, list[Word]] = field(default_factory=lambda: defaultdict(list))
    """By solution, in order of time."""
    solutions: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    """Canonical rows of new solutions by question."""
    questions: dict[str, Row] = field(default_factory=dict)
    """Question columns of new questions."""
    count: int = 0

    def __bool__(self) -> bool:
        return self.count > 0


def gathered(contributions: Iterable[Contribution], image: Callable[[str], bytes | None]) -> Contributed:
    """Contributions in order of time; `image` gives the bytes at a path of the repo."""
    found = Contributed()
    for one in sorted(contributions, key=lambda c: (c.at, c.id)):
        found.count += 1
        for line in one.lines:
            if isinstance(line, LabelLine):
                found.words[line.solution_id].append(Word(one.author, one.at, line))
            elif isinstance(line, QuestionLine):
                found.questions.setdefault(line.question_id, _question(line, image))
            else:
                found.solutions[line.question_id].append(_solution(line, one))
    return found


def _question(line: QuestionLine, image: Callable[[str], bytes | None]) -> Row:
    row = {**_BLANK, **line.model_dump(exclude={"kind", "image"})}
    if line.image is not None:
        row["image"] = {"bytes": image(line.image), "path": line.image.rsplit("/", 1)[-1]}
    return row


def _solution(line: SolutionLine, one: Contribution) -> Row:
    origin = f"{CONTRIBUTED}{one.author}/{one.id}"
    settings = ("prompt", "temperature", "top_p", "max_tokens", "seed")
    generator = {"model": line.model, **dict.fromkeys(settings), "origin": origin}
    return {**_BLANK, **line.model_dump(exclude={"kind", "model"}), "generator": generator,
            "label_method": ["contributed"] * len(line.steps)}  # fmt: skip


def settled(row: Row, words: Iterable[Word]) -> tuple[Row, int]:
    """A canonical row as it is published, and how many words were about a text that is not there any more.

    `labels` are final; `merged_labels` and `label_state` say what was before and where each comes from.
    """
    size = len(row["steps"])
    merged = list(row["labels"])
    labels = final_labels(merged, row["review_labels"])
    expert = row["review_labels"] or [UNKNOWN] * size
    start = "contributed" if is_contributed_solution(row) else "merged"
    states = [start if label == UNKNOWN else "expert" for label in expert]
    out = {**row, "labels": labels, "merged_labels": merged, "label_state": states}
    by_step: dict[int, list[Word]] = defaultdict(list)
    stale = 0
    for word in words:
        fits = word.line.step < size and text_sha(row["steps"][word.line.step]) == word.line.text_sha
        if fits:
            by_step[word.line.step].append(word)
        stale += not fits
    if by_step:
        _enter(out, by_step, expert)
    return out, stale


def _enter(out: Row, by_step: dict[int, list[Word]], expert: list[str]) -> None:
    size = len(out["steps"])
    out["reviews"] = [list(step or []) for step in out["reviews"] or [[]] * size]
    out["needs_review"] = list(out["needs_review"] or [False] * size)
    reviewed = list(expert)
    for step, words in by_step.items():
        out["reviews"][step] += [_decision(word) for word in words]
        out["labels"][step], state = _outcome(out["labels"][step], words)
        if state is not None:
            out["label_state"][step] = state
            out["needs_review"][step] = state == "disputed"
        if state == "adjudicated":
            reviewed[step] = out["labels"][step]
    if any(label != UNKNOWN for label in reviewed):
        out["review_labels"] = reviewed


def _outcome(there: str, words: list[Word]) -> tuple[str, str | None]:
    """(label, state) of one step; state None where nothing changes."""
    settled_by = [word for word in words if word.line.kind == "adjudication"]
    if settled_by:
        return settled_by[-1].line.label, "adjudicated"
    last = {word.author: word.line.label for word in words}
    said = set(last.values())
    if there != UNKNOWN:
        return there, None if said == {there} else "disputed"
    return (said.pop(), "contributed") if len(said) == 1 else (there, "disputed")


def _decision(word: Word) -> Row:
    line = word.line
    note = "; ".join(filter(None, ["adjudication" if line.kind == "adjudication" else "", line.note or ""]))
    return {
        "reviewer": f"{CONTRIBUTOR}{word.author}", "label": line.label, "error_type": line.error_type,
        "severity": line.severity, "note": note or None, "blind": False, "seconds": None, "at": word.at,
    }  # fmt: skip


def is_contributed_solution(row: Row) -> bool:
    """Whether a solution came in by a pull request."""
    return str((row["generator"] or {}).get("origin") or "").startswith(CONTRIBUTED)


def is_contributed(decision: Row) -> bool:
    """Whether a decision came in by a pull request."""
    return str(decision["reviewer"]).startswith(CONTRIBUTOR)


def new_rows(question: Row, solutions: list[Row], first: int) -> Iterable[Row]:
    """Contributed solutions of a question as rows of the table, numbered from `first` on."""
    own = {name: question[name] for name in _BLANK if name in _QUESTION}
    for place, solution in enumerate(solutions, start=first):
        yield {**solution, **own, "solution_index": place}


_QUESTION = frozenset(column.name for column in COLUMNS if column.stage in ("sources", "questions"))
