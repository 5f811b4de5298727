"""What a local Hub keeps on disk for good: contents and commits, each under the hash of what it holds.

folder/blobs/<git hash>     small files          folder/lfs/<sha256>      large ones
folder/commits/<hash>.json  {parents, tree: {path: {oid, size, lfs}}, title, message, author, date}

Everything is written beside and renamed; nothing is ever changed, so a server that is killed leaves no half of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

Tree = dict[str, dict[str, Any]]
"""Path -> {oid: git hash, size: bytes, lfs: SHA-256 or None}."""


@dataclass(frozen=True)
class CommitObject:
    """One commit with the whole tree it stands for."""

    parents: tuple[str, ...]
    tree: Tree
    title: str
    message: str
    author: str
    date: float

    @property
    def when(self) -> str:
        """As the Hub writes times."""
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.date)) + f".{int(self.date % 1 * 1000):03d}Z"


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """The small file that git keeps in place of a large one."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


class Objects:
    """Contents and commits below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("blobs", "lfs", "commits", "repos"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.commit = lru_cache(maxsize=512)(self._commit)

    def put(self, data: bytes) -> dict[str, Any]:
        """Keeps a small file; gives its entry in a tree."""
        oid = git_hash(data)
        self._write(self.folder / "blobs" / oid, data)
        return {"oid": oid, "size": len(data), "lfs": None}

    def put_lfs(self, sha256: str, data: bytes) -> bool:
        """Keeps a large file, if its bytes are those that were announced."""
        if hashlib.sha256(data).hexdigest() != sha256:
            return False
        self._write(self.folder / "lfs" / sha256, data)
        return True

    def lfs_entry(self, sha256: str) -> dict[str, Any] | None:
        """The entry of a large file; None where it was never sent."""
        file = self.folder / "lfs" / sha256
        if not file.is_file():
            return None
        size = file.stat().st_size
        return {"oid": git_hash(pointer(sha256, size)), "size": size, "lfs": sha256}

    def file_of(self, entry: dict[str, Any]) -> Path:
        """Where a tree's entry lies."""
        return self.folder / ("lfs" if entry["lfs"] else "blobs") / (entry["lfs"] or entry["oid"])

    def put_commit(self, commit: CommitObject) -> str:
        """Keeps a commit; gives its hash."""
        data = json.dumps(asdict(commit), sort_keys=True).encode()
        oid = hashlib.sha1(data).hexdigest()
        self._write(self.folder / "commits" / f"{oid}.json", data)
        return oid

    def has_commit(self, oid: str) -> bool:
        return (self.folder / "commits" / f"{oid}.json").is_file()

    def _commit(self, oid: str) -> CommitObject:
        data = json.loads((self.folder / "commits" / f"{oid}.json").read_bytes())
        return CommitObject(**{**data, "parents": tuple(data["parents"])})

    def ancestors(self, oid: str) -> list[str]:
        """The commit and all before it, newest first."""
        found: dict[str, float] = {}
        todo = [oid]
        while todo:
            here = todo.pop()
            if here not in found:
                commit = self.commit(here)
                found[here] = commit.date
                todo += commit.parents
        order = {oid: number for number, oid in enumerate(found)}
        return sorted(found, key=lambda oid: (-found[oid], order[oid]))

    def merge_base(self, one: str, other: str) -> str:
        """Newest commit that both hold."""
        known = set(self.ancestors(other))
        return next(oid for oid in self.ancestors(one) if oid in known)

    def _write(self, file: Path, data: bytes) -> None:
        if file.exists():
            return
        beside = file.with_name(f".{uuid.uuid4().hex}")
        beside.write_bytes(data)
        os.replace(beside, file)


def changed(old: Tree, new: Tree) -> dict[str, dict[str, Any] | None]:
    """What a tree became: path -> entry, None where it is gone."""
    found = {path: entry for path, entry in new.items() if entry != old.get(path)}
    return {**found, **{path: None for path in old if path not in new}}
