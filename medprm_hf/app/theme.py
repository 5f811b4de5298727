"""How the Space looks to Gradio: system fonts, one accent colour, no shadows; the colours stand in static/theme.css.

Nothing is fetched from elsewhere: fonts are names of what the reader's system has.
"""

from __future__ import annotations

from typing import Any

from medprm_hf.app.panels import page_url

FONT = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> Any:
    """The Gradio theme: every colour is a variable of static/theme.css."""
    import gradio as gr

    base = gr.themes.Base(font=FONT, font_mono=MONO, radius_size="md", spacing_size="md")
    both = {
        "body_background_fill": "var(--ground)",
        "body_text_color": "var(--ink)",
        "body_text_color_subdued": "var(--quiet)",
        "background_fill_primary": "var(--paper)",
        "background_fill_secondary": "var(--ground)",
        "border_color_primary": "var(--line)",
        "border_color_accent": "var(--accent)",
        "color_accent_soft": "var(--accent-soft)",
        "block_background_fill": "var(--paper)",
        "block_border_color": "var(--line)",
        "link_text_color": "var(--accent)",
        "button_primary_background_fill": "var(--accent)",
        "button_primary_text_color": "var(--on-accent)",
    }
    return base.set(color_accent="var(--accent)", **both, **{f"{name}_dark": value for name, value in both.items()})


def head() -> str:
    """What goes into the page's head: our stylesheet and the script that every tab uses."""
    return (
        f'<link rel="stylesheet" href="{page_url("theme.css")}">\n'
        f'<script type="module" src="{page_url("base.js")}"></script>\n'
        '<meta name="robots" content="noindex">'
    )
