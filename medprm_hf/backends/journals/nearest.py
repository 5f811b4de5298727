"""The recorded request that is nearest to one that was never recorded, and which of its parts differ.

First those of the same key, then by words in common; of the best few the most alike text wins (difflib).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any

from medprm_hf.backends.journals.journal import Journal, copy_of
from medprm_hf.backends.protocol import Request

SEARCHED = 20_000
"""Recorded requests that are searched; a journal may hold millions."""
_FINALISTS = 5
_SHOWN = 60
"""Characters of a text that a message shows."""
_SAMPLING = ("temperature", "top_p", "max_tokens", "stop", "seed", "schema", "logprobs", "key")


class Nearest:
    """Searches the requests of one identity; they are read when first searched."""

    def __init__(self, journal: Journal, identity: str) -> None:
        self._journal = journal
        self._identity = identity
        self._copies: list[tuple[dict[str, Any], frozenset[str]]] | None = None

    def to(self, request: Request) -> str:
        """`: nearest is …`, for the end of a message."""
        asked = json.loads(copy_of(self._identity, request))
        best = self._best(asked)
        if best is None:
            return ": the journal holds no request of this model"
        differing = " and ".join(_differences(best, asked))
        return f": nearest is the one of key {best['key']!r}, other are {differing}"

    def _best(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        if self._copies is None:
            rows = self._journal.query(
                "SELECT copy FROM requests WHERE identity = ? LIMIT ?", (self._identity, SEARCHED)
            )
            self._copies = [(copy, _words(copy)) for copy in (json.loads(row[0]) for row in rows)]
        words = _words(asked)

        def alike(item: tuple[dict[str, Any], frozenset[str]]) -> tuple[bool, float]:
            copy, own = item
            return copy["key"] == asked["key"], len(own & words) / (len(own | words) or 1)

        finalists = [copy for copy, _ in sorted(self._copies, key=alike, reverse=True)[:_FINALISTS]]
        return max(finalists, key=lambda copy: _closeness(copy, asked), default=None)


def _closeness(copy: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[bool, float, int]:
    ratio = SequenceMatcher(None, _text(copy), _text(asked), autojunk=False).quick_ratio()
    return copy["key"] == asked["key"], ratio, sum(copy[name] == asked[name] for name in _SAMPLING)


def _text(copy: Mapping[str, Any]) -> str:
    return "\n".join([*(text for _, text, _ in copy["messages"]), copy["prefix"]])


def _words(copy: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(_text(copy).split())


def _differences(recorded: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterable[str]:
    """The parts that differ, each with both values."""
    for name in _SAMPLING:
        if recorded[name] != asked[name]:
            yield f"{name} (recorded {recorded[name]!r}, asked {asked[name]!r})"
    if recorded["prefix"] != asked["prefix"]:
        yield f"the prefix ({_both(recorded['prefix'], asked['prefix'])})"
    ours, theirs = asked["messages"], recorded["messages"]
    if len(ours) != len(theirs):
        yield f"the number of turns (recorded {len(theirs)}, asked {len(ours)})"
    for turn, (old, new) in enumerate(zip(theirs, ours, strict=False), start=1):
        if old[0] != new[0]:
            yield f"the role of turn {turn} (recorded {old[0]}, asked {new[0]})"
        if old[1] != new[1]:
            yield f"the text of turn {turn} ({_both(old[1], new[1])})"
        if old[2] != new[2]:
            short = [", ".join(digest[:12] for digest in hashes) or "none" for hashes in (old[2], new[2])]
            yield f"the images of turn {turn} (SHA-256 recorded {short[0]}, asked {short[1]})"


def _both(recorded: str, asked: str) -> str:
    """Both texts around the first character that differs."""
    same = next((i for i, (a, b) in enumerate(zip(recorded, asked, strict=False)) if a != b), None)
    at = max(0, (min(len(recorded), len(asked)) if same is None else same) - _SHOWN // 3)
    shown = [("…" if at else "") + text[at : at + _SHOWN] for text in (recorded, asked)]
    return f"recorded {shown[0]!r}, asked {shown[1]!r}"
