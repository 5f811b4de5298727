"""Pictures of the report, as data URLs of SVG files (matplotlib, no display needed)."""

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
    Label.RIGHT.value: "#2a7f62",
    Label.WRONG.value: "#c0392b",
    Label.NEUTRAL.value: "#9aa5b1",
    Label.UNKNOWN.value: "#d9a441",
}
"""One colour a label, the same in pictures and pages; told apart by the colour-blind too (lightness differs)."""
INK, ACCENT = "#26323d", "#2b6cb0"
WORDS = {"+": "right", "-": "wrong", "0": "neutral", "?": "unknown"}


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams.update({"svg.hashsalt": "medprm", "font.size": 9.5, "axes.edgecolor": "#c5ced6", "text.color": INK})
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _data_url(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def signals(table: Sequence[dict[str, Any]]) -> str:
    """Macro-F1 of each signal with its interval, the prior as a line."""
    shown = [entry for entry in table if entry["macro_f1"] is not None and entry["signal"] != "prior"]
    shown.sort(key=lambda entry: float(entry["macro_f1"]))
    figure, axes = _figure(7.2, 0.6 + 0.36 * len(shown))
    for y, entry in enumerate(shown):
        low, high = entry["interval"]
        axes.barh(y, entry["macro_f1"], color=ACCENT, alpha=0.85, height=0.62)
        axes.plot([low, high], [y, y], color=INK, linewidth=1.4)
        share = entry["skipped"] / max(1, entry["skipped"] + entry["n_steps"])
        note = f"{entry['macro_f1']:.3f}" + (f"   on {1 - share:.0%} of the steps" if share > 0.005 else "")
        axes.text(high + 0.008, y, note, va="center", fontsize=9)
    prior = table[0]["prior"]
    if prior is not None:
        axes.axvline(prior, color="#7b8794", linestyle="--", linewidth=1)
        axes.text(prior, len(shown) - 0.4, f"step-index prior {prior:.3f}", ha="center", va="bottom", fontsize=8.5)
    axes.set_yticks(range(len(shown)), [entry["signal"] for entry in shown])
    axes.set_xlim(0, 1.3)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_xlabel("step macro-F1 against the truth, with 95 % interval")
    return _data_url(figure)


def recall(table: Sequence[dict[str, Any]]) -> str:
    """Which kinds of error each signal finds: signal × kind, share of the wrong steps labelled -."""
    shown = [entry for entry in table if entry["signal"] != "prior"]
    kinds = sorted({kind for entry in shown for kind in entry["error_recall"]})
    grid = [[entry["error_recall"].get(kind, float("nan")) for kind in kinds] for entry in shown]
    figure, axes = _figure(7.2, 1.0 + 0.34 * len(shown))
    axes.imshow(grid, cmap="YlGnBu", vmin=0, vmax=1.25, aspect="auto")
    for y, row in enumerate(grid):
        for x, share in enumerate(row):
            axes.text(
                x, y, f"{share:.2f}", ha="center", va="center", fontsize=8.5, color="white" if share > 0.6 else INK
            )
    seen = shown[0].get("errors_seen", {}) if shown else {}
    axes.set_xticks(range(len(kinds)), [f"{kind}\nn={seen.get(kind, 0)}" for kind in kinds], fontsize=8.5)
    axes.set_yticks(range(len(shown)), [entry["signal"] for entry in shown])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return _data_url(figure)


def label_shares(positions: Sequence[Counter[str]]) -> str:
    """Share of each label by step position."""
    figure, axes = _figure(7.2, 2.3)
    places = range(1, len(positions) + 1)
    floor = [0.0 for _ in positions]
    for label in Label:
        shares = [count[label.value] / max(1, sum(count.values())) for count in positions]
        axes.bar(places, shares, bottom=floor, color=COLOURS[label.value], width=0.7, label=WORDS[label.value])
        floor = [low + share for low, share in zip(floor, shares, strict=True)]
    axes.set_xlabel("step")
    axes.set_ylabel("share of the labels")
    axes.set_xticks(list(places))
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.2), frameon=False, fontsize=9)
    return _data_url(figure)
