"""The Export tab: a dataset in any format, as a download or as a pull request on the Hub."""

from __future__ import annotations

from medprm_hf.app.panels import panel
from medprm_hf.app.strings import Strings


def export_tab(strings: Strings) -> None:
    """Puts the tab's content into the Blocks that are being built; the rest is static/export.js."""
    panel("export", strings, "export")
