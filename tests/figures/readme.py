"""README's figures, taken from docs/figures/results.jsonl, between two markers that a test holds in place.

<!-- figures:begin -->
| … | value | 95 % interval |
<!-- figures:end -->
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.figures.page import SHARES, busy, number, shown

BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"
Line = dict[str, Any]
CHOSEN = (
    ("phantom_models", "base greedy", "share", "base, greedy"),
    ("phantom_models", "policy pass@1", "share", "policy, temperature 0.8: pass@1"),
    ("phantom_models", "policy majority@8", "share", "policy: majority of 8"),
    ("phantom_models", "policy pass@8", "share", "policy: pass@8"),
    ("phantom_models", "policy all steps right", "share", "policy: solutions whose every step is right"),
)
"""(benchmark, case, metric, README's words); what has not been measured is left out."""


def block(lines: Sequence[Line]) -> str:
    """What stands between the markers, markers included."""
    found = {job.name: own for job, own in shown(lines)}
    rows, sources = [], {}
    for name, case, metric, words in CHOSEN:
        for line in found.get(name, ()):
            if (line.get("case"), line.get("metric")) == (case, metric):
                rows.append(_row(words, line))
                sources[name] = line
    said = "; ".join(f"`{line['command'].removesuffix(' --json')}`" for line in sources.values())
    head = "| phantom world, unseen test scenes, seed 0 | value | 95 % interval |\n|---|---|---|"
    return "\n".join([BEGIN, head, *rows, "", f"{said}; all figures: [results](docs/results.md).", END])


def _row(words: str, line: Line) -> str:
    share = line["unit"] in SHARES
    low_high = " to ".join(number(edge, share) for edge in line["interval"]) if line["interval"] else ""
    mark = " †" if busy(line) and not share else ""  # load changes times, not shares
    return f"| {words} | {number(line['value'], share)}{mark} | {low_high} |"


def between(text: str) -> str | None:
    """README's block, markers included; None where the markers are not there."""
    start, end = text.find(BEGIN), text.find(END)
    return text[start : end + len(END)] if 0 <= start < end else None


def placed(text: str, lines: Sequence[Line]) -> str:
    """The text of README with the block as it should be; ValueError where the markers are not there."""
    old = between(text)
    if old is None:
        raise ValueError(f"README.md has no {BEGIN} … {END}: put both markers where the figures belong")
    return text.replace(old, block(lines))
