"""The control endpoint over real HTTP: faults in, truth out, bad requests answered in one line."""

import asyncio
import json

import aiohttp
import pytest

from node.sim.control import Control
from node.venues.fakes import FakeVenue, Listing, make_account

NOW = 10**18


def run(scenario):
    async def main():
        coins = [("", "BTC"), ("", "USDT")]
        venues = {
            name: FakeVenue(
                [Listing("BTCUSDT", "0.1", "0.001", 1)], 1, [make_account(1, coins), make_account(2, coins)]
            )
            for name in ("okx", "bybit")
        }
        control = Control(venues, lambda: NOW)
        await control.start()
        try:
            async with aiohttp.ClientSession(control.url) as session:

                async def ask(method, path, body=None, **options):
                    data = body if isinstance(body, str) or body is None else json.dumps(body)
                    async with session.request(method, path, data=data, **options) as reply:
                        return reply.status, await reply.json()

                await scenario(ask, venues)
        finally:
            await control.stop()

    asyncio.run(main())


def test_faults_are_added_listed_and_taken_away():
    async def scenario(ask, venues):
        assert await ask("POST", "/faults", {"name": "ack.drop", "count": 1}) == (
            200,
            {"added": {"okx": 1, "bybit": 1}},
        )
        rows = [
            {"name": "px.blackhole", "venue": "okx", "at_s": 5, "for_s": 2},
            {"name": "ban", "venue": "okx"},
        ]
        assert (await ask("POST", "/faults?venue=okx", rows))[1] == {"added": {"okx": 2}}
        assert venues["okx"].faults.hit("ack.drop", NOW)
        _, listed = await ask("GET", "/faults")
        assert listed["okx"]["counts"] == {"ack.drop": 1, "px.blackhole": 0, "ban": 0}
        assert [x["name"] for x in listed["okx"]["rows"]] == ["ack.drop", "px.blackhole", "ban"]
        assert not venues["okx"].faults.standing("px.blackhole", NOW + 4 * 10**9)
        assert venues["okx"].faults.standing("px.blackhole", NOW + 5 * 10**9)
        assert (await ask("DELETE", "/faults?venue=okx&name=ban"))[1] == {"cleared": {"okx": 1}}
        assert (await ask("DELETE", "/faults"))[1] == {"cleared": {"okx": 2, "bybit": 1}}

    run(scenario)


def test_truth_is_told_by_venue_and_account():
    async def scenario(ask, venues):
        status, told = await ask("GET", "/truth")
        assert (status, set(told), set(told["okx"])) == (200, {"okx", "bybit"}, {"1", "2"})
        _, told = await ask("GET", "/truth?venue=okx&account=2")
        assert set(told["okx"]) == {"2"}
        assert set(told["okx"]["2"]) >= {"open", "orders", "fills", "positions", "balances"}
        assert (await ask("GET", "/audit"))[1] == {"okx": [], "bybit": []}

    run(scenario)


@pytest.mark.parametrize(
    ("method", "path", "body", "why"),
    [
        ("POST", "/faults", "{", "not JSON"),
        ("POST", "/faults", "", "not JSON"),
        ("POST", "/faults", "7", "must be a table"),
        ("POST", "/faults", '{"name":"nothing"}', "is not known"),
        (
            "POST",
            "/faults",
            '[{"name":"ban"},{"name":"ban","venue":"kraken"}]',
            "venue 'kraken' is not known",
        ),
        ("POST", "/faults", '{"name":"ban","venue":["okx"]}', "venue: must be text"),
        ("POST", "/faults?venue=kraken", '{"name":"ban"}', "venue 'kraken' is not known"),
        ("GET", "/truth?account=9", None, "account '9' is not known"),
        ("GET", "/nowhere", None, "Not Found"),
        ("PUT", "/faults", "{}", "Method Not Allowed"),
    ],
)
def test_a_request_that_is_wrong_is_an_error_in_one_line_and_changes_nothing(method, path, body, why):
    async def scenario(ask, venues):
        status, told = await ask(method, path, body)
        assert status >= 400
        assert set(told) == {"error"}
        assert why in told["error"]
        assert "\n" not in told["error"]
        assert venues["okx"].faults.rows == venues["bybit"].faults.rows == []

    run(scenario)


def test_another_host_name_is_not_served():
    async def scenario(ask, venues):
        assert (await ask("GET", "/truth", headers={"Host": "evil.example"}))[0] == 403

    run(scenario)
