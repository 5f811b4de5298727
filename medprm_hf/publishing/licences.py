"""What a licence allows: may a row, its image or a passage be passed on?

    licence_of("CC BY-NC 4.0").kind          →  "restricted"      no image leaves
    licence_of("CC0-1.0")                    →  Licence("open", "cc0-1.0")
    licence_of(None).kind                    →  "unknown"
    licence_of("MIT", "mimic-cxr").kind      →  "credentialed"    ids and labels only, whatever the row says

Non-commercial and no-derivatives licences forbid what many readers of a public dataset do; credentialed sources
(MIMIC and all of PhysioNet's credentialed sets, CheXpert, …) forbid passing on at all: whoever wants them signs their
agreement and joins them by their ids. This is a check, not legal advice.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Kind = Literal["open", "restricted", "credentialed", "unknown"]


class Licence(NamedTuple):
    """What may be done with what stands under it."""

    kind: Kind
    """open: may be passed on · restricted: not with its images or passages · credentialed: ids only · unknown."""
    hub: str
    """The Hub's word for it in a card's header (`other` where it has none)."""


_CREDENTIALED = (
    "mimic", "physionet", "chexpert", "eicu", "vindr", "padchest", "radimagenet", "credentialed", "data use agreement",
    r"dua(?![a-z])", "research use agreement",
)  # fmt: skip
"""Patterns in the name of a source or licence that mean: whoever wants it must sign."""
_NOTHING = ("", "unknown", "none", "null", "n/a", "na", "unspecified", "tbd", "?", "other")
_RESTRICTED = re.compile(
    r"(?:^|[\s_/-])n[cd](?:$|[\s_/-])|non[\s-]?commercial|no[\s-]?deriv|all rights reserved|proprietary"
    r"|research[\s-]only"
)
_HUB: tuple[tuple[str, str], ...] = (
    (r"cc0|public[\s-]domain|pddl", "cc0-1.0"),
    (r"cc[\s-]by[\s-]sa[\s-](\d\.\d)", r"cc-by-sa-\1"),
    (r"cc[\s-]by[\s-]sa", "cc-by-sa-4.0"),
    (r"cc[\s-]by[\s-](\d\.\d)", r"cc-by-\1"),
    (r"cc[\s-]by\b|creative commons attribution", "cc-by-4.0"),
    (r"apache", "apache-2.0"),
    (r"\bmit\b", "mit"),
    (r"bsd[\s-]3", "bsd-3-clause"),
    (r"bsd[\s-]2", "bsd-2-clause"),
    (r"\bbsd\b", "bsd"),
    (r"\bodbl\b", "odbl"),
    (r"\bodc[\s-]by\b", "odc-by"),
    (r"unlicense", "unlicense"),
    (r"\bl?gpl", "gpl"),
    (r"us government work|17 usc 105", "other"),
)
"""Open licences, and what the Hub calls them."""


@lru_cache(maxsize=4096)
def licence_of(license: str | None, source: str | None = None) -> Licence:
    """The kind of a row's or passage's licence; the name of its source can only make it stricter."""
    said = (license or "").strip().lower()
    names = re.sub(r"[_\s]+", " ", f"{said} | {(source or '').lower()}")
    if any(re.search(rf"(?<![a-z]){word}", names) for word in _CREDENTIALED):
        return Licence("credentialed", "other")
    if said in _NOTHING:
        return Licence("unknown", "other")
    if _RESTRICTED.search(said):
        return Licence("restricted", _restricted_name(said))
    for pattern, name in _HUB:
        match = re.search(pattern, said.replace("_", "-"))
        if match:
            return Licence("open", match.expand(name))
    return Licence("unknown", "other")


def _restricted_name(said: str) -> str:
    """The Hub's word for a Creative Commons licence with NC or ND."""
    match = re.search(r"cc[\s_-]by((?:[\s_-](?:nc|nd|sa))+)[\s_-]?(\d\.\d)?", said)
    if not match:
        return "other"
    parts = "-".join(re.split(r"[\s_-]", match.group(1).strip(" _-")))
    return f"cc-by-{parts}-{match.group(2) or '4.0'}"
