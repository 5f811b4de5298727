"""Cards from `dataset_cards/`: filled by figures, never by hand; a field that stays empty is a finding.

    facts = dataset_facts(material, summary, written, said)
    gaps(facts)                     →  ["contact"]
    render("dataset.md.j2", facts)  →  the README.md

Templates see one dictionary. What only people know (why, who looks after it, how to reach them) comes from
`--card FILE` (YAML), with a default where a true one can be given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from medprm_hf.errors import ConfigError
from medprm_hf.registry import near

PEOPLE_SAY: dict[str, str] = {
    "title": "what the dataset or model is called",
    "motivation": "why it was made",
    "maintainer": "who looks after it",
    "contact": "how to reach them",
    "collection": "how images and questions came together",
    "cost": "what it cost, in words, where no run says",
    "uses": "what it is meant for",
    "limits": "what else a reader must know",
    "citation": "BibTeX",
    "base_license": "a model's: the licence of what it was trained from, and so of itself",
    "adjudicators": "accounts whose word settles a disagreement (list)",
}
"""Fields of `--card FILE`, and what each holds."""
_MAY_BE_EMPTY = frozenset(
    ("index", "seen", "layout", "trained", "training", "results", "base_id", "contributions", "moved", "simulated",
     "limits", "adjudicators", "report", "recipe", "run", "dropped", "agreement")
)  # fmt: skip
"""Facts that say something by being empty, or that a template asks for first."""


def cards_folder() -> Path:
    """`dataset_cards/`: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "dataset_cards"
    return inside if inside.is_dir() else package.parent / "dataset_cards"


def read_said(file: Path | None) -> dict[str, Any]:
    """What people say, from a YAML file; ConfigError for a field that no card has."""
    if file is None:
        return {}
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"--card {file} cannot be read: {error}") from None
    if not isinstance(said, dict):
        raise ConfigError(f"--card {file} must hold fields, as in `motivation: …`; it holds a {type(said).__name__}")
    for name in said:
        if name not in PEOPLE_SAY:
            raise ConfigError(f"--card {file}: no card has a field {name!r}{near(str(name), list(PEOPLE_SAY))}")
    return said


def gaps(facts: Mapping[str, Any]) -> list[str]:
    """Fields of the card that are empty."""
    return sorted(name for name, value in facts.items() if name not in _MAY_BE_EMPTY and value in (None, "", [], {}))


def render(template: str, facts: Mapping[str, Any]) -> str:
    """A card."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(cards_folder()), trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined,
        autoescape=False, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"cell": cell, "number": number, "percent": percent, "size": size, "yaml": inline_yaml}
    return environment.get_template(template).render(facts)


def cell(value: Any) -> str:
    """A value inside a table or sentence: nothing of it is markup."""
    text = " ".join(str(value).split())
    for mark in "\\`*_|<>[]":
        text = text.replace(mark, {"<": "&lt;", ">": "&gt;"}.get(mark, f"\\{mark}"))
    return text


def number(value: float | None) -> str:
    """A count with thousands apart, or a figure of three digits."""
    if value is None:
        return "not measured"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def percent(value: float | None) -> str:
    """A share."""
    return "not known" if value is None else f"{100 * value:.1f} %"


def size(value: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def inline_yaml(value: Any) -> str:
    """A value for the card's header."""
    return (
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000).removesuffix("\n...\n").strip()
    )
