"""Pictures of the report's labels, as data URLs of SVG files (matplotlib, no display needed).

Colours are Okabe and Ito's (2008), told apart by the colour-blind, and differ in lightness for grey prints. The ground
is transparent, so that a dark page can turn the ink light.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medprm_hf.schema import Label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    Label.RIGHT.value: "#009e73",
    Label.WRONG.value: "#d55e00",
    Label.NEUTRAL.value: "#b8c0c8",
    Label.UNKNOWN.value: "#f0d060",
}
"""One colour a label, the same in pictures and page."""
INK, ACCENT, SOFT = "#26323d", "#0072b2", "#7b8794"
WORDS = {"+": "right", "-": "wrong", "0": "neutral", "?": "unknown"}
WIDTH = 7.2
"""Inches of a picture as wide as the page's column."""


def canvas(width: float, height: float) -> tuple[Figure, Any]:
    """An empty picture, inches, and its axes."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    style = {
        "svg.hashsalt": "medprm", "font.size": 9.5, "axes.edgecolor": "#c5ced6", "text.color": INK,
        "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.titlesize": 10,
    }  # fmt: skip
    rcParams.update(style)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def data_url(figure: Figure) -> str:
    """The picture for an <img>."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def signals(table: Sequence[dict[str, Any]]) -> str:
    """Macro-F1 of each signal with its interval, the prior as a line."""
    shown = [entry for entry in table if entry["macro_f1"] is not None and entry["signal"] != "prior"]
    shown.sort(key=lambda entry: float(entry["macro_f1"]))
    figure, axes = canvas(WIDTH, 0.7 + 0.32 * len(shown))
    prior = table[0]["prior"]
    if prior is not None:
        axes.axvline(prior, color=SOFT, linestyle="--", linewidth=1, zorder=0)
        axes.text(prior, len(shown) - 0.4, f"step-index prior {prior:.3f}", ha="center", va="bottom", fontsize=8.5)
    for y, entry in enumerate(shown):
        low, high = entry["interval"] or (entry["macro_f1"], entry["macro_f1"])
        axes.plot([low, high], [y, y], color=ACCENT, linewidth=2)
        axes.plot(entry["macro_f1"], y, "o", color=ACCENT, markersize=6)
        share = entry["skipped"] / max(1, entry["skipped"] + entry["n_steps"])
        note = f"{entry['macro_f1']:.3f}" + (f"   on {1 - share:.0%} of the steps" if share > 0.005 else "")
        axes.text(high + 0.012, y, note, va="center", fontsize=8.5)
    axes.set_yticks(range(len(shown)), [entry["signal"] for entry in shown])
    least = min([entry["interval"][0] for entry in shown if entry["interval"]] + [prior or 1.0, 0.6])
    axes.set_xlim(max(0.0, least - 0.05), 1.18)
    axes.set_xticks([tick / 10 for tick in range(11) if tick / 10 >= least - 0.05])
    axes.set_xlabel("step macro-F1 against the truth, with 95 % interval")
    return data_url(figure)


def recall(table: Sequence[dict[str, Any]]) -> str:
    """Which kinds of error each signal finds: signal × kind, share of the wrong steps labelled -."""
    shown = [entry for entry in table if entry["signal"] != "prior"]
    kinds = sorted({kind for entry in shown for kind in entry["error_recall"]})
    grid = [[entry["error_recall"].get(kind, float("nan")) for kind in kinds] for entry in shown]
    figure, axes = canvas(WIDTH, 0.9 + 0.32 * len(shown))
    axes.imshow(grid, cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for y, row in enumerate(grid):
        for x, share in enumerate(row):
            ink = "white" if share > 0.7 else INK
            axes.text(x, y, f"{share:.2f}", ha="center", va="center", fontsize=8.5, color=ink)
    seen = shown[0].get("errors_seen", {}) if shown else {}
    axes.set_xticks(range(len(kinds)), [f"{kind}\nn={seen.get(kind, 0)}" for kind in kinds], fontsize=8.5)
    axes.set_yticks(range(len(shown)), [entry["signal"] for entry in shown])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return data_url(figure)


def label_shares(positions: Sequence[Counter[str]]) -> str:
    """Share of each label by step position, and how many labels stand behind each bar."""
    figure, axes = canvas(WIDTH, 2.5)
    places = list(range(1, len(positions) + 1))
    floor = [0.0 for _ in positions]
    for label in Label:
        if not any(count[label.value] for count in positions):
            continue
        shares = [count[label.value] / max(1, count.total()) for count in positions]
        name = f"{label.value} {WORDS[label.value]}"
        axes.bar(places, shares, bottom=floor, color=COLOURS[label.value], width=0.7, label=name, edgecolor="white")
        floor = [low + share for low, share in zip(floor, shares, strict=True)]
    axes.set_xlabel("step")
    axes.set_ylabel("share of the labels")
    axes.set_xticks(places, [f"{place}\nn={count.total()}" for place, count in zip(places, positions, strict=True)])
    axes.set_ylim(0, 1)
    if positions:
        axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.18), frameon=False, fontsize=9)
    return data_url(figure)
