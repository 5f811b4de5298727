"""The books of a process: what all its backends share while a run goes on, the journal and the meter.

    with open_books(journal=run / "journal.sqlite", budget=25, ledger=run / "spent.jsonl"):
        run.build()                      # every backend finds them with books()

The three paths and figures stand in environment variables while the books are open, so that worker processes, forked
or started, open the same journal and ledger and keep the same budget.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from medprm_hf.backends.money.meter import Meter
from medprm_hf.backends.money.prices import PriceTable

if TYPE_CHECKING:
    from medprm_hf.backends.journals.journal import Journal

JOURNAL, BUDGET, LEDGER, PRICES = "MEDPRM_JOURNAL", "MEDPRM_BUDGET", "MEDPRM_LEDGER", "MEDPRM_PRICES"
OLDER = "MEDPRM_OLDER_JOURNALS"
"""Environment variables that tell worker processes where the books lie."""


@dataclass
class Books:
    """A journal, or none, and a meter, which is always there."""

    journal: Journal | None = None
    meter: Meter = field(default_factory=Meter)
    process: int = field(default_factory=os.getpid)
    """Who opened them: a forked child opens its own, because neither connections nor locks survive a fork."""


_lock = threading.Lock()
_current: Books | None = None


def books() -> Books:
    """The process's books; without `open_books` those of the environment, else no journal and no budget."""
    global _current
    with _lock:
        if _current is None or _current.process != os.getpid():
            _current = _from_environment()
        return _current


@contextmanager
def open_books(
    journal: Path | None = None,
    budget: float | None = None,
    ledger: Path | None = None,
    prices: Path | None = None,
    older: Sequence[Path] = (),
) -> Iterator[Books]:
    """Books for the time of a run, in this process and its workers; what was open before comes back after.

    Args:
        journal: SQLite file of the requests' journal; None: nothing is kept.
        budget: USD at most, earlier sessions in the ledger included; None: no limit.
        ledger: file that keeps what was spent over sessions and processes; None: this session alone.
        prices: price file that goes before the shipped one (see `prices.py`).
        older: journals that nobody writes any more, whose answers hold too.
    """
    global _current
    read = os.pathsep.join(map(str, older)) or None
    given = {JOURNAL: journal, BUDGET: budget, LEDGER: ledger, PRICES: prices, OLDER: read}
    settings = {name: str(value) for name, value in given.items() if value is not None}
    own = _open(settings)
    before, environment = _current, {name: os.environ.get(name) for name in given}
    _set_environment({name: settings.get(name) for name in given})
    _current = own
    try:
        yield own
    finally:
        _current = before
        _set_environment(environment)
        _close(own)


@contextmanager
def using(own: Books) -> Iterator[Books]:
    """Books that lie elsewhere (another machine's, over a wire), for this process; whoever made them closes them."""
    global _current
    before, _current = _current, own
    try:
        yield own
    finally:
        _current = before


def _from_environment() -> Books:
    return _open({name: os.environ[name] for name in (JOURNAL, BUDGET, LEDGER, PRICES, OLDER) if os.environ.get(name)})


def _open(settings: Mapping[str, str]) -> Books:
    journal = None
    if JOURNAL in settings:
        from medprm_hf.backends.journals.journal_own import open_with_older

        journal = open_with_older(Path(settings[JOURNAL]), settings.get(OLDER, ""))
    prices = PriceTable(Path(settings[PRICES])) if PRICES in settings else PriceTable()
    budget = float(settings[BUDGET]) if BUDGET in settings else None
    ledger = Path(settings[LEDGER]) if LEDGER in settings else None
    return Books(journal, Meter(budget, prices, ledger))


def _close(own: Books) -> None:
    own.meter.close()
    if own.journal is not None:
        own.journal.close()


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
