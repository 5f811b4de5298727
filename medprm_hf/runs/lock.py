"""Who works on a run: one process alone, named in `RUN/.lock`, or several that share it (`medprm build --share`).

    with one_at_a_time(directory): …               StoreError where another process works there
    with together(directory, about) as leases: …   the same where one works alone; sharers come and go

The lock of a process that died is taken over: at once on the same machine, elsewhere after `EXPIRES` seconds without a
sign of life. A run that others work on is not given another recipe.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from medprm_hf.backends.stopping import check_stop
from medprm_hf.errors import StoreError
from medprm_hf.runs.leases import BEAT, EXPIRES, Holder, Leases, sharers
from medprm_hf.runs.own_journals import gather

LOCK = ".lock"
PATIENCE = 15.0
"""Seconds that one who wants to share waits for others who are just coming in."""


@contextmanager
def one_at_a_time(directory: Path) -> Iterator[None]:
    """Refuses a second process on the same run, and one that comes while others share it."""
    with _locked(directory):
        if others := sharers(directory):
            raise StoreError(
                f"{directory} is being worked on by {_listed(others)}, which share it: add --share to work with them, "
                "or wait for them"
            )
        sweep(directory)
        gather(directory)
        yield


@contextmanager
def together(directory: Path, about: str = "", beat: float = BEAT, expires: float = EXPIRES) -> Iterator[Leases]:
    """Comes in as one of several; `about` (the recipe) must be that of the others."""
    leases = Leases(directory, about, beat, expires)
    with _come_in(directory), contextlib.ExitStack() as stack:
        stack.enter_context(leases)
        if strange := [other for other in leases.members() if other.about != about]:
            raise StoreError(
                f"{directory} is being worked on by {_listed(strange)} with other settings: use `medprm resume "
                f"{directory} --share`, which takes the run's own, or wait for them"
            )
        inside = stack.pop_all()
    with inside:
        yield leases


def refuse_another_recipe(directory: Path) -> None:
    """StoreError where others work on a run that is about to get another recipe."""
    owner = worker(directory)
    others = [f"process {owner}"] if owner and owner != os.getpid() else [str(other) for other in sharers(directory)]
    if others:
        raise StoreError(
            f"{directory} is being worked on by {', '.join(others)} with other settings: wait for it, stop it first, "
            "or name another directory with --out"
        )


def worker(directory: Path) -> int | None:
    """The process that works on the run now, alone or as one of several; None for none."""
    owner = _holder(directory)
    if owner is not None:
        return owner.process
    return next((holder.process for holder in sharers(directory)), None)


def workers(directory: Path) -> list[str]:
    """All who work on the run now, in words."""
    owner = _holder(directory)
    return [str(holder) for holder in (sharers(directory) or ([owner] if owner else []))]


def sweep(directory: Path) -> int:
    """Deletes what killed processes left half written in the shards' folders; gives how many. Nobody else may work."""
    left = [file for stage in (directory / "shards").glob("*") for file in stage.glob("*.tmp")]
    for file in left:
        with contextlib.suppress(OSError):
            file.unlink()
    return len(left)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Holds `.lock`, renewed by a thread; StoreError while somebody else does."""
    lock = directory / LOCK
    try:
        handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        owner = _holder(directory)
        if owner is not None and not owner.is_me():
            raise StoreError(f"{directory} is being worked on by {owner}: wait for it, or stop it first") from None
        handle = os.open(lock, os.O_TRUNC | os.O_WRONLY)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        json.dump(asdict(Holder.me()), opened)
    over = threading.Event()
    thread = threading.Thread(target=_renew, args=(lock, over), name="medprm-lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        lock.unlink(missing_ok=True)


@contextmanager
def _come_in(directory: Path) -> Iterator[None]:
    """The lock for a moment, so that nobody comes in alone meanwhile; waits for others who are coming in too."""
    until = time.monotonic() + PATIENCE
    while True:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(_locked(directory))
            except StoreError:
                if time.monotonic() > until:
                    raise
            else:
                yield
                return
        check_stop()
        time.sleep(0.1)


def _renew(lock: Path, over: threading.Event) -> None:
    while not over.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(lock)


def _holder(directory: Path) -> Holder | None:
    """Who holds `.lock` and lives."""
    file = directory / LOCK
    try:
        text, age = file.read_text(encoding="utf-8").strip(), time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        holder = Holder.of(json.loads(text))
    except (ValueError, TypeError):
        return None  # half a file: its process died while it wrote
    return None if holder.dead() or (not holder.near() and age > EXPIRES) else holder


def _listed(holders: list[Holder]) -> str:
    return ", ".join(map(str, holders))
