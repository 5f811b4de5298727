"""The Review tab: one item of the queue at a time, labelled step by step, with the keyboard.

    with gr.Tab("Review"):
        review_tab(Strings.load("en"))

The page is static/review.js and its parts; it talks to /review/api (review_api.py) and keeps what the server has not
acknowledged yet in the browser. What a reviewer may see and do is decided by the server alone.
"""

from __future__ import annotations

from medprm_hf.app.panels import panel
from medprm_hf.app.strings import Strings
from medprm_hf.text.domains import DOMAINS
from medprm_hf.text.error_types import GROUPS


def review_tab(strings: Strings) -> None:
    """Puts the tab's content into the Blocks that are being built."""
    panel("review", strings, "review", error_groups=error_groups(), domains=DOMAINS)


def error_groups() -> dict[str, list[str]]:
    """The kinds of error that a reviewer can name, by group, in the order of their letters."""
    return {group: [str(kind) for kind in kinds] for group, kinds in GROUPS.items()}
