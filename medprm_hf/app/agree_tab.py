"""The Agree tab: agreement figures with intervals, disagreements to adjudicate, and the gate before export.

    with gr.Tab("Agree"):
        agree_tab(Strings.load("en"))

The page is static/agree.js and its parts; figures and verdicts are worked out by the server (review/agreement.py,
review/gate.py) and only drawn here.
"""

from __future__ import annotations

from medprm_hf.app.panels import panel
from medprm_hf.app.strings import Strings


def agree_tab(strings: Strings) -> None:
    """Puts the tab's content into the Blocks that are being built; names of labels and errors are the review page's."""
    panel("agree", strings, "agree", "review")
