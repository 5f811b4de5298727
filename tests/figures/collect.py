"""Runs one benchmark as a subprocess and keeps what it printed, with what the figures hang on.

A line of `docs/figures/results.jsonl` is one figure:

    {"benchmark": "evidence", "size": "quick", "case": "with", "metric": "error_recall", "value": 1.0, "unit": "share",
     "goal": null, "holds": null, "interval": null, "command": "python tests/benchmarks/evidence.py …",
     "commit": "1a2b3c4", "machine": "2 cores, 7.8 GiB, x86_64, Python 3.12.3", "date": "2026-11-21T10:02Z",
     "seeds": [0], "load": [1.2, 1.9], "seconds": 41.0}

`range` is the least and the greatest of the seeds, `n` the number of things behind a share, where a benchmark says so.
A benchmark that failed, or could not run here, has one line with `failed` (the reason) in place of any figure: what it
had printed before is not kept. `commit` is the last one that changed code; `+`: with uncommitted changes.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medprm_hf.ids import content_hash
from tests.figures.registry import ROOT, Job

CODE = ("medprm_hf", "loading_scripts", "space", "dataset_cards", "tests/benchmarks", "requirements.lock")
"""What decides a figure: a commit that only touches pages or results measures nothing anew."""
FIGURE = ("case", "metric", "value", "unit", "goal", "holds")
"""What every line of a benchmark must have."""
BUSY = 3.0
"""Load average above which a row is marked: times are then those of a machine that others use too."""

Line = dict[str, Any]


class Unusable(Exception):
    """A benchmark gave no figures that can be kept; the text is the reason."""


def read(path: Path) -> list[Line]:
    """The lines kept so far."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def write(path: Path, lines: Iterable[Line], order: Sequence[tuple[str, str]]) -> list[Line]:
    """Writes all lines in the table's order, at once, so that a stopped run leaves a whole file; gives them."""
    places = {key: place for place, key in enumerate(order)}
    kept = sorted((line for line in lines if key_of(line) in places), key=lambda line: places[key_of(line)])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept), encoding="utf-8")
    part.replace(path)
    return kept


def key_of(line: Line) -> tuple[str, str]:
    """Benchmark and size."""
    return line["benchmark"], line["size"]


def measured(lines: Iterable[Line], job: Job, commit: str) -> bool:
    """Whether this very job has figures of this very code."""
    command = job.command(cache(job, commit))
    own = [line for line in lines if key_of(line) == job.key]
    return bool(own) and all(
        "failed" not in line and line["commit"] == commit and line["command"] == command for line in own
    )


def cache(job: Job, commit: str) -> str:
    """A folder of the job's own, relative to the root, that other code never reads."""
    return f"runs/figures/{commit}/{job.name}-{job.size}"


def commit_now() -> str:
    """The last commit that changed code; `+` and a digest of the changes where code has changed since."""
    name = _git("log", "-1", "--format=%h", "--abbrev=7", "--", *CODE)
    changed = _git("status", "--porcelain", "--", *CODE)
    return f"{name}+{content_hash(changed, _git('diff', 'HEAD', '--', *CODE))[:4]}" if changed else name


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def machine() -> str:
    """Cores, memory, processor and Python: nothing that names the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {memory:.1f} GiB, {platform.machine()}, Python {platform.python_version()}"


def run(job: Job, commit: str) -> list[Line]:
    """The job's lines: its figures, or one line that says why there are none."""
    folder = cache(job, commit)
    about: Line = {"command": job.command(folder), "commit": commit, "machine": machine(),
                   "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"), "seeds": list(job.seeds)}  # fmt: skip
    head: Line = {"benchmark": job.name, "size": job.size}
    before, start = os.getloadavg()[0], time.monotonic()
    try:
        if why := job.lacks():
            raise Unusable(why)
        (ROOT / folder).mkdir(parents=True, exist_ok=True)
        figures = figures_of(_output(about["command"], limit=max(600.0, 360.0 * job.minutes)))
        shutil.rmtree(ROOT / folder)  # only a run that was stopped has a use for it
    except Unusable as why:
        figures = [{"failed": str(why)}]
    about |= {"load": [round(before, 1), round(os.getloadavg()[0], 1)], "seconds": round(time.monotonic() - start, 1)}
    return [
        {**head, **figure, **about, **({"seeds": figure["seeds"]} if figure.get("seeds") else {})} for figure in figures
    ]


def _output(command: str, limit: float) -> str:
    """Standard output of a command that ended well."""
    words = [sys.executable, *command.split()[1:]]
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, **own}, text=True, stdout=subprocess.PIPE,
                                   stderr=errors, start_new_session=True)  # fmt: skip
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise Unusable(f"was stopped after {limit / 60:.0f} minutes") from None
        finally:
            if process.poll() is None:  # out of time, or Ctrl-C: its children too
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode:
            errors.seek(0)
            said = [line.strip() for line in errors.read().splitlines() if line.strip()]
            raise Unusable(f"ended with {process.returncode}: {clean(said[-1] if said else 'it said nothing')}")
    return output


def clean(reason: str) -> str:
    """A reason of one line without this machine's paths."""
    for path in (str(ROOT), str(ROOT.parent), str(Path.home()), tempfile.gettempdir(), sys.prefix):
        if len(path) > 1:
            reason = reason.replace(path, "…")
    return reason[:300]


def figures_of(output: str) -> list[Line]:
    """The figures of a benchmark's output; Unusable where a line is not one of them, or none is there."""
    found = []
    for text in output.splitlines():
        try:
            line = json.loads(text, parse_constant=_no_number)
        except ValueError:
            raise Unusable(f"printed what is not one JSON object: {clean(text)[:80]!r}") from None
        if not isinstance(line, dict) or (missing := [name for name in FIGURE if name not in line]):
            raise Unusable(f"printed a line without {', '.join(missing) if isinstance(line, dict) else 'keys'}")
        value = line["value"]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise Unusable(f"printed {value!r} as the value of {line['case']} {line['metric']}")
        own = {name: line[name] for name in FIGURE}
        more = {name: line[name] for name in ("seeds", "range", "n") if name in line}
        found.append(own | {"interval": line.get("interval")} | more)
    if not found:
        raise Unusable("printed no figure")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
