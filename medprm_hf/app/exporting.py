"""What the Export tab writes: a dataset in any format, all or approved solutions only, and what gets lost by it.

    told(table, "visualprm")            ->  {"columns": ["label_p", …], "losses": ["neutral steps …"], …}   beforehand
    with Exports() as exports:
        job = exports.write(table, "visualprm", only="approved", images=True)
        job.file, job.report            ->  visualprm.zip (images beside it), what became of the rows

A solution is approved where experts have labelled every step that asked for review, at least one in all, selection
kept it, and nobody rejected its question.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import weakref
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from medprm_hf.app.decisions import Join, Row, unchanged
from medprm_hf.app.routing import Refusal
from medprm_hf.app.tables import Table
from medprm_hf.errors import DataError
from medprm_hf.formats import FORMATS, open_format, write
from medprm_hf.formats.describing import kept
from medprm_hf.registry import near
from medprm_hf.schema import BY_NAME, Label

FEATURED = {"visualprm": "visualprm.jsonl", "steps-jsonl": "steps.jsonl", "medprm": "medprm.json"}
"""The formats that are offered first, and the names of their files."""
CHOICES = ("all", "approved")
APPROVAL = (
    "question_id", "solution_id", "question", "options", "image_sha256", "steps", "needs_review", "review_labels",
    "reviews", "keep",
)  # fmt: skip
"""Columns that say whether a solution is approved."""
STAYS = 900.0
"""Seconds that a written file waits to be fetched."""
LEFT = 86_400.0
"""Seconds after which the folder of a server that was killed is taken away by the next."""
_PREFIX = "medprm-export-"
AT_ONCE = 2
"""Files that are written at the same time."""
_QUIET = {"image_sha256", "image_notes", "errors", "extra", "question_status", "question_reason"}
"""Columns whose loss nobody misses."""

MOST_COUNTED = 20_000
"""Rows up to which approved solutions are counted beforehand, people's decisions included."""


def formats() -> list[dict[str, Any]]:
    """All formats that can be written, those that are asked for most first."""
    opened = {name: open_format(name) for name in (*FEATURED, *FORMATS)}
    return [
        {
            "id": name,
            "text": one.text,
            "file": file_name(name),
            "featured": name in FEATURED,
            "losses": list(one.losses),
        }
        for name, one in opened.items()
        if one.writes
    ]


def file_name(name: str) -> str:
    """Name of the file in a format."""
    return FEATURED.get(name) or f"{name}{open_format(name).extension}"


def check_format(name: Any) -> str:
    """The name of a format that can be written; DataError with near names else."""
    if not isinstance(name, str) or name not in FORMATS or not open_format(name).writes:
        raise DataError(f"{name!r} is no format that is written{near(str(name), FORMATS)}")
    return name


def told(table: Table, name: str, join: Join = unchanged) -> dict[str, Any]:
    """What a format will not hold of this dataset, before anything is written. `approved`: null if not counted."""
    one = open_format(check_format(name))
    held = set(kept(one)) | _QUIET
    lost = [column for column in table.filled() if column in BY_NAME and column not in held]
    index = table.index()
    dropped = index.flags.get("kept:no")
    return {
        "format": name,
        "file": file_name(name),
        "columns": [{"name": column, "text": BY_NAME[column].text} for column in lost],
        "losses": list(one.losses),
        "rows": index.rows - (int(dropped.sum()) if dropped is not None and name != "raw-json" else 0),
        "approved": approved(table, join),
    }


def approved(table: Table, join: Join) -> int | None:
    """How many solutions are approved; None where that would take reading a large dataset."""
    index = table.index()
    if join is unchanged:
        return int(index.flags["review:approved"].sum()) if index.rows else 0
    if index.rows > MOST_COUNTED:
        return None
    return sum(is_approved(join(row)) for row in table.rows(range(index.rows), APPROVAL))


def is_approved(row: Mapping[str, Any]) -> bool:
    """Whether experts have said all that was asked of them.

    >>> is_approved({"steps": ["a", "b"], "needs_review": [True, False], "review_labels": ["-", "?"]})
    True
    """
    count = len(row.get("steps") or [])
    reviewed = row.get("review_labels") or [Label.UNKNOWN.value] * count
    asked = row.get("needs_review") or [False] * count
    known = [label != Label.UNKNOWN for label in reviewed]
    open_steps = any(wish and not there for wish, there in zip(asked, known, strict=False))
    return any(known) and not open_steps and row.get("keep") is not False and row.get("question_verdict") != "reject"


def rows_of(table: Table, only: str, join: Join = unchanged) -> Iterator[Row]:
    """The rows that are written, people's decisions put in."""
    for row in table.stream():
        joined = join(row)
        if only == "all" or is_approved(joined):
            yield {name: value for name, value in joined.items() if name != "question_verdict"}


def scanned(rows: Iterator[Row], found: dict[str, str]) -> Iterator[Row]:
    """The same rows; kinds of identifiers that stand in them are put into `found`, with the first row of each."""
    from medprm_hf.publishing.privacy import Scanner

    scanner = Scanner()
    for row in rows:
        for kind in scanner.kinds(row):
            found.setdefault(kind, str(row.get("solution_id")))
        yield row


@dataclass
class Job:
    """One written export."""

    name: str
    file: Path
    report: dict[str, Any]
    found: dict[str, str] | None = None
    """Kinds of identifiers met, and a row of each; None where nobody looked: such a file is not proposed."""
    at: float = field(default_factory=time.monotonic)


class Exports:
    """Writes exports into a temporary folder of its own, made at the first, and forgets each after a while.

    The folder goes with `close`, and at the latest when the process ends; what a killed one left, with the next.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._taken_away: list[weakref.finalize[Any, Any]] = []
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._room = threading.BoundedSemaphore(AT_ONCE)

    def write(
        self,
        table: Table,
        name: str,
        only: str = "all",
        images: bool = True,
        join: Join = unchanged,
        public: bool = False,
    ) -> Job:
        """Writes one file (a zip with its images where it has any); Refusal (503) where too many are under way.

        `public`: it shall leave this machine, so its rows are looked through for identifiers.
        """
        check_format(name)
        if only not in CHOICES:
            raise DataError(f"only={only!r}{near(only, CHOICES)}")
        if not self._room.acquire(blocking=False):
            raise Refusal(503, "busy", f"{AT_ONCE} exports are being written: try again in a moment", wait=10)
        try:
            self.forget()
            key = uuid4().hex
            folder = self._own() / key
            folder.mkdir()
            file = folder / file_name(name)
            found: dict[str, str] | None = {} if public else None
            rows = rows_of(table, only, join) if found is None else scanned(rows_of(table, only, join), found)
            report = write(rows, file, name, images="files" if images else "none")
            job = Job(key, _packed(file), _plain(report), found)
            self._jobs[key] = job
            return job
        finally:
            self._room.release()

    def job(self, name: str) -> Job:
        """A written export; Refusal (404) where it is gone."""
        found = self._jobs.get(name)
        if found is None or not found.file.is_file():
            raise Refusal(404, "gone", "this file is gone: write it again")
        return found

    def _own(self) -> Path:
        """The folder, for nobody else to read; made anew where somebody tidied it away."""
        with self._lock:
            if self._folder is None or not self._folder.is_dir():
                tidy()
                self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
                self._taken_away.append(weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True))
            return self._folder

    def forget(self) -> None:
        """Takes away what has waited long enough."""
        for name, job in list(self._jobs.items()):
            if time.monotonic() - job.at > STAYS and self._jobs.pop(name, None) is not None:
                shutil.rmtree(job.file.parent, ignore_errors=True)

    def close(self) -> None:
        """Takes everything away."""
        for take_away in self._taken_away:
            take_away()


def tidy() -> None:
    """Takes away folders that servers left here which were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else's, or just gone
            if time.time() - folder.lstat().st_mtime > LEFT:
                shutil.rmtree(folder, ignore_errors=True)


def _plain(report: Any) -> dict[str, Any]:
    """The report without paths of this machine."""
    found = report.as_dict()
    return {name: value for name, value in found.items() if name not in ("path", "rejected_path", "problems")}


def _packed(file: Path) -> Path:
    """The file itself, or a zip of it with its images and rejected rows where it has any."""
    beside: Sequence[Path] = [one for one in file.parent.rglob("*") if one.is_file() and one != file]
    if not beside:
        return file
    target = file.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(file, file.name)
        for one in sorted(beside):
            stored = zipfile.ZIP_STORED if one.suffix in (".png", ".jpg") else zipfile.ZIP_DEFLATED
            packed.write(one, one.relative_to(file.parent), stored)
    return target
