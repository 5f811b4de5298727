"""docs/results.md, written from docs/figures/results.jsonl: each benchmark with its command, machine and figures."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.figures.collect import BUSY, key_of
from tests.figures.plots import draw, pictured
from tests.figures.registry import Job, everything

Line = dict[str, Any]
SHARES = ("share", "0..1")
"""Units that are not written out."""
MOST_ROWS = 50
"""Rows of a table on the page; the others stand in results.jsonl."""
HEAD = """\
# Results

Every figure on this page was measured by one command and stands, with what it hangs on, in
[figures/results.jsonl](figures/results.jsonl). Do it again:

```text
python -m tests.figures                    # the default set, quick sizes
python -m tests.figures --full             # every long one: hours
python -m tests.figures --only evidence    # one of them
```

A run that was stopped goes on: what is measured for this code is kept. **Goal** is what the project asks of a figure at
its full size; quick sizes have wider intervals and may miss what full ones reach. Intervals are 95 %; "(seeds)" is the
range over seeds; a figure with neither is a single measurement. † : the load average was above {busy:g} while it was
measured (other work on the same cores), which lengthens times and lowers rates, and leaves counts and shares as they
are. A benchmark that failed, or that the machine lacked something for, says so and has no number. The phantom world,
its judges and its experts are **simulated**; nothing here was measured on patients.
"""


def write_page(lines: Sequence[Line], page: Path, pictures: Path) -> None:
    """Rewrites the page and its pictures; a picture that no figure stands behind any more goes."""
    drawn = {draw(job, own, pictures).name for job, own in shown(lines) if pictured(job, own)}
    for old in pictures.glob("*.svg"):
        if old.name not in drawn:
            old.unlink()
    page.write_text(text(lines), encoding="utf-8")


def text(lines: Sequence[Line]) -> str:
    """The page."""
    parts, topic = [HEAD.format(busy=BUSY)], ""
    for job, own in shown(lines):
        if job.topic != topic:
            topic = job.topic
            parts.append(f"## {topic}\n")
        parts.append(section(job, own))
    return "\n".join(parts)


def shown(lines: Sequence[Line]) -> list[tuple[Job, list[Line]]]:
    """Of each benchmark its long run, else its quick one; those never run are left out."""
    found: dict[str, tuple[Job, list[Line]]] = {}
    for job in everything():
        own = [line for line in lines if key_of(line) == job.key]
        if own and (job.name not in found or "failed" not in own[0]):
            found[job.name] = (job, own)
    return list(found.values())


def section(job: Job, lines: Sequence[Line]) -> str:
    """What one benchmark shows."""
    first = lines[0]
    mark = " †" if busy(first) else ""
    seeds = ", ".join(map(str, first["seeds"]))
    about = (
        f"{job.size} size · commit {first['commit']} · {first['date']} · {first['machine']} · "
        f"{f'seeds {seeds} · ' if seeds else ''}load {first['load'][0]:g} to {first['load'][1]:g}{mark} · "
        f"{first['seconds']:.0f} s"
    )
    head = f"### {job.name}\n\n{job.shows}\n\n`{first['command']}`  \n{about}\n"
    if "failed" in first:
        return f"{head}\n**Not measured:** {first['failed']}\n"
    drawn = f"\n![{job.shows}](figures/{job.name}.svg)\n" if pictured(job, lines) else ""
    return f"{head}\n{table(job, lines, mark)}{drawn}"


def busy(line: Line) -> bool:
    """Whether the machine had more to do than this."""
    return bool(max(line["load"]) > BUSY)


def table(job: Job, lines: Sequence[Line], mark: str) -> str:
    """The figures that the registry names, those with a goal first of all."""
    wanted = [line for line in lines if line["goal"] is not None or _is_named(line["metric"], job.metrics)]
    if len(wanted) > MOST_ROWS:  # a stable sort: the benchmark's order within each half
        wanted = sorted(wanted, key=lambda line: line["goal"] is None)[:MOST_ROWS]
    rows = ["| case | figure | value | 95 % interval | goal | holds |", "|---|---|---|---|---|---|"]
    rows += [_row(line, mark) for line in wanted]
    left = len(lines) - len(wanted)
    return "\n".join(rows) + "\n" + (f"\n{left} more figures in results.jsonl.\n" if left else "")


def _is_named(metric: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(metric, pattern) for pattern in patterns)


def _row(line: Line, mark: str) -> str:
    share = line["unit"] in SHARES
    ends, several = line["interval"] or (), line.get("range") or (0, 0)
    low_high = " to ".join(number(edge, share) for edge in ends)
    if not ends and several[0] != several[1]:
        low_high = f"{number(several[0], share)} to {number(several[1], share)} (seeds)"
    goal = "" if line["goal"] is None else number(line["goal"], share)
    missed = "no (quick size)" if line["size"] == "quick" else "no"
    holds = {True: "yes", False: missed, None: ""}[line["holds"]]
    value = number(line["value"], share) + ("" if share else f" {line['unit']}")
    case = str(line["case"]).replace("|", "/")
    return f"| {case} | {line['metric']} | {value}{mark} | {low_high} | {goal} | {holds} |"


def number(value: float, share: bool = False) -> str:
    """Three decimals of a share and of what is small, one or none of what is large."""
    if not share and float(value).is_integer():
        return f"{int(value):,}"
    if 0 < abs(value) < 0.0005:
        return f"{value:.1e}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
