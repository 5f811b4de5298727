"""Group commit: what several tasks of one event loop record in the same turn becomes one transaction.

    pen = GroupCommit(journal)
    await pen.record([entry])          # on file when it returns, like journal.record

Responses of a busy server arrive in bursts. One transaction for a burst costs less than half of one for each, and no
task waits for a clock: the burst is written as soon as the loop has run those that are ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from medprm_hf.backends.journals.journal import Entry, Journal


class GroupCommit:
    """Records for the tasks of one event loop; make a new one for another loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._entries: list[Entry] = []
        self._written: asyncio.Future[None] | None = None

    async def record(self, entries: Sequence[Entry]) -> None:
        """Waits until the entries are on file. Raises StoreError, to every task whose entries are not."""
        self._entries += entries
        if self._written is None:
            loop = asyncio.get_running_loop()
            self._written = loop.create_future()
            loop.call_soon(self._write)
        await asyncio.shield(self._written)  # a task that is cancelled lets the others' answers be written

    def _write(self) -> None:
        entries, written = self._entries, self._written
        self._entries, self._written = [], None
        assert written is not None
        try:
            self._journal.record(entries)
        except BaseException as error:
            written.set_exception(error)
            written.exception()  # it is known to be looked at: every task that waits gets it
        else:
            written.set_result(None)
