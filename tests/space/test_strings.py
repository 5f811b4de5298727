"""The texts of the interface: every key in every language, and every key that a script asks for is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from medprm_hf.app.settings import LANGUAGES
from medprm_hf.app.strings import Strings, inert, languages
from medprm_hf.errors import ConfigError

APP = Path(__file__).parents[2] / "medprm_hf" / "app"
ASKED = re.compile(r"""\bt\(["']([a-z_]+\.[a-z0-9_]+)["']""")
BLANKS = re.compile(r"\{(\w+)\}")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_has_every_key(lang: str) -> None:
    english, other = Strings.load("en").texts, Strings.load(lang).texts
    assert set(english) == set(other)
    assert {key: text for key, text in other.items() if not text.strip()} == {}


@pytest.mark.parametrize("lang", [lang for lang in LANGUAGES if lang != "en"])
def test_translations_fill_in_the_same_names(lang: str) -> None:
    english, other = Strings.load("en").texts, Strings.load(lang).texts
    differ = {key for key in english if set(BLANKS.findall(english[key])) != set(BLANKS.findall(other[key]))}
    assert differ == set()


def test_scripts_ask_only_for_texts_that_there_are() -> None:
    known = Strings.load("en").texts
    asked = {key for file in (APP / "static").glob("*.js") for key in ASKED.findall(file.read_text("utf-8"))}
    assert asked and asked - set(known) == set()


def test_the_notice_stands_in_every_language() -> None:
    assert sorted(LANGUAGES) == languages()
    assert "not for clinical use" in Strings.load("en")("frame.intended")


def test_unknown_keys_and_languages_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"frame\.score"):
        Strings.load("en")("frame.scores")
    with pytest.raises(ConfigError, match="en"):
        Strings.load("xx")


def test_markup_in_texts_is_inert() -> None:
    assert inert("<b>${value} {{x}}") == "&lt;b&gt;&#36;&#123;value&#125; &#123;&#123;x&#125;&#125;"
