"""Checkpoints of a run on the Hub: finished shards are pushed while it goes on, and brought back on another machine.

    target = HubTarget(HubRepo("org/runs"))
    bring(Path("runs/demo"), target)                     # what the branch holds and this directory does not
    run = Run.resume(Path("runs/demo"))
    with Checkpoints(run, target) as checkpoints:        # pushes in a thread of its own, and once more at the end
        run.build(checkpoints.counting(progress))

A run has a branch of its own, `run-<fingerprint of its recipe>`. Each commit is whole: a shard's table with its marker.
A push that fails is told and tried again later; it never stops the run. The journal of requests goes along (a snapshot,
compressed) unless it is left out: it holds every question and answer, as the shards hold the images; never a key.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import yaml

from medprm_hf.backends.journals.journal_copy import packed, take_in
from medprm_hf.errors import ConfigError, HubError, MedPRMError
from medprm_hf.hub import HubRepo, quiet
from medprm_hf.recipe import parse
from medprm_hf.runs import hub_files
from medprm_hf.runs.lock import one_at_a_time
from medprm_hf.runs.money import JOURNAL, LEDGER, PRICES
from medprm_hf.runs.pipeline import RECIPE, Progress, Run
from medprm_hf.runs.shards import SOURCE, write_text

Say = Callable[[str], None]
PACKED = f"{JOURNAL}.zst"
EVERY, SHARDS = 300.0, 64
"""Seconds, and finished shards, after which the next push comes. The Hub takes about 128 commits an hour of a repo."""
_AT_ONCE = 100
"""Groups of files in one commit."""
_PATIENCE = 30.0
"""Seconds that one commit is tried for: the next push comes soon enough."""
_LONGEST_WAIT = 900.0
"""Seconds at most until a push that failed is tried again."""


@dataclass(frozen=True)
class HubTarget:
    """Where a run's checkpoints go."""

    repo: HubRepo
    branch: str | None = None
    """Of which run to bring; None: that of the recipe, or the only one."""
    journal: bool = True
    """Whether the journal of requests goes along."""
    every: float = EVERY
    """Seconds between two pushes."""
    public: bool = False
    """Whether a public repo will do."""

    @classmethod
    def of(cls, name: str, token: str | None, *, journal: bool, every: float, public: bool) -> HubTarget:
        """From the command line's `org/name` or `org/name@branch`."""
        repo, _, branch = name.partition("@")
        return cls(HubRepo(repo, token=token), branch or None, journal, every, public)


def branch_of(run: Run) -> str:
    """The branch that belongs to a run's recipe."""
    return f"run-{run.recipe.fingerprint()}"


class Checkpoints:
    """Pushes what a run has finished, from a thread of its own; a context for as long as the run is worked on."""

    def __init__(self, run: Run, target: HubTarget, say: Say = print) -> None:
        self.run, self.target, self.say = run, target, say
        self.branch = branch_of(run)
        self._stages = (SOURCE, *(str(stage.name) for stage in run.stages))
        self._there: dict[str, str] = {}
        """Git hash by path of what the branch held when we came."""
        self._pushed: dict[Path, tuple[int, int]] = {}
        """Size and time of the last file of each group that is known to be there."""
        self._new, self._failures = 0, 0
        self._journal_due, self._journal_stamp = 0.0, (0, 0)
        self._wake, self._over, self._turn = threading.Event(), threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="medprm-hub", daemon=True)

    def __enter__(self) -> Checkpoints:
        prepare(self.target)
        self.target.repo.branch(self.branch)
        self._there = self.target.repo.file_ids(self.branch)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._wake.set()
        self._thread.join()
        try:
            self.push(finished=kind is None, last=True)
        except (MedPRMError, OSError) as error:
            self.say(f"not all checkpoints are on the Hub: {error}. They are kept here: resume with --hub once more")
            return
        self.say(f"checkpoints are on the Hub: {self.target.repo.url}/tree/{self.branch}")

    def counting(self, progress: Progress) -> Progress:
        """The run's progress, through which finished shards are counted."""

        def advance(stage: str, done: int, total: int) -> None:
            progress(stage, done, total)
            self._new += 1
            if self._new >= SHARDS:
                self._wake.set()

        return advance

    def push(self, finished: bool = False, last: bool = False) -> int:
        """Commits what the branch lacks; gives the number of groups. HubError where the Hub says no."""
        directory = self.run.directory
        if not (directory / "shards").is_dir() and not (directory / JOURNAL).is_file():
            return 0  # nothing is done yet, and perhaps the recipe cannot work
        with self._turn, quiet():
            self._new = 0
            waiting = (g for g in hub_files.groups(directory, self._stages, finished) if not self._is_there(g))
            count = 0
            while batch := list(islice(waiting, _AT_ONCE)):
                stamps = [_stamp(group[-1]) for group in batch]
                files = hub_files.contents(directory, batch)
                message = f"{self.run.recipe.name}: {hub_files.counted(batch, directory)}"
                self.target.repo.commit(files, message[:120], branch=self.branch, patience=_PATIENCE)
                self._pushed.update({group[-1]: stamp for group, stamp in zip(batch, stamps, strict=True)})
                count += len(batch)
            self._push_journal(last)
            return count

    def _is_there(self, group: hub_files.Group) -> bool:
        """Whether the branch holds a group; its last file tells, for both came in one commit."""
        file = group[-1]
        stamp = _stamp(file)
        if self._pushed.get(file) == stamp:
            return True
        known = self._there.get(file.relative_to(self.run.directory).as_posix())
        if known is None or not hub_files.same_content(file, known):
            return False
        self._pushed[file] = stamp
        return True

    def _push_journal(self, last: bool) -> None:
        """A snapshot of the journal, at most a tenth of the time, and at the end."""
        journal, began = self.run.directory / JOURNAL, time.monotonic()
        if not self.target.journal or not journal.is_file() or (began < self._journal_due and not last):
            return
        stamp = _journal_stamp(journal)
        if stamp == self._journal_stamp:
            return
        with tempfile.TemporaryDirectory(prefix=".hub-", dir=self.run.directory) as folder:
            copy = packed(journal, Path(folder) / PACKED)
            message = f"{self.run.recipe.name}: journal of requests"
            self.target.repo.commit({PACKED: copy}, message, branch=self.branch, patience=_PATIENCE)
        self._journal_stamp = stamp
        self._journal_due = time.monotonic() + 10 * (time.monotonic() - began)

    def _follow(self) -> None:
        """The thread: waits for its time or for enough new shards, pushes, tells what fails."""
        while not self._over.is_set():
            wait = self.target.every * 2**self._failures
            self._wake.wait(min(wait, max(_LONGEST_WAIT, self.target.every)))
            self._wake.clear()
            if self._over.is_set():
                return
            try:
                self.push()
                self._failures = 0
            except Exception as error:  # whatever it was: the run goes on, and the last push tells again
                self._failures += 1
                self.say(f"checkpoint not pushed, the run goes on and it is tried again: {error}")


def prepare(target: HubTarget) -> None:
    """Makes the repo where it is missing (private); refuses a public one, before anything is pushed."""
    target.repo.create(private=True)
    if not target.public and not target.repo.is_private():
        raise ConfigError(
            f"{target.repo.name} is public, and checkpoints show every question, answer and image before it is "
            "checked: name a private repo, or say --hub-public if all of it may be seen"
        )


def bring(directory: Path, target: HubTarget, say: Say = print) -> int:
    """Fetches what a run's branch holds and the directory does not; gives the number of shards.

    An empty directory gets the recipe of `target.branch`, or of the only run that the repo holds, or of the only one
    whose name is the directory's.
    """
    repo, has_run = target.repo, (directory / RECIPE).is_file()
    if has_run:
        branch = branch_of(Run.resume(directory))
        if not repo.exists() or branch not in repo.branches():
            return 0
    else:
        branch = target.branch or _only_run(repo, directory.name)
    head = repo.head(branch)  # one state, whatever is pushed meanwhile
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {directory}: {error.strerror or error}") from error
    with one_at_a_time(directory):
        there = repo.files(head)
        tables, marks = hub_files.lacking(directory, there)
        repo.fetch_all(tables, directory, head)
        repo.fetch_all(marks, directory, head)
        for name in (PRICES, LEDGER, PACKED, RECIPE):  # the recipe last: with it the directory is a run
            if name in there and not (name == PACKED and not target.journal):
                _bring_file(repo, name, directory, head)
    say(f"from {repo.name}@{branch}: {len(tables)} shards")
    return len(tables)


def _bring_file(repo: HubRepo, name: str, directory: Path, head: str) -> None:
    if name == PACKED:
        with tempfile.TemporaryDirectory(prefix=".hub-", dir=directory) as folder:
            take_in(directory / JOURNAL, repo.fetch(name, Path(folder) / name, head))
    elif name == LEDGER and (directory / name).is_file():
        own = (directory / name).read_text(encoding="utf-8").splitlines()
        other = repo.read(name, head).decode().splitlines()
        more = Counter(own) - Counter(other)  # lines of sessions that the Hub has not heard of
        write_text(directory / name, "".join(f"{line}\n" for line in (*other, *more.elements()) if line))
    elif not (directory / name).is_file():
        repo.fetch(name, directory / name, head)


def _only_run(repo: HubRepo, name: str) -> str:
    """The branch of the run to bring to an empty directory of this name."""
    branches = [branch for branch in repo.branches() if branch.startswith("run-")]
    named = {branch: its for branch in branches if (its := _name_of(repo, branch)) is not None}
    if not named:
        raise HubError(
            f"{repo.name} holds no run (no branch run-…): push one with `medprm build RECIPE --hub {repo.name}`", "file"
        )
    fitting = [branch for branch, its in named.items() if its == name] or list(named)
    if len(fitting) != 1:
        told = ", ".join(f"{branch} ({its})" for branch, its in named.items())
        raise ConfigError(f"{repo.name} holds several runs: {told}; name one: --hub {repo.name}@{next(iter(named))}")
    return fitting[0]


def _name_of(repo: HubRepo, branch: str) -> str | None:
    """Name of the run that a branch holds; None where nothing was pushed to it yet."""
    try:
        text = repo.read(RECIPE, branch)
    except HubError as error:
        if error.kind == "file":
            return None
        raise
    return parse(yaml.safe_load(text), (), where=f"{repo.name}@{branch}").name


def _stamp(file: Path) -> tuple[int, int]:
    about = file.stat()
    return about.st_size, about.st_mtime_ns


def _journal_stamp(journal: Path) -> tuple[int, int]:
    """Changes with every write: of the file itself, or of the write-ahead file beside it."""
    beside = journal.with_name(journal.name + "-wal")
    return (_stamp(journal)[1], _stamp(beside)[1] if beside.is_file() else 0)


@contextmanager
def followed(run: Run, target: HubTarget | None, say: Say) -> Iterator[Callable[[Progress], Progress]]:
    """`Checkpoints` where there is a target, nothing where there is none; gives what to wrap the progress in."""
    if target is None:
        yield lambda progress: progress
        return
    with Checkpoints(run, target, say) as checkpoints:
        yield checkpoints.counting
