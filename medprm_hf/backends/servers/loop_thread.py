"""An event loop in a thread of its own, so that an ordinary call can wait for coroutines.

thread = LoopThread("medprm-http")
thread.run(work())        # from any thread but its own, also inside notebooks and async handlers
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """An event loop in a daemon thread; `run` waits for a coroutine from any thread but its own."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._owner = os.getpid()
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still turns; a fork carries no threads along."""
        return self._owner == os.getpid() and self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result; an interrupt here cancels it there."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C reaches this thread: requests in flight are let go
            raise

    def stop(self) -> None:
        """Ends the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()
