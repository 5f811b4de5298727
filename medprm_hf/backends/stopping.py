"""Ctrl-C, once: nothing more is asked, what is in flight may end (it is paid for), and what arrives is kept.

    with stoppable(lambda: print("finishing what is in flight; Ctrl-C again to stop at once")):
        run.build()              # the first Ctrl-C ends it with StoppedError, a second with KeyboardInterrupt

Whoever is about to ask a model calls `check_stop()`: backends before each request, runs before each shard.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from medprm_hf.errors import StoppedError

_asked = threading.Event()


def check_stop() -> None:
    """Raises StoppedError once somebody has asked to stop."""
    if _asked.is_set():
        raise StoppedError("stopped by Ctrl-C: what was answered is kept, nothing more is asked", "stopped")


@contextmanager
def stoppable(say: Callable[[], None]) -> Iterator[None]:
    """Lets the first Ctrl-C ask for an end, said with `say`; outside the main thread, which alone gets signals, nothing
    changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(_number: int, _frame: FrameType | None) -> None:
        if _asked.is_set():
            signal.signal(signal.SIGINT, before)
            raise KeyboardInterrupt
        _asked.set()
        say()

    if before is signal.SIG_IGN:  # a shell's background: deaf on purpose
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _asked.clear()
