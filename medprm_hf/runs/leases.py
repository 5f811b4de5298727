"""Leases: who works on what of a run, told by small files; for processes on one machine or on many that share a disk.

    with Leases(Path("runs/demo")) as leases:
        if lease := leases.claim("rollout-00003"):        # None: somebody else has it
            with lease:
                ...                                       # lease.held(): still ours? asked before anything is kept

    runs/demo/leases/rollout-00003.1    {"owner": "node7-4711-9f3c", "host": "node7", "process": 4711, …}

A lease is a file that is made with O_EXCL, and whose time its owner renews. It has run out when its process is dead
(seen at once on the same machine) or its time was not renewed for `expires` seconds, by the clock of the file system.
Then the next generation may be made, `rollout-00003.2`: nothing is renamed or deleted to take over, so of many who try
at once one gets it. Who has made a file looks again and steps back where another holds a lease of the same name. Were a
lease held twice all the same (a file system whose listings lag), work would be done twice and nothing lost: files of a
run appear whole, and what depends on the recipe alone is the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = "leases"
BEAT, EXPIRES = 15.0, 120.0
"""Seconds between two renewals, and after which a lease that was not renewed has run out. A network file system may
show another machine's file up to a minute late (NFS `acregmax`)."""
MEMBER = "process-"


@dataclass(frozen=True)
class Holder:
    """Who holds a lease."""

    owner: str
    """Unlike any other process's, ever."""
    host: str
    machine: str
    """Equal where process numbers can be compared: the same boot of the same machine or container."""
    process: int
    begun: str
    """When the process was started, as the system tells it: numbers are used again. Empty: not known."""
    about: str = ""
    """What the holder says of its work; members say their recipe."""

    @classmethod
    def me(cls, about: str = "") -> Holder:
        """This process."""
        host, process = socket.gethostname(), os.getpid()
        return cls(f"{host}-{process}-{secrets.token_hex(4)}", host, machine(), process, _begun(process), about)

    @classmethod
    def of(cls, value: Any) -> Holder:
        """From what stands in a file; a bare number is a process of this machine (earlier versions wrote that)."""
        return cls("", "", machine(), value, "") if isinstance(value, int) else cls(**value)

    def is_me(self) -> bool:
        """Whether it is this very process."""
        return self.near() and self.process == os.getpid()

    def near(self) -> bool:
        """Whether its process runs, or ran, where we can see it."""
        return self.machine == machine()

    def dead(self) -> bool:
        """Whether the process is known to have ended; never known of another machine's."""
        return self.near() and (not _runs(self.process) or (self.begun != "" and _begun(self.process) != self.begun))

    def __str__(self) -> str:
        return f"process {self.process}" + ("" if self.near() else f" on {self.host}")


class Lease:
    """One lease that was got; given back at the end of its block."""

    def __init__(self, leases: Leases, name: str, file: Path) -> None:
        self.name, self.file, self._leases = name, file, leases

    def held(self) -> bool:
        """Whether it is still ours: it may have run out while this process slept."""
        generations = self._leases.generations(self.name)
        return (
            bool(generations) and generations[-1] == self.file and self._leases.holder_of(self.file) == self._leases.me
        )

    @property
    def taken_over(self) -> bool:
        """Whether somebody had it before, who died or fell silent."""
        return generation(self.file) > 1

    def release(self) -> None:
        """Gives it back."""
        self._leases.forget(self)
        if self._leases.holder_of(self.file) == self._leases.me:  # ours, even if it is no longer the one that counts
            self.file.unlink(missing_ok=True)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Leases:
    """One process's leases in a run directory; a context, in which a thread renews them."""

    def __init__(self, directory: Path, about: str = "", beat: float = BEAT, expires: float = EXPIRES) -> None:
        self.folder = directory / FOLDER
        self.me = Holder.me(about)
        self._beat, self._expires = beat, expires
        self._held: dict[str, Lease] = {}
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._renew, name="medprm-leases", daemon=True)
        self._clock: Path | None = None

    def __enter__(self) -> Leases:
        member = self.claim(f"{MEMBER}{self.me.owner}")
        self._clock = member.file if member else None
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for lease in list(self._held.values()):
            lease.release()
        with contextlib.suppress(OSError):  # the last one leaves no folder behind
            self.folder.rmdir()

    def claim(self, name: str) -> Lease | None:
        """The lease of that name, or None while another process has it."""
        there = self.generations(name)
        if any(self.alive(file) for file in there):
            return None
        number = 1 + max((generation(file) for file in there), default=0)
        file = self.folder / f"{name}.{number}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)  # who left last has taken it along
            handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileNotFoundError:
            return self.claim(name)
        except FileExistsError:
            return None
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            json.dump(asdict(self.me), opened)
        lease = Lease(self, name, file)
        for other in self.generations(name):
            if other != file and (generation(other) > number or self.alive(other)):
                file.unlink(missing_ok=True)
                return None
        for old in there:
            old.unlink(missing_ok=True)
        with self._lock:
            self._held[name] = lease
        return lease

    def forget(self, lease: Lease) -> None:
        """No longer renews it."""
        with self._lock:
            self._held.pop(lease.name, None)

    def generations(self, name: str) -> list[Path]:
        """The files of one lease, oldest first; the last one's owner has it, if it lives."""
        return sorted((f for f in files(self.folder) if f.name.rpartition(".")[0] == name), key=generation)

    def alive(self, file: Path) -> bool:
        """Whether the holder of a lease file still renews it."""
        holder = self.holder_of(file)
        try:
            age = self._now() - file.stat().st_mtime
        except FileNotFoundError:
            return False
        return age < self._expires and not (holder is not None and holder.dead())

    def holder_of(self, file: Path) -> Holder | None:
        """Who made a lease file; None while it is being written, or where it is gone."""
        return holder_of(file)

    def members(self) -> list[Holder]:
        """Other processes that share the run now."""
        found = [(file, self.holder_of(file)) for file in files(self.folder) if file.name.startswith(MEMBER)]
        return [holder for file, holder in found if holder and holder != self.me and self.alive(file)]

    def _now(self) -> float:
        """The time by the file system's clock, which all who share it see; this machine's before we have a file."""
        if self._clock is not None:
            try:
                os.utime(self._clock)
                return self._clock.stat().st_mtime
            except OSError:
                pass
        return time.time()

    def _renew(self) -> None:
        while not self._over.wait(self._beat):
            with self._lock:
                held = list(self._held.values())
            for lease in held:
                with contextlib.suppress(OSError):  # gone: `held` says so to whoever is about to keep something
                    os.utime(lease.file)


def files(folder: Path) -> list[Path]:
    """The lease files of a folder; none where there is no folder."""
    try:
        return [folder / name for name in os.listdir(folder) if name.rpartition(".")[2].isdigit()]
    except FileNotFoundError:
        return []


def generation(file: Path) -> int:
    """The number at the end of a lease file's name."""
    return int(file.name.rpartition(".")[2])


def holder_of(file: Path) -> Holder | None:
    """Who made a lease file; None while it is being written, or where it is gone."""
    try:
        return Holder.of(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def sharers(directory: Path, expires: float = EXPIRES) -> list[Holder]:
    """The processes that share a run now; only looks, so also in a folder that may not be written."""
    found: list[Holder] = []
    for file in files(directory / FOLDER):
        holder = holder_of(file) if file.name.startswith(MEMBER) else None
        with contextlib.suppress(FileNotFoundError):
            if holder and not holder.dead() and time.time() - file.stat().st_mtime < expires:
                found.append(holder)
    return found


@cache
def machine() -> str:
    """Names this boot of this machine, and the container's own count of processes where it has one."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:13])
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _about(process)[:1] != ["Z"]  # ended, and nobody has asked how


def _begun(process: int) -> str:
    """The start of a process in clock ticks since boot; empty where the system does not tell."""
    return next(iter(_about(process)[19:20]), "")


def _about(process: int) -> list[str]:
    """What Linux tells of a process, from its state on."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
