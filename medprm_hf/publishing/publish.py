"""`medprm publish`: everything is checked, the exact folder is built, what would be pushed is shown, then one commit.

    outcome = publish(Path("runs/demo"), HubRepo("org/medmm-prm"), dry_run=True)
    print("\\n".join(outcome.lines()))
    outcome.commit        →  None: a dry run pushes nothing

Contributions that were merged on the Hub stay: they are fetched, applied to the new rows, and kept beside them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medprm_hf.errors import HubError
from medprm_hf.hub import Commit, HubRepo
from medprm_hf.publishing.card import read_said
from medprm_hf.publishing.contributions import FOLDER, Contribution, parse
from medprm_hf.publishing.findings import Finding, refuse, refusing
from medprm_hf.publishing.folder import Published, build_folder
from medprm_hf.publishing.merging import Contributed, gathered
from medprm_hf.publishing.opening import SETTINGS_FILE, Material, open_material
from medprm_hf.publishing.planning import Plan, survey
from medprm_hf.publishing.policy import Policy
from medprm_hf.publishing.tables import MAX_FILE_BYTES

OWN_PLACES = ("README.md", SETTINGS_FILE, "assets/", "data/", "benchmark/")
"""What a version replaces on the Hub; anything else there (contributions, pictures of people's own) stays."""


@dataclass(frozen=True)
class Wish:
    """How something is published."""

    policy: Policy = field(default_factory=Policy)
    allow: tuple[str, ...] = ()
    """Checks whose warnings are let through."""
    configs: tuple[str, ...] = ()
    """Only these (and solutions and steps); all if empty."""
    card: Path | None = None
    """What people say (YAML, see publishing/card.py)."""
    format: str | None = None
    """Of a file; detected if left out."""
    max_bytes: int = MAX_FILE_BYTES
    private: bool = True
    message: str = "Published by medprm-hf"


@dataclass
class Outcome:
    """What became of it."""

    what: str
    findings: list[Finding]
    published: Published | None
    """The folder; None where an error forbade to build it."""
    refusing: list[Finding]
    commit: Commit | None = None
    repo: str | None = None

    def lines(self) -> list[str]:
        """As it is printed: what would be pushed, what was found, what happened."""
        said = [f"{self.what}:"]
        said += [f"  {line}" for line in self.published.lines()] if self.published else ["  nothing was built"]
        said += [f"  {finding.line()}" for finding in self.findings] or ["  every check has passed"]
        if self.commit:
            return [*said, f"pushed to {self.repo} as {self.commit.oid[:12]}: {self.commit.url}"]
        if self.refusing:
            return [*said, f"not published: {len(self.refusing)} findings forbid it"]
        return [*said, "nothing was pushed"]


def publish(
    source: Path,
    repo: HubRepo | None,
    *,
    dry_run: bool = False,
    out: Path | None = None,
    wish: Wish | None = None,
    tell: Callable[[Outcome], Any] | None = None,
    watch: Callable[[int], Any] | None = None,
) -> Outcome:
    """Checks, builds, shows (`tell`) and pushes a run, a dataset's folder or a file of solutions.

    Args:
        source: What to publish.
        repo: Where to; None to build the folder only.
        dry_run: Nothing is pushed.
        out: Where the folder is built; default a temporary one.
        wish: Policy, allowed warnings, configs, card.
        tell: Called with what would be pushed, before it is.
        watch: Called with the number of rows that have passed, every 10,000; all rows pass twice.

    Raises:
        PublishError: a finding forbids it, and it is no dry run.
        HubError: the Hub refused.
    """
    wish = wish or Wish()
    with ExitStack() as stack:
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="medprm-publish-"))) / "dataset"
        material = open_material(source, wish.format)
        material.watch = watch
        there = contributed_at(repo) if repo is not None else local_contributions(source)
        material.contributed = there
        outcome = built(material, folder, wish, repo)
        if tell:
            tell(outcome)
        if not dry_run:
            # A folder that stays here may lack what only a repo gives a card (who looks after it, and where).
            refuse(outcome.findings, wish.allow if repo else (*wish.allow, "card"), str(source))
            if repo is not None and outcome.published is not None:
                outcome.commit, outcome.repo = push(outcome.published, repo, wish), repo.name
        return outcome


def built(material: Material, folder: Path, wish: Wish, repo: HubRepo | None) -> Outcome:
    """Surveys, and builds the folder unless an error forbids it."""
    said = read_said(wish.card)
    plan = survey(material, wish.policy)
    if material.stale:
        plan.findings.add("contribution", "note", f"{material.stale} contributed labels are about texts that are not "
                          "there any more; they stay in contributions/")  # fmt: skip
    _told(plan)
    published = None
    if not any(finding.severity == "error" for finding in plan.findings.list()):
        adjudicators = _adjudicators(material, said, repo)
        published = build_folder(plan, folder, said, repo.name if repo else None, wish.configs, wish.max_bytes,
                                 adjudicators)  # fmt: skip
    findings = plan.findings.list()
    return Outcome(str(material.path), findings, published, refusing(findings, wish.allow), repo=None)


def _told(plan: Plan) -> None:
    for why, count in plan.preparer.left_out.items():
        plan.findings.add("schema", "note", f"{count} solutions are left out: {why}")
    if plan.moved:
        plan.findings.add("leakage", "note", f"{plan.moved} questions left train for test: they stand beside the "
                          f"benchmark's {len(plan.benchmark)} solutions")  # fmt: skip


def _adjudicators(material: Material, said: dict[str, Any], repo: HubRepo | None) -> tuple[str, ...]:
    """Whose word settles: as the card says, as before, else whoever publishes."""
    named = said.get("adjudicators") or material.facts.get("published", {}).get("adjudicators")
    if named or repo is None:
        return tuple(map(str, named or ()))
    me = repo.whoami()
    return (me,) if me else ()


def push(published: Published, repo: HubRepo, wish: Wish, parent: str | None = None) -> Commit:
    """One commit: the new files, and the old version's that are no more; HubConflict where `parent` is not the head."""
    if parent is None and not repo.exists():
        repo.create(private=wish.private)
    files: dict[str, bytes | Path | None] = {
        path: None for path in repo.files() if path.startswith(OWN_PLACES) and path not in ("README.md",)
    }
    files |= {file.as_posix(): published.folder / file for file in published.files}
    return repo.commit(files, wish.message, parent=parent)


def contributed_at(repo: HubRepo, revision: str = "main") -> Contributed:
    """What was contributed to a dataset on the Hub; nothing where it is new."""
    try:
        names = repo.files(revision, under=FOLDER)
    except HubError as error:
        if error.kind in ("repo", "revision", "file"):
            return Contributed()
        raise
    if not names:
        return Contributed()
    with tempfile.TemporaryDirectory(prefix="medprm-contributions-") as folder:
        repo.snapshot(Path(folder), revision, under=FOLDER)
        return local_contributions(Path(folder))


def local_contributions(root: Path) -> Contributed:
    """The same of a folder that holds `contributions/`; nothing where it holds none."""
    files = sorted((root / FOLDER).glob("*/*.jsonl")) if root.is_dir() else []
    read: list[Contribution] = [parse(file.read_bytes(), file.relative_to(root).as_posix()) for file in files]

    def image(path: str) -> bytes | None:
        return (root / path).read_bytes() if (root / path).is_file() else None

    return gathered(read, image)
