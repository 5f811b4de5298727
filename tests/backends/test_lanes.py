"""Limits per minute, hints in headers, and lanes that share, rest and come back."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.backends.servers.lanes import STRIKES, Lane, Lanes
from medprm_hf.backends.servers.limits import Bucket, Limits, span


@given(st.floats(1, 5000))
def test_no_minute_holds_more_than_its_number(per_minute: float) -> None:
    bucket, now, sent = Bucket(per_minute), 0.0, 0
    while now < 60.0:
        if (wait := bucket.wait(now)) <= 1e-9:
            bucket.take(now, 1)
            sent += 1
        else:
            now += wait
    assert sent <= per_minute + 1
    assert sent >= 0.95 * per_minute - 1


def test_tokens_are_corrected_by_what_was_used() -> None:
    limits = Limits(tpm=6000)
    limits.spend(0.0, 1000)
    before = limits.wait(0.0)
    limits.settle(0.0, estimated=1000, used=200)
    assert before > 5 and limits.wait(0.0) < before - 5


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("1s", 1),
        ("120ms", 0.12),
        ("6m0s", 360),
        ("1h2m3s", 3723),
        ("2.5", 2.5),
        ("soon", None),
        ("", None),
        ("1x", None),
    ],
)
def test_spans(said: str, seconds: float | None) -> None:
    assert span(said) == seconds


def test_a_server_that_has_nothing_left_is_left_alone_until_it_has() -> None:
    limits = Limits()
    limits.hear({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "9s"}, 0.0)
    assert limits.wait(0.0) == 0
    limits.hear({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 0.0)
    assert limits.wait(0.0) == 360
    limits.hear({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "3h"}, 0.0)
    assert limits.wait(0.0) == 600


def lanes_of(*slots: int) -> Lanes:
    return Lanes([Lane(f"l{i}", f"http://l{i}/v1", count) for i, count in enumerate(slots)])


def test_load_is_spread_by_free_slots() -> None:
    async def work() -> list[int]:
        lanes = lanes_of(4, 2)
        for _ in range(6):
            await lanes.take()
        return [lane.in_flight for lane in lanes.all]

    assert asyncio.run(work()) == [4, 2]


def test_those_who_wait_are_served_in_turn_even_when_one_leaves() -> None:
    async def work() -> list[str]:
        lanes, served = lanes_of(1), []
        lane = await lanes.take()

        async def one(name: str) -> None:
            mine = await lanes.take()
            served.append(name)
            lanes.give(mine)

        tasks = [asyncio.ensure_future(one(name)) for name in "abc"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        lanes.give(lane)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert lanes.in_flight == 0
        return served

    assert asyncio.run(work()) == ["a", "c"]


def test_a_lane_that_is_down_rests_and_is_tried_by_one() -> None:
    async def work() -> None:
        lanes = lanes_of(4, 4)
        bad, good = lanes.all
        for _ in range(STRIKES):
            bad.missed(asyncio.get_running_loop().time())
        taken = [await lanes.take() for _ in range(4)]
        assert all(lane is good for lane in taken) and not lanes.others_than(good)
        bad.rested_until = 0.0
        assert await lanes.take() is bad and bad.room == 0
        bad.reached()
        assert bad.room == 3

    asyncio.run(work())


def test_a_limit_makes_wait() -> None:
    async def work() -> float:
        lanes = Lanes([Lane("a", "http://a/v1", 8, Limits(rpm=600))])
        begun = asyncio.get_running_loop().time()
        for _ in range(14):
            lanes.give(await lanes.take())
        return asyncio.get_running_loop().time() - begun

    assert 0.35 <= asyncio.run(work()) < 1.5  # 10 at once, then one each 0.1 s
