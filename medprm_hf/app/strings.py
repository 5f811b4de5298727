"""The texts of the interface, by language: strings/en.yaml and its translations (and en.review.yaml, …: by tab).

    s = Strings.load("ko")
    s("score.run")             ->  "채점"
    s("score.limit", most=8)   ->  the text with {most} filled in
    s.tab("score")             ->  all texts that begin with "score.", for the page's scripts

A key that a language lacks is an error (tests/space/test_strings.py compares all files with the English one).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError
from medprm_hf.registry import near

FOLDER = Path(__file__).with_name("strings")


@dataclass(frozen=True)
class Strings:
    """The texts of one language."""

    lang: str
    """en, ko, zh."""
    texts: Mapping[str, str]
    """By key: section.name."""

    @classmethod
    def load(cls, lang: str = "en") -> Strings:
        """The texts of a language; ConfigError where there is no such file."""
        return cls(lang, _texts(lang))

    def __call__(self, key: str, **values: Any) -> str:
        """The text of a key; ConfigError with near names where there is none."""
        if key not in self.texts:
            raise ConfigError(f"no text {key!r} in {self.lang}.yaml{near(key, self.texts)}")
        return self.texts[key].format(**values) if values else self.texts[key]

    def html(self, key: str) -> str:
        """The text of a key, escaped for HTML; `$` and braces too, which Gradio's templates would read."""
        return inert(self(key))

    def tab(self, *sections: str) -> dict[str, str]:
        """All texts of these sections by their full key."""
        return {key: text for key, text in self.texts.items() if key.partition(".")[0] in sections}


def inert(text: str) -> str:
    """Text that neither HTML nor Gradio's `${…}` and `{{…}}` templates take for anything but text."""
    return escape(text).replace("$", "&#36;").replace("{", "&#123;").replace("}", "&#125;")


@lru_cache
def _texts(lang: str) -> dict[str, str]:
    import yaml

    files = sorted(FOLDER.glob(f"{lang}.yaml")) + sorted(FOLDER.glob(f"{lang}.*.yaml"))
    if not files:
        raise ConfigError(f"there are no texts in {lang!r}{near(lang, languages())}")
    return {key: text for file in files for key, text in _flat(yaml.safe_load(file.read_text(encoding="utf-8")) or {})}


def languages() -> list[str]:
    """Languages that have a file."""
    return sorted({file.name.split(".")[0] for file in FOLDER.glob("*.yaml")})


def _flat(data: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """(section.name, text) of nested sections."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", str(value)
