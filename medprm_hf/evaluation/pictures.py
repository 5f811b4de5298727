"""PNG pictures of an evaluation: reliability, Best-of-N over N, macro-F1 by step position (matplotlib, no display)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, ACCENT, SOFT = "#26323d", "#0072b2", "#7b8794"  # Okabe and Ito's colours, as in the report
OTHER = "#d55e00"
COLOURS = {"mean": ACCENT, "min": "#009e73", "last": OTHER, "product": "#cc79a7", "max": "#e69f00"}
"""Of the aggregators."""


def pictures(report: Mapping[str, Any]) -> dict[str, bytes]:
    """PNG files by name; those that there is something for."""
    found: dict[str, bytes] = {}
    steps = report["model"]["steps"]
    if steps["reliability"]:
        found["reliability.png"] = reliability(steps)
    positions = report["slices"]["position"]
    if any(entry["macro_f1"] is not None for entry in positions):
        found["position_f1.png"] = by_position(positions)
    responses = report["model"]["responses"]
    if responses and len({entry["n"] for entry in responses["curve"]}) > 1:
        found["best_of_n.png"] = best_of_n(responses)
    return found


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams.update({"font.size": 9.5, "axes.edgecolor": "#c5ced6", "text.color": INK})
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140, metadata={"Software": None})
    return buffer.getvalue()


def reliability(steps: Mapping[str, Any]) -> bytes:
    """Share of right steps over the score, as it is and after temperature; the diagonal is what it should be."""
    figure, axes = _figure(5.2, 4.6)
    axes.plot([0, 1], [0, 1], color=SOFT, linestyle="--", linewidth=1)
    shown = [("as scored", steps["reliability"], steps["ece"], ACCENT)]
    if steps["temperature"] != 1.0:
        cooled = f"temperature {steps['temperature']:.2f}"
        shown.append((cooled, steps["reliability_tempered"], steps["ece_tempered"], OTHER))
    for name, bins, error, colour in shown:
        x, y = [one["mean_score"] for one in bins], [one["share_right"] for one in bins]
        most = max(one["n"] for one in bins)
        sizes = [12 + 110 * one["n"] / most for one in bins]
        axes.plot(x, y, color=colour, linewidth=1.2, alpha=0.7)
        axes.scatter(x, y, s=sizes, color=colour, alpha=0.75, label=f"{name}: ECE {error:.3f}")
    axes.set_xlabel("score, P(step is right)")
    axes.set_ylabel("share of steps that are right")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)
    return _png(figure)


def by_position(positions: Sequence[Mapping[str, Any]]) -> bytes:
    """macro-F1 with its interval at each step position, and the share of right steps there."""
    figure, axes = _figure(6.6, 3.2)
    names = [entry["value"].replace(" and later", "+") for entry in positions]
    for place, entry in enumerate(positions):
        if entry["macro_f1"] is None:
            continue
        axes.bar(place, entry["macro_f1"], color=ACCENT, alpha=0.85, width=0.66)
        if entry["interval"]:
            axes.plot([place, place], entry["interval"], color=INK, linewidth=1.3)
    share = [float("nan") if entry["share_right"] is None else entry["share_right"] for entry in positions]
    axes.plot(range(len(names)), share, color=OTHER, marker="o", markersize=3.5, linewidth=1, label="share right")
    axes.set_xticks(range(len(names)), names)
    axes.set_xlabel("step")
    axes.set_ylabel("macro-F1, with 95 % interval")
    axes.set_ylim(0, 1.05)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)
    return _png(figure)


def best_of_n(responses: Mapping[str, Any]) -> bytes:
    """Share of right answers over N: each aggregator's best, majority vote, and pass@N as the ceiling."""
    figure, axes = _figure(6.6, 4.2)
    curves: dict[str, list[Mapping[str, Any]]] = {}
    for entry in responses["curve"]:
        curves.setdefault(entry["method"], []).append(entry)
    for method, entries in curves.items():
        if method.startswith("vote_"):
            continue
        x, y = [entry["n"] for entry in entries], [entry["value"] for entry in entries]
        own = method.removeprefix("best_of_")
        if method.startswith("best_of_"):
            axes.plot(x, y, color=COLOURS.get(own, INK), marker="o", markersize=3.5, label=f"best by {own}")
        elif method == "pass@n":
            axes.plot(x, y, color=SOFT, linestyle=":", label="pass@N, the ceiling")
        elif method == "majority":
            axes.plot(x, y, color=INK, linestyle="--", label="majority vote")
    sizes = sorted({entry["n"] for entry in responses["curve"]})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.set_xlabel("N, responses chosen from")
    axes.set_ylabel("share of questions answered right")
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _png(figure)
