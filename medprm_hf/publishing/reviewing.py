"""`medprm review-pr org/name NUMBER [--merge]`: a pull request is checked, commented on, and merged if that is wished.

    verdict = review_pull_request(HubRepo("org/medmm-prm"), 3, merge=True)
    verdict.passed, verdict.lines()

Only what a contribution may be is ever merged by this: one JSONL file and its images, added under its author's name.
What is read is pinned to one commit, and the head is looked at again before merging. After merging the tables are
built anew from what they were plus all contributions, in one commit; nothing that somebody said is overwritten.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError, FormatError, HubConflict, PublishError
from medprm_hf.hub import HubRepo, PullRequest
from medprm_hf.publishing.checking import check_contribution, check_places, shown_path
from medprm_hf.publishing.contributions import FOLDER, PLACE, Contribution, parse
from medprm_hf.publishing.findings import CHECKS, NEVER_ALLOWED, Finding, Findings, refusing
from medprm_hf.publishing.known import Known
from medprm_hf.publishing.opening import SETTINGS_FILE, SOLUTIONS, open_material
from medprm_hf.publishing.policy import Policy
from medprm_hf.publishing.publish import Outcome, Wish, built, local_contributions, push

_TRIES = 3
"""How often the tables are built again when somebody else pushed meanwhile."""


@dataclass
class Verdict:
    """What became of one pull request."""

    number: int
    title: str
    author: str
    head: str
    """Commit that was looked at."""
    findings: list[Finding] = field(default_factory=list)
    changes: dict[str, int] = field(default_factory=dict)
    """Lines of the contribution by kind."""
    merged: bool = False

    @property
    def passed(self) -> bool:
        """Whether it may be merged."""
        return not refusing(self.findings)

    def lines(self) -> list[str]:
        """As it is printed."""
        word = "passed" if self.passed else "failed"
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.changes.items()) or "nothing that can be read"
        said = [f"pull request #{self.number} of {self.author}: {kinds}"]
        said += [f"  {one.line()}" for one in self.findings] or ["  every check has passed"]
        return [*said, f"{word}{'; merged, tables built anew' if self.merged else ''}"]

    def comment(self) -> str:
        """As it stands below the pull request."""
        start = "**medprm check: passed**" if self.passed else "**medprm check: failed**"
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.changes.items())
        reasons = [f"- {one.severity} · {one.check} · {_plain(one.message)}" for one in self.findings]
        way = "" if self.passed else "\nMend what is said above, and push to this pull request or open another."
        return "\n".join(
            [f"{start} at `{self.head[:12]}`" + (f" ({kinds})" if kinds else ""), "", *reasons, way]
        ).strip()


def _plain(text: str) -> str:
    """A message in which nothing of a contributor works as markup or calls somebody."""
    return "".join(f"\\{c}" if c in "*_[]#|~" else c for c in text.replace("<", "‹").replace(">", "›")
                   .replace("@", "(at)").replace("`", "'"))  # fmt: skip


def review_pull_request(
    repo: HubRepo,
    number: int,
    *,
    merge: bool = False,
    comment: bool = True,
    tell: Callable[[Verdict], Any] | None = None,
) -> Verdict:
    """Checks a pull request, comments with the reasons, and merges it if it passes and that is wished.

    Raises:
        HubError: no such pull request, or the rights to comment or merge are missing.
        PublishError: it is merged or closed already, or the tables could not be built after merging.
    """
    pull = repo.pull_request(number)
    if pull.status not in ("open", "draft"):
        raise PublishError(f"pull request #{number} of {repo.name} is {pull.status}: there is nothing to review")
    verdict = checked(repo, pull)
    if tell:
        tell(verdict)
    if comment and verdict.comment() not in pull.comments:
        repo.comment(number, verdict.comment())
    if merge and verdict.passed:
        if repo.head(pull.revision) != verdict.head:
            raise PublishError(f"pull request #{number} changed while it was checked: medprm review-pr again")
        repo.merge(number)
        refresh(repo, f"Tables with pull request #{number}")
        verdict.merged = True
    return verdict


def checked(repo: HubRepo, pull: PullRequest) -> Verdict:
    """Every check of a pull request, on one commit of it."""
    verdict = Verdict(pull.number, pull.title, pull.author, repo.head(pull.revision))
    changes = repo.changes(pull.number)
    sizes = repo.sizes(verdict.head)
    findings = check_places(changes, sizes, pull.author)
    if pull.conflicts:
        clash = Findings()
        clash.add(
            "contribution", "error", "it clashes with what was merged since", "", "open it again from today's main"
        )
        findings += clash.list()
    if not refusing(findings):
        findings += _content(repo, verdict, sorted(changes))
    verdict.findings = findings
    return verdict


def _content(repo: HubRepo, verdict: Verdict, paths: list[str]) -> list[Finding]:
    file = next(path for path in paths if path.endswith(".jsonl"))
    try:
        one = parse(repo.read(file, verdict.head), shown_path(file))
        _same_names(one, file)
    except FormatError as error:
        broken = Findings()
        broken.add("contribution", "error", str(error))
        return broken.list()
    for line in one.lines:
        verdict.changes[line.kind] = verdict.changes.get(line.kind, 0) + 1
    images = {path: repo.read(path, verdict.head) for path in paths if path != file}
    return check_contribution(one, images, Known.of(repo))


def _same_names(one: Contribution, path: str) -> None:
    match = PLACE.fullmatch(path)
    if match is None or (one.author, one.id) != (match["author"], match["id"]):
        raise FormatError(f"{shown_path(path)}: its first line names another author or id than its path")


def refresh(repo: HubRepo, message: str = "Tables with all contributions") -> Outcome:
    """Builds the tables of a dataset on the Hub anew, with every contribution that was merged, in one commit."""
    for attempt in range(_TRIES):
        head = repo.head()
        with tempfile.TemporaryDirectory(prefix="medprm-refresh-") as folder:
            root = Path(folder) / "now"
            root.mkdir()
            if SETTINGS_FILE not in repo.files(head):
                raise DataError(f"{repo.name} was not published by medprm-hf: it has no {SETTINGS_FILE}")
            repo.fetch(SETTINGS_FILE, root / SETTINGS_FILE, head)
            repo.snapshot(root, head, under=SOLUTIONS)
            if any(path.startswith(f"{FOLDER}/") for path in repo.files(head)):
                repo.snapshot(root, head, under=FOLDER)
            outcome = _rebuilt(root, Path(folder) / "new", repo, message)
            if outcome.published is None:
                reasons = "\n".join(f"  {one.line()}" for one in outcome.refusing)
                raise PublishError(f"the tables of {repo.name} cannot be built with its contributions:\n{reasons}")
            try:
                outcome.commit = push(outcome.published, repo, Wish(message=message), head)
            except HubConflict:
                if attempt == _TRIES - 1:
                    raise
                continue
            return outcome
    raise AssertionError("unreachable")


def _rebuilt(root: Path, out: Path, repo: HubRepo, message: str) -> Outcome:
    material = open_material(root)
    material.contributed = local_contributions(root)
    settings = material.facts["published"]
    policy = Policy(restricted="ids", identifiers="checked", benchmark=settings.get("benchmark", "verified"))
    allow = tuple(name for name in CHECKS if name not in NEVER_ALLOWED)
    configs = tuple(settings.get("counts") or ())
    return built(material, out, Wish(policy, allow, configs, message=message), repo)
