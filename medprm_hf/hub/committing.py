"""Atomic commits with a retry of our own: nothing is half there, nothing is lost to a race, nothing lands twice.

The Hub refuses a commit whose parent is no longer the head (412, sometimes 409). Every commit here names its parent;
where somebody was first it is made again on the new head. Where the answer got lost (a broken connection, 5xx) the
commit may have landed, or may yet: its description ends in a key of its own, which is looked for among the commits
since the head before; and because each try names its parent, a late landing and a second try cannot both succeed.
`push_to_hub`'s own retry tests for the wrong exception in today's versions (1 of 6 concurrent pushes landed).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medprm_hf.errors import HubConflict
from medprm_hf.hub.pull_requests import KEY_LINE
from medprm_hf.hub.refusals import Place, asking, may_pass, status_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Commit:
    """A commit that landed."""

    oid: str
    """Full hash; where nothing had changed, the head that was there."""
    url: str
    pull_request: int | None = None
    """Number of the pull request that was opened with it."""


def commit(
    api: HfApi,
    place: Place,
    files: Mapping[str, bytes | Path | None],
    message: str,
    description: str,
    *,
    parent: str | None,
    pull_request: bool,
    patience: float,
) -> Commit:
    """See `HubRepo.commit`; `place.revision` is the branch."""
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

    attempt = _Attempt(api, place, files, message, description, parent, pull_request)
    tries = Retrying(
        retry=retry_if_exception(attempt.may_try_again),
        stop=stop_after_delay(patience),
        wait=wait_random_exponential(multiplier=0.2, max=8),
        reraise=True,
    )
    what = f"open a pull request with {len(files)} files" if pull_request else f"commit {len(files)} files"
    with asking(place, what):
        return tries(attempt)


class _Attempt:
    """One commit, tried until it lands; remembers whether an earlier try may have landed."""

    def __init__(
        self,
        api: HfApi,
        place: Place,
        files: Mapping[str, bytes | Path | None],
        message: str,
        description: str,
        parent: str | None,
        pull_request: bool,
    ) -> None:
        self.api, self.place, self.files, self.message = api, place, files, message
        self.parent, self.pull_request = parent, pull_request
        self.key = f"{KEY_LINE}{uuid.uuid4().hex}"
        self.description = f"{description.rstrip()}\n\n{self.key}".lstrip()
        self.began: str | None = None
        """The head before the first try that may have landed."""

    def __call__(self) -> Commit:
        head = self.parent or self._head()
        if self.began is not None and (landed := self._landed()):
            return landed
        try:
            return self._send(head)
        except Exception as error:
            if may_pass(error):
                self.began = self.began or head
            elif self.began is not None and status_of(error) in (409, 412) and (landed := self._landed()):
                return landed
            raise

    def may_try_again(self, error: BaseException) -> bool:
        """Where a race was lost (and no parent was demanded), or the answer was."""
        raced = status_of(error) in (409, 412) and self.parent is None
        return raced or may_pass(error)

    def _head(self) -> str:
        place = self.place
        return str(self.api.repo_info(place.name, repo_type=place.kind, revision=place.revision).sha)

    def _send(self, head: str) -> Commit:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations = [
            CommitOperationDelete(path)
            if content is None
            else CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))
            for path, content in self.files.items()
        ]
        done = self.api.create_commit(
            self.place.name,
            operations,
            commit_message=self.message,
            commit_description=self.description,
            repo_type=self.place.kind,
            revision=self.place.revision,
            create_pr=self.pull_request,
            parent_commit=head,
        )
        return Commit(done.oid, done.commit_url, done.pr_num)

    def _landed(self) -> Commit | None:
        """The commit, where an earlier try did land."""
        place = self.place
        if self.pull_request:
            return self._opened()
        for info in self.api.list_repo_commits(place.name, repo_type=place.kind, revision=place.revision):
            if self.key in info.message or self.key in info.title:
                prefix = "" if place.kind == "model" else f"{place.kind}s/"
                return Commit(info.commit_id, f"{place.endpoint}/{prefix}{place.name}/commit/{info.commit_id}")
            if info.commit_id == self.began:
                return None
        if self.parent is not None:
            raise HubConflict(f"{place.revision!r} of {place.said} was rewritten meanwhile: read it again and retry")
        return None

    def _opened(self) -> Commit | None:
        place = self.place
        for found in self.api.get_repo_discussions(place.name, repo_type=place.kind, discussion_type="pull_request"):
            if found.title != self.message:
                continue
            details = self.api.get_discussion_details(place.name, found.num, repo_type=place.kind)
            if any(self.key in getattr(event, "content", "") for event in details.events):
                revision = f"refs/pr/{found.num}"
                head = self.api.repo_info(place.name, repo_type=place.kind, revision=revision).sha
                return Commit(str(head), found.url, found.num)
        return None


def common_commit(api: HfApi, place: Place, one: str, other: str) -> str:
    """Hash of the newest commit that both revisions hold."""
    with asking(place.at(one), f"list the commits of {one}"):
        first = api.list_repo_commits(place.name, repo_type=place.kind, revision=one)
        known = {info.commit_id for info in api.list_repo_commits(place.name, repo_type=place.kind, revision=other)}
    return next((info.commit_id for info in first if info.commit_id in known), first[-1].commit_id)
