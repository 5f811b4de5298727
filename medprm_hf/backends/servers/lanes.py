"""Lanes: the endpoints that answer for a backend, each with its slots and limits; a request takes the freest.

    lanes = Lanes([Lane("a:8000", "http://a:8000/v1", slots=32), Lane("b:8000", "http://b:8000/v1", slots=32)])
    lane = await lanes.take()
    try: …                                  # one attempt
    finally: lanes.give(lane)

A lane whose connections fail again and again is rested, for longer each time, while there are others; then one request
tries it, and if that gets through it is a lane like the others again.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from medprm_hf.backends.servers.limits import Limits

STRIKES = 3
"""Broken connections in a row after which a lane is rested."""
FIRST_REST, LONGEST_REST = 1.0, 60.0
"""Seconds."""


@dataclass(eq=False)
class Lane:
    """One endpoint of a backend."""

    name: str
    """As messages name it: host and port, no key."""
    url: str
    slots: int
    """Requests in flight at most."""
    limits: Limits = field(default_factory=Limits)
    in_flight: int = 0
    strikes: int = 0
    """Attempts in a row that never reached it."""
    rested_until: float = 0.0

    @property
    def room(self) -> int:
        """Free slots; a lane that was down gets one request until that gets through."""
        return (1 if self.strikes >= STRIKES else self.slots) - self.in_flight

    def wait(self, now: float) -> float:
        """Seconds until it may be sent something; infinite where no slot is free."""
        if self.room <= 0:
            return math.inf
        return max(self.rested_until - now, self.limits.wait(now), 0.0)

    def reached(self) -> None:
        """It answered, be it with an error: it is there."""
        self.strikes, self.rested_until = 0, 0.0

    def missed(self, now: float) -> None:
        """An attempt did not reach it."""
        self.strikes += 1
        if self.strikes >= STRIKES and now >= self.rested_until:
            rest = FIRST_REST * 2.0 ** min(self.strikes - STRIKES, 10)
            self.rested_until = now + min(rest, LONGEST_REST)


class Lanes:
    """The lanes of one backend; used from its event loop alone."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.all = list(lanes)
        self._waiting: deque[tuple[asyncio.Future[Lane], float]] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        for lane in self.all:  # an earlier loop's clock and requests mean nothing here
            lane.in_flight, lane.strikes, lane.rested_until, lane.limits.held_until = 0, 0, 0.0, 0.0

    @property
    def slots(self) -> int:
        """Requests in flight at most, over all lanes."""
        return sum(lane.slots for lane in self.all)

    @property
    def in_flight(self) -> int:
        """Requests that are out."""
        return sum(lane.in_flight for lane in self.all)

    def others_than(self, lane: Lane) -> bool:
        """Whether another lane is awake."""
        now = self._loop.time()
        return any(other is not lane and other.rested_until <= now for other in self.all)

    async def take(self, tokens: float = 0.0) -> Lane:
        """A lane with room and leave to send, as soon as there is one, first come first served."""
        if not self._waiting and (lane := self._free(tokens)) is not None:
            return lane
        turn: asyncio.Future[Lane] = self._loop.create_future()
        self._waiting.append((turn, tokens))
        self._pump()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(turn.result())  # it was given to one that is no longer there
            raise

    def give(self, lane: Lane) -> None:
        """Gives a slot back."""
        lane.in_flight -= 1
        if self._waiting:
            self._pump()

    def _free(self, tokens: float) -> Lane | None:
        """The lane with most room of those that may be sent something now; its slot is taken."""
        now = self._loop.time()
        able = [lane for lane in self.all if lane.wait(now) <= 0.0]
        if not able:
            return None
        lane = max(able, key=lambda one: one.room)
        lane.in_flight += 1
        lane.limits.spend(now, tokens)
        return lane

    def _pump(self) -> None:
        """Serves those who wait, and comes back when the next limit or rest ends."""
        while self._waiting:
            turn, tokens = self._waiting[0]
            if not turn.done():
                lane = self._free(tokens)
                if lane is None:
                    self._wake_later()
                    return
                turn.set_result(lane)
            self._waiting.popleft()

    def _wake_later(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        now = self._loop.time()
        soonest = min(lane.wait(now) for lane in self.all)
        self._alarm = None if math.isinf(soonest) else self._loop.call_later(soonest + 0.001, self._pump)
