"""Who may do what on a local Hub. A token is `hf_` and a name; a name's role is the name without its digits.

hf_owner         everything                        hf_contributor, hf_contributor2
                                                   see private repos; open, comment and push to their pull requests
hf_reader        sees private repos                hf_stranger, and nobody: public repos only; every writing is refused
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.hub.store import Refused, Repo

ROLES = ("owner", "contributor", "reader", "stranger")


@dataclass(frozen=True)
class Caller:
    """Who asks; nobody where there was no token."""

    name: str | None

    @property
    def role(self) -> str:
        return "nobody" if self.name is None else self.name.rstrip("0123456789")

    def must_see(self, repo: Repo | None, name: str) -> Repo:
        """The repo; a private one looks missing to those who may not see it."""
        if repo is None or (repo.private and self.role not in ("owner", "contributor", "reader")):
            if self.role == "nobody":
                raise Refused(401, "Invalid username or password.", "RepoNotFound")
            raise Refused(404, f"Repository {name} not found", "RepoNotFound")
        return repo

    def must_write(self) -> None:
        self._must("owner", "push to this repo")

    def must_propose(self) -> None:
        self._must("owner contributor", "open or comment on pull requests here")

    def must_push(self, repo: Repo, ref: str) -> None:
        """To a branch: the owner; to a pull request also who opened it."""
        number = re.fullmatch(r"refs/pr/(\d+)", ref)
        own = number and repo.discussions[int(number[1]) - 1]["author"] == self.name
        if not (own and self.role == "contributor"):
            self.must_write()

    def _must(self, roles: str, what: str) -> None:
        if self.role == "nobody":
            raise Refused(401, "Invalid username or password.")
        if self.role not in roles.split():
            raise Refused(403, f"You don't have the rights to {what} ({self.name})")


def caller(header: str | None) -> Caller:
    """From an Authorization header; a token that was never given out is refused."""
    if not header:
        return Caller(None)
    found = re.fullmatch(rf"Bearer hf_((?:{'|'.join(ROLES)})\d*)", header)
    if not found:
        raise Refused(401, "Invalid credentials in Authorization header")
    return Caller(found[1])
