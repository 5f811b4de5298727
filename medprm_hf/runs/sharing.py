"""A run that several processes work on at once, on one machine or on many with one file system (`--share`).

    with together(run.directory, about(run)) as leases:
        build_shared(run, leases)                # shards that nobody else has, stage after stage
        with once(leases, "finish"): complete(run)

Every process walks the same stages. It takes the shards that are neither done nor under a lease; what must happen once
(reading the source, what a stage learns from the whole run, writing dataset and report) one of them does, and the
others wait. A shard whose process died is taken over when its lease has run out. The result is that of one process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from medprm_hf.backends.books import books
from medprm_hf.backends.journals.journal_own import OwnJournal
from medprm_hf.backends.stopping import check_stop
from medprm_hf.errors import PendingError
from medprm_hf.ids import content_hash
from medprm_hf.runs.leases import Lease, Leases
from medprm_hf.runs.own_journals import at_rest, on_network, own_journal
from medprm_hf.runs.pipeline import Progress, Run, dump_recipe, learns
from medprm_hf.runs.shards import SOURCE
from medprm_hf.runs.work import work_on
from medprm_hf.stages.base import Stage

LOOK_EVERY = 1.0
"""Seconds between two looks at what others have done."""


def about(run: Run) -> str:
    """What all who share a run must agree on."""
    return content_hash(dump_recipe(run.recipe))


def build_shared(run: Run, leases: Leases, progress: Progress, own: bool | None = None) -> int:
    """Does what is not done and nobody else does; returns when all of it is done, with the number of shards done here.

    Args:
        run: as opened from its recipe.
        leases: this process's.
        progress: called after each shard, whoever has done it.
        own: a journal of requests for this process alone; None: where the run lies on a network file system.
    """
    older = [run.directory / "journal.sqlite"]
    alone = on_network(run.directory) if own is None else own
    if alone:
        older += at_rest(run.directory, leases)
    journal = own_journal(run.directory, leases) if alone else None
    with run.opened(journal, tuple(older) if alone else ()):
        with once(leases, SOURCE):
            count = run.read_source(progress)
        return sum(_stage(run, leases, index, count, progress) for index in range(len(run.stages)))


@contextmanager
def once(leases: Leases, name: str) -> Iterator[Lease]:
    """The lease of that name, waited for: who comes second finds the work done."""
    while (lease := leases.claim(name)) is None:
        check_stop()
        time.sleep(LOOK_EVERY / 4)
    with lease:
        _read_the_last_owner(lease, leases)
        yield lease


def _stage(run: Run, leases: Leases, index: int, count: int, progress: Progress) -> int:
    """One stage until all of its shards are done, by whomever."""
    name, worked = run.stages[index].name, 0
    pending: dict[int, PendingError] = {}
    while True:
        stage = _taught(run, leases, index)
        todo = [number for number in run.todo(index) if number not in pending]
        done = count - len(todo) - len(pending)
        progress(name, done, count)
        if not todo:
            break
        for number in todo:
            try:
                here = _shard(run, leases, index, number, stage)
            except PendingError as error:
                pending[number] = error
                continue
            worked, done = worked + here, done + here
            progress(name, done, count)
        if done + len(todo) == count - len(pending):  # others have all that is left
            check_stop()
            time.sleep(LOOK_EVERY)
    if pending:
        first = next(iter(pending.values()))
        raise PendingError(f"{name}: {len(pending)} of {count} shards wait for batches. {first}", "batch")
    return worked


def _taught(run: Run, leases: Leases, index: int) -> Stage:
    """The stage as it works on shards; what it learns, one process learns."""
    if not learns(run.stages[index]):
        return run.taught(index)
    with once(leases, f"{run.stages[index].name}-learnt"):
        return run.taught(index)


def _shard(run: Run, leases: Leases, index: int, number: int, stage: Stage) -> bool:
    """One shard, if nobody else has it or has done it; whether it was done here."""
    check_stop()
    name, shard = str(run.stages[index].name), f"{number:05d}"
    if run.shards.print_of(name, shard) == run.fingerprint(index, number):  # a look costs less than a lease
        return False
    lease = leases.claim(f"{name}-{shard}")
    if lease is None:
        return False
    with lease:
        fingerprint, batch = run.order(index, number)
        if run.shards.print_of(name, shard) == fingerprint:
            return False
        _read_the_last_owner(lease, leases)
        columns, marker = work_on(stage, batch)
        if not lease.held():  # we slept so long that somebody else has it: theirs counts
            return False
        run.keep(index, number, columns, {"fingerprint": fingerprint, **marker})
        return True


def _read_the_last_owner(lease: Lease, leases: Leases) -> None:
    """Where journals are one a process: what the last owner of a lease was answered is looked up from now on."""
    journal = books().journal
    if lease.taken_over and isinstance(journal, OwnJournal):
        journal.read_too(at_rest(leases.folder.parent, leases))
