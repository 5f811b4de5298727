"""One tab's content: a `gr.HTML` that holds our own markup and starts our own script.

    panel("score", strings, "score")     # static/score.css is linked, static/score.js has start(element, page)

The script is an ES module with `export function start(element, page)`; `page.texts` holds the texts of the named
sections by their full key, `page.lang` the language, and what is given as `values` stands beside them. Scripts write
what users typed with `textContent` only, so nothing of it is ever read as HTML.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from medprm_hf.app.strings import Strings
from medprm_hf.ids import bytes_hash

STATIC = Path(__file__).with_name("static")
ROUTE = "/page"
"""Where static/ is served (Gradio itself answers under /static and /assets)."""


def panel(name: str, strings: Strings, *sections: str, markup: str = "", **values: Any) -> Any:
    """A `gr.HTML` inside the Blocks that are being built; `markup` is trusted, its texts by `strings.html`."""
    import gradio as gr

    page = {"lang": strings.lang, "texts": strings.tab("common", *sections), **values}
    return gr.HTML(
        html_template=f'<div class="mp mp-{name}" data-panel="{name}">{markup}</div>',
        js_on_load=starting(name, page),
        head=f'<link rel="stylesheet" href="{page_url(f"{name}.css")}">' if (STATIC / f"{name}.css").exists() else None,
        elem_id=f"panel-{name}",
        apply_default_css=False,
    )


def starting(name: str, page: dict[str, Any]) -> str:
    """JavaScript that loads a tab's module and starts it; a failure is shown in the tab, not only in the console."""
    data = json.dumps(page, ensure_ascii=False).replace("</", "<\\/")
    return (
        f"const page = {data};\n"
        f"const host = element.querySelector('[data-panel=\"{name}\"]') || element;\n"
        f"import(new URL('{page_url(f'{name}.js')}', document.baseURI)).then((own) => own.start(host, page))\n"
        "  .catch((error) => { console.error(error); host.textContent = String(error); });"
    )


def page_url(file: str) -> str:
    """Address of a static file, with its content's hash so that a new version is never mixed with an old one."""
    return f"{ROUTE.removeprefix('/')}/{file}?v={_version()}"


@lru_cache
def _version() -> str:
    """One hash of all static files: scripts import each other."""
    return bytes_hash(b"".join(file.read_bytes() for file in sorted(STATIC.iterdir()) if file.is_file()))[:10]
