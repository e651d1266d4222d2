"""Offline is a state: told once, left in order, the lines of orders and reports first."""

import asyncio

import pytest

from node.net import outage
from node.net.outage import Outage


def made():
    told: list[str] = []
    notes: list[dict] = []
    return Outage(lambda where, text: told.append(text), notes.append), told, notes


def test_one_line_that_is_up_is_enough_to_be_online():
    async def scenario():
        room, told, notes = made()
        for line in (0, 1, 2):
            room.turned(line, True)
        for line in (0, 1, 1):
            room.turned(line, False)
        assert not room.is_offline
        assert told == []
        room.turned(2, False)
        room.turned(2, False)
        assert room.is_offline
        room.turned(0, True)
        room.turned(1, True)
        assert not room.is_offline
        assert [x["event"] for x in notes] == ["offline", "online"]
        assert len(told) == 2
        assert room.times == 1

    asyncio.run(scenario())


def test_lines_that_never_came_up_are_no_outage():
    async def scenario():
        room, told, _ = made()
        room.turned(0, False)
        assert not room.is_offline
        assert told == []

    asyncio.run(scenario())


@pytest.fixture
def slept(monkeypatch):
    """What was slept for, at once."""
    out = []

    async def sleep(delay_s):
        out.append(delay_s)

    monkeypatch.setattr(outage.asyncio, "sleep", sleep)
    return out


def test_while_online_a_line_rests_as_long_as_it_says(slept):
    async def scenario():
        room, _, _ = made()
        for role in ("feed", "orders", "private"):
            await room.rest(role, 7.0)
        assert slept == [7.0] * 3

    asyncio.run(scenario())


def test_while_offline_orders_try_often_and_feeds_wait_for_them(slept):
    async def scenario():
        room, _, _ = made()
        room.turned(0, True)
        room.turned(0, False)
        for _ in range(20):
            await room.rest("orders", 15.0)
            await room.rest("private", 0.3)
        assert all(x <= outage.ORDERS_S for x in slept)
        assert min(slept[::2]) >= outage.ORDERS_S / 2
        assert set(slept[1::2]) == {0.3}
        slept.clear()
        feed = asyncio.ensure_future(room.rest("feed", 15.0))
        await asyncio.wait((feed,), timeout=0.05)
        assert not feed.done()
        room.turned(1, True)
        await asyncio.wait_for(feed, 1)
        assert len(slept) == 1
        assert slept[0] <= outage.SPREAD_S

    asyncio.run(scenario())


def test_where_no_order_line_comes_back_feeds_try_all_the_same(monkeypatch):
    monkeypatch.setattr(outage, "HEAD_START_S", 0.01)

    async def scenario():
        room, _, _ = made()
        room.turned(0, True)
        room.turned(0, False)
        await asyncio.wait_for(room.rest("feed", 0.01), 5)
        assert room.is_offline

    asyncio.run(scenario())
