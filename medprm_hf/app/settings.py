"""What the Space is told: by `medprm space`, or on a Hugging Face Space by its variables.

AppSettings(store=Path("review.sqlite"), datasets=("runs/demo",), prm="phantom:prm")
MEDPRM_PRM=org/prm MEDPRM_DATASETS=org/medmm-prm MEDPRM_BLIND=1 python app.py        # AppSettings.from_env()
"""

from __future__ import annotations

import os
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from medprm_hf.errors import ConfigError
from medprm_hf.registry import near

LANGUAGES = ("en", "ko", "zh")
"""Languages that strings/ holds."""
PREFIX = "MEDPRM_"
"""Begins the name of each environment variable: MEDPRM_PRM, MEDPRM_DATASETS, …"""


@dataclass(frozen=True)
class AppSettings:
    """All settings of the Space; each can be set by MEDPRM_<NAME>, lists separated by commas."""

    store: Path = Path("review.sqlite")
    """File of the review store; made where it does not exist."""
    datasets: tuple[str, ...] = ()
    """What is explored and exported: runs, dataset folders, Parquet files, or Hub ids of datasets."""
    prm: str = "phantom:prm"
    """The process reward model that scores: folder, Hub id, phantom:prm, or openai:NAME?base_url=…"""
    device: str | None = None
    """cpu, cuda, …; none: a GPU if there is one."""
    writer: str | None = None
    """Backend that writes solutions in the Score tab; none: nothing is written (phantom:prm: its own policy)."""
    title: str = "medprm-hf"
    """Name in the page's head."""
    lang: str = "en"
    """Language of the interface: en, ko or zh."""
    blind: bool = False
    """Reviewers see no label, judge or rollout of a step before they have answered it."""
    roles: Path | None = None
    """YAML or JSON file that says who is reviewer, adjudicator or admin; none: see docs/reviewing.md."""
    hub_repo: str | None = None
    """Dataset on the Hub that decisions are synced to, and that exports are proposed to."""
    scores_per_minute: int = 60
    """Solutions that one user may have scored in a minute."""
    secret: str | None = None
    """Signs the session cookies; none: drawn at each start, so that a restart logs everyone out."""

    def __post_init__(self) -> None:
        if self.lang not in LANGUAGES:
            raise ConfigError(f"lang={self.lang!r}{near(self.lang, LANGUAGES)}")
        if self.scores_per_minute < 1:
            raise ConfigError(f"scores_per_minute={self.scores_per_minute}: write 1 or more")

    @property
    def dataset(self) -> Path | None:
        """The first dataset, where it is a path here."""
        first = Path(self.datasets[0]) if self.datasets else None
        return first if first is not None and first.exists() else None

    @property
    def writes_with(self) -> str | None:
        """The backend that writes solutions; the phantom's own policy where nothing else is said for phantom:prm."""
        return self.writer or ("phantom:policy" if self.prm == "phantom:prm" else None)

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None) -> AppSettings:
        """Settings by MEDPRM_* variables; ConfigError for a value that cannot be read. Empty ones count as unset."""
        given = os.environ if environment is None else environment
        hints = get_type_hints(cls)
        found: dict[str, Any] = {}
        for item in fields(cls):
            text = given.get(PREFIX + item.name.upper(), "").strip()
            if text:
                found[item.name] = _read(item.name, text, hints[item.name])
        return cls(**found)


def _read(name: str, text: str, hint: Any) -> Any:
    """One setting from its text."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    if get_origin(hint) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if hint is bool:
        known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if text.lower() not in known:
            raise ConfigError(f"{PREFIX}{name.upper()}={text!r}: write 1 or 0")
        return known[text.lower()]
    try:
        return hint(text)
    except ValueError:
        raise ConfigError(f"{PREFIX}{name.upper()}={text!r} is no {hint.__name__}") from None
