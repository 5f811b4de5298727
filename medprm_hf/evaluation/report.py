"""The files of an evaluation: one JSON, one page that holds its pictures, the pictures, and a block for the model card.

OUT/evaluation.json   OUT/evaluation.html   OUT/*.png   OUT/results.yaml
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from medprm_hf.errors import ImageError
from medprm_hf.evaluation.card import results_yaml
from medprm_hf.evaluation.pictures import pictures
from medprm_hf.evaluation.table import Row
from medprm_hf.imaging.load import load_image

NAMES = {
    "pass@1": "pass@1 (one at random)",
    "majority": "majority vote",
    "pass@n": "pass@N, the ceiling",
}
"""Methods as a reader knows them."""


def write(report: Mapping[str, Any], rows: Sequence[Row], out: Path) -> list[Path]:
    """Writes all files into `out`; `rows` are the evaluated ones, for the images of the worst cases."""
    out.mkdir(parents=True, exist_ok=True)
    drawn = pictures(report)
    files = {
        "evaluation.json": json.dumps(report, indent=1, ensure_ascii=False).encode() + b"\n",
        "evaluation.html": page(report, rows, drawn).encode(),
        "results.yaml": results_yaml(report).encode(),
        **drawn,
    }
    for name, data in files.items():
        (out / name).write_bytes(data)
    return [out / name for name in files]


def page(report: Mapping[str, Any], rows: Sequence[Row], drawn: Mapping[str, bytes]) -> str:
    """The page, with everything in it."""
    from jinja2 import Environment

    source = (resources.files("medprm_hf.evaluation") / "templates" / "evaluation.html.j2").read_text(encoding="utf-8")
    made = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"figure": figure, "spread": spread}
    return made.from_string(source).render(
        report=report,
        pictures={name: f"data:image/png;base64,{base64.b64encode(data).decode()}" for name, data in drawn.items()},
        images=[_data_url(rows[case["place"]]) for case in report["worst"]],
        names=NAMES,
        table=best_table(report),
    )


def figure(value: float | None) -> str:
    """A figure as it is shown; what is not known is said."""
    return "unknown" if value is None else f"{value:.3f}"


def spread(interval: Sequence[float] | None) -> str:
    """An interval as it is shown."""
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def best_table(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Methods × N of the model's responses, baselines first."""
    responses = report["model"]["responses"] or report["baselines"]
    if not responses:
        return None
    sizes = sorted({entry["n"] for entry in responses["curve"]})
    methods = list(dict.fromkeys(entry["method"] for entry in responses["curve"]))
    cells = {(entry["method"], entry["n"]): entry for entry in responses["curve"]}
    shown = [{"method": name, "cells": [cells.get((name, n)) for n in sizes]} for name in methods]
    reached = [cells[methods[0], n]["questions"] for n in sizes]
    return {**responses, "sizes": sizes, "rows": shown, "questions": reached}


def _data_url(row: Row) -> str | None:
    if not row.get("image"):
        return None
    try:
        loaded = load_image(row["image"])
    except ImageError:
        return None
    return f"data:{loaded.mime};base64,{base64.b64encode(loaded.data).decode()}"
