"""All texts of a row, looked through for what may name a patient; found, masked, or a reason to leave the row out.

    scan = Scanner(cleared=frozenset({"Dr. Jones"}))
    scan.kinds({"question": "Mrs. Jane Doe, seen 03/14/2019", …})    →  {"name": "question", "date": "question"}
    scan.masked(row)["question"]                                    →  "[name], seen [date]"

Every string of the row counts, however deep: steps, reasons, evidence, notes, names of models. One scan a row finds
that there is nothing, which is the rule; only then is it looked where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError
from medprm_hf.text.identifiers import find_identifiers, mask

_JOINT = "\n\0\n"
"""Between texts that are scanned together: no pattern reaches over a null."""
_NOT_TEXT = frozenset({"image", "image_sha256", "image_notes", "extra", "license", "split"})
"""Bytes, hashes, and fixed words; licences hold addresses of their own right."""
_PUBLIC_LINKS = frozenset({"evidence", "source"})
"""Where an address on the web names a publication, not a person."""


class Scanner:
    """Looks for identifiers; `cleared` are texts that a person has looked at and found harmless."""

    def __init__(self, cleared: frozenset[str] = frozenset()) -> None:
        self._cleared = cleared

    def kinds(self, row: dict[str, Any]) -> dict[str, str]:
        """Each kind of identifier that is suspected, and the column it was first met in; empty if there is none."""
        pairs = list(texts_of(row))
        if not self._found(_JOINT.join(text for _, text in pairs)):
            return {}
        kinds: dict[str, str] = {}
        for column, text in pairs:
            for kind in self._found(text, column):
                kinds.setdefault(kind, column)
        return kinds

    def masked(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with each suspected place replaced by its kind in brackets, in every column."""
        return {name: row[name] if name in _NOT_TEXT else self._without(row[name], name) for name in row}

    def _without(self, value: Any, column: str) -> Any:
        return mapped(value, lambda text: mask(text) if self._found(text, column) else text)

    def _found(self, text: str, column: str = "") -> list[str]:
        passed = {"url"} if column in _PUBLIC_LINKS else set()
        found = find_identifiers(text)
        return [one.kind for one in found if one.text not in self._cleared and one.kind not in passed]


def texts_of(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(column, text) of every string in a row but hashes and fixed words."""
    for name, value in row.items():
        if name not in _NOT_TEXT:
            for text in _strings(value):
                if len(text) > 3:
                    yield name, text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A nested value with every string in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, (list, tuple)):
        return [mapped(inner, change) for inner in value]
    if isinstance(value, dict):
        return {key: mapped(inner, change) for key, inner in value.items()}
    return value


def read_cleared(file: Path | None) -> frozenset[str]:
    """Lines of a file of what a person has looked at: SHA-256 of images, or texts as they stand."""
    if file is None:
        return frozenset()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"--cleared {file} cannot be read ({error.strerror}): one SHA-256 or text a line") from None
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def public_name(model: str | None) -> str | None:
    """A model's name as it may be published: no address of a server, no path of this machine.

    >>> public_name("openai:gpt-4o-mini?base_url=http://10.0.0.7/v1")
    'openai:gpt-4o-mini'
    >>> public_name("transformers:/home/me/models/qwen")
    'transformers:qwen'
    """
    if not model:
        return model
    name = model.partition("?")[0]
    kind, mark, rest = name.rpartition(":") if "://" not in name else ("", "", name)
    if rest.startswith(("/", "./", "../", "~")) or "\\" in rest or "://" in rest:
        rest = rest.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return f"{kind}{mark}{rest}"
