"""Journals of a shared run on a network file system: one a process, read by all once its process has ended.

    runs/demo/journal.sqlite                    the run's own, at rest while the run is shared
    runs/demo/journals/node7-4711-9f3c.sqlite   what process 4711 of node7 was answered

On a local disk all processes write the run's one journal: SQLite sees to that. On a network file system its shared
memory does not reach the other machine, so each process writes a journal of its own (`OwnJournal`) and looks up what it
lacks in those of processes that have ended. Where the lease of a shard is taken over, the journal of its last owner is
brought to rest first: nothing that arrived is asked for again. Whoever next works on the run alone gathers them all.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from medprm_hf.backends.journals.journal_copy import merge_in
from medprm_hf.backends.journals.journal_own import settle
from medprm_hf.backends.stopping import check_stop
from medprm_hf.runs.leases import Leases, sharers

FOLDER, MAIN = "journals", "journal.sqlite"
NETWORK = frozenset(("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "afs", "9p", "pvfs2"))
"""File systems whose locks or memory maps do not hold between machines; FUSE mounts (sshfs, s3fs, …) count too."""


def own_journal(directory: Path, leases: Leases) -> Path:
    """Where this process writes what it is answered."""
    return directory / FOLDER / f"{leases.me.owner}.sqlite"


def at_rest(directory: Path, leases: Leases) -> list[Path]:
    """Journals that nobody writes any more, each settled; one process at a time sees to that."""
    while (lease := leases.claim("journals")) is None:
        check_stop()
        time.sleep(0.1)
    with lease:
        living = {leases.me.owner, *(member.owner for member in leases.members())}
        found = [file for file in _files(directory) if file.stem not in living]
        for file in found:
            if file.with_name(f"{file.name}-wal").exists() or _in_wal_mode(file):
                settle(file)
        return found


def gather(directory: Path) -> int:
    """Takes the journals of ended processes into the run's; gives the number of files. For one who works alone."""
    living = {member.owner for member in sharers(directory)}
    found = [file for file in _files(directory) if file.name != MAIN and file.stem not in living]
    for file in found:
        settle(file)
        merge_in(directory / MAIN, file)
        file.unlink()
    with contextlib.suppress(OSError):
        (directory / FOLDER).rmdir()
    return len(found)


def on_network(directory: Path) -> bool:
    """Whether a directory lies on a network file system, as far as the system tells."""
    kind = file_system(directory)
    return kind in NETWORK or kind.startswith("fuse.")


def file_system(path: Path) -> str:
    """The kind of file system of a path, `ext4` or `nfs4`; empty where the system (not Linux) does not tell."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place, best, kind = os.path.realpath(path), "", ""
    for line in lines:
        left, _, right = line.partition(" - ")
        mount = left.split()[4].replace("\\040", " ")
        if (place == mount or place.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return kind


def _files(directory: Path) -> list[Path]:
    own = sorted((directory / FOLDER).glob("*.sqlite"))
    return [file for file in (directory / MAIN, *own) if file.is_file()]


def _in_wal_mode(file: Path) -> bool:
    """Whether a database's header says that readers need its write-ahead log (byte 19)."""
    with file.open("rb") as opened:
        return opened.read(20)[19:] == b"\x02"
