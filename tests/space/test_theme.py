"""The one theme: contrast of text on what it stands on, in both colours, computed from static/theme.css itself."""

from __future__ import annotations

import re

import pytest

from medprm_hf.app.panels import STATIC, page_url

PAIRS = [
    *((ink, ground) for ink in ("ink", "quiet", "accent", "plus", "amber", "minus") for ground in ("paper", "ground")),
    *((name, f"{name}-soft") for name in ("plus", "amber", "minus", "neutral")),
    ("accent", "accent-soft"), ("ink", "accent-soft"), ("ink", "raised"), ("quiet", "raised"), ("on-accent", "accent"),
    ("paper", "ink"),
]  # fmt: skip
AA = 4.5
"""Least contrast of text in the Web Content Accessibility Guidelines, level AA."""


def colours(dark: bool) -> dict[str, str]:
    """The variables of the light or dark block, dark ones over light ones."""
    text = (STATIC / "theme.css").read_text(encoding="utf-8")
    blocks = [re.search(r":root \{(.*?)\}", text, re.DOTALL), re.search(r"^\.dark \{(.*?)\}", text, re.DOTALL | re.M)]
    found: dict[str, str] = {}
    for block in blocks if dark else blocks[:1]:
        assert block is not None
        found |= dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block[1]))
    return found


def luminance(colour: str) -> float:
    """Relative luminance of sRGB, 0..1."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio, 1..21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_text_can_be_read(dark: bool, ink: str, ground: str) -> None:
    found = colours(dark)
    assert contrast(found[ink], found[ground]) >= AA, f"{ink} on {ground}: {found[ink]} on {found[ground]}"


def test_contrast_of_black_and_white() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_nothing_is_loaded_from_elsewhere() -> None:
    files = [file for file in STATIC.iterdir() if file.suffix in (".css", ".js")]
    assert files
    for file in files:
        addresses = re.findall(r"https?://[^\s\"')]+", file.read_text(encoding="utf-8"))
        assert {one for one in addresses if not one.startswith("http://www.w3.org/")} == set(), file.name


def test_files_are_named_by_their_content() -> None:
    assert re.fullmatch(r"page/theme\.css\?v=[0-9a-f]{10}", page_url("theme.css"))
