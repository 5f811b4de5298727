"""The Score tab: an image, a question and one to eight solutions in, a score for every step out."""

from __future__ import annotations

from medprm_hf.app.panels import panel
from medprm_hf.app.strings import Strings


def score_tab(strings: Strings) -> None:
    """Puts the tab's content into the Blocks that are being built; the rest is static/score.js."""
    panel("score", strings, "score")
