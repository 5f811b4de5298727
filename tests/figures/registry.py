"""The table of what is measured (`registry.yaml`), read and checked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("registry.yaml")
SETS = ("quick", "full")


@dataclass(frozen=True)
class Job:
    """One benchmark or study in one size."""

    name: str
    topic: str
    shows: str
    run: str
    """What follows `python`, without sizes."""
    size: str
    """quick or full."""
    args: str
    minutes: float
    seeds: tuple[int, ...] = ()
    needs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    """Shown on the page; all, if empty."""
    plot: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Name and size: what a result is kept under."""
        return self.name, self.size

    def command(self, cache: str) -> str:
        """The shell line, run in the repository's root; `cache` is a folder of the run's own."""
        return " ".join(["python", self.run, *self.args.replace("{cache}", cache).split(), "--json"])

    def lacks(self) -> str | None:
        """What this machine lacks for it, in words; None if nothing."""
        return next((why for need in self.needs if (why := NEEDS[need]())), None)


def _data() -> str | None:
    return None if (ROOT / ".." / "shared" / "data").is_dir() else "needs ../shared/data, which is not there"


def _chromium() -> str | None:
    return None if shutil.which("chromium") else "needs the program chromium, which is not there"


def _vllm() -> str | None:
    there = os.environ.get("MEDPRM_VLLM_VENV") or (ROOT / ".venv-vllm").is_dir()
    return None if there else "needs vLLM in an environment of its own (make test-slow makes .venv-vllm)"


NEEDS = {"data": _data, "chromium": _chromium, "vllm": _vllm}


def entries() -> list[dict[str, Any]]:
    """The table as it is written."""
    return list(yaml.safe_load(TABLE.read_text(encoding="utf-8")))


def jobs(full: bool = False, only: Iterable[str] = ()) -> list[Job]:
    """The default set, or with `full` every long one; those without a long size keep their quick one.

    Raises ValueError where `only` names what is not in the table.
    """
    table, wanted = entries(), list(only)
    names = [entry["name"] for entry in table]
    if unknown := [name for name in wanted if name not in names]:
        raise ValueError(f"no benchmark is called {', '.join(unknown)}: there are {', '.join(names)}")
    chosen = [entry for entry in table if not wanted or entry["name"] in wanted]
    found = [_job(entry, "full" if full and "full" in entry else "quick") for entry in chosen]
    return [job for job in found if job is not None]


def everything() -> list[Job]:
    """Every benchmark in every size it has, in the table's order."""
    return [job for entry in entries() for size in SETS if (job := _job(entry, size))]


def _job(entry: dict[str, Any], size: str) -> Job | None:
    if size not in entry:
        return None
    shared = {name: value for name, value in entry.items() if name not in SETS}
    own = {**shared, **entry[size]}
    for name in ("seeds", "needs", "metrics"):
        own[name] = tuple(own.get(name, ()))
    return Job(**own, size=size)
