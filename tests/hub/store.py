"""Repos of a local Hub: refs, commits that check their parent, branches, discussions and merges; all on disk.

    store = Store(Path("hub"))
    store.create("dataset", "org/name", private=False, author="owner")
    store.commit(repo, "refs/heads/main", files={"a.txt": entry}, deleted=(), title="First", author="owner")

One JSON file a repo holds its refs and discussions; it is replaced whole, after the objects that it names are there.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hub.objects import CommitObject, Objects, Tree, changed

MAIN = "refs/heads/main"


class Refused(Exception):
    """An answer that is no success: status, the Hub's error code, words."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass
class Repo:
    """What is known of one repo."""

    kind: str
    name: str
    private: bool
    created: float
    refs: dict[str, str] = field(default_factory=dict)
    """refs/heads/…, refs/tags/…, refs/pr/N -> commit."""
    discussions: list[dict[str, Any]] = field(default_factory=list)
    sdk: str | None = None


class Store:
    """All repos below a folder. Every change happens under one lock, and is on disk when it returns."""

    def __init__(self, folder: Path) -> None:
        self.objects = Objects(folder)
        self.folder = folder
        self.lock = threading.RLock()
        self.repos: dict[tuple[str, str], Repo] = {}
        for file in sorted((folder / "repos").glob("*/*/*.json")):
            repo = Repo(**json.loads(file.read_text(encoding="utf-8")))
            self.repos[repo.kind, repo.name] = repo

    def create(self, kind: str, name: str, private: bool, author: str, sdk: str | None = None) -> Repo:
        with self.lock:
            if (kind, name) in self.repos:
                raise Refused(409, "You already created this repo")
            repo = Repo(kind, name, private, time.time(), sdk=sdk)
            first = {".gitattributes": self.objects.put(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n")}
            repo.refs[MAIN] = self._put(first, (), "initial commit", "", author)
            self.repos[kind, name] = repo
            self.save(repo)
            return repo

    def delete(self, repo: Repo) -> None:
        with self.lock:
            self.repos.pop((repo.kind, repo.name), None)
            self._file(repo).unlink(missing_ok=True)

    def resolve(self, repo: Repo, revision: str) -> str:
        """Commit of a branch, tag, full ref or hash; RevisionNotFound."""
        for ref in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if ref in repo.refs:
                return repo.refs[ref]
        if len(revision) == 40 and self.objects.has_commit(revision) and self._holds(repo, revision):
            return revision
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def writable(self, repo: Repo, revision: str) -> str:
        """The ref that a commit to this revision moves."""
        for ref in (revision, f"refs/heads/{revision}"):
            if ref in repo.refs and not ref.startswith("refs/tags/"):
                return ref
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def tree(self, repo: Repo, revision: str) -> Tree:
        return self.objects.commit(self.resolve(repo, revision)).tree

    def commit(
        self,
        repo: Repo,
        ref: str,
        files: Tree,
        deleted: list[str],
        title: str,
        message: str,
        author: str,
        parent: str | None,
    ) -> str:
        """Moves a ref by one commit, or not at all: 412 where it no longer stands at `parent`."""
        with self.lock:
            head = repo.refs[ref]
            if parent is not None and head != parent and not head.startswith(parent):
                raise Refused(412, "A commit has happened since. Please refresh and try again.")
            tree = self._changed_tree(self.objects.commit(head).tree, files, deleted)
            repo.refs[ref] = self._put(tree, (head,), title, message, author)
            self.save(repo)
            return repo.refs[ref]

    def propose(
        self,
        repo: Repo,
        files: Tree,
        deleted: list[str],
        title: str,
        message: str,
        author: str,
        parent: str,
    ) -> tuple[int, str]:
        """A pull request with one commit on `parent`; its number and that commit."""
        with self.lock:
            tree = self._changed_tree(self.objects.commit(parent).tree, files, deleted)
            oid = self._put(tree, (parent,), title, message, author)
            number = self.discuss(repo, title, message, author, at=oid)
            return number, oid

    def discuss(
        self, repo: Repo, title: str, text: str, author: str, at: str | None = None, status: str = "open"
    ) -> int:
        """A discussion; with a commit a pull request whose ref stands there."""
        with self.lock:
            number = len(repo.discussions) + 1
            entry = {
                "num": number, "title": title, "author": author, "status": status, "created": time.time(),
                "pull": at is not None, "merged_as": None, "events": [comment_event(author, text)],
            }  # fmt: skip
            if at is not None:
                repo.refs[f"refs/pr/{number}"] = at
            repo.discussions.append(entry)
            self.save(repo)
            return number

    def conflicts(self, repo: Repo, number: int) -> list[str]:
        """Files that a pull request and main have both changed, to different ends."""
        main, there = repo.refs[MAIN], repo.refs[f"refs/pr/{number}"]
        base = self.objects.commit(self.objects.merge_base(there, main)).tree
        theirs = changed(base, self.objects.commit(there).tree)
        ours = changed(base, self.objects.commit(main).tree)
        return sorted(path for path in theirs if path in ours and theirs[path] != ours[path])

    def merge(self, repo: Repo, number: int, author: str) -> str:
        """Puts a pull request's changes on main; 409 where they clash."""
        with self.lock:
            entry = repo.discussions[number - 1]
            if entry["status"] not in ("open", "draft"):
                raise Refused(409, f"This pull request is {entry['status']} already")
            if clash := self.conflicts(repo, number):
                raise Refused(409, f"This pull request has conflicts with main in {', '.join(clash)}")
            main, there = repo.refs[MAIN], repo.refs[f"refs/pr/{number}"]
            base = self.objects.commit(self.objects.merge_base(there, main)).tree
            theirs = changed(base, self.objects.commit(there).tree)
            tree = {**self.objects.commit(main).tree, **{p: e for p, e in theirs.items() if e is not None}}
            for path in (path for path, kept in theirs.items() if kept is None):
                tree.pop(path, None)
            repo.refs[MAIN] = self._put(tree, (main, there), f"{entry['title']} (#{number})", "", author)
            entry["status"], entry["merged_as"] = "merged", repo.refs[MAIN]
            entry["events"].append(status_event(author, "merged"))
            self.save(repo)
            return repo.refs[MAIN]

    def save(self, repo: Repo) -> None:
        """Replaces the repo's file."""
        file = self._file(repo)
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{uuid.uuid4().hex}")
        beside.write_text(json.dumps(repo.__dict__), encoding="utf-8")
        os.replace(beside, file)

    def _file(self, repo: Repo) -> Path:
        return self.folder / "repos" / repo.kind / f"{repo.name}.json"

    def _holds(self, repo: Repo, oid: str) -> bool:
        """Whether any ref leads to a commit: one that was force-pushed away has vanished."""
        return any(oid in self.objects.ancestors(head) for head in set(repo.refs.values()))

    def _put(self, tree: Tree, parents: tuple[str, ...], title: str, message: str, author: str) -> str:
        return self.objects.put_commit(CommitObject(parents, tree, title, message, author, time.time()))

    def _changed_tree(self, old: Tree, files: Tree, deleted: list[str]) -> Tree:
        tree = dict(old)
        for path in deleted:
            gone = [name for name in tree if name == path or (path.endswith("/") and name.startswith(path))]
            if not gone:
                raise Refused(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            for name in gone:
                del tree[name]
        return {**tree, **files}


def _event(kind: str, author: str, data: dict[str, Any]) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    return {"id": uuid.uuid4().hex[:24], "author": {"name": author}, "createdAt": now, "type": kind, "data": data}


def comment_event(author: str, text: str) -> dict[str, Any]:
    """A comment as the Hub tells it."""
    latest = {"raw": text, "html": "", "updatedAt": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())}
    return _event("comment", author, {"edited": False, "hidden": False, "latest": latest, "history": []})


def status_event(author: str, status: str) -> dict[str, Any]:
    """A change of status as the Hub tells it."""
    return _event("status-change", author, {"status": status})
