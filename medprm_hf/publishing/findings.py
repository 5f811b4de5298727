"""What a check found before something is published: how bad it is, how often, where first, and the way out.

    found = Findings()
    found.add("licence", "error", "rows have no licence", "q1", "name it in the source's options")
    found.list()    →  [Finding("licence", "error", "1 x rows have no licence (q1): name it in …", 1)]

An error is never let through. A warning refuses too, until it is allowed by its check's name (`--allow card`); errors
of no check can be allowed. A note only stands in the printed list. Places are names of rows, never their text: what
may name a patient is not repeated in a message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from medprm_hf.errors import ConfigError, PublishError
from medprm_hf.registry import near

Severity = Literal["error", "warning", "note"]
CHECKS: dict[str, str] = {
    "schema": "every row has the table's columns, lists line up by step, names are unique",
    "phi": "no text, metadata or picture that may identify a patient",
    "licence": "every row and passage has a licence that allows to pass it on",
    "leakage": "no question, image or group stands in two splits, none of the benchmark's in training",
    "images": "every image is there, can be decoded, and shows something",
    "labels": "labels are of both kinds and mostly known",
    "card": "no field of the card is empty",
    "files": "a model's folder holds what is needed and nothing that runs code or names a machine",
    "text": "no markup, hidden characters or words to a judge in contributed texts",
    "contribution": "a pull request adds its own files, once, in the right shape",
}
"""Each check and what it asks for."""
NEVER_ALLOWED = ("phi", "licence")
_SHOWN = 3
_ORDER = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True)
class Finding:
    """One thing that a check has to say."""

    check: str
    """Name in `CHECKS`."""
    severity: Severity
    message: str
    """How often what was found, where first, and the way out."""
    count: int = 1

    def line(self) -> str:
        """As it is printed."""
        return f"{self.severity:7} {self.check:12} {self.message}"


class Findings:
    """Collects what checks meet row by row; the same thing met again is counted, not repeated."""

    def __init__(self) -> None:
        self._met: dict[tuple[str, Severity, str, str], list[str]] = defaultdict(list)
        self._counts: dict[tuple[str, Severity, str, str], int] = defaultdict(int)

    def add(self, check: str, severity: Severity, what: str, where: str = "", way_out: str = "") -> None:
        """One more of it; `where` names a row or file."""
        key = (check, severity, what, way_out)
        self._counts[key] += 1
        if where and len(self._met[key]) < _SHOWN and where not in self._met[key]:
            self._met[key].append(where)

    def list(self) -> list[Finding]:
        """All of it, the worst first, in order of the checks."""
        order = list(CHECKS)
        keys = sorted(self._counts, key=lambda key: (_ORDER[key[1]], order.index(key[0])))
        return [Finding(key[0], key[1], self._said(key), self._counts[key]) for key in keys]

    def _said(self, key: tuple[str, Severity, str, str]) -> str:
        count, places = self._counts[key], self._met.get(key, [])
        more = ", …" if count > len(places) else ""
        shown = f" ({', '.join(places)}{more})" if places else ""
        number = f"{count} x " if places else ""
        return f"{number}{key[2]}{shown}" + (f": {key[3]}" if key[3] else "")


def refusing(findings: Iterable[Finding], allow: Collection[str] = ()) -> list[Finding]:
    """The findings that forbid to publish; ConfigError for a name in `allow` that is no check, or may not be there."""
    for name in allow:
        if name not in CHECKS:
            raise ConfigError(f"--allow {name!r} is no check{near(name, list(CHECKS))}")
        if name in NEVER_ALLOWED:
            raise ConfigError(f"--allow {name}: what this check finds is never let through; mend it, or leave it out")
    return [f for f in findings if f.severity == "error" or (f.severity == "warning" and f.check not in allow)]


def refuse(findings: Iterable[Finding], allow: Collection[str], what: str) -> None:
    """Raises PublishError where a finding forbids to publish, with all that do."""
    stopping = refusing(findings, allow)
    if not stopping:
        return
    lines = "\n".join(f"  {finding.line()}" for finding in stopping)
    warned = sorted({f.check for f in stopping if f.severity == "warning"} - set(NEVER_ALLOWED))
    flags = " ".join(f"--allow {name}" for name in warned)
    only = " (warnings only" + (f": {flags})" if flags else ")") if warned else ""
    raise PublishError(f"{what} is not published, {len(stopping)} findings forbid it:\n{lines}\nMend them{only}.")
