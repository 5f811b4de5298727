"""What a format is, and what comes back from writing or reading one.

A format turns canonical rows (dicts of the columns in schema.py, one a solution) into the records of a file
and back. Its options are its dataclass fields; what it cannot hold is declared by `carries` (columns) and
`losses` (sentences), and counted when a file is written.

    report = write(rows, "visualprm.jsonl", "visualprm", early_stop=True)
    report.losses      ->  Counter({"judge_reasons": 812})
    report.left_out    ->  Counter({"steps without a label": 31})
    report.rejections  ->  Counter({"marker_in_text": 1})
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, Protocol

from medprm_hf.errors import FormatError

Row = Mapping[str, Any]
"""One row of the canonical table."""
Record = Any
"""One line of a JSONL file, or one element of a JSON array."""


class Refused(FormatError):
    """One row or record that cannot be written or read; `reason` is short and machine-readable."""

    def __init__(self, reason: str, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.key = key


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file, and where."""

    line: int | None
    """Line of a JSONL file, or element of an array, from 1; null for the file as a whole."""
    key: str | None
    """The key that holds it, where one does."""
    reason: str
    """Short and machine-readable: broken_json, not_a_number, duplicate_id, missing_image, …"""
    message: str
    """What was found, what is needed, and the way out."""
    text: str | None = None
    """The record as it stood, for the rejected-rows file; null where the record was kept."""

    @property
    def kept(self) -> bool:
        """Whether the record was kept all the same."""
        return self.text is None

    def __str__(self) -> str:
        place = "file" if self.line is None else f"row {self.line}"
        return f"{place}{f', {self.key}' if self.key else ''}: {self.message}"


@dataclass
class Report:
    """What became of the rows of one written file."""

    format: str
    path: str
    rows: int = 0
    """Rows that came in."""
    written: int = 0
    """Rows that stand in the file, whole or in part."""
    records: int = 0
    """Lines or array elements of the file."""
    rejected: int = 0
    """Rows (and, after `convert`, records) that could not be written or read; see `rejected_path`."""
    rejections: Counter[str] = field(default_factory=Counter)
    """Their reasons."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Steps and rows left out on purpose, by reason (unknown labels, `keep` false, …)."""
    losses: Counter[str] = field(default_factory=Counter)
    """Values per column that the format has no place for."""
    images: int = 0
    """Image files written."""
    rejected_path: str | None = None
    """The rejected rows with their reasons, one JSON object a line; null if there are none."""
    problems: list[Problem] = field(default_factory=list)
    """What `convert` met in its source."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a run's report."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("rejections", "left_out", "losses"):
            plain[name] = dict(sorted(plain[name].items()))
        return {**plain, "problems": [str(problem) for problem in self.problems]}

    def lines(self) -> list[str]:
        """The report as a person reads it, one sentence a line."""
        said = [f"{self.format}: {self.written} of {self.rows} rows written as {self.records} records: {self.path}"]
        said += [f"  left out: {count} {what}" for what, count in sorted(self.left_out.items())]
        said += [
            f"  lost: {column}: {count} not representable in {self.format}"
            for column, count in sorted(self.losses.items())
        ]
        kept = Counter(problem.reason for problem in self.problems if problem.kept)
        said += [f"  noted in the source: {count} {reason}" for reason, count in sorted(kept.items())]
        said += [f"  rejected: {count} {reason}" for reason, count in sorted(self.rejections.items())]
        return said + ([f"  rejected rows: {self.rejected_path}"] if self.rejected_path else [])


class Writing(Protocol):
    """One file while it is written: what a format calls to leave out, skip and reference images."""

    report: Report
    first: Row
    """The first row that was accepted."""
    sums: Counter[str]
    """Sums over what was written, for formats whose frame tells them."""
    image_mode: str

    def leave_out(self, what: str, count: int = 1) -> None:
        """Counts steps or rows that are left out on purpose."""

    def skip(self, what: str) -> None:
        """Counts one row that gives nothing to this file."""

    def image(self, row: Row) -> str | None:
        """Path of the row's image as the file will say it; null without one."""

    def found_frame(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Keys before and after the list in the file that the first row came from; empty if from elsewhere."""
        ...


class Reading(Protocol):
    """One file while it is read: what a format calls for a fresh row, its names, its image and its left-overs."""

    problems: list[Problem]
    """What was met since the reader last took them."""
    line: int | None
    number: int
    """Which record it is, from 1."""
    head: Mapping[str, Any]
    """For an object around a list: the keys before the list."""
    held: list[Any]
    """Records of a solution that is not complete yet."""

    keeps: bool
    """Whether `keep` does anything; if not, records need not be looked at for it."""
    blank: dict[str, Any]
    """A row with every carried column null: `{**reading.blank, …}` is `row` without a call."""

    def asked(self, shown: str) -> tuple[str, list[str], str | None]:
        """`split_question`, which the solutions of one question share."""
        ...

    def row(self, **columns: Any) -> dict[str, Any]:
        """A row with every carried column null but those given."""
        ...

    def name(self, row: dict[str, Any], question_id: str | None = None) -> None:
        """Names a row whose record has no name for it: the question by its content, the solution by its order."""

    def note(self, reason: str, message: str, key: str | None = None) -> None:
        """Reports something about a record that is kept."""

    def image(self, path: Any, row: dict[str, Any]) -> None:
        """Fills `image` and `image_sha256` from a path; a missing file is noted, its path kept."""

    def keep(
        self, rows: Sequence[dict[str, Any]], records: list[Record], ours: list[Record] | None = None
    ) -> None:
        """Puts into the first row's `extra` what our writer would not write of these records.

        Called for all but records that it is sure to write as they stand.
        """


@dataclass(frozen=True)
class Format:
    """One format; subclasses set the class variables and the methods that they support."""

    id: ClassVar[str] = ""
    """Name in `--to` and `--from` (design.md)."""
    text: ClassVar[str] = ""
    """One line: what it is and where it comes from."""
    reads: ClassVar[bool] = True
    writes: ClassVar[bool] = True
    extension: ClassVar[str] = ".jsonl"
    """Of files written without another wish; decides lines or array where `container` is `either`."""
    container: ClassVar[Literal["lines", "array", "either", "object", "object or lines"]] = "lines"
    """One record a line; one JSON array; `.json` an array, else lines; one object around a list of records."""
    inner: ClassVar[tuple[str, ...]] = ()
    """Keys that may hold the list of records, for objects."""
    unit: ClassVar[Literal["row", "question"]] = "row"
    """Whether `encode` sees one row or all neighbouring rows of one question."""
    needs_steps: ClassVar[bool] = True
    """Whether a row without steps is rejected."""
    carries: ClassVar[frozenset[str]] = frozenset()
    """Canonical columns that survive; every other non-empty value is counted as lost."""
    losses: ClassVar[tuple[str, ...]] = ()
    """What is lost within the columns that are carried, in words."""
    indent: ClassVar[bool] = False
    """Whether an object or array is written over many lines, two spaces a level."""

    def encode(self, rows: Sequence[Row], writing: Writing) -> Iterable[Record]:
        """The records of one row (or one question's rows); raises `Refused` for a row that cannot be held."""
        raise FormatError(f"{self.id} is read only: there is nothing that writes it")

    def decode(self, record: Record, reading: Reading) -> Iterable[dict[str, Any]]:
        """The rows of one record; raises `Refused` for a record that cannot be read."""
        raise FormatError(f"{self.id} is written only: there is nothing that reads it")

    def finish(self, reading: Reading) -> Iterable[dict[str, Any]]:
        """Rows still held back when the file ends."""
        return ()

    def frame(self, writing: Writing) -> tuple[dict[str, Any], str, dict[str, Any]]:
        """For objects: the keys before the list, the list's key, the keys after it."""
        raise FormatError(f"{self.id} has no frame around its records")

    def seen(self, records: Sequence[Record], writing: Writing) -> None:
        """Called with records that were written, for formats whose frame sums them up."""

    @classmethod
    def recognises(cls, record: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        """Whether a file's first record (and the keys around its list) are of this format."""
        return False
