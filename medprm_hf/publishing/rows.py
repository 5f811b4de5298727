"""Is a row fit for the published table, and are the labels of all rows together worth publishing?

    check = RowCheck(findings)
    check.good(row)      →  False, with a finding, where lists do not line up or a name comes twice
    check.finish()       adds what only all rows together show: one kind of label, too many unknown ones

Names are held as 64-bit hashes.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from medprm_hf.ids import content_hash
from medprm_hf.publishing.findings import Findings
from medprm_hf.schema import COLUMNS, Label, final_labels

MAX_UNKNOWN = 0.5
"""Share of unknown labels above which there is a warning."""
MIN_SHARE = 0.01
"""Share of the rarer of + and - below which there is a warning."""
_PER_STEP = tuple(column.name for column in COLUMNS if column.per_step and column.name != "steps")
_SHARES = ("expected_accuracy", "p_right", "label_p", "judge_p_plus")
_LABELS = {label.value for label in Label}
_LABELLED = ("labels", "review_labels", "judge_labels", "calibration_labels")
_NEEDED = ("question_id", "solution_id", "question", "steps", "labels")

Row = dict[str, Any]


class RowCheck:
    """Checks rows one by one, and counts."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._names: set[int] = set()
        self._questions: dict[int, int] = {}
        self._last = ""
        self._left: set[int] = set()
        self.labels: Counter[str] = Counter()
        self.rows = 0

    def good(self, row: Row) -> bool:
        """Whether the row can be published; else there is a finding."""
        wrong = self._wrong(row)
        if wrong:
            self._findings.add(
                "schema", "error", wrong[0], str(row.get("solution_id") or row.get("question_id")), wrong[1]
            )
            return False
        self.rows += 1
        self.labels.update(final_labels(row["labels"], row["review_labels"]))
        return True

    def _wrong(self, row: Row) -> tuple[str, str] | None:
        for name in _NEEDED:
            if not isinstance(row[name], (str, list)) or (name.endswith("_id") and not row[name]):
                return f"{name} is missing", "give every row its names, question, steps and labels"
        for name in _PER_STEP:
            if row[name] is not None and len(row[name]) != len(row["steps"]):
                return f"{name} does not line up with the steps", "build the run again, or mend the file"
        for name in _LABELLED:
            if not _LABELS.issuperset(row[name] or ()):
                return f"{name} holds a word that is no label", "use + - 0 and ?"
        for name in _SHARES:
            for value in row[name] or ():
                if value is not None and not (math.isfinite(value) and 0 <= value <= 1):
                    return f"{name} is not between 0 and 1", "build the run again, or mend the file"
        return self._named_twice(row)

    def _named_twice(self, row: Row) -> tuple[str, str] | None:
        name = int(content_hash(row["solution_id"]), 16)
        if name in self._names:
            return "a solution's name comes twice", "give each solution a name of its own"
        self._names.add(name)
        question = int(content_hash(row["question_id"]), 16)
        asked = int(content_hash(row["question"], row["options"], row["image_sha256"]), 16)
        if self._questions.setdefault(question, asked) != asked:
            return "one question_id stands for two questions", "give each question a name of its own"
        if row["question_id"] != self._last:
            if question in self._left:
                return "the solutions of a question do not stand together", "sort the rows by question_id"
            self._left.add(question)
            self._last = row["question_id"]
        return None

    def finish(self) -> None:
        """What all rows together show."""
        if not self.rows:
            self._findings.add(
                "labels", "error", "there are no solutions to publish: build a run, or look at the findings above"
            )
            return
        right, wrong = self.labels["+"], self.labels["-"]
        known, steps = right + wrong + self.labels["0"], self.labels.total()
        if not known:
            self._findings.add("labels", "error", "no step has a label: merge or review first")
        elif not right or not wrong:
            self._findings.add(
                "labels",
                "error",
                f"all {known} labels are {'+' if right else '-'}: nothing can be learnt from one kind of label",
            )
        elif min(right, wrong) < MIN_SHARE * (right + wrong):
            self._findings.add(
                "labels", "warning", f"{right} + against {wrong} -: less than {MIN_SHARE:.0%} are of the rarer kind"
            )
        if known and self.labels["?"] > MAX_UNKNOWN * steps:
            self._findings.add(
                "labels", "warning", f"{self.labels['?']} of {steps} labels are unknown: review or sample more"
            )
