"""The work on one shard: a stage's columns of a batch, and what the marker says of them; wherever it is done.

    columns, about = work_on(stage, batch)         in this process, in another one's, or on a machine of a Ray cluster

Nothing is read and nothing is kept here but through the process's books (the journal of requests, the meter).
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from medprm_hf.backends import open_backend
from medprm_hf.backends.books import books
from medprm_hf.backends.protocol import Usage
from medprm_hf.runs.shards import ROW, Marker
from medprm_hf.specs import backends_of
from medprm_hf.stages.base import Batch, Stage

Columns = dict[str, list[Any]]


def work_on(stage: Stage, batch: Batch) -> tuple[Columns, Marker]:
    """The columns that a stage adds to a shard, and its marker but for the fingerprint."""
    batch[ROW] = list(range(len(batch["question_id"])))
    started, usages, meter = time.perf_counter(), _fresh_usages(stage), books().meter
    before = meter.totals()
    with meter.stage(str(stage.name)):
        added = stage(batch)
    kinds = Counter(str(error["kind"]) for errors in added["errors"] for error in errors)
    marker = {
        "rows": len(added["errors"]),
        "errors": kinds.total(),
        "error_kinds": dict(sorted(kinds.items())),
        "seconds": round(time.perf_counter() - started, 3),
        "usage": sum(usages[1:], usages[0]).as_dict() if usages else {},
        "spent": {identity: tally.as_dict() for (_, identity), tally in meter.since(before).items()},
    }
    kept = (*stage.writes, "errors", *((ROW,) if stage.name == "generate" else ()))
    return {name: added[name] for name in kept}, marker


def _fresh_usages(stage: Stage) -> list[Usage]:
    """Lets the stage's backends count from zero: each shard's marker holds what that shard asked, nothing older."""
    opened = [open_backend(spec) for spec in backends_of(stage)]
    for backend in opened:
        backend.usage = Usage()
    return [backend.usage for backend in opened]
