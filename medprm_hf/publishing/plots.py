"""The card's pictures, as PNG files in `assets/`: labels by step, by modality, by P(right).

    draw(summary, folder)    →  ["assets/labels_by_step.png", "assets/labels_by_modality.png", "assets/label_p.png"]

Colours are Okabe and Ito's (2008), told apart by the colour-blind, and differ in lightness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"+": "#009e73", "-": "#d55e00", "0": "#b8c0c8", "?": "#f0d060"}
WORDS = {"+": "right", "-": "wrong", "0": "neutral", "?": "unknown"}
_INK = "#26323d"
_MOST = 12
"""Bars of one picture; rarer kinds are put together."""


def draw(summary: Mapping[str, Any], folder: Path) -> list[str]:
    """Writes the pictures that the figures give; their paths below `folder`."""
    assets = folder / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    pictures = {
        "labels_by_step.png": _bars(
            [str(n) for n in range(1, len(summary["by_position"]) + 1)], summary["by_position"], "step", "steps"
        ),
        "labels_by_modality.png": _bars(*_commonest(summary["by_modality"]), "", "steps"),
    }
    if any(summary["label_p"]):
        names = [f"{place / 10:.1f}" for place in range(len(summary["label_p"]))]
        pictures["label_p.png"] = _bars(names, summary["label_p"], "P(step is right), from", "steps")
    for name, figure in pictures.items():
        figure.savefig(assets / name, dpi=110, metadata={"Software": None})
    return [f"assets/{name}" for name in pictures]


def _commonest(counts: Mapping[str, Mapping[str, int]]) -> tuple[list[str], list[Mapping[str, int]]]:
    names = sorted(counts, key=lambda name: -sum(counts[name].values()))
    shown, rest = names[:_MOST], names[_MOST:]
    values: list[Mapping[str, int]] = [counts[name] for name in shown]
    if rest:
        shown = [*shown, "others"]
        values.append({label: sum(counts[name].get(label, 0) for name in rest) for label in COLOURS})
    return shown, values


def _bars(names: Sequence[str], counts: Sequence[Mapping[str, int]], below: str, beside: str) -> Figure:
    """Stacked bars, one a name."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    axes = figure.subplots()
    bottom = [0] * len(names)
    places = range(len(names))
    for label, colour in COLOURS.items():
        heights = [count.get(label, 0) for count in counts]
        if any(heights):
            axes.bar(places, heights, bottom=bottom, color=colour, label=f"{label}  {WORDS[label]}", width=0.8)
            bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.set_xticks(
        list(places), [name[:22] for name in names], rotation=30 if max(map(len, names), default=0) > 6 else 0
    )
    axes.set_xlabel(below)
    axes.set_ylabel(beside)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK)
    if names:
        axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.16))
    return figure
