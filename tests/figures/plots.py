"""One small picture a benchmark, drawn from the lines of results.jsonl: a metric by case, or y over x."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.figures.registry import Job

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that people with any colour vision can tell apart (Okabe and Ito 2008)."""
MOST_CASES = 30
Line = dict[str, Any]


def pictured(job: Job, lines: Sequence[Line]) -> bool:
    """Whether the job has a picture and these lines hold what it shows."""
    return bool(job.plot) and "failed" not in lines[0] and bool(_points_of(job, lines))


def _points_of(job: Job, lines: Sequence[Line]) -> list[Line]:
    wanted = job.plot
    return _points(lines, wanted["x"], wanted["y"]) if "x" in wanted else _bars(lines, wanted["metric"])


def draw(job: Job, lines: Sequence[Line], folder: Path) -> Path:
    """Writes FOLDER/NAME.svg."""
    wanted, points = job.plot, _points_of(job, lines)
    folder.mkdir(parents=True, exist_ok=True)
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": job.name, "svg.fonttype": "none", "font.size": 9,
                                "axes.spines.top": False, "axes.spines.right": False})  # fmt: skip
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.4, 3.6 if "x" in wanted else 0.9 + 0.26 * len(points)))
    if "x" in wanted:
        _scatter(axis, points, wanted)
    else:
        _dots(axis, points, wanted["metric"])
    path = folder / f"{job.name}.svg"
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})  # no date: the same lines, the same file
    plt.close(figure)
    return path


def _bars(lines: Sequence[Line], metric: str) -> list[Line]:
    return [line for line in lines if line["metric"] == metric][:MOST_CASES]


def _points(lines: Sequence[Line], x: str, y: str) -> list[Line]:
    """Cases that have both metrics."""
    across = {line["case"]: line["value"] for line in lines if line["metric"] == x}
    return [{**line, "x": across[line["case"]]} for line in lines if line["metric"] == y and line["case"] in across]


def _dots(axis: Any, lines: Sequence[Line], metric: str) -> None:
    """Value and interval of each case, top down; a goal as a vertical stroke."""
    for place, line in enumerate(reversed(lines)):
        if line["interval"]:
            axis.plot(line["interval"], [place, place], color=OKABE_ITO[0], linewidth=2, alpha=0.5)
        axis.plot(line["value"], place, "o", color=OKABE_ITO[0], markersize=5)
        if line["goal"] is not None:
            axis.plot(line["goal"], place, "|", color=OKABE_ITO[1], markersize=12, markeredgewidth=2)
    axis.set_yticks(range(len(lines)), [line["case"] for line in reversed(lines)])
    unit = "" if lines[0]["unit"] in (metric, "0..1") else f" ({lines[0]['unit']})"
    axis.set_xlabel(metric.replace("_", " ") + unit)
    axis.grid(axis="x", alpha=0.25)


def _scatter(axis: Any, points: Sequence[Line], wanted: dict[str, str]) -> None:
    """y over x; a case `world/estimator` is coloured by what follows the stroke."""
    families = list(dict.fromkeys(_family(point["case"]) for point in points))
    for family in families:
        own = [point for point in points if _family(point["case"]) == family]
        colour = OKABE_ITO[families.index(family) % len(OKABE_ITO)]
        axis.plot([p["x"] for p in own], [p["value"] for p in own], "o", color=colour, markersize=5)
        for point in own:
            axis.annotate(point["case"], (point["x"], point["value"]), (4, 3), textcoords="offset points", fontsize=7)
    axis.set_xlabel(wanted["x"].replace("_", " "))
    axis.set_ylabel(wanted["y"].replace("_", " "))
    axis.grid(alpha=0.25)


def _family(case: str) -> str:
    return case.partition("/")[2].split("_k")[0] or case.split("_k")[0]
