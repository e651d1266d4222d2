"""Listings, orders and rate limiters of the simulated venues."""

from decimal import Decimal

import pytest

from node.venues.faults import Faults
from node.venues.parts import SECOND, FakeOrder, Limiter, Listing, RateLimited


def test_coins_are_named_or_guessed_from_the_symbol():
    assert Listing("BTCUSDT", "0.1", "1", 1).coins == ("BTC", "USDT")
    assert Listing("BTCUSDC", "0.1", "1", 1, base="BTC").coins == ("BTC", "USDC")
    assert Listing("BTC-USDT-SWAP", "0.1", "1", 1, base="BTC").coins == ("BTC", "USDT")
    assert Listing("ETH-BTC", "0.1", "1", 1).coins == ("ETH", "BTC")
    assert Listing("BTCUSDT", "0.1", "1", 1, settle="USDC").settle_coin == "USDC"


def test_values_are_exact_and_in_coins():
    swap = Listing("BTC-USDT-SWAP", "0.1", "0.01", 1, base="BTC", contract="0.01", is_perpetual=True)
    assert swap.unit == Decimal("0.0001")
    assert swap.notional(600_000, 7) == Decimal(42)
    assert swap.notional(600_000, -7) == Decimal(-42)
    assert swap.ticks_of(Decimal("60000.04")) == 600_000
    assert (swap.maker_fee, swap.taker_fee) == (Decimal("0.0002"), Decimal("0.0005"))


def test_fees_are_rounded_up_and_rebates_to_the_nearest():
    listing = Listing("BTCUSDT", "0.1", "1", 1)
    assert listing.round_fee(Decimal("0.000000011")) == Decimal("0.00000002")
    assert listing.round_fee(Decimal("-0.000000011")) == Decimal("-0.00000001")


def test_brackets_go_by_value():
    listing = Listing("BTCUSDT", "0.1", "1", 1)
    assert listing.bracket_of(Decimal(300_000)).leverage_max == 125
    assert listing.bracket_of(Decimal(10**15)).leverage_max == 5


def test_an_order_remembers_how_it_stood():
    order = FakeOrder(Listing("BTCUSDT", "0.1", "1", 1), 1, "a", 0, 100, 10, "gtc", None)
    order.note(5)
    order.filled_lots = 4
    order.note(8)
    assert order.as_of(4) is None
    assert order.as_of(7).filled_lots == 0
    assert order.as_of(9).filled_lots == 4
    assert (order.filled_lots, order.leaves_lots, order.average) == (4, 6, 0)


def charge(limiter, weight, now_ns, who="ip"):
    try:
        return limiter.charge(who, weight, now_ns)
    except RateLimited as limited:
        return limited.retry_after_ns, limited.banned


def test_a_window_is_aligned_to_the_clock():
    limiter = Limiter("w", 10, 60 * SECOND)
    assert charge(limiter, 8, 59 * SECOND) == 8
    assert charge(limiter, 3, 59 * SECOND) == (SECOND, False)
    assert charge(limiter, 3, 60 * SECOND) == 3
    assert charge(limiter, 9, 60 * SECOND, "other") == 9
    assert limiter.used("ip", 60 * SECOND) == 3


def test_a_rolling_window_has_no_edge_to_use():
    limiter = Limiter("w", 2, SECOND, rolling=True)
    assert [charge(limiter, 1, t) for t in (0, SECOND // 2)] == [1, 2]
    assert charge(limiter, 1, SECOND - 1) == (1, False)
    assert charge(limiter, 1, SECOND) == 2


def test_who_does_not_listen_is_banned_longer_each_time():
    limiter = Limiter("w", 1, 60 * SECOND, ban_after=2, ban_ns=120 * SECOND)
    assert charge(limiter, 1, 0) == 1
    assert charge(limiter, 1, 1)[1] is False
    assert charge(limiter, 1, 2) == (120 * SECOND, True)
    assert charge(limiter, 1, 62 * SECOND)[1] is True
    assert charge(limiter, 1, 130 * SECOND) == 1
    assert charge(limiter, 1, 131 * SECOND)[1] is False
    assert charge(limiter, 1, 132 * SECOND) == (240 * SECOND, True)


def test_limits_and_bans_can_be_injected():
    faults = Faults()
    limiter = Limiter("w", 100, 60 * SECOND, faults=faults)
    faults.add("ratelimit", limit=2)
    assert [charge(limiter, 1, i) for i in range(2)] == [1, 2]
    assert charge(limiter, 1, 2)[1] is False
    faults.clear()
    faults.add("ratelimit", count=1, retry_after_ms=5)
    assert charge(limiter, 1, 3) == (5_000_000, False)
    faults.add("ban", ban_s=7, count=1)
    assert charge(limiter, 1, 4) == (7 * SECOND, True)
    assert charge(limiter, 1, 5)[1] is True
    assert faults.counts == {"ratelimit": 4, "ban": 1}


def test_a_text_of_a_limit_names_it():
    with pytest.raises(RateLimited, match="orders: retry after 1000 ms"):
        Limiter("orders", 0, SECOND).charge("x", 1, 0)
