"""The routes of the Explore tab, all JSON.

    GET  /explore/api/datasets                        [{number, title}]
    GET  /explore/api/facets?dataset=0                {rows, facets: {modality: {ct_scan: 812, …}, …}, simulated}
    POST /explore/api/rows {dataset, filters, page}   {total, page, pages, rows: [{place, question, labels, …}]}
    GET  /explore/api/row?dataset=0&place=17          one row as in the card, without its image
    GET  /explore/api/image?dataset=0&place=17        its image

Filters: {modality, difficulty, source, split, label, method, doubt, review, kept, answer: [values], confidence: [low,
high], text}. Several values of one filter are alternatives, several filters hold together.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from medprm_hf.app.access import Access
from medprm_hf.app.decisions import Join, unchanged
from medprm_hf.app.routing import Careful, Refusal, json_body
from medprm_hf.app.settings import AppSettings
from medprm_hf.app.tables import Table, Tables
from medprm_hf.errors import DataError
from medprm_hf.schema import Label

PATH = "/explore/api"
PAGE = 20
"""Rows of a page."""
SHOWN = 240
"""Letters of a question in the list."""
GROUPS = ("modality", "difficulty", "source", "split", "label", "method", "doubt", "review", "kept", "answer")


def router(settings: AppSettings, tables: Tables | None = None) -> APIRouter:
    """The routes over the datasets of the settings."""
    opened = tables or Tables(settings.datasets)
    access = Access(settings)
    routes = APIRouter(prefix=PATH, route_class=Careful)

    @routes.get("/datasets")
    async def datasets(request: Request) -> JSONResponse:
        access.seer(request)
        return JSONResponse([{"number": number, "title": title} for number, title in enumerate(opened.titles())])

    @routes.get("/facets")
    async def facets(request: Request, dataset: int = 0) -> JSONResponse:
        access.seer(request)
        index = await asyncio.to_thread(opened.table(dataset).index)
        return JSONResponse({"rows": index.rows, "facets": index.facets()})

    @routes.post("/rows")
    async def rows(request: Request) -> JSONResponse:
        access.seer(request)
        body = await json_body(request)
        if not isinstance(body, Mapping):
            raise DataError('a request is {"dataset": 0, "filters": {…}, "page": 0}')
        table = opened.table(body.get("dataset", 0))
        return JSONResponse(await asyncio.to_thread(page_of, table, body.get("filters") or {}, body.get("page", 0)))

    @routes.get("/row")
    async def row(request: Request, dataset: int = 0, place: int = 0) -> JSONResponse:
        join = await asyncio.to_thread(access.join, request)
        return JSONResponse(await asyncio.to_thread(whole_row, opened.table(dataset), place, join))

    @routes.get("/image")
    async def image(request: Request, dataset: int = 0, place: int = 0) -> Response:
        access.seer(request)
        data = await asyncio.to_thread(opened.table(dataset).image, place)
        if data is None:
            raise Refusal(404, "no_image", f"row {place} has no image")
        kind = "image/jpeg" if data[:2] == b"\xff\xd8" else "image/png"
        return Response(data, media_type=kind, headers={"cache-control": "private, max-age=3600"})

    return routes


def selected(table: Table, filters: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Numbers of the rows that fit; DataError for filters that are none."""
    if not isinstance(filters, Mapping):
        raise DataError("filters must be an object of lists")
    wanted = {name: filters[name] for name in GROUPS if filters.get(name)}
    if any(
        not isinstance(values, list) or not all(isinstance(one, str) for one in values) for values in wanted.values()
    ):
        raise DataError("each filter is a list of texts")
    bounds = filters.get("confidence")
    if bounds is not None:
        if (
            not isinstance(bounds, list)
            or len(bounds) != 2
            or not all(isinstance(b, int | float | None) for b in bounds)
        ):
            raise DataError("confidence is [low, high], each a number or null")
        wanted["confidence"] = bounds
    found = table.index().select(wanted)
    text = filters.get("text")
    if isinstance(text, str) and text.strip():
        found = np.intersect1d(found, table.containing(text.strip()[:SHOWN]), assume_unique=True)
    return found


def page_of(table: Table, filters: Any, page: Any) -> dict[str, Any]:
    """One page of the rows that fit."""
    places = selected(table, filters)
    pages = max(1, math.ceil(len(places) / PAGE))
    number = min(max(page if isinstance(page, int) else 0, 0), pages - 1)
    shown = places[number * PAGE : (number + 1) * PAGE].tolist()
    rows = [{"place": place, **listed(row)} for place, row in zip(shown, table.rows(shown), strict=True)]
    return {"total": len(places), "page": number, "pages": pages, "first": number * PAGE, "rows": rows}


def listed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row in the list: names, the beginning of the question, and a mark for each step."""
    question = " ".join(str(row.get("question") or "").split())
    steps = row.get("steps") or []
    return {
        "question": question if len(question) <= SHOWN else f"{question[: SHOWN - 1]}…",
        "steps": [
            {"label": label, "p": p}
            for label, p in zip(final(row), _per_step(row, "label_p", len(steps)), strict=False)
        ],
        **{name: row.get(name) for name in _SAID},
    }


_SAID = ("question_id", "solution_id", "modality", "difficulty", "source", "keep", "is_correct", "final_answer")


def final(row: Mapping[str, Any]) -> list[str]:
    """The labels that count, [num_steps]: the review's, else merge's, else unknown."""
    count = len(row.get("steps") or [])
    merged, reviewed = _per_step(row, "labels", count), _per_step(row, "review_labels", count)
    return [
        theirs if theirs not in (None, Label.UNKNOWN) else ours or Label.UNKNOWN.value
        for ours, theirs in zip(merged, reviewed, strict=True)
    ]


def _per_step(row: Mapping[str, Any], name: str, count: int) -> list[Any]:
    """A step column, or nothing known where it does not line up."""
    values = row.get(name)
    return list(values) if isinstance(values, list) and len(values) == count else [None] * count


STEPPED = (
    "step_titles", "labels", "review_labels", "label_p", "label_method", "needs_review", "expected_accuracy",
    "accuracy_low", "accuracy_high", "rollout_correct", "rollout_total", "rollout_unreadable", "rollout_failed",
    "p_right", "judge_labels", "judge_confidence", "judge_p_plus", "judge_reasons", "judge_errors", "judge_citations",
    "reviews",
)  # fmt: skip
WHOLE = (
    "question_id", "solution_id", "question", "turns", "options", "answer", "answer_index", "modality", "difficulty",
    "clinical_context", "source", "license", "split", "final_answer", "is_correct", "generator", "rollout_method",
    "chance", "judge", "evidence", "similar_cases", "keep", "drop_reason", "flags", "errors", "image_notes",
    "image_sha256",
)  # fmt: skip


def whole_row(table: Table, place: int, join: Join = unchanged) -> dict[str, Any]:
    """One row as in the card: each step with all that is known of it, people's decisions put in."""
    (row,) = map(join, table.rows([place], None))
    texts = row.get("steps") or []
    columns = {name: _per_step(row, name, len(texts)) for name in STEPPED}
    labels = final(row)
    steps = [
        {"text": text, "label": labels[number], **{name: values[number] for name, values in columns.items()}}
        for number, text in enumerate(texts)
    ]
    has_image = bool(row.get("image_sha256")) or table.image(place) is not None
    found: dict[str, Any] = clean(
        {"place": place, "has_image": has_image, "steps": steps, **{name: row.get(name) for name in WHOLE}}
    )
    return found


def clean(value: Any) -> Any:
    """A value that JSON can hold: numbers that are none become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): clean(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean(inner) for inner in value]
    return value if value is None or isinstance(value, str | int | bool) else str(value)
