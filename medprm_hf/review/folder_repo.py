"""A folder in the place of a repo on the Hub: on a network share, or in a test.

Sync(store, FolderRepo(Path("/mnt/share/decisions"))).both()
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medprm_hf.errors import HubError


@dataclass(frozen=True)
class FolderRepo:
    """Files below a folder, as `Sync` reads and writes them."""

    folder: Path

    def commit(self, files: Mapping[str, bytes | Path | None], message: str) -> None:
        """Writes each file beside its place and renames it; None deletes. Not atomic over several files."""
        for path, data in files.items():
            target = self.folder / path
            if data is None:
                target.unlink(missing_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.{os.getpid()}.part")
            partial.write_bytes(data if isinstance(data, bytes) else data.read_bytes())
            partial.replace(target)

    def read(self, path: str) -> bytes:
        """One file's bytes; HubError `file` where it is not there."""
        try:
            return (self.folder / path).read_bytes()
        except FileNotFoundError:
            raise HubError(f"{self.folder} has no {path}", "file") from None

    def files(self, revision: str = "main", under: str = "") -> list[str]:
        """Paths of all files below `under`, sorted."""
        root = self.folder / under
        found = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
        return sorted(path.relative_to(self.folder).as_posix() for path in found)
