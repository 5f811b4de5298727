"""Pictures of the label benchmark: rollouts against macro-F1 per world, and stated against true confidence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FAMILIES = {"fixed": ("#888888", "s"), "first_success": ("#c77c11", "^"), "bisect": ("#7b4ab5", "v"),
            "sequential": ("#2a7f62", "D"), "first_error": ("#c0264b", "o")}


def family(estimator: str) -> str:
    """The kind of an estimator's case name; the default has no name."""
    return next((name for name in FAMILIES if estimator.startswith(name)), "first_error")


def pareto(table: Mapping[str, Mapping[str, float]], goals: Mapping[str, tuple[float, float]], path: Path) -> None:
    """One panel a world: every estimator at (rollouts per solution, macro-F1), the goal as a star."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(case.split("/")[0] for case in table))
    rows = -(-len(names) // 3)
    figure, axes = plt.subplots(rows, 3, figsize=(13, 3.6 * rows), squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        for kind, (colour, marker) in FAMILIES.items():
            points = sorted((row["rollouts"], row["macro_f1"]) for case, row in table.items()
                            if case.split("/")[0] == name and family(case.partition("/")[2]) == kind)
            if points:
                axis.plot(*zip(*points, strict=True), marker=marker, color=colour, markersize=5, label=kind,
                          linestyle="-" if kind == "first_error" else "none")
        if name in goals:
            axis.plot(goals[name][1], goals[name][0], "*", color="black", markersize=9, label="goal")
        axis.set(xscale="log", title=name, xlabel="rollouts per solution", ylabel="step macro-F1", ylim=(0.4, 1.01))
        axis.set_xticks([10, 20, 50, 100, 200], ["10", "20", "50", "100", "200"])
        axis.set_xticks([], minor=True)
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(names):]:
        axis.axis("off")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=6, frameon=False)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    _save(figure, path)


def reliability(bins: Mapping[str, NDArray[np.float64]], path: Path) -> None:
    """One line a world: stated confidence of a label against the share that is right, ten bins."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.2, 5.2))
    axis.plot([0.5, 1], [0.5, 1], color="black", linewidth=0.8)
    for name, counted in bins.items():
        full = counted[counted[:, 0] >= 30]
        axis.plot(full[:, 1] / full[:, 0], full[:, 2] / full[:, 0], marker="o", markersize=3, label=name)
    axis.set(xlabel="stated confidence of the label", ylabel="share of labels that are right", xlim=(0.5, 1.005),
             ylim=(0.5, 1.005))
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    _save(figure, path)


def _save(figure: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)  # type: ignore[attr-defined]
    print(f"wrote {path}")
