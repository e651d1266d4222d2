"""What a venue keeps: accounts that are made or exchanged, timers, the audit and the truth."""

import json
from decimal import Decimal

import pytest

from node.venues.fakes import BUY, SELL, SIMULATED, FakeOrder, FakeVenue, Listing, make_account


@pytest.fixture
def venue():
    made = FakeVenue([Listing("BTCUSDT", "0.1", "0.001", 1, base="BTC", wallet="spot")])
    listing = next(iter(made.listings.values()))
    listing.engine.set_level(BUY, 600_000, 50)
    listing.engine.set_level(SELL, 600_010, 50)
    made.tick(0)
    return made


def put(venue, **more):
    order = FakeOrder(next(iter(venue.listings.values())), 0, "a", BUY, 600_010, 60, "gtc", None, **more)
    venue.place("limit", order, 5)
    return order


def test_there_is_one_account_with_the_well_known_key_where_none_is_given(venue):
    account, key = venue.key("simulated")
    assert (account.owner, key) == (1, SIMULATED)
    assert set(account.wallets) == {"spot"}
    assert venue.audit() == []


def test_an_owner_that_is_not_known_gets_an_account_without_keys(venue):
    put(venue, owner=9)
    assert venue.accounts[9].keys == []
    assert venue.audit() == []


def test_accounts_can_be_exchanged_before_the_start(venue):
    venue.set_accounts([make_account(4, [("spot", "USDT")], [])])
    assert list(venue.accounts) == [4]
    assert venue.key("simulated") is None
    assert venue.audit() == []


def test_timers_run_in_the_order_of_their_time(venue):
    ran = []
    for when in (30, 10, 20, 10):
        venue.at(when, lambda now, when=when: ran.append((when, now)))
    venue.tick(15)
    venue.tick(40)
    assert ran == [(10, 15), (10, 15), (20, 40), (30, 40)]


def test_the_audit_finds_money_from_nowhere_and_locks_without_orders(venue):
    account = venue.accounts[1]
    account.balance("BTC", "spot").total += 1
    account.balance("USDT", "spot").locked += 2
    assert venue.audit() == [
        "account 1, USDT: locked 2, and orders say else",
        "BTC: accounts and house differ by 1",
    ]
    venue.house.lots[1, "BTCUSDT"] = 3
    assert "BTCUSDT: positions and house differ" in venue.audit()
    account.balance("BTC", "spot").total = Decimal(-1)
    assert "account 1, BTC: -1 is free" in venue.audit()


def test_the_truth_is_json_and_complete(venue):
    order = put(venue)
    truth = json.loads(json.dumps(venue.truth(1)))
    assert truth["orders"] == {"a": 1}
    assert [x["filled_lots"] for x in truth["open"]] == [50]
    (fill,) = truth["fills"].values()
    assert (fill["client_id"], fill["size_lots"], fill["fee"], fill["fee_coin"]) == (
        "a",
        50,
        "0.00005",
        "BTC",
    )
    assert truth["balances"]["spot"]["BTC"]["total"] == "10000.04995"
    assert Decimal(truth["balances"]["spot"]["USDT"]["locked"]) == order.locked
    assert venue.truth(venue.accounts[1]) == venue.truth(1)


def test_both_sides_of_a_trade_with_oneself_are_in_the_truth(venue):
    put(venue)
    sell = FakeOrder(next(iter(venue.listings.values())), 0, "b", SELL, 600_010, 10, "ioc", None, stp="none")
    venue.place("limit", sell, 6)
    assert sorted(venue.truth(1)["fills"]) == ["1:BTCUSDT:1", "1:BTCUSDT:2", "1:BTCUSDT:2#2"]


def test_trades_are_listed_from_a_time_and_from_an_id(venue):
    put(venue)
    next(iter(venue.listings.values())).engine.trade(SELL, 600_010, 4)
    venue.tick(10)
    account = venue.accounts[1]
    assert [x.id for x in venue.trades(account)] == [1, 2]
    assert [x.id for x in venue.trades(account, since_ns=6)] == [2]
    assert [x.id for x in venue.trades(account, from_id=2)] == [2]


def test_what_is_forgotten_is_gone_and_the_audit_still_holds(venue):
    order = put(venue)
    venue.cancel(order, 9)
    venue.forget_closed()
    assert venue.orders == {}
    assert venue.find_order(order.listing, "a") is None
    assert venue.audit() == []
