"""The Explore tab: a dataset with filters, page by page, and one row with its image, steps and both signals."""

from __future__ import annotations

from medprm_hf.app.panels import panel
from medprm_hf.app.strings import Strings


def explore_tab(strings: Strings) -> None:
    """Puts the tab's content into the Blocks that are being built; the rest is static/explore.js."""
    panel("explore", strings, "explore")
