"""What a run's labels look like, counted: shares of +, steps, difficulty, modality, evidence, kinds of error.

    {"plus": {"share": 0.74, "known": 9402, "unknown": 198}, "by_difficulty": {"easy": {…}}, "by_modality": {…},
     "questions": {"difficulty": {"easy": 120, "unknown": 3}, "modality": {…}},
     "steps": {"counts": {"6": 120, …}, "mean": 6.1, "few": 3, "many": 0, "solutions": 240},
     "evidence": {…} or null, "error_types": {…} or null}

A share is over labels that are + or -; what is unknown or neutral is counted beside it. Nothing counted is null.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from medprm_hf.schema import Label, final_labels
from medprm_hf.specs_report import ReportSpec

Row = dict[str, Any]
UNKNOWN = "unknown"
QUESTION_KINDS = ("difficulty", "modality", "source", "question_status")
TOP_PASSAGES = 8


def labels_of(row: Row) -> list[str]:
    """The labels that count; [] before anything was labelled."""
    return final_labels(list(row.get("labels") or []), row.get("review_labels"))


class Shares:
    """Counts all of it, one row that holds a solution at a time; rows of one question are neighbours."""

    def __init__(self, spec: ReportSpec) -> None:
        self._spec = spec
        self._labels: Counter[str] = Counter()
        self._by: dict[str, dict[str, Counter[str]]] = {"difficulty": {}, "modality": {}}
        self._solutions: dict[str, Counter[str]] = {name: Counter() for name in self._by}
        self._questions: dict[str, Counter[str]] = {name: Counter() for name in QUESTION_KINDS}
        self._lengths: Counter[int] = Counter()
        self._refused = Refused()
        self._evidence = Evidence()
        self._errors: Counter[str] = Counter()
        self._judged = False
        self._last: Any = None

    def add(self, row: Row) -> None:
        """One row."""
        labels = labels_of(row)
        self._labels.update(labels)
        for name, by in self._by.items():
            kind = str(row.get(name) or UNKNOWN)
            by.setdefault(kind, Counter()).update(labels)
            self._solutions[name][kind] += 1
        if row["question_id"] != self._last:
            self._last = row["question_id"]
            for name, counts in self._questions.items():
                counts[str(row.get(name) or UNKNOWN)] += 1
        self._lengths[len(row["steps"])] += 1
        self._refused.add(row)
        self._evidence.add(row)
        if row.get("judge_labels"):
            self._judged = True
            self._errors.update(str(kind) for kind in row.get("judge_errors") or [] if kind)

    def figures(self) -> dict[str, Any]:
        """All of it."""
        return {
            "plus": _plus(self._labels),
            **{f"by_{name}": self._kinds(name) for name in self._by},
            "questions": {name: dict(sorted(counts.items(), key=_order)) for name, counts in self._questions.items()},
            "steps": _steps(self._lengths, self._spec),
            "refused": self._refused.figures(),
            "evidence": self._evidence.figures(),
            "error_types": dict(self._errors.most_common()) if self._judged else None,
        }

    def _kinds(self, name: str) -> dict[str, dict[str, Any]]:
        solutions = sorted(self._solutions[name].items(), key=_order)
        return {kind: {"solutions": n, **_plus(self._by[name][kind])} for kind, n in solutions}


def shares(rows: Iterable[Row], spec: ReportSpec) -> dict[str, Any]:
    """All of the module's figures, from rows that hold a solution."""
    found = Shares(spec)
    for row in rows:
        found.add(row)
    return found.figures()


def _plus(counts: Counter[str]) -> dict[str, Any]:
    """Share of + among + and -, and how many labels are neither."""
    known = counts[Label.RIGHT.value] + counts[Label.WRONG.value]
    return {
        "share": counts[Label.RIGHT.value] / known if known else None,
        "known": known,
        "neutral": counts[Label.NEUTRAL.value],
        "unknown": counts[Label.UNKNOWN.value],
    }


def _order(item: tuple[str, int]) -> tuple[int, int, str]:
    levels = ("easy", "medium", "hard")
    place = levels.index(item[0]) if item[0] in levels else len(levels) + (item[0] == UNKNOWN)
    return (place, -item[1], item[0])


def _steps(lengths: Counter[int], spec: ReportSpec) -> dict[str, Any]:
    """Steps per solution before select has dropped any."""
    solutions = lengths.total()
    return {
        "solutions": solutions,
        "counts": {str(n): count for n, count in sorted(lengths.items())},
        "mean": sum(n * count for n, count in lengths.items()) / solutions if solutions else None,
        "few": sum(count for n, count in lengths.items() if n < spec.few_steps),
        "many": sum(count for n, count in lengths.items() if n > spec.many_steps),
    }


class Refused:
    """Answers that generate did not take, by reason; known only of questions that ended up short of solutions."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._question: tuple[Any, set[str]] = (None, set())

    def add(self, row: Row) -> None:
        """One row; a question's solutions, which are neighbours, may repeat its message."""
        if row["question_id"] != self._question[0]:
            self._question = (row["question_id"], set())
        for error in row.get("errors") or []:
            message = error["message"]
            if error["kind"] == "unusable_solutions" and message not in self._question[1]:
                self._question[1].add(message)
                for count, reason in re.findall(r"(\d+) ([a-z_]+)(?=,|$)", message.partition("refused:")[2]):
                    self._found[reason] += int(count)

    def figures(self) -> dict[str, int]:
        """Answers by reason."""
        return dict(sorted(self._found.items()))


def refused(rows: Iterable[Row]) -> dict[str, int]:
    """The figures of `Refused`."""
    found = Refused()
    for row in rows:
        found.add(row)
    return found.figures()


class Evidence:
    """What the judge was given and what it cited; of a passage only its beginning is held, and only if it was cited."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._checked: Counter[str] = Counter()
        self._cited: Counter[str] = Counter()
        self._shown: set[str] = set()
        self._texts: dict[str, tuple[Any, str]] = {}

    def add(self, row: Row) -> None:
        """One row."""
        passages = row.get("evidence") or []
        cited = [names or [] for names in row.get("judge_citations") or []]
        self._shown.update(passage["id"] for passage in passages)
        own = Counter(name for names in cited for name in names)
        self._cited += own
        self._texts |= {p["id"]: (p["source"], str(p["text"])[:240]) for p in passages if p["id"] in own}
        self._checked.update(one["status"] for step in row.get("judge_citation_checks") or [] for one in step or [])
        self._sums["solutions_with_passages"] += bool(passages)
        self._sums["steps_judged"] += len(cited)
        self._sums["steps_that_cite"] += sum(map(bool, cited))
        self._sums["contradicting"] += "contradicts_evidence" in (row.get("flags") or [])

    def figures(self) -> dict[str, Any] | None:
        """All of it; None where no passage was shown."""
        if not self._sums["solutions_with_passages"]:
            return None
        top = [(name, n, *self._texts.get(name, (None, ""))) for name, n in self._cited.most_common(TOP_PASSAGES)]
        return {
            "solutions_with_passages": self._sums["solutions_with_passages"],
            "passages_shown": len(self._shown),
            "steps_judged": self._sums["steps_judged"],
            "steps_that_cite": self._sums["steps_that_cite"],
            "citations": dict(sorted(self._checked.items())) or None,
            "most_cited": [{"id": name, "times": n, "source": source, "text": text} for name, n, source, text in top],
            "contradicting": self._sums["contradicting"],
        }


def evidence(rows: Iterable[Row]) -> dict[str, Any] | None:
    """The figures of `Evidence`."""
    found = Evidence()
    for row in rows:
        found.add(row)
    return found.figures()
