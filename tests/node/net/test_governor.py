"""One budget of connection attempts for each address, and who goes first."""

import asyncio
from itertools import pairwise

import pytest

from node.net.governor import Governor, Pace

HOST = "stream.example:443"


class Loop(asyncio.SelectorEventLoop):
    """Time passes only where everybody waits, and then to the next timer."""

    now_s = 100.0

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self.now_s = max(self.now_s, self._scheduled[0].when())
        super()._run_once()


def play(scenario):
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(scenario())


def admitted(pace: Pace, roles: list[str]) -> list[tuple[float, str]]:
    """When attempts are admitted that all want to go at once, in their order."""
    told: list[tuple[float, str]] = []

    async def scenario():
        governor, loop = Governor(), asyncio.get_running_loop()
        began_s = loop.time()

        async def one(role: str) -> None:
            await governor.admit(HOST, pace, role)
            told.append((round(loop.time() - began_s, 6), role))

        await asyncio.gather(*map(one, roles))
        assert governor.attempts(HOST) == len(roles)

    play(scenario)
    return told


def test_a_storm_is_spread_so_that_no_window_holds_more_than_the_venue_takes():
    times = [x for x, _ in admitted(Pace(3, 1.0), ["orders"] * 11)]
    assert times == [0.0] * 3 + [1.0] * 3 + [2.0] * 3 + [3.0] * 2


def test_orders_go_first_then_private_lines_then_feeds_and_equals_in_their_order():
    roles = [role for _, role in admitted(Pace(1, 1.0), ["feed", "feed", "private", "orders", "private"])]
    # the first one found the budget free
    assert roles == ["feed", "orders", "private", "private", "feed"]


def test_the_last_part_of_a_budget_is_kept_for_orders_and_what_tells_of_them():
    pace = Pace(20, 300.0)
    assert sum(at == 0 for at, _ in admitted(pace, ["feed"] * 30)) == 16
    assert sum(at == 0 for at, _ in admitted(pace, ["private"] * 30)) == 18
    assert sum(at == 0 for at, _ in admitted(pace, ["orders"] * 30)) == 20


def test_after_hours_of_refusals_every_window_was_within_the_budget():
    pace = Pace(30, 300.0)
    times: list[float] = []

    async def scenario():
        governor, loop = Governor(), asyncio.get_running_loop()

        async def hammer(role: str) -> None:
            while loop.time() < 100 + 7200:
                await governor.admit(HOST, pace, role)
                times.append(loop.time())
                await asyncio.sleep(1.7)

        await asyncio.gather(*(hammer(x) for x in ("feed", "feed", "feed", "private", "orders")))

    play(scenario)
    for first, after in zip(times, times[pace.most :], strict=False):
        assert after - first >= pace.within_s - 1e-6
    assert len(times) > 30 * 7200 / 300 - 30  # and the budget is used
    assert all(a <= b for a, b in pairwise(times))


def test_who_stops_waiting_takes_no_attempt():
    async def scenario():
        governor = Governor()
        await governor.admit(HOST, Pace(1, 10.0), "feed")
        gone = asyncio.ensure_future(governor.admit(HOST, Pace(1, 10.0), "orders"))
        await asyncio.sleep(1)
        gone.cancel()
        await governor.admit(HOST, Pace(1, 10.0), "feed")
        assert governor.attempts(HOST) == 2
        assert asyncio.get_running_loop().time() == pytest.approx(110.0)

    play(scenario)


def test_each_address_has_a_budget_of_its_own_and_a_role_must_be_known():
    async def scenario():
        governor = Governor()
        for host in ("a:1", "b:1", "a:2"):
            await governor.admit(host, Pace(1, 100.0), "feed")
        assert asyncio.get_running_loop().time() == 100.0
        assert governor.attempts("never") == 0
        with pytest.raises(ValueError, match="role 'spy': must be one of orders, private, feed"):
            await governor.admit("a:1", Pace(1, 1.0), "spy")

    play(scenario)
