"""Who works on a run: one process at a time, named in `RUN/.lock`; the lock of a process that died is taken over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medprm_hf.errors import StoreError

LOCK = ".lock"


@contextmanager
def one_at_a_time(directory: Path) -> Iterator[None]:
    """Refuses a second process on the same run."""
    lock = directory / LOCK
    try:
        handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        if (owner := worker(directory)) is not None and owner != os.getpid():
            raise StoreError(
                f"{directory} is being worked on by process {owner}: wait for it, or stop it first"
            ) from None
        handle = os.open(lock, os.O_TRUNC | os.O_WRONLY)
    os.write(handle, str(os.getpid()).encode())
    os.close(handle)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def worker(directory: Path) -> int | None:
    """The process that works on the run now; None for none."""
    try:
        owner = (directory / LOCK).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    return int(owner) if owner.isdigit() and _alive(int(owner)) else None


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
