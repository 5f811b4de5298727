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
from collections.abc import Iterable, Sequence
from typing import Any

from medprm_hf.schema import Label, final_labels
from medprm_hf.specs_report import ReportSpec

Row = dict[str, Any]
UNKNOWN = "unknown"
TOP_PASSAGES = 8


def labels_of(row: Row) -> list[str]:
    """The labels that count; [] before anything was labelled."""
    return final_labels(list(row.get("labels") or []), row.get("review_labels"))


def shares(rows: Sequence[Row], spec: ReportSpec) -> dict[str, Any]:
    """All of the module's figures, from rows that hold a solution."""
    return {
        "plus": share_plus(rows),
        "by_difficulty": _by(rows, "difficulty"),
        "by_modality": _by(rows, "modality"),
        "questions": {name: _questions(rows, name) for name in ("difficulty", "modality", "source", "question_status")},
        "steps": steps(rows, spec),
        "refused": refused(rows),
        "evidence": evidence(rows),
        "error_types": error_types(rows),
    }


def share_plus(rows: Iterable[Row]) -> dict[str, Any]:
    """Share of + among + and -, and how many labels are neither."""
    counts = Counter(label for row in rows for label in labels_of(row))
    known = counts[Label.RIGHT.value] + counts[Label.WRONG.value]
    return {
        "share": counts[Label.RIGHT.value] / known if known else None,
        "known": known,
        "neutral": counts[Label.NEUTRAL.value],
        "unknown": counts[Label.UNKNOWN.value],
    }


def _by(rows: Sequence[Row], name: str) -> dict[str, dict[str, Any]]:
    kinds = Counter(str(row.get(name) or UNKNOWN) for row in rows)
    return {
        kind: {"solutions": n, **share_plus(row for row in rows if str(row.get(name) or UNKNOWN) == kind)}
        for kind, n in sorted(kinds.items(), key=_order)
    }


def _order(item: tuple[str, int]) -> tuple[int, int, str]:
    levels = ("easy", "medium", "hard")
    place = levels.index(item[0]) if item[0] in levels else len(levels) + (item[0] == UNKNOWN)
    return (place, -item[1], item[0])


def _questions(rows: Sequence[Row], name: str) -> dict[str, int]:
    """Questions with a solution, by kind."""
    kinds = {row["question_id"]: str(row.get(name) or UNKNOWN) for row in rows}
    return dict(sorted(Counter(kinds.values()).items(), key=_order))


def steps(rows: Sequence[Row], spec: ReportSpec) -> dict[str, Any]:
    """Steps per solution before select has dropped any."""
    lengths = [len(row["steps"]) for row in rows]
    return {
        "solutions": len(lengths),
        "counts": {str(n): count for n, count in sorted(Counter(lengths).items())},
        "mean": sum(lengths) / len(lengths) if lengths else None,
        "few": sum(n < spec.few_steps for n in lengths),
        "many": sum(n > spec.many_steps for n in lengths),
    }


def refused(rows: Iterable[Row]) -> dict[str, int]:
    """Answers that generate did not take, by reason; known only of questions that ended up short of solutions."""
    messages = {
        (row["question_id"], error["message"])
        for row in rows
        for error in row.get("errors") or []
        if error["kind"] == "unusable_solutions"
    }
    found: Counter[str] = Counter()
    for _, message in messages:
        for count, reason in re.findall(r"(\d+) ([a-z_]+)(?=,|$)", message.partition("refused:")[2]):
            found[reason] += int(count)
    return dict(sorted(found.items()))


def evidence(rows: Sequence[Row]) -> dict[str, Any] | None:
    """What the judge was given and what it cited; None where no passage was shown."""
    if not any(row.get("evidence") for row in rows):
        return None
    cited = [names or [] for row in rows for names in row.get("judge_citations") or []]
    checked = Counter(
        one["status"] for row in rows for step in row.get("judge_citation_checks") or [] for one in step or []
    )
    texts = {passage["id"]: passage for row in rows for passage in row.get("evidence") or []}
    passages = Counter(name for names in cited for name in names)
    return {
        "solutions_with_passages": sum(bool(row.get("evidence")) for row in rows),
        "passages_shown": len(texts),
        "steps_judged": len(cited),
        "steps_that_cite": sum(map(bool, cited)),
        "citations": dict(sorted(checked.items())) or None,
        "most_cited": [
            {"id": name, "times": n, "source": (texts.get(name) or {}).get("source"),
             "text": str((texts.get(name) or {}).get("text", ""))[:240]}
            for name, n in passages.most_common(TOP_PASSAGES)
        ],
        "contradicting": sum("contradicts_evidence" in (row.get("flags") or []) for row in rows),
    }  # fmt: skip


def error_types(rows: Sequence[Row]) -> dict[str, int] | None:
    """Kinds of error that the judge names; None where no judge has spoken."""
    if not any(row.get("judge_labels") for row in rows):
        return None
    found = Counter(str(kind) for row in rows for kind in row.get("judge_errors") or [] if kind)
    return dict(found.most_common())
