"""Which local files a source was read from, and whether one has changed since.

    inputs = Inputs(Path("runs/mine/shards/source/inputs.jsonl"))
    inputs.changed()   ->  ["questions.jsonl"]

    {"path": "questions.jsonl", "sha256": "3f9a…", "size": 1204, "time": 1763701712000000000, "inode": 4711}
    {"path": "scans", "sha256": "88c1…"}                                    a folder: the names of its files

What counts is the content. A file of the same size, time and inode is taken as unchanged without reading it; any
other is hashed again. A file that is gone is no change: what was read of it is kept, so that a run can go on elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medprm_hf.ids import content_hash

Entry = dict[str, Any]


class Inputs:
    """The list of a run's input files; it is read and written as a stream, for it may name every image."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @contextmanager
    def writing(self) -> Iterator[Callable[[Path], None]]:
        """Gives a function that hashes one file or folder and puts it on the list; the list is kept at the end."""
        known = {entry["path"]: entry for entry in self.entries()}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part, last = self.file.with_suffix(".part"), [Path()]
        with part.open("w", encoding="utf-8") as out:

            def note(path: Path) -> None:
                if path != last[0]:  # the questions of one image follow each other
                    last[0] = path
                    out.write(json.dumps(_entry(path, known.get(str(path))), ensure_ascii=False) + "\n")

            yield note
        part.replace(self.file)

    def entries(self) -> Iterator[Entry]:
        """The list as it was kept."""
        if self.file.is_file():
            with self.file.open(encoding="utf-8") as lines:
                yield from map(json.loads, lines)

    def changed(self) -> list[str]:
        """Paths whose content is another than the kept one."""
        return [known["path"] for known in self.entries() if _differs(known)]


def local_paths(value: Any) -> Iterator[Path]:
    """Files and folders that stand in a source's options, and the files in those folders, in order."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from local_paths(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from local_paths(inner)
    elif isinstance(value, str) and value and len(value) < 4096 and "\0" not in value:
        path = Path(value)
        if path.exists():
            yield path
            yield from _below(path)


def _below(path: Path) -> Iterator[Path]:
    return (inner for inner in sorted(path.rglob("*")) if inner.is_file()) if path.is_dir() else iter(())


def _entry(path: Path, known: Entry | None) -> Entry:
    if path.is_dir():
        return {"path": str(path), "sha256": content_hash(*(str(p.relative_to(path)) for p in _below(path)), length=64)}
    about = path.stat()
    stamp = {"size": about.st_size, "time": about.st_mtime_ns, "inode": about.st_ino}
    if known is not None and {name: known.get(name) for name in stamp} == stamp:
        return known
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {"path": str(path), "sha256": digest, **stamp}


def _differs(known: Entry) -> bool:
    path = Path(known["path"])
    return path.exists() and _entry(path, known)["sha256"] != known["sha256"]
