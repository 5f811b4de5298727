"""One repo on the Hub: made, read, committed to, branched.

    repo = HubRepo("org/name", kind="dataset")
    head = repo.head()
    repo.commit({"a.txt": b"hello"}, "First words", parent=head)   # HubConflict where somebody was first
    repo.files(under="data"), repo.read("a.txt", revision=head)

Nothing is asked before a method is called. Token and endpoint are the client's own (HF_TOKEN, `hf auth login`,
HF_ENDPOINT) unless they are given. An object can be pickled and sent to other processes.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, TypeVar

import medprm_hf.hub.committing as committing
import medprm_hf.hub.pull_requests as pull_requests
from medprm_hf.errors import HubError
from medprm_hf.hub.committing import Commit
from medprm_hf.hub.pull_requests import PullRequest
from medprm_hf.hub.refusals import Place, asking, may_pass

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Kind = Literal["dataset", "model", "space"]
_KINDS = ("dataset", "model", "space")
_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_READ_TRIES = 4
_AT_ONCE = 8
"""Files fetched at the same time."""
T = TypeVar("T")


@dataclass(frozen=True)
class HubRepo:
    """A dataset, model or Space on the Hub."""

    name: str
    """As in `org/name`."""
    kind: Kind = "dataset"
    token: str | None = field(default=None, repr=False)
    endpoint: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise HubError(f"{self.kind!r} is no kind of repo: {', '.join(_KINDS)}", "name")
        if not _NAME.fullmatch(self.name):
            raise HubError(f"{self.name!r} is no name of a repo on the Hub: write it as org/name", "name")

    @property
    def url(self) -> str:
        """Where a browser shows it."""
        prefix = "" if self.kind == "model" else f"{self.kind}s/"
        return f"{self._place.endpoint}/{prefix}{self.name}"

    def create(self, private: bool = True) -> None:
        """Makes the repo; one that exists already is left as it is (also its visibility)."""
        if self.exists():  # asked first: the client's own exist_ok stumbles over a 403 of a Hub at another address
            return
        sdk = "gradio" if self.kind == "space" else None
        with asking(self._place, "make the repo"):
            self._api.create_repo(self.name, repo_type=self.kind, private=private, exist_ok=True, space_sdk=sdk)

    def exists(self) -> bool:
        """Whether it is there and this token may see it."""
        try:
            self.head()
        except HubError as error:
            if error.kind == "repo":
                return False
            raise
        return True

    def is_private(self) -> bool:
        """Whether only those whom its owner lets in may see it."""

        def ask() -> bool:
            return bool(self._api.repo_info(self.name, repo_type=self.kind).private)

        return self._again(self._place, "read the visibility", ask)

    def commit(
        self,
        files: Mapping[str, bytes | Path | None],
        message: str,
        *,
        branch: str = "main",
        description: str = "",
        parent: str | None = None,
        pull_request: bool = False,
        patience: float = 120.0,
    ) -> Commit:
        """Writes and deletes files in one commit, or opens a pull request with it: all of it lands, or nothing.

        Args:
            files: What stands at each path: bytes, a file on disk, or None to delete (a path ending in `/`: a folder).
            message: First line.
            branch: Where it goes (it must exist, see `branch`); of a pull request the branch it is meant for.
            description: The rest of the commit's message; a pull request's opening words.
            parent: Commit (full hash) that must be the branch's head. Without it a commit that came second is done
                again on the new head; with it that is HubConflict.
            pull_request: Opens a pull request, for which no write rights are needed.
            patience: Seconds after which no new try is made.

        Raises:
            HubConflict: somebody else was first (with `parent`), or again and again for `patience` seconds.
            HubError: see its kinds.
        """
        place = self._place.at(branch)
        return committing.commit(
            self._api, place, files, message, description, parent=parent, pull_request=pull_request, patience=patience
        )

    def read(self, path: str, revision: str = "main") -> bytes:
        """The bytes of one file."""
        with tempfile.TemporaryDirectory(prefix="medprm-hub-") as folder:
            return self._download(path, revision, Path(folder)).read_bytes()

    def fetch(self, path: str, to: Path, revision: str = "main") -> Path:
        """Writes one file to `to` (in it, where `to` is a folder); it is there whole or not at all."""
        target = _below(to, path) if to.is_dir() else to
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".medprm-hub-", dir=target.parent) as folder:
            os.replace(self._download(path, revision, Path(folder)), target)
        return target

    def snapshot(self, to: Path, revision: str = "main", under: str = "") -> list[Path]:
        """Writes all files (under a folder) below `to`, several at once; gives where they lie."""
        head = self.head(revision)  # one commit for all files, whatever is pushed meanwhile
        wanted = self.files(head, under)
        if not wanted:
            return []
        to.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".medprm-hub-", dir=to) as folder:
            pattern = [f"{under.rstrip('/')}/*"] if under else None
            with asking(self._place.at(revision), f"fetch {len(wanted)} files"):
                self._api.snapshot_download(
                    self.name, repo_type=self.kind, revision=head, local_dir=folder, allow_patterns=pattern
                )
            lost = [path for path in wanted if not (Path(folder) / path).is_file()]
            if lost:  # the client gives back a half-filled folder where the connection broke
                raise HubError(
                    f"{len(lost)} of {len(wanted)} files of {self.name} did not arrive: try again", "connection"
                )
            for path in wanted:
                _below(to, path).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(Path(folder) / path, to / path)
        return [to / path for path in wanted]

    def fetch_all(self, paths: Sequence[str], folder: Path, revision: str = "main") -> None:
        """Writes these files below a folder, several at once; each is there whole or not at all."""
        for path in paths:
            _below(folder, path).parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="medprm-hub") as pool:
            for _ in pool.map(lambda path: self.fetch(path, folder / path, revision), paths):
                pass

    def files(self, revision: str = "main", under: str = "") -> list[str]:
        """Paths of all files (under a folder), sorted."""
        return sorted(self.file_ids(revision, under))

    def file_ids(self, revision: str = "main", under: str = "") -> dict[str, str]:
        """The git hash of each file's content by path (of a large file that of its pointer): equal means unchanged."""

        def ask() -> dict[str, str]:
            tree = self._api.list_repo_tree(
                self.name, under.rstrip("/") or None, recursive=True, revision=revision, repo_type=self.kind
            )
            return {entry.path: str(entry.blob_id) for entry in tree if hasattr(entry, "blob_id")}

        with asking(self._place.at(revision, under or None), "list the files"):
            return ask()  # this one the client itself tries again, for 20 s

    def sizes(self, revision: str = "main", under: str = "") -> dict[str, int]:
        """Bytes of each file by path, so that a huge one can be refused before it is fetched."""
        with asking(self._place.at(revision, under or None), "list the files"):
            tree = self._api.list_repo_tree(
                self.name, under.rstrip("/") or None, recursive=True, revision=revision, repo_type=self.kind
            )
            return {entry.path: int(getattr(entry, "size", 0)) for entry in tree if hasattr(entry, "blob_id")}

    def head(self, revision: str = "main") -> str:
        """Full hash of the commit that a branch, tag or `refs/pr/N` stands at."""

        def ask() -> str:
            return str(self._api.repo_info(self.name, repo_type=self.kind, revision=revision).sha)

        return self._again(self._place.at(revision), "read the head", ask)

    def branch(self, name: str, exist_ok: bool = True, at: str | None = None) -> None:
        """Makes a branch, from `main` or another revision."""
        with asking(self._place.at(at), f"make the branch {name!r}"):
            self._api.create_branch(self.name, branch=name, revision=at, repo_type=self.kind, exist_ok=exist_ok)

    def branches(self) -> list[str]:
        """Names of all branches."""

        def ask() -> list[str]:
            return [ref.name for ref in self._api.list_repo_refs(self.name, repo_type=self.kind).branches]

        return self._again(self._place, "list the branches", ask)

    def pull_requests(self, open_only: bool = True) -> list[PullRequest]:
        """Pull requests with their descriptions."""
        return pull_requests.listed(self._api, self._place, open_only)

    def pull_request(self, number: int) -> PullRequest:
        """One pull request with description, comments and whether it clashes."""
        return pull_requests.detailed(self._api, self._place, number)

    def changes(self, number: int, base: str = "main") -> dict[str, str]:
        """What a pull request does to each file since it left `base`: `added`, `changed` or `deleted` by path."""
        there = f"refs/pr/{number}"
        left = committing.common_commit(self._api, self._place, there, base)
        old, new = self.file_ids(left), self.file_ids(there)
        found = {path: "added" if path not in old else "changed" for path in new if new[path] != old.get(path)}
        return dict(sorted({**found, **{path: "deleted" for path in old if path not in new}}.items()))

    def comment(self, number: int, text: str) -> None:
        """Adds a comment to a pull request."""
        pull_requests.commented(self._api, self._place, number, text)

    def merge(self, number: int) -> None:
        """Merges a pull request; HubConflict where it clashes with what was merged since."""
        pull_requests.merged(self._api, self._place, number)

    def close(self, number: int, comment: str) -> None:
        """Closes a pull request without merging it, with a word why."""
        pull_requests.closed(self._api, self._place, number, comment)

    def whoami(self) -> str | None:
        """Name of the account that the token belongs to; None where there is no token."""
        from huggingface_hub.errors import LocalTokenNotFoundError

        with asking(self._place, "ask whose token this is"):
            try:
                return str(self._api.whoami()["name"])
            except LocalTokenNotFoundError:
                return None

    @property
    def _api(self) -> HfApi:
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.token)

    @property
    def _place(self) -> Place:
        from huggingface_hub import constants

        return Place(self.name, self.kind, endpoint=self.endpoint or constants.ENDPOINT, token=self.token)

    def _download(self, path: str, revision: str, folder: Path) -> Path:
        with asking(self._place.at(revision, path), f"read {path}"):  # the client itself tries again, for 20 s
            got = self._api.hf_hub_download(self.name, path, repo_type=self.kind, revision=revision, local_dir=folder)
        return Path(got)

    @staticmethod
    def _again(place: Place, what: str, ask: Callable[[], T]) -> T:
        """Asks a question that changes nothing, a few times where the connection or the server fails."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

        tries = Retrying(
            retry=retry_if_exception(may_pass),
            stop=stop_after_attempt(_READ_TRIES),
            wait=wait_random_exponential(multiplier=0.2, max=3),
            reraise=True,
        )
        with asking(place, what):
            return tries(ask)


def _below(folder: Path, path: str) -> Path:
    """Where a repo's file lies in a folder; a path that leads out of it is refused."""
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise HubError(f"{path!r} leads out of the folder it would be written to: it is not fetched", "refused")
    return folder / path
