"""The Space as one FastAPI application: our routes, the static files, and the Gradio page with its tabs at "/".

    app = build_app(AppSettings(datasets=("runs/demo",)))
    uvicorn.run(app, port=7860)

The page is Gradio's frame (tabs, login, `gradio_client`); what stands in the tabs is ours (panels.py) and talks to
/score/api, /review/api, /explore/api and /export/api. Models are opened by a thread once the server answers.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medprm_hf.app.guard import Guard
from medprm_hf.app.panels import ROUTE, STATIC, panel
from medprm_hf.app.settings import AppSettings
from medprm_hf.app.strings import Strings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from medprm_hf.app.score_api import ScoreRoutes

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

TABS = ("score", "review", "agree", "explore", "export")
"""In the order of the page."""


def build_app(settings: AppSettings) -> FastAPI:
    """The whole application; nothing heavy is opened yet, so that it answers within seconds."""
    import gradio as gr
    from fastapi import FastAPI

    from medprm_hf.app import explore_api, export_api, review_api
    from medprm_hf.app.filling import Filling
    from medprm_hf.app.identity import Identities
    from medprm_hf.app.score_api import ScoreRoutes
    from medprm_hf.app.statics import Statics
    from medprm_hf.app.theme import head, theme

    # One secret for all parts, so that what one signs the other reads.
    settings = replace(settings, secret=settings.secret or secrets.token_hex(32))
    filling = Filling(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().call_later(1.0, filling.begin)
        yield

    app = FastAPI(title=settings.title, docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    Identities.from_settings(settings).attach(app)
    scoring = ScoreRoutes(settings)
    app.include_router(scoring.router())
    for part in (review_api, explore_api, export_api):
        app.include_router(part.router(settings))
    app.mount(ROUTE, Statics(directory=STATIC), name="page")
    app.add_middleware(Guard)
    return gr.mount_gradio_app(  # type: ignore[no-any-return]
        app, _blocks(settings, scoring), path="/", theme=theme(), head=head(), footer_links=[], run_history=False,
        max_file_size="1kb", show_error=True, ssr_mode=False, enable_monitoring=False,
        favicon_path=str(STATIC / "favicon.svg"),
    )  # fmt: skip


def _blocks(settings: AppSettings, scoring: ScoreRoutes) -> Any:
    """The page: head line with the notice that is always in sight, and the tabs."""
    import gradio as gr

    from medprm_hf.app.agree_tab import agree_tab
    from medprm_hf.app.client_api import add_endpoints
    from medprm_hf.app.explore_tab import explore_tab
    from medprm_hf.app.export_tab import export_tab
    from medprm_hf.app.review_tab import review_tab
    from medprm_hf.app.score_tab import score_tab

    strings = Strings.load(settings.lang)
    tabs = dict(zip(TABS, (score_tab, review_tab, agree_tab, explore_tab, export_tab), strict=True))
    with gr.Blocks(title=settings.title, fill_width=True, analytics_enabled=False) as blocks:
        panel("frame", strings, "frame", title=settings.title, tabs=TABS)
        with gr.Tabs(elem_id="tabs"):
            for name, build in tabs.items():
                with gr.Tab(strings(f"frame.{name}"), id=name, elem_id=f"tab-{name}"):
                    build(strings)
        add_endpoints(scoring)
    return blocks
