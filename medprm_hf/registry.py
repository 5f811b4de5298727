"""Short tables from a name to "module:object", opened only when asked for, with near names when unknown.

A third party adds a name through the entry-point group `medprm_hf.<family>` of its own package.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from medprm_hf.errors import ConfigError


def near(name: str, known: Iterable[str]) -> str:
    """'; did you mean …?' for an unknown name, or the list of what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else f"; there is: {', '.join(names)}"


def resolve(family: str, table: Mapping[str, str], name: str) -> Any:
    """The object that `name` stands for in `table`, else in the entry points of the family.

    Raises ConfigError with near names when nobody offers it.
    """
    if name in table:
        return _load(table[name])
    offered = {point.name: point for point in entry_points(group=f"medprm_hf.{family}")}
    if name in offered:
        return offered[name].load()
    raise ConfigError(f"unknown {family} {name!r}{near(name, [*table, *offered])}")


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
