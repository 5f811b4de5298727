"""Pull requests of a Hub repo: listing, describing what they change, commenting, merging, closing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medprm_hf.errors import HubError
from medprm_hf.hub.refusals import Place, asking, status_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi

KEY_LINE = "Commit-Key: "
"""Begins the last line of a commit's description, by which a commit is known again whose answer was lost."""


@dataclass(frozen=True)
class PullRequest:
    """One pull request of a repo."""

    number: int
    title: str
    author: str
    status: str
    """open, draft, merged or closed."""
    description: str
    comments: tuple[str, ...] = ()
    """What was said below, oldest first."""
    conflicts: bool = False
    """Whether it clashes with what was merged since."""

    @property
    def revision(self) -> str:
        """Where its files are read, as in `refs/pr/3`."""
        return f"refs/pr/{self.number}"


def listed(api: HfApi, place: Place, open_only: bool) -> list[PullRequest]:
    """Pull requests, newest first as the Hub gives them."""
    with asking(place, "list the pull requests"):
        found = list(api.get_repo_discussions(place.name, repo_type=place.kind, discussion_type="pull_request"))
    return [detailed(api, place, d.num) for d in found if not open_only or d.status in ("open", "draft")]


def detailed(api: HfApi, place: Place, number: int) -> PullRequest:
    """One pull request with its description and comments."""
    with asking(place, f"read pull request #{number}"), _numbered(place, number):
        found = api.get_discussion_details(place.name, number, repo_type=place.kind)
    if not found.is_pull_request:
        raise HubError(f"#{number} of {place.said} is a discussion, not a pull request", "pull_request")
    said = [_words(event) for event in found.events if event.type == "comment"]
    first, *others = said or [""]
    return PullRequest(
        found.num, found.title, found.author, found.status, first, tuple(others), bool(found.conflicting_files)
    )


def commented(api: HfApi, place: Place, number: int, text: str) -> None:
    """Adds a comment."""
    with asking(place, f"comment on pull request #{number}"), _numbered(place, number):
        api.comment_discussion(place.name, number, text, repo_type=place.kind)


def merged(api: HfApi, place: Place, number: int) -> None:
    """Merges; HubConflict where it clashes with what was merged since."""
    with asking(place, f"merge pull request #{number}"), _numbered(place, number):
        api.merge_pull_request(place.name, number, repo_type=place.kind)


def closed(api: HfApi, place: Place, number: int, comment: str) -> None:
    """Closes without merging, with a word why."""
    with asking(place, f"close pull request #{number}"), _numbered(place, number):
        api.change_discussion_status(place.name, number, "closed", comment=comment, repo_type=place.kind)


def without_key(text: str) -> str:
    """A description as it was written, without the line that `commit` adds."""
    return re.sub(rf"\n*^{KEY_LINE}\w+\s*\Z", "", text, flags=re.M)


def _words(event: Any) -> str:
    return without_key(event.content)


class _numbered:
    """A 404 that names neither repo, revision nor file means that there is no such number."""

    def __init__(self, place: Place, number: int) -> None:
        self.place, self.number = place, number

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        response = getattr(error, "response", None)
        if error is not None and status_of(error) == 404 and not response.headers.get("X-Error-Code"):  # type: ignore[union-attr]
            raise HubError(f"{self.place.said} has no pull request #{self.number}", "pull_request") from error
