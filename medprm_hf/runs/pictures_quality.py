"""Pictures of the report's figures: kappa with intervals, reliability, steps per solution, money. See pictures.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medprm_hf.labels.accuracy import interval
from medprm_hf.runs.pictures import ACCENT, INK, SOFT, WIDTH, canvas, data_url

BAND = "#009e73"
"""What a target covers."""


def kappa(agreement: Mapping[str, Any], target: float | None) -> str | None:
    """Forest plot of each signal's kappa with the experts; None where none could be measured."""
    shown = [(name, agreement[name]) for name in ("label", "rollout", "judge") if name in agreement]
    shown = [(name, one) for name, one in shown if one["kappa"] is not None]
    if not shown:
        return None
    figure, axes = canvas(WIDTH, 0.9 + 0.36 * len(shown))
    least = min(one["interval"][0] if one["interval"] else one["kappa"] for _, one in shown)
    low_end = min(0.0, least - 0.05)
    if target is not None:
        axes.axvspan(target, 1, color=BAND, alpha=0.13, linewidth=0)
        axes.text((target + 1) / 2, len(shown) - 0.45, f"target > {target:g}", ha="center", va="bottom", fontsize=8.5)
    for y, (_, one) in enumerate(shown):
        low, high = one["interval"] or (one["kappa"], one["kappa"])
        axes.plot([low, high], [y, y], color=ACCENT, linewidth=2)
        axes.plot(one["kappa"], y, "s", color=ACCENT, markersize=6)
        axes.text(1.03, y, f"{one['kappa']:.2f}  [{low:.2f}, {high:.2f}]", va="center", fontsize=8.5)
    axes.axvline(0, color=SOFT, linewidth=0.8)
    axes.set_yticks(range(len(shown)), [f"{name} and expert" for name, _ in shown])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlim(low_end, 1.3)
    axes.set_xticks([tick / 5 for tick in range(int(low_end * 5), 6)])
    axes.set_xlabel("Cohen's kappa, with 95 % interval over questions")
    return data_url(figure)


def reliability(bins: Sequence[Mapping[str, Any]]) -> str | None:
    """Share of + by experts against label_p with 95 % intervals, counts as bars below; None without steps."""
    if not bins:
        return None
    figure, axes = canvas(WIDTH / 2, 3.3)
    axes.plot([0, 1], [0, 1], color=SOFT, linestyle="--", linewidth=1)
    most = max(one["n"] for one in bins)
    for one in bins:
        axes.bar(one["low"], 0.16 * one["n"] / most, width=one["high"] - one["low"], align="edge",
                 color=ACCENT, alpha=0.22, linewidth=0)  # fmt: skip
        low, high = interval(round(one["share_right"] * one["n"]), one["n"])
        axes.plot([one["mean_score"]] * 2, [float(low), float(high)], color=ACCENT, linewidth=1.4, alpha=0.7)
        axes.plot(one["mean_score"], one["share_right"], "o", color=ACCENT, markersize=5)
    axes.set_xlim(0, 1.03)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("label_p: P(the step is right)")
    axes.set_ylabel("share that experts call right")
    axes.set_title(f"Reliability, {sum(one['n'] for one in bins)} steps")
    return data_url(figure)


def steps(found: Mapping[str, Any], target: Sequence[float] | None, few: int, many: int) -> str | None:
    """Histogram of the steps of a solution, flagged ones in another colour."""
    counts = {int(n): count for n, count in found["counts"].items()}
    if not counts:
        return None
    figure, axes = canvas(WIDTH / 2, 3.3)
    if target:
        axes.axvspan(target[0] - 0.5, target[1] + 0.5, color=BAND, alpha=0.13, linewidth=0)
        axes.text(sum(target) / 2, max(counts.values()) * 1.04, "expected", ha="center", va="bottom", fontsize=8.5)
    flagged = {n: n < few or n > many for n in counts}
    axes.bar(
        list(counts), list(counts.values()), color=["#d55e00" if flagged[n] else ACCENT for n in counts], width=0.8
    )
    ends = [*counts, *(target or ())]
    axes.set_xlim(min(ends) - 1, max(ends) + 1)
    axes.set_ylim(0, max(counts.values()) * 1.16)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("steps" + (f" (flagged: < {few}, > {many})" if any(flagged.values()) else ""))
    axes.set_ylabel("solutions")
    axes.set_title("Steps per solution before selection")
    return data_url(figure)


def money(compared: Sequence[Mapping[str, Any]]) -> str:
    """USD of this run beside the two extremes; what is unknown has words in place of a bar."""
    shown = list(reversed(compared))
    most = max([line["usd"] for line in shown if line["usd"]] or [1.0])
    figure, axes = canvas(WIDTH, 0.6 + 0.34 * len(shown))
    for y, line in enumerate(shown):
        if line["usd"] is None:
            axes.text(most * 0.01, y, f"unknown: {line['why']}"[:72], va="center", fontsize=8.5, style="italic")
            continue
        axes.barh(y, line["usd"], color=ACCENT if line["what"].startswith("this run") else "#b8c0c8", height=0.6)
        axes.text(line["usd"] + most * 0.01, y, f"${line['usd']:,.2f}", va="center", fontsize=8.5, color=INK)
    axes.set_yticks(range(len(shown)), [line["what"] for line in shown])
    axes.set_xlim(0, most * 1.18)
    axes.set_xlabel("USD")
    return data_url(figure)
