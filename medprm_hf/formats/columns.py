"""What is asked of every row's columns, fast enough for millions: do they line up, are they numbers, what is lost?

columns = Columns(open_format("visualprm-raw"))
columns.check(row)     refuses what does not line up, and NaN where the format would write it
columns.lose({"question": "Side?", "judge_reasons": ["sound", None], …})
columns.losses()       ->  Counter({"judge_reasons": 1})
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from operator import itemgetter
from typing import Any

from medprm_hf.formats.base import Format, Refused, Row
from medprm_hf.formats.exact import finite
from medprm_hf.schema import BY_NAME, COLUMNS

_PER_STEP = frozenset(column.name for column in COLUMNS if column.per_step and column.name != "steps")
_LOOKED_AT = {"expected_accuracy", "rollout_total", "generator", "evidence", "reviews"}
"""Columns with numbers that formats look at beyond those that they carry."""
_NOTHING = {type(None)}
_BATCH = 512
"""Rows whose lost values are counted together, column by column."""

Getter = Callable[[Row], tuple[Any, ...]]


def getter(names: Sequence[str]) -> Getter:
    """A function that takes those values out of a row, always as a tuple."""
    if len(names) > 1:
        return itemgetter(*names)
    if not names:
        return lambda row: ()
    (only,) = names
    return lambda row: (row[only],)


class Columns:
    """What is asked of every row's columns: most rows have the same, so the names are looked up once."""

    def __init__(self, format_: Format) -> None:
        self._held = format_.carries | {"keep", "extra"}
        self._vary = "extra" in format_.carries
        """Whether rows that are read may have other keys each; only those of our own table do."""
        self._looked_at = format_.carries | _LOOKED_AT
        if "labels" in format_.carries:
            self._held |= {"review_labels"}
        if "image" in format_.carries:
            self._held |= {"image_sha256"}
        self._keys = dict[str, None]().keys()
        self._names: tuple[str, ...] = ()
        self._steps: tuple[str, ...] = ()
        self._get = self._get_steps = self._get_numbers = getter(())
        self._waiting: list[tuple[Any, ...]] = []
        self._counts: Counter[str] = Counter()

    def check(self, row: Row) -> None:
        """Refuses a row whose steps are no texts, whose per-step columns do not line up with them, or with NaN."""
        self.line_up(row)
        if not finite(self._get_numbers(row)):
            name, number = next(_strange({name: row[name] for name in row if self._is_looked_at(name)}))
            raise Refused("not_a_number", f"{name} is {number}, which JSON cannot hold: use null", name.split("[")[0])

    def line_up(self, row: Row) -> None:
        """Refuses a row whose steps are no texts, or whose per-step columns do not line up with them."""
        if row.keys() != self._keys:
            self._learn(row)
        steps = row.get("steps")
        if steps is None:
            return
        if type(steps) is not list or not texts(steps):
            raise Refused("steps_not_text", f"steps must be a list of texts, not {str(steps)[:60]!r}", "steps")
        count = len(steps)
        for place, column in enumerate(self._get_steps(row)):
            if column is not None and len(column) != count:
                name = self._steps[place]
                raise Refused("uneven_steps", f"{name} has {len(column)} entries for {count} steps", name)

    def all_line_up(self, rows: Sequence[Row]) -> bool:
        """Whether `line_up` would let all of the rows pass; told column by column, so much faster than one by one."""
        if not rows:
            return True
        if rows[0].keys() != self._keys:
            self._learn(rows[0])
        if self._vary and any(row.keys() != self._keys for row in rows):
            return False
        steps = [row["steps"] for row in rows]
        if {*map(type, steps)} != {list} or not texts(list(chain.from_iterable(steps))):
            return False
        counts = list(map(len, steps))
        for column in zip(*map(self._get_steps, rows), strict=True):
            missing = column.count(None)
            if not missing:
                if [*map(len, column)] != counts:
                    return False
            elif missing < len(column) and any(
                values is not None and len(values) != count for values, count in zip(column, counts, strict=True)
            ):
                return False
        return True

    def lose(self, row: Row) -> None:
        """Counts what a row that was written has lost; `check` must have seen it last, or one of its kind."""
        if row.keys() != self._keys:
            self._learn(row)
        if "image" not in self._held and row.get("image") is not None:
            self._counts["image"] += 1
        self._waiting.append(self._get(row))
        if len(self._waiting) >= _BATCH:
            self._count()

    def _learn(self, row: Row) -> None:
        """Notes which columns rows of this shape lose; the image apart, since it would be held in memory."""
        self._count()
        self._keys = dict.fromkeys(row).keys()
        self._names = tuple(name for name in row if name not in self._held and name != "image")
        self._steps = tuple(name for name in row if name in _PER_STEP)
        self._get, self._get_steps = getter(self._names), getter(self._steps)
        self._get_numbers = getter(tuple(name for name in row if self._is_looked_at(name)))

    def _is_looked_at(self, name: str) -> bool:
        return name != "image" and (name in self._looked_at or name not in BY_NAME)

    def _count(self) -> None:
        for name, column in zip(self._names, zip(*self._waiting, strict=True), strict=False):
            kinds = {*map(type, column)} - _NOTHING
            if kinds == {list}:
                there = [value for value in column if value is not None]
                count = sum(map(len, there)) - sum(map(list.count, there, repeat(None)))
            else:
                count = len(column) - column.count(None) - column.count("") if kinds else 0
            if count:
                self._counts[name] += count
        self._waiting.clear()

    def losses(self) -> Counter[str]:
        """Lost values per column so far."""
        self._count()
        return self._counts


def texts(values: Sequence[Any]) -> bool:
    """Whether all of them are texts."""
    try:
        "".join(values)
    except TypeError:
        return False
    return True


def _strange(row: Row) -> Iterator[tuple[str, float]]:
    """Where in a row a number is NaN or infinite, and which."""
    waiting: list[tuple[str, Any]] = list(row.items())
    while waiting:
        where, value = waiting.pop(0)
        if isinstance(value, float) and not math.isfinite(value):
            yield where, value
        elif isinstance(value, (list, tuple)):
            waiting += [(f"{where}[{place}]", inner) for place, inner in enumerate(value)]
        elif isinstance(value, dict):
            waiting += [(f"{where}[{key}]", inner) for key, inner in value.items()]
