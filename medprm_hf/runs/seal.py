"""The seal of a finished run: that dataset, exports and report were written of exactly these shards and settings.

    runs/demo/finished.json     {"of": "9b1f…", "files": ["dataset/README.md", "visualprm.jsonl", …]}

A run that is resumed with nothing to do says so at once, and does not write 100,000 rows again.
"""

from __future__ import annotations

import json
import os
from typing import Any

from medprm_hf.ids import content_hash
from medprm_hf.runs.finish import export_file, finish
from medprm_hf.runs.pipeline import Run, versions
from medprm_hf.runs.report import PAGE, REPORT, Facts, write_report
from medprm_hf.runs.shards import SOURCE, write_json

SEAL = "finished.json"


def complete(run: Run) -> tuple[dict[str, Any], bool]:
    """Writes what a run leaves for people, unless all of it is written; gives the report, and whether it wrote."""
    if (found := finished_report(run)) is not None:
        return found, False
    facts = Facts(run)
    report = write_report(run, facts, finish(run, facts.add))
    seal(run)
    return report, True


def seal(run: Run) -> None:
    """Says that everything is written; the last act of a run."""
    data = sorted((run.directory / "dataset" / "data").glob("*.parquet"))
    parts = [*(str(file.relative_to(run.directory)) for file in data), "dataset/README.md", "dropped.jsonl", "run.json"]
    files = [*parts, *map(export_file, run.recipe.exports), PAGE, REPORT]
    write_json(run.directory / SEAL, {"of": _state(run), "files": files})


def unseal(run: Run) -> None:
    """Lets everything be written again."""
    (run.directory / SEAL).unlink(missing_ok=True)


def finished_report(run: Run) -> dict[str, Any] | None:
    """The report of a run whose seal still holds and whose files are all there; else None."""
    try:
        known = json.loads((run.directory / SEAL).read_text(encoding="utf-8"))
        if known["of"] != _state(run) or not all((run.directory / file).is_file() for file in known["files"]):
            return None
        report: dict[str, Any] = json.loads((run.directory / REPORT).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
    return report


def _state(run: Run) -> str:
    """Hash of settings and versions, and of size and time of every marker: a shard done again breaks the seal."""
    marks = []
    for stage in (SOURCE, *(str(stage.name) for stage in run.stages)):
        with os.scandir(run.shards.folder(stage)) as entries:
            for entry in entries:
                if entry.name.endswith(".json"):
                    about = entry.stat()
                    marks.append(f"{stage}/{entry.name} {about.st_size} {about.st_mtime_ns}")
    return content_hash(run.recipe.model_dump_json(), json.dumps(versions()), sorted(marks))
