"""Lanes: the endpoints that answer for a backend, each with its slots; a request takes the one with most room.

lanes = Lanes([Lane("a:8000", "http://a:8000/v1", slots=32), Lane("b:8000", "http://b:8000/v1", slots=32)])
lane = await lanes.take()
try: …                                  # one attempt
finally: lanes.give(lane)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(eq=False)
class Lane:
    """One endpoint of a backend."""

    name: str
    """As messages name it: host and port, no key."""
    url: str
    slots: int
    """Requests in flight at most."""
    in_flight: int = 0

    @property
    def room(self) -> int:
        """Free slots."""
        return self.slots - self.in_flight


class Lanes:
    """The lanes of one backend; used from its event loop alone."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.all = list(lanes)
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def slots(self) -> int:
        """Requests in flight at most, over all lanes."""
        return sum(lane.slots for lane in self.all)

    @property
    def in_flight(self) -> int:
        """Requests that are out."""
        return sum(lane.in_flight for lane in self.all)

    async def take(self) -> Lane:
        """A lane with room, as soon as there is one; one of its slots is taken."""
        while True:
            lane = max(self.all, key=lambda one: one.room)
            if lane.room > 0:
                lane.in_flight += 1
                return lane
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()  # the turn was given to one that is no longer there
                raise

    def give(self, lane: Lane) -> None:
        """Gives a slot back."""
        lane.in_flight -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
