"""Keeping what a file holds beyond the table: the difference between a record and what we would write for it.

    ours   = {"question": "Mass?", "task": None}
    theirs = {"question": "Mass?", "task": "GSM8K", "id": 7}
    patch  = difference(ours, theirs)      kept in the row's `extra` column
    restored(ours, patch) == theirs        and where a reviewer changed a label since, the label stays changed

A value of theirs comes back only where ours is still the same as when the file was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from medprm_hf.formats.exact import dumps
from medprm_hf.ids import bytes_hash

Patch = dict[str, Any]
_SHORT = 12


def same(ours: Any, theirs: Any) -> bool:
    """Whether both are the same JSON: values, types and order of keys."""
    return dumps(ours) == dumps(theirs)


def plain_columns(objects: Sequence[Any], keys: tuple[str, ...]) -> list[tuple[Any, ...]] | None:
    """Values key by key, if there are objects and all have exactly these keys in this order; else null."""
    if {*map(type, objects)} != {dict} or {*map(tuple, objects)} != {keys}:
        return None
    return [*zip(*map(dict.values, objects), strict=True)]


def counted(numbers: Sequence[Any], first: int = 1) -> bool:
    """Whether they are the integers from `first` on."""
    return {*map(type, numbers)} == {int} and [*numbers] == [*range(first, first + len(numbers))]


def all_texts(*columns: Sequence[Any]) -> bool:
    """Whether all values are texts, and Unicode: raises UnicodeEncodeError for a lone surrogate, as `same` does."""
    values = [*chain.from_iterable(columns)]
    if {*map(type, values)} != {str}:
        return False
    "".join(values).encode()
    return True


def difference(ours: Any, theirs: Any, differ: bool = False) -> Patch | None:
    """What turns `ours` into `theirs`; null if nothing. `differ`: they are known not to be the same."""
    if ours is theirs:
        return None
    kind = type(ours)
    if kind is not type(theirs):
        return {"value": theirs, "of": _print(ours)}
    if kind is dict:
        return _of_objects(ours, theirs) if differ or not same(ours, theirs) else None
    if kind is list and len(ours) <= len(theirs):
        return _of_lists(ours, theirs) if differ or not same(ours, theirs) else None
    if ours == theirs:
        return None
    return {"value": theirs, "of": _print(ours)}


def _of_lists(ours: list[Any], theirs: list[Any]) -> Patch | None:
    alone = len(ours) == len(theirs) == 1
    pairs = zip(ours, theirs, strict=False)
    found = {str(place): patch for place, pair in enumerate(pairs) if (patch := difference(*pair, alone))}
    tail = theirs[len(ours) :]
    if not found and not tail:
        return None
    return {"items": found, "length": len(ours), "tail": tail}


def _of_objects(ours: dict[str, Any], theirs: dict[str, Any]) -> Patch | None:
    patch: Patch = {}
    found = {
        key: inner
        for key, value in ours.items()
        if key in theirs and value is not (other := theirs[key]) and (inner := difference(value, other))
    }
    if found:
        patch["keys"] = found
    if [*ours] == [*theirs]:
        return patch or None
    new = {key: value for key, value in theirs.items() if key not in ours}
    if new:
        patch["new"] = new
    gone = [key for key in ours if key not in theirs]
    if gone:
        patch["gone"] = gone
    if [*(key for key in ours if key in theirs), *new] != list(theirs):
        patch["order"] = list(theirs)
    return patch or None


def restored(ours: Any, patch: Patch) -> Any:
    """`ours` with everything of the patch that still fits it."""
    if "value" in patch:
        return patch["value"] if _print(ours) == patch["of"] else ours
    if "items" in patch:
        if not isinstance(ours, list):
            return ours
        items = patch["items"]
        made = [restored(one, items[str(n)]) if str(n) in items else one for n, one in enumerate(ours)]
        return made + patch["tail"] if len(ours) == patch["length"] else made
    if not isinstance(ours, dict):
        return ours
    return _object(ours, patch)


def _object(ours: dict[str, Any], patch: Patch) -> dict[str, Any]:
    found = patch.get("keys", {})
    gone = patch.get("gone", ())
    made = {
        key: restored(value, found[key]) if key in found else value for key, value in ours.items() if key not in gone
    }
    made.update({key: value for key, value in patch.get("new", {}).items() if key not in made})
    order = patch.get("order")
    if not order:
        return made
    first = {key: made[key] for key in order if key in made}
    return {**first, **{key: value for key, value in made.items() if key not in first}}


def _print(value: Any) -> Any:
    """A short value itself, or the fingerprint of a long one."""
    if value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= _SHORT):
        return value
    return "#" + bytes_hash(dumps(value))[:12]
