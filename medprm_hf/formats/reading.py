"""Reading: one file in, canonical rows out, in constant memory; what is broken is reported and the rest kept.

    for row in read("steps.jsonl"):
        row["steps"], row["labels"]  ->  ["A nodule."], ["+"]

Every row of a format has the same keys: names, the columns that the format carries, and `extra`; null where a
record says nothing. `extra` keeps what the record holds beyond them, so that the format's writer can put it back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from medprm_hf.errors import ImageError
from medprm_hf.formats.base import Format, Problem, Record, Refused
from medprm_hf.formats.columns import Columns, texts
from medprm_hf.formats.exact import dumps
from medprm_hf.formats.images import LoadMode, load_image
from medprm_hf.formats.keeping import difference, same
from medprm_hf.formats.marks import split_question
from medprm_hf.formats.records import Item, scan
from medprm_hf.formats.tails import keys_behind
from medprm_hf.formats.writing import FileWriting
from medprm_hf.ids import bytes_hash
from medprm_hf.schema import COLUMNS, Label

_NAMES = {"question_id", "solution_id", "solution_index", "extra"}
NAMELESS = "q-"
"""Begins the name of a question that has none in its file."""
_LABELS = {label.value for label in Label}
_LABELLED = ("labels", "review_labels", "judge_labels")
_TEXT = {str}
_BATCH = 32
"""Rows that are checked together."""
_LOADED = 1 << 22
"""Bytes of images after which fewer are."""


class FileReading:
    """The `Reading` that formats are given."""

    def __init__(
        self, format_: Format, path: Path, images: LoadMode = "load", root: Path | None = None, keep: bool = True
    ) -> None:
        self.format = format_
        self.path = path
        self.problems: list[Problem] = []
        """What was met since the reader last took them."""
        self.line: int | None = None
        self.number = 0
        """Which record it is, from 1."""
        self.head: Mapping[str, Any] = {}
        """For `object` files: the keys before the list."""
        self.item: Item | None = None
        self.loaded = 0
        """Bytes of images loaded since rows were last given out."""
        self.held: list[Record] = []
        """Records of a solution that is not complete yet (one record a step)."""
        self.columns = Columns(format_)
        self._frame: dict[str, Any] | None = None
        self._images = images
        self._root = root or path.parent
        self.keeps = keep and format_.writes
        self._scratch = FileWriting(format_, path, "as found") if self.keeps else None
        wanted = format_.carries | _NAMES | ({"image_sha256"} if "image" in format_.carries else set())
        self.blank: dict[str, Any] = {column.name: None for column in COLUMNS if column.name in wanted}
        self._last: tuple[str, dict[str, Any] | None, str | None] = ("", None, None)
        self._question = ("", -1)
        self._parts: tuple[tuple[Any, ...], str] = ((), "")
        self._asked = ("", split_question(""))

    def row(self, **columns: Any) -> dict[str, Any]:
        """A row with every carried column null but those given."""
        return {**self.blank, **columns}

    def asked(self, shown: str) -> tuple[str, list[str], str | None]:
        """`split_question`, which the solutions of one question share."""
        if shown != self._asked[0]:
            self._asked = (shown, split_question(shown))
        question, options, context = self._asked[1]
        return question, [*options], context

    def name(self, row: dict[str, Any], question_id: str | None = None) -> None:
        """Names a row whose record has no name for it: the question by its content, the solution by its order."""
        nameless = question_id is None
        if question_id is None:
            image = row.get("image")
            parts = (row["question"], row.get("options"), image and image["path"])
            if parts != self._parts[0]:
                hashed = bytes_hash(dumps([parts[0], *(parts[1] or []), parts[2]]))[:12]
                self._parts = (parts, f"{NAMELESS}{hashed}")
            question_id = self._parts[1]
        index = self._question[1] + 1 if self._question[0] == question_id else 0
        self._question = (question_id, index)
        row["question_id"], row["solution_index"] = question_id, index
        # The same question may come back later in the file, so a nameless solution is named by its record too.
        row["solution_id"] = f"{question_id}/{self.number}-{index}" if nameless else f"{question_id}/{index}"

    def note(self, reason: str, message: str, key: str | None = None) -> None:
        """Reports something about a record that is kept."""
        self.problems.append(Problem(self.line, key, reason, message))

    def image(self, path: Any, row: dict[str, Any]) -> None:
        """Fills `image` and `image_sha256` from a path; a missing file is noted, its path kept."""
        if isinstance(path, list):
            if len(path) > 1:
                self.note("several_images", f"{len(path)} images; the table holds the first", "image")
            path = path[0] if path else None
        if not path:
            return
        if not isinstance(path, str):
            raise Refused("bad_image", f"image is a {type(path).__name__}, not a path", "image")
        if self._last[0] != path:
            self._last = (path, *self._load(path))
        _, row["image"], row["image_sha256"] = self._last

    def _load(self, path: str) -> tuple[dict[str, Any], str | None]:
        if self._images == "reference":
            return {"bytes": None, "path": path}, None
        try:
            data = load_image(path, self._root)
        except (ImageError, OSError, ValueError) as error:
            self.note("missing_image", f"{error}; the row is kept with the path alone", "image")
            return {"bytes": None, "path": path}, None
        self.loaded += len(data)
        return {"bytes": data, "path": path}, bytes_hash(data)

    def keep(
        self, rows: Sequence[dict[str, Any]], records: list[Record], ours: list[Record] | None = None
    ) -> None:
        """Puts into the first row's `extra` what our writer would not write of these records.

        `ours`: what it would write, where that is known; parts that are known to be the same are the same objects.
        """
        if self._scratch is None:
            return
        try:
            ours = list(self.format.encode(rows, self._scratch)) if ours is None else ours
        except Refused:
            ours = []
        except (TypeError, ValueError, KeyError, AttributeError, IndexError):
            for row in rows:
                check_read(row, self.columns)  # says more about what is wrong with the row
            raise
        extra: dict[str, Any] = {}
        if not (self._is_line(ours, records) or same(ours, records)):
            patch = difference(ours, records, differ=True)
            if patch:
                extra[self.format.id] = patch
        if self._frame:
            extra[f"{self.format.id}:file"], self._frame = self._frame, None
        if extra:
            rows[0]["extra"] = dumps(extra).decode()

    def _is_line(self, ours: list[Record], records: list[Record]) -> bool:
        """Whether our one record is, to the byte, the line that theirs was read from."""
        item = self.item
        one = item is not None and item.raw and len(ours) == len(records) == 1 and records[0] is item.record
        return bool(one and item and dumps(ours[0]) == item.raw)

    def look_ahead(self) -> None:
        """Reads the keys around the list of an `object` file, so that the first row can keep them."""
        if self._scratch is None or not self.format.inner:
            return
        before = head = None
        for item in scan(self.path, self.format.inner):
            if isinstance(item, Item) and before is None:
                before, head = dict(item.head), item.head
                behind = keys_behind(self.path, item.record) if before and type(item.record) is dict else None
                if behind is not None and behind.keys().isdisjoint(self.format.inner):
                    head = {**before, **behind}
                    break
        if before is not None and head:
            after = {key: value for key, value in head.items() if key not in before}
            self._frame = {"before": before, "after": after}


def read_rows(reading: FileReading) -> Iterator[dict[str, Any] | Problem]:
    """Rows and problems of a file, in its order; rows are checked a few at a time."""
    problems = reading.problems
    waiting: list[tuple[dict[str, Any] | Problem, Item | None]] = []
    decode = reading.format.decode
    reading.look_ahead()
    for item in chain(scan(reading.path, reading.format.inner), (None,)):
        if isinstance(item, Problem):
            waiting.append((item, None))
            continue
        try:
            if item is not None and type(item.record) is dict:  # the usual case, without a call
                reading.line, reading.number, reading.head, reading.item = item.line, item.number, item.head, item
                found = decode(item.record, reading)
            else:
                found = _decoded(reading, item)
            for row in found:
                if problems:
                    waiting += [(problem, None) for problem in problems]
                    problems.clear()
                waiting.append((row, item))
        except _BAD as error:
            waiting.append((_problem(error, reading, item), None))
        if problems:
            waiting += [(problem, None) for problem in problems]
            problems.clear()
        if len(waiting) >= _BATCH or reading.loaded > _LOADED:
            yield from _checked(waiting, reading)
            waiting.clear()
            reading.loaded = 0
    yield from _checked(waiting, reading)


def _checked(
    waiting: list[tuple[dict[str, Any] | Problem, Item | None]], reading: FileReading
) -> Iterable[dict[str, Any] | Problem]:
    """The same, with a problem in place of each row that the table cannot hold."""
    rows = [row for row, _ in waiting if type(row) is dict]
    if all_good(rows, reading.columns):
        return [one for one, _ in waiting]
    return [_check(one, item, reading) for one, item in waiting]


def _check(
    one: dict[str, Any] | Problem, item: Item | None, reading: FileReading
) -> dict[str, Any] | Problem:
    if isinstance(one, Problem):
        return one
    try:
        check_read(one, reading.columns)
    except _BAD as error:
        return _problem(error, reading, item)
    return one


def _decoded(reading: FileReading, item: Item | None) -> Iterable[dict[str, Any]]:
    """The rows of a record; after the last, the rows still held back."""
    if item is None:
        return reading.format.finish(reading)
    reading.line, reading.number, reading.head = item.line, item.number, item.head
    if type(item.record) is not dict:
        kind = type(item.record).__name__
        raise Refused("not_an_object", f"a {kind} where {reading.format.id} has objects")
    return reading.format.decode(item.record, reading)


_BAD = (Refused, KeyError, TypeError, ValueError, AttributeError, IndexError)


def _problem(error: Exception, reading: FileReading, item: Item | None) -> Problem:
    """What is wrong with a record, and the record itself."""
    text = "" if item is None else json.dumps(item.record, ensure_ascii=True, default=repr)
    line = reading.line if item is None else item.line
    if isinstance(error, Refused):
        return Problem(line, error.key, error.reason, str(error), text)
    if isinstance(error, KeyError):
        return Problem(line, str(error.args[0]), "missing_key", f"{error} is missing", text)
    message = f"a value of another type than {reading.format.id} has ({error})"
    return Problem(line, None, "mixed_types", message, text)


def all_good(rows: Sequence[Mapping[str, Any]], columns: Columns) -> bool:
    """Whether the table can hold all of the rows, told column by column; if not, `check_read` says why."""
    try:
        if not columns.all_line_up(rows) or not {type(row["question"]) for row in rows} <= _TEXT:
            return False
        here = rows[0] if rows else {}  # all have the same keys
        if "options" in here and not texts([*chain.from_iterable([row["options"] or () for row in rows])]):
            return False
        return all(
            _LABELS.issuperset(chain.from_iterable([row[name] or () for row in rows]))
            for name in _LABELLED
            if name in here
        )
    except (KeyError, TypeError):
        return False


def check_read(row: Mapping[str, Any], columns: Columns) -> None:
    """Refuses rows that the table cannot hold: mixed types, uneven steps, labels of other kinds."""
    if type(row.get("question")) is not str:
        raise Refused("mixed_types", f"question must be a text, not {str(row.get('question'))[:60]!r}", "question")
    options = row.get("options")
    if options and not texts(options):
        raise Refused("mixed_types", f"options must be texts, not {str(options)[:60]}", "options")
    columns.line_up(row)
    for name in _LABELLED:
        labels = row.get(name)
        if labels and not _LABELS.issuperset(labels):
            raise Refused("unknown_label", f"{name} must be + - 0 or ?, not {labels}", name)
