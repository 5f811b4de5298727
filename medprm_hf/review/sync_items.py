"""What is asked, kept beside the decisions: settings, items and images, so that an empty disk has them again.

review/store.json           settings of the store
review/items.jsonl.gz       every item, written anew when items have changed
review/images/SHA256        each image once
"""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from medprm_hf.ids import bytes_hash, content_hash
from medprm_hf.imaging.load import load_image
from medprm_hf.review.adding import COLUMNS, join_round
from medprm_hf.review.decisions import settle
from medprm_hf.review.store import ReviewStore

_KEPT = (*(name for name in COLUMNS if name not in ("open", "round")), "version", "rank")


class Reader(Protocol):
    """Where files are read from."""

    def read(self, path: str) -> bytes:
        """One file's bytes."""
        ...

    def files(self, revision: str = "main", under: str = "") -> list[str]:
        """Paths of the files below a folder."""
        ...


def push_items(store: ReviewStore, repo: Reader, folder: str, files: dict[str, bytes | Path | None]) -> str | None:
    """Adds what has to be written to `files`; a stamp to remember when it is, None where nothing has changed."""
    db = store.database.read()
    facts = [tuple(row) for row in db.execute("SELECT item_id, version, asked, length(machine), rank FROM items")]
    stamp = content_hash(json.dumps(facts), json.dumps(asdict(store.settings)))
    if not facts or store.meta("pushed_items") == stamp:
        return None
    files[f"{folder}/store.json"] = json.dumps(asdict(store.settings), indent=1).encode()
    files[f"{folder}/items.jsonl.gz"] = _packed(db)
    there = _names(repo, f"{folder}/images")
    for row in db.execute("SELECT sha256 FROM images").fetchall():
        if row["sha256"] not in there:
            data = db.execute("SELECT data FROM images WHERE sha256 = ?", (row["sha256"],)).fetchone()["data"]
            files[f"{folder}/images/{row['sha256']}"] = bytes(data)
    return stamp


def _names(repo: Reader, folder: str) -> set[str]:
    from medprm_hf.errors import HubError

    try:
        return {path.rsplit("/", 1)[-1] for path in repo.files(under=folder)}
    except HubError:
        return set()  # nothing there yet; a commit to a repo that cannot be reached says so itself


def _packed(db: sqlite3.Connection) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6, mtime=0) as file:
        for row in db.execute(f"SELECT {', '.join(_KEPT)} FROM items ORDER BY item_id"):
            file.write(json.dumps(dict(row), ensure_ascii=False).encode() + b"\n")
    return out.getvalue()


def pull_items(store: ReviewStore, repo: Reader, folder: str, there: Iterable[str]) -> int:
    """Fills a store that has no items; gives how many came. One that has items goes by its own."""
    there = set(there)
    known = store.database.read().execute("SELECT 1 FROM items LIMIT 1").fetchone()
    if known or f"{folder}/items.jsonl.gz" not in there:
        return 0
    if f"{folder}/store.json" in there:
        kept = json.loads(repo.read(f"{folder}/store.json"))
        store.change(**{name: value for name, value in kept.items() if name in asdict(store.settings)})
    rows = [json.loads(line) for line in gzip.decompress(repo.read(f"{folder}/items.jsonl.gz")).splitlines()]
    with store.database.write() as db:
        for row in rows:
            _insert(db, row)
    _pull_images(store, repo, folder, {path for path in there if path.startswith(f"{folder}/images/")})
    return len(rows)


def _insert(db: sqlite3.Connection, row: Mapping[str, Any]) -> None:
    values = {**row, "open": int("1" in row["asked"]), "round": 1}
    join_round(db, values)
    names = (*_KEPT, "open", "round")
    marks = ", ".join("?" for _ in names)
    kept = [values.get(name) for name in names]
    db.execute(f"INSERT OR IGNORE INTO items ({', '.join(names)}) VALUES ({marks})", kept)
    settle(db, row["item_id"])


def _pull_images(store: ReviewStore, repo: Reader, folder: str, there: set[str]) -> None:
    """Images that items name; one whose bytes are not what its name says is left out."""
    wanted = [
        row["image_sha256"]
        for row in store.database.read().execute("SELECT DISTINCT image_sha256 FROM items WHERE image_sha256 NOT NULL")
    ]
    for sha256 in wanted:
        if f"{folder}/images/{sha256}" not in there:
            continue
        data = repo.read(f"{folder}/images/{sha256}")
        if bytes_hash(data) == sha256:
            image = load_image(data)
            with store.database.write() as db:
                db.execute(
                    "INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?, ?)",
                    (sha256, data, image.mime, image.width, image.height),
                )
