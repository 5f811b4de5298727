"""Writing: canonical rows in, one file out, in constant memory, the same bytes for the same rows.

    write(rows, "out/visualprm.jsonl", "visualprm")  ->  Report(rows=800, written=796, rejected=4, …)

Rows of one question arrive together. The file appears under its name only when it is whole; rejected rows go
with their reason to `<file>.rejected.jsonl`, and the rest is kept.
"""

from __future__ import annotations

import gzip
import itertools
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

from medprm_hf.errors import ConfigError, FormatError
from medprm_hf.formats.base import Format, Record, Refused, Report, Row
from medprm_hf.formats.columns import Columns
from medprm_hf.formats.exact import dumps
from medprm_hf.formats.images import ImageFolder, ImageMode
from medprm_hf.formats.keeping import restored
from medprm_hf.formats.marks import unpack_extra


class FileWriting:
    """The `Writing` that formats are given, with the report and what it is counted from."""

    def __init__(self, format_: Format, path: Path, images: ImageMode) -> None:
        self.format = format_
        self.report = Report(format_.id, str(path))
        self.images = ImageFolder(path, images)
        self.image_mode: str = images
        self.indent = not is_lines(format_, path) and format_.indent
        self.first: Row = {}
        self.sums: Counter[str] = Counter()
        """Sums over what was written, for formats whose frame tells them."""
        self._tally: Counter[str] = Counter()
        self._skipped = 0
        self._sums_up = type(format_).seen is not Format.seen
        self.columns = Columns(format_)

    def leave_out(self, what: str, count: int = 1) -> None:
        """Counts steps or rows that are left out on purpose."""
        if count:
            self._tally[what] += count

    def skip(self, what: str) -> None:
        """Counts one row that gives nothing to this file."""
        self.leave_out(what)
        self._skipped += 1

    def found_frame(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Keys before and after the list in the file that the first row came from; empty if from elsewhere."""
        found = unpack_extra(self.first, f"{self.format.id}:file") if self.first.get("extra") else {}
        return found.get("before", {}), found.get("after", {})

    def image(self, row: Row) -> str | None:
        """Path of the row's image as the file will say it; null without one."""
        return self.images.reference(row.get("image"))

    def encoded(self, group: Sequence[Row]) -> list[bytes]:
        """The records of a group as JSON in UTF-8; raises `Refused`."""
        self._tally.clear()
        self._skipped = 0
        try:
            records = list(self.format.encode(group, self))
            patch = unpack_extra(group[0], self.format.id) if group[0].get("extra") else None
            if patch:
                records = restored(records, patch)
            texts = [dumps(record, self.indent) for record in records]
        except UnicodeEncodeError as error:
            raise Refused("lone_surrogate", f"text that is not Unicode ({error.reason}): repair it") from None
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            raise Refused("unfit_row", f"{type(error).__name__}: {error}") from error
        if self._sums_up:
            self.format.seen(records, self)
        if self._tally:
            self.report.left_out.update(self._tally)
        self.report.written += len(group) - self._skipped
        for row in group:
            self.columns.lose(row)
        return texts


def safe_dumps(record: Record) -> str:
    """JSON text of anything: what JSON cannot hold stands there as its Python text."""
    return json.dumps(_plain(record), ensure_ascii=True, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    known = value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))
    return value if known else repr(value)


class Output:
    """The file and its rejected-rows file; both appear whole or not at all."""

    def __init__(self, path: Path, format_: Format, lines: bool) -> None:
        self.path, self.format, self.lines = path, format_, lines
        self.records = 0
        self.rejected_path = path.with_name(f"{path.name}.rejected.jsonl")
        self._partial = path.with_name(f".{path.name}.part")
        self._rejected: IO[str] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Output:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._body = self._stack.enter_context(open_bytes(self._partial, self.path.suffix == ".gz"))
        return self

    def add(self, texts: Sequence[bytes]) -> None:
        """Appends records."""
        if self.lines:
            self._body.write(b"\n".join([*texts, b""]))
            self.records += len(texts)
            return
        pad = b"    " if self.format.indent else b""
        for text in texts:
            self._body.write(b",\n" if self.records else b"")
            self._body.write(pad + text.replace(b"\n", b"\n" + pad) if pad else text)
            self.records += 1

    def reject(self, number: int, row: Row, refused: Refused) -> None:
        """Appends one row to the rejected-rows file, without its image's bytes."""
        if self._rejected is None:
            self._rejected = self._stack.enter_context(self.rejected_path.open("w", encoding="utf-8"))
        kept = {name: value for name, value in row.items() if name != "image" and value is not None}
        why = {"reason": refused.reason, "key": refused.key, "message": str(refused)}
        self._rejected.write(safe_dumps({"row": number, **why, "record": kept}) + "\n")

    def close(self, head: str, tail: str) -> None:
        """Puts the frame around the records and the file under its name."""
        self._stack.close()
        if head or tail:
            framed = self._partial.with_name(f"{self._partial.name}2")
            zipped = self.path.suffix == ".gz"
            opened = gzip.open if zipped else open
            with open_bytes(framed, zipped) as target, opened(self._partial, "rb") as source:
                target.write(head.encode())
                shutil.copyfileobj(source, target, 1 << 20)
                target.write(tail.encode())
            framed.replace(self._partial)
        self._partial.replace(self.path)
        if self._rejected is None:
            self.rejected_path.unlink(missing_ok=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._partial.unlink(missing_ok=True)
        if error is not None and self._rejected is not None:
            self.rejected_path.unlink(missing_ok=True)


def open_bytes(path: Path, zipped: bool) -> IO[bytes]:
    """A file for writing; gzip without name and time, so that equal rows give equal bytes."""
    return cast(IO[bytes], _Zip(path)) if zipped else path.open("wb")


class _Zip(gzip.GzipFile):
    """A gzip file that also closes the file it was given."""

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb")
        super().__init__(filename="", mode="wb", fileobj=self._raw, mtime=0)

    def close(self) -> None:
        super().close()
        self._raw.close()


def write_rows(rows: Iterable[Row], path: Path, format_: Format, images: ImageMode, include_dropped: bool) -> Report:
    """Writes rows with an opened format; `write` in formats/__init__ is the public door."""
    if not format_.writes:
        raise FormatError(f"{format_.id} is read only; write another format and keep the original file")
    if path.is_dir():
        raise FormatError(f"{path} is a directory: name the file to write")
    if images == "inline" and format_.id != "raw-json":
        raise ConfigError(f"images='inline' needs raw-json, not {format_.id}: use images='files'")
    writing = FileWriting(format_, path, images)
    with Output(path, format_, is_lines(format_, path)) as output:
        for group in groups(rows, format_.unit):
            _write_group(group, writing, output, include_dropped)
        output.close(*_frame(format_, writing, output))
    report = writing.report
    report.losses = writing.columns.losses()
    report.records, report.images = output.records, writing.images.written
    report.rejected_path = str(output.rejected_path) if report.rejected else None
    return report


def groups(rows: Iterable[Row], unit: str) -> Iterator[list[Row]]:
    """Rows one by one, or all neighbours of one question together (a row without question stands alone)."""
    if unit == "row":
        return ([row] for row in rows)
    named = itertools.groupby(rows, key=lambda row: row.get("question_id") or object())
    return (list(group) for _, group in named)


def _write_group(group: list[Row], writing: FileWriting, output: Output, include_dropped: bool) -> None:
    report = writing.report
    kept: list[tuple[int, Row]] = []
    for row in group:
        report.rows += 1
        if not include_dropped and row.get("keep") is False:
            report.left_out["rows that selection dropped"] += 1
        elif _accepted(report.rows, row, writing.columns.check, writing, output):
            kept.append((report.rows, row))
    if not kept:
        return
    writing.first = writing.first or kept[0][1]
    try:
        output.add(writing.encoded([row for _, row in kept]))
    except Refused as refused:
        if len(kept) == 1:
            _reject(*kept[0], refused, writing, output)
            return
        alone = FileWriting(writing.format, output.path, "none")
        good = [
            row for number, row in kept if _accepted(number, row, lambda one: alone.encoded([one]), writing, output)
        ]
        if good:
            output.add(writing.encoded(good))


def _accepted(number: int, row: Row, check: Callable[[Row], Any], writing: FileWriting, output: Output) -> bool:
    try:
        if writing.format.needs_steps and not row.get("steps"):
            raise Refused("no_steps", "no steps: generate a solution first, or write raw-json", "steps")
        check(row)
    except Refused as refused:
        _reject(number, row, refused, writing, output)
        return False
    return True


def _reject(number: int, row: Row, refused: Refused, writing: FileWriting, output: Output) -> None:
    writing.report.rejected += 1
    writing.report.rejections[refused.reason] += 1
    output.reject(number, row, refused)


def is_lines(format_: Format, path: Path) -> bool:
    """Whether the file has one record a line (else an array or an object around one)."""
    if format_.container in ("either", "object or lines"):
        return not path.name.removesuffix(".gz").endswith(".json")
    return format_.container == "lines"


def _frame(format_: Format, writing: FileWriting, output: Output) -> tuple[str, str]:
    if output.lines:
        return "", ""
    if not format_.container.startswith("object"):
        return ("[\n", "\n]\n") if output.records else ("[", "]\n")
    writing.report.records = output.records
    before, key, after = format_.frame(writing)
    head = _members(before) + f'  "{key}": [\n'
    rest = _members(after)
    return "{\n" + head, "\n  ]" + (",\n" + rest.removesuffix(",\n") if rest else "") + "\n}\n"


def _members(part: Mapping[str, Any]) -> str:
    """Members of an object at indent 2, each with its comma."""
    if not part:
        return ""
    text = json.dumps(part, ensure_ascii=False, allow_nan=False, indent=2)
    return text.removeprefix("{\n").removesuffix("\n}") + ",\n"
