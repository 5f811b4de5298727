"""The Space's model: opened by a thread of its own once the server answers, asked from that thread alone.

    desk = Desk("phantom:prm")
    desk.warm()                                  # begins to load; returns at once
    desk.state()                                 ->  {"model": "phantom:prm", "state": "loading", …}
    scores, messages = await desk.score(rows)    # waits for the model, then for its turn

A model that cannot be opened is told with every question, and tried again with the next one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from medprm_hf.app.routing import Busy
from medprm_hf.errors import ConfigError, MedPRMError
from medprm_hf.scoring.results import StepScores

WAITING = 32
"""Requests that wait for the model; beyond, they are refused."""
REMEMBERED = 4
"""Questions whose prefix is kept, as when one edits a step and scores again."""
_log = logging.getLogger(__name__)


class Desk:
    """One scorer behind one thread."""

    def __init__(self, prm: str, device: str | None = None, opener: Callable[[], Any] | None = None) -> None:
        self.prm = prm
        self._opener = opener or (lambda: _open(prm, device))
        self._thread = ThreadPoolExecutor(1, "scorer")
        self._scorer: Any = None
        self._state = "cold"
        self._message = ""
        self._seconds = 0.0
        self._waiting = 0

    def warm(self) -> None:
        """Begins to open the model."""
        if self._state == "cold":
            self._state = "loading"
            self._thread.submit(self._opened_quietly)

    def state(self) -> dict[str, Any]:
        """What the page says of the model: cold, loading, ready or failed, and why."""
        said: dict[str, Any] = {"model": self.prm, "state": self._state, "message": self._message}
        if self._scorer is not None:
            settings = self._scorer.settings
            said |= {
                "aggregator": settings.aggregator,
                "threshold": settings.threshold,
                "simulated": bool(settings.trained_on.get("simulated")),
                "seconds_to_load": round(self._seconds, 2),
            }
        return said

    async def score(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[StepScores], dict[int, str], Any]:
        """(scores of each row, what was wrong with rows, the model's settings); Busy, or what opening raised."""
        if self._waiting >= WAITING:
            raise Busy(f"{WAITING} requests wait for the model: try again in a moment", kind="busy")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._score, rows)
        finally:
            self._waiting -= 1

    def score_now(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[StepScores], dict[int, str], Any]:
        """The same, for callers in a thread of their own."""
        return self._thread.submit(self._score, rows).result()

    def close(self) -> None:
        """Lets the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _score(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[StepScores], dict[int, str], Any]:
        scorer = self._opened()
        scores = scorer.score_rows(list(rows))
        return scores, dict(scorer.messages), scorer.settings

    def _opened(self) -> Any:
        """The scorer; runs in the desk's thread only."""
        if self._scorer is None:
            self._state, begun = "loading", time.monotonic()
            try:
                self._scorer = self._opener()
            except Exception as error:
                self._state, self._message = "failed", str(error) if isinstance(error, MedPRMError) else repr(error)
                raise
            if hasattr(self._scorer, "remember"):
                self._scorer.remember = max(self._scorer.remember, REMEMBERED)
            self._seconds = time.monotonic() - begun
            self._state, self._message = "ready", ""
        return self._scorer

    def _opened_quietly(self) -> None:
        try:
            self._opened()
        except (MedPRMError, ImportError, OSError, RuntimeError, ValueError) as error:
            _log.warning("the model %s cannot be opened: %s", self.prm, error)


def _open(prm: str, device: str | None) -> Any:
    if not prm:
        raise ConfigError("no model is set: give --prm or MEDPRM_PRM")
    from medprm_hf.scoring.scorer import Scorer

    return Scorer.open(prm, device)
