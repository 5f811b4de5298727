"""What may leave of a row, as its owner decides it: licences, identifiers, groups, names of models.

    preparer = Preparer(Policy(restricted="ids"), findings)
    preparer.prepared(row)       →  the row as it may be published, or None where it is left out

`restricted` says what becomes of rows that may not be passed on: the whole is refused (default), they keep ids and
labels alone, or they are dropped. Passages whose licence is not open keep their id and lose their text in any case.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from medprm_hf.formats.images import image_parts
from medprm_hf.ids import bytes_hash, content_hash
from medprm_hf.publishing.findings import Findings
from medprm_hf.publishing.licences import licence_of
from medprm_hf.publishing.opening import named_models
from medprm_hf.publishing.privacy import Scanner, mapped

_PSEUDONYM = re.compile(r"[0-9a-f]{16}|g-[0-9a-f]{16}")
_TEXTS = ("question", "turns", "options", "answer", "clinical_context", "solution", "final_answer", "step_titles",
          "steps", "evidence", "similar_cases", "judge_reasons", "judge_corrections", "judge_citation_checks",
          "judge_premises", "question_writer")  # fmt: skip
"""Columns that say what the source says."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Policy:
    """Decisions of whoever publishes."""

    restricted: Literal["refuse", "ids", "drop"] = "refuse"
    """Rows that may not be passed on: refuse all · ids and labels only (images of non-commercial ones left out)
    · leave the rows out."""
    identifiers: Literal["refuse", "mask", "drop", "checked"] = "refuse"
    """Texts that may name a patient: refuse all · masked by their kind · rows left out (images always refused or
    left out) · checked when they came in, and not looked through again."""
    cleared: frozenset[str] = frozenset()
    """SHA-256 of images and texts that a person has looked at and found harmless."""
    license: str | None = None
    """Licence of rows that name none."""
    source: str | None = None
    """Source of rows that name none."""
    resplit: bool = False
    """Split anew, by components, whatever the rows say."""
    image_distance: int = 2
    """Bits of 64 up to which two perceptual hashes mean the same image."""
    benchmark: Literal["verified", "held-out", "simulated", "none"] = "verified"
    """Solutions whose every step an expert has labelled: from all splits · from development and test only · also
    those of simulated experts, and named so · no benchmark."""
    benchmark_questions: int = 1000
    """Questions of the benchmark at most (M15: 1,000; radiology : pathology : clinical = 4 : 3 : 3)."""
    benchmark_share: float = 0.1
    """Of all questions at most this share leaves training for it; held-out ones come first and are not limited."""


@dataclass
class Preparer:
    """Prepares rows; what it meets goes to the findings once, however often the rows pass by."""

    policy: Policy
    findings: Findings
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows left out, by reason."""
    quiet: bool = False
    """Whether this is a second pass, which reports nothing."""
    _scanner: Scanner = field(init=False)
    _suspected: dict[int, str] = field(default_factory=dict)
    """What the first pass found, by the row's number: so the second need not scan again."""
    _number: int = -1

    def __post_init__(self) -> None:
        self._scanner = Scanner(self.policy.cleared)

    def again(self) -> None:
        """Begins the second pass over the same rows."""
        self.quiet, self._number = True, -1

    def prepared(self, row: Row) -> Row | None:
        """The row as it may be published."""
        self._number += 1
        row = self._named(named_models(row))
        row["evidence"] = self._passages(row)
        allowed = self._licensed(row)
        return None if allowed is None else self._anonymous(allowed)

    def bad_image(self) -> None:
        """The row that was just prepared has an image that may not leave: the second pass leaves it out."""
        self._suspected[self._number] = "image"

    def _named(self, row: Row) -> Row:
        row["license"] = row["license"] or self.policy.license
        row["source"] = row["source"] or self.policy.source
        group = row["group"]
        if group and group != row["question_id"] and not _PSEUDONYM.fullmatch(group):
            row["group"] = f"g-{content_hash('group', group)}"
        data = image_parts(row["image"])[0] if row["image"] is not None else None
        if data is not None and not row["image_sha256"]:
            row["image_sha256"] = bytes_hash(data)
        return row

    def _passages(self, row: Row) -> list[dict[str, Any]] | None:
        if not row["evidence"]:
            return row["evidence"]  # type: ignore[no-any-return]
        shown = []
        for passage in row["evidence"]:
            closed = licence_of(passage.get("license"), passage.get("source")).kind != "open"
            if closed and passage.get("text"):
                self._note("licence", "note", "passages of evidence lose their text and keep their id: their licence "
                           "is not known to be open", row)  # fmt: skip
            shown.append({**passage, "text": ""} if closed else passage)
        return shown

    def _licensed(self, row: Row) -> Row | None:
        kind = licence_of(row["license"], row["source"]).kind
        if kind == "open":
            return row
        if kind == "unknown":
            said = f"whose licence {row['license']!r} is not known" if row["license"] else "without a licence"
            way = "name an open licence in the source's options, with --license for rows that name none"
            if self.policy.restricted == "drop":
                return self._leave_out("unknown licence")
            self._note("licence", "error", f"rows {said}", row, f"{way}, or leave them out (--restricted drop)")
            return row
        if self.policy.restricted == "drop":
            return self._leave_out(f"{kind} licence")
        if self.policy.restricted == "refuse":
            said = f"{row['source']}: {row['license']}" if row["source"] else str(row["license"])
            self._note("licence", "error", f"rows of {kind} material ({said}) that may not be passed on whole", row,
                       "publish ids and labels alone (--restricted ids), or drop them (--restricted drop)")  # fmt: skip
            return row
        return {**row, "image": None} if kind == "restricted" else only_ids(row)

    def _anonymous(self, row: Row) -> Row | None:
        if not self.quiet and self.policy.identifiers != "checked":
            kinds = self._scanner.kinds(row)
            if kinds:
                self._suspect(row, kinds)
        met = self._suspected.get(self._number)
        if met is None:
            return row
        if self.policy.identifiers == "drop":
            return self._leave_out("may name a patient")
        return self._scanner.masked(row) if met == "text" and self.policy.identifiers == "mask" else row

    def _suspect(self, row: Row, kinds: dict[str, str]) -> None:
        self._suspected[self._number] = "text"
        for kind, column in kinds.items():
            if self.policy.identifiers == "refuse":
                self._note("phi", "error", f"{column} seems to hold an identifier ({kind})", row,
                           "look; mask it (--identifiers mask), leave the rows out (--identifiers drop), "
                           "or clear harmless texts (--cleared FILE)")  # fmt: skip
            else:
                self._note("phi", "note", f"{column} seemed to hold an identifier ({kind})", row,
                           {"mask": "masked", "drop": "left out"}[self.policy.identifiers])  # fmt: skip

    def _leave_out(self, why: str) -> Row | None:
        if not self.quiet:
            self.left_out[why] += 1
        return None

    def _note(self, check: str, severity: Any, what: str, row: Row, way_out: str = "") -> None:
        if not self.quiet:
            self.findings.add(check, severity, what, str(row["question_id"]), way_out)


def only_ids(row: Row) -> Row:
    """A row of which nothing may leave but names, labels and counts: its texts are empty, in number as they were."""
    bare = dict(row)
    bare["image"] = None
    for name in _TEXTS:
        bare[name] = [] if name == "options" else mapped(row[name], lambda _: "") if name == "steps" else None
    bare["question"] = ""
    bare["reviews"] = [[{**d, "note": None} for d in step] for step in row["reviews"]] if row["reviews"] else None
    return bare


def is_bare(row: Row) -> bool:
    """Whether a row holds ids and labels only."""
    return row["question"] == "" and not any(row["steps"])
