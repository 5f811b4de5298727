"""The ledger: a run's file of what was spent, over sessions and processes (`runs/NAME/spent.jsonl`).

    {"by": "4711-9f3c", "stage": "judge", "identity": "openai:gpt-4o-mini", "requests": 12, …, "cost": 0.0043}

Each process appends what it has booked, at most once a second, and reads what others have appended. A line is written
whole; a process that is killed loses what it booked since its last line, a second's worth at most in a burst.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medprm_hf.backends.money.tally import Account, Tally
from medprm_hf.errors import StoreError

EVERY = 1.0
"""Seconds between two writes, and between two looks at what others have written."""


class Ledger:
    """One process's hand on the file; its caller sees to locking."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._others: dict[Account, Tally] = {}
        self._pending: dict[Account, Tally] = {}
        self._offset = 0
        self._written = self._looked = float("-inf")

    @property
    def spent(self) -> float:
        """USD that earlier sessions and other processes have spent, as far as prices were known."""
        self._look()
        return sum(tally.cost or 0.0 for tally in list(self._others.values()))

    @property
    def mean(self) -> float:
        """USD of one request in what was read last, where prices were known; 0 before any."""
        paid = [tally for tally in list(self._others.values()) if tally.cost and tally.requests]
        return sum(t.cost or 0.0 for t in paid) / sum(t.requests for t in paid) if paid else 0.0

    def totals(self) -> dict[Account, Tally]:
        """What earlier sessions and other processes have booked."""
        self._look()
        found: dict[Account, Tally] = {}
        for account, tally in self._others.items():
            found.setdefault(account, Tally()).add(tally)
        return found

    def add(self, account: Account, new: Tally) -> None:
        """Takes down what this process has booked; written soon."""
        self._pending.setdefault(account, Tally()).add(new)
        if time.monotonic() - self._written >= EVERY:
            self.close()

    def close(self) -> None:
        """Writes what is not written yet."""
        if not self._pending:
            return
        lines = [
            json.dumps({"by": self._name, "stage": stage, "identity": identity, **tally.as_dict()}) + "\n"
            for (stage, identity), tally in self._pending.items()
        ]
        try:
            self.append("".join(lines))
        except OSError as error:
            raise StoreError(
                f"cannot write the ledger {self._file}: {error.strerror or error}; make room or mend the permissions, "
                f"then `medprm resume {self._file.parent}`: what was answered is in the journal"
            ) from error
        self._pending, self._written = {}, time.monotonic()

    def append(self, lines: str) -> None:
        """Adds whole lines to the file."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab", buffering=0) as handle, _turn(handle.fileno()):
            handle.write((self._ending() + lines).encode())

    def news(self, offset: int) -> bytes:
        """What the file holds from a place on."""
        try:
            with self._file.open("rb") as handle:
                handle.seek(offset)
                return handle.read()
        except FileNotFoundError:
            return b""

    def _ending(self) -> str:
        """A line break where a killed process has left half a line."""
        size = self._file.stat().st_size
        if not size:
            return ""
        with self._file.open("rb") as handle:
            handle.seek(size - 1)
            return "" if handle.read(1) == b"\n" else "\n"

    def _look(self) -> None:
        """Reads the whole lines that have come since the last look."""
        if time.monotonic() - self._looked < EVERY:
            return
        self._looked = time.monotonic()
        news = self.news(self._offset)
        whole = news[: news.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            values = json.loads(line)
            by, account = values.pop("by"), (values.pop("stage"), values.pop("identity"))
            tally = Tally.of(values)
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # half a line of a process that was killed
        if by != self._name:
            self._others.setdefault(account, Tally()).add(tally)


@contextmanager
def _turn(handle: int) -> Iterator[None]:
    """One process at a time appends: between machines that share a disk, appending alone may overwrite."""
    try:
        import fcntl
    except ImportError:  # Windows: on one machine appending is enough
        yield
        return
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX)  # gone when the file is closed
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    yield
