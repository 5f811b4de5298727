"""The routes of the Export tab, all JSON but the file itself.

GET  /export/api/formats                                 [{id, text, file, featured, losses}], and where to propose
GET  /export/api/told?dataset=0&format=visualprm         what the format will not hold; how many rows there are
POST /export/api/write {dataset, format, only, images}   {job, file, bytes, report}
GET  /export/api/file/{job}                              the file, as a download
POST /export/api/propose {job}                           {url, number}: a pull request on the Hub
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from medprm_hf.app.access import Access
from medprm_hf.app.exporting import Exports, check_format, formats, tidy, told
from medprm_hf.app.routing import Careful, Refusal, json_body
from medprm_hf.app.settings import AppSettings
from medprm_hf.app.tables import Tables
from medprm_hf.errors import DataError

PATH = "/export/api"


def router(settings: AppSettings, tables: Tables | None = None, exports: Exports | None = None) -> APIRouter:
    """The routes over the datasets of the settings."""
    opened = tables or Tables(settings.datasets)
    written = exports or Exports()
    access = Access(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tidy()
        forgetting = asyncio.create_task(_forgets(written))
        yield
        forgetting.cancel()
        written.close()

    routes = APIRouter(prefix=PATH, route_class=Careful, lifespan=lifespan)

    @routes.get("/formats")
    async def listed(request: Request) -> JSONResponse:
        access.seer(request)
        titles = [{"number": number, "title": title} for number, title in enumerate(opened.titles())]
        return JSONResponse({"formats": formats(), "datasets": titles, "hub_repo": settings.hub_repo})

    @routes.get("/told")
    async def beforehand(request: Request, format: str, dataset: int = 0) -> JSONResponse:
        join = await asyncio.to_thread(access.join, request)
        return JSONResponse(await asyncio.to_thread(told, opened.table(dataset), format, join))

    @routes.post("/write")
    async def write(request: Request) -> JSONResponse:
        join = await asyncio.to_thread(access.join, request)
        body = await _object(request)
        table, name = opened.table(body.get("dataset", 0)), check_format(body.get("format"))
        only, images = str(body.get("only", "all")), bool(body.get("images", True))
        public = bool(body.get("public", False))
        job = await asyncio.to_thread(written.write, table, name, only, images, join, public)
        size = job.file.stat().st_size
        return JSONResponse({"job": job.name, "file": job.file.name, "bytes": size, "report": job.report})

    @routes.get("/file/{name}")
    async def file(request: Request, name: str) -> Response:
        access.seer(request)
        job = written.job(name)
        return FileResponse(job.file, filename=job.file.name, headers={"cache-control": "no-store"})

    @routes.post("/propose")
    async def propose(request: Request) -> JSONResponse:
        who = access.proposer(request)
        body = await _object(request)
        if not settings.hub_repo:
            raise Refusal(404, "no_repo", "no dataset on the Hub is set: give MEDPRM_HUB_REPO")
        job = written.job(str(body.get("job", "")))
        check_public(job.found)
        return JSONResponse(await asyncio.to_thread(proposed, settings.hub_repo, job.file, who.name))

    return routes


async def _forgets(written: Exports) -> None:
    """Once a minute, so that a file goes when its time is over though nobody writes another."""
    while True:
        await asyncio.sleep(60)
        await asyncio.to_thread(written.forget)


def check_public(found: dict[str, str] | None) -> None:
    """Refuses what has not been looked through for identifiers, or holds some."""
    if found is None:
        raise Refusal(409, "unchecked", 'write it with {"public": true} first: its rows are then looked through')
    if found:
        said = ", ".join(f"{kind} (first in {row})" for kind, row in sorted(found.items()))
        raise Refusal(422, "identifiers", f"nothing was sent: what may name a patient stands in it: {said}")


def proposed(repo: str, file: Path, who: str) -> dict[str, Any]:
    """Opens a pull request that adds the file under exports/."""
    from medprm_hf.hub import HubRepo

    made = HubRepo(repo).commit(
        {f"exports/{file.name}": file},
        f"Export {file.name}",
        description=f"Written by the Export tab for {who}. Research data, not for clinical use.",
        pull_request=True,
    )
    return {"url": made.url, "number": made.pull_request}


async def _object(request: Request) -> dict[str, Any]:
    body = await json_body(request)
    if not isinstance(body, dict):
        raise DataError("the body must be an object")
    return body
