"""A crew: as many tasks as there are slots, each taking one job after the other from a feed.

It grows when there are jobs for more hands, and stops as a whole when one of its tasks meets an error that nothing
survives: no new job is begun, what is in flight may end (it is paid for), and the error is raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from medprm_hf.backends.servers.feed import Feed, Job
from medprm_hf.errors import AuthError, BudgetError, StoppedError

GRACE = 5.0
"""Seconds that calls in flight are given after an error; after a spent budget or Ctrl-C as long as they need."""


class Crew:
    """Tasks that empty a feed."""

    def __init__(self, fill: Callable[[Job], Coroutine[Any, Any, None]], feed: Feed, size: int) -> None:
        self._fill, self._feed, self._size = fill, feed, size
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work(self) -> None:
        """Until the feed is empty; raises the first error of a task."""
        try:
            # One job at a time is taken here, so that a small feed makes a small crew.
            while len(self._tasks) < self._size and (job := self._feed.next()) is not None:
                self._start(job)
            if self._tasks:
                await self._ended
            if self._error is not None:
                await self._let_end()
                raise self._error
        finally:
            self._feed.closed = True
            for task in self._tasks:
                task.cancel()

    def grow(self, count: int) -> None:
        """Up to `count` more tasks: the lanes, not the crew, limit what is in flight. Four a slot at most."""
        for _ in range(count):
            if len(self._tasks) >= 4 * self._size or (job := self._feed.next()) is None:
                return
            self._start(job)

    def _start(self, job: Job) -> None:
        task = asyncio.ensure_future(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def _run(self, job: Job) -> None:
        todo: Job | None = job
        while todo is not None:
            await self._fill(todo)
            todo = self._feed.next()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and self._error is None:
            self._error = error
            self._feed.closed = True
        if not self._ended.done() and (self._error is not None or not self._tasks):
            self._ended.set_result(None)

    async def _let_end(self) -> None:
        """Waits for what is in flight; nothing can come of a wrong key."""
        if self._tasks and not isinstance(self._error, AuthError):
            patient = isinstance(self._error, BudgetError | StoppedError)
            await asyncio.wait(self._tasks, timeout=None if patient else GRACE)
