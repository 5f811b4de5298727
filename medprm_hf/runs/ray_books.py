"""The books of a run on Ray: one actor beside the driver keeps journal and ledger, and every worker asks it.

    keeper = open_keeper(ray, run_directory)                  on the driver's machine
    with using(distant_books(keeper, budget, prices)): …      in a worker, on whatever machine

So the run's directory need not be seen by the other machines, there is one journal (SQLite may not be written over a
network), what one worker was answered no other asks again, and the budget counts what all of them spend.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medprm_hf.backends.books import Books
from medprm_hf.backends.journals.journal import Entry, Journal, Recorded, Rows, rows_of
from medprm_hf.backends.money.ledger import Ledger
from medprm_hf.backends.money.meter import Meter
from medprm_hf.backends.money.prices import PriceTable
from medprm_hf.backends.protocol import Failure
from medprm_hf.errors import ConfigError, MedPRMError
from medprm_hf.runs.money import JOURNAL, LEDGER

KEEPS = ("recall", "failures", "write", "query", "append", "news")


class Keeper:
    """The actor: journal and ledger of one run directory."""

    def __init__(self, directory: str) -> None:
        self._journal, self._ledger = Journal(Path(directory) / JOURNAL), Ledger(Path(directory) / LEDGER)

    def call(self, name: str, *values: Any) -> Any:
        """One of `KEEPS`; what is wrong comes back as a value, so that it is raised there as it is."""
        of: Any = self._ledger if name in ("append", "news") else self._journal
        try:
            return getattr(of, name)(*values) if name in KEEPS else None
        except (MedPRMError, OSError) as error:
            return error


class Wire:
    """A worker's end of the line to the keeper."""

    def __init__(self, ray: Any, keeper: Any) -> None:
        self._ray, self._keeper = ray, keeper

    def ask(self, name: str, *values: Any) -> Any:
        """Waits for the keeper's answer; raises what it met."""
        found = self._ray.get(self._keeper.call.remote(name, *values))
        if isinstance(found, Exception):
            raise found
        return found


class DistantJournal(Journal):
    """The run's journal, over the wire."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(Path(JOURNAL))
        self._wire = wire

    def recall(self, names: Sequence[str]) -> dict[str, Recorded]:
        """As the journal's own."""
        found: dict[str, Recorded] = self._wire.ask("recall", list(names))
        return found

    def failures(self, names: Sequence[str]) -> dict[str, Failure]:
        """As the journal's own."""
        found: dict[str, Failure] = self._wire.ask("failures", list(names))
        return found

    def record(self, entries: Sequence[Entry]) -> None:
        """As the journal's own; images stay here, their hashes go."""
        self.write(rows_of(entries))

    def write(self, rows: Rows) -> None:
        """As the journal's own."""
        self._wire.ask("write", rows)

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """As the journal's own."""
        found: list[tuple[Any, ...]] = self._wire.ask("query", statement, tuple(values))
        return found

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """A transaction cannot go over the wire: providers' batches need one."""
        raise ConfigError("backends with batch=1 need the local runner: leave out --runner ray, or batch=1")
        yield  # a context manager all the same


class DistantLedger(Ledger):
    """The run's ledger, over the wire."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(Path(LEDGER))
        self._wire = wire

    def append(self, lines: str) -> None:
        """As the ledger's own."""
        self._wire.ask("append", lines)

    def news(self, offset: int) -> bytes:
        """As the ledger's own."""
        found: bytes = self._wire.ask("news", offset)
        return found


def distant_books(ray: Any, keeper: Any, budget: float | None, prices: Mapping[str, Any] | None) -> Books:
    """Books for one shard."""
    wire = Wire(ray, keeper)
    return Books(DistantJournal(wire), Meter(budget, PriceTable(extra=prices), DistantLedger(wire)), os.getpid())


@contextmanager
def kept(ray: Any, directory: Path) -> Iterator[Any]:
    """The keeper of a run, on this machine, for as long as it is worked on; it is started again if it is killed."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(node_id=ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here)(Keeper)
    keeper = actor.remote(str(directory.absolute()))
    try:
        yield keeper
    finally:
        with contextlib.suppress(Exception):  # the cluster may be gone by now
            ray.kill(keeper)
