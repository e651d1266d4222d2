"""The terms a venue trades on: every filter by its name, fees by rule, margin by the worst case."""

from decimal import Decimal

import pytest

from node.venues.fakes import BUY, SELL, FakeOrder, FakeVenue, Listing, make_account

COINS = [("", "BTC"), ("", "USDT")]


@pytest.fixture
def venue():
    made = FakeVenue(
        [
            Listing(
                "BTCUSDT", "0.1", "0.001", 1, base="BTC", min_size="0.002", max_size="5", max_market_size="2",
                max_notional="200000", max_orders=2, max_stop_orders=1,
            ),
            Listing("BTCUSDT", "0.1", "0.001", 2, base="BTC", is_perpetual=True),
        ],
        accounts=[make_account(1, COINS)],
    )  # fmt: skip
    for listing in made.listings.values():
        listing.engine.set_level(BUY, 600_000, 50)
        listing.engine.set_level(SELL, 600_010, 50)
    made.tick(0)
    return made


def order(venue, price=590_000, size=10, order_type="limit", market=1, client_id="a", **more):
    listing = venue.listings[market, "BTCUSDT"]
    return FakeOrder(listing, 0, client_id, BUY, price, size, "gtc", None, order_type=order_type, **more)


def why(venue, **more):
    refusal = venue.check(order(venue, **more))
    return refusal and refusal.name


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({}, None),
        ({"price": 0}, "tick"),
        ({"price": 3_000_026}, "percent_price"),
        ({"price": 119_999}, "percent_price"),
        ({"size": 0}, "lot"),
        ({"size": 1}, "min_size"),
        ({"size": 5001}, "max_size"),
        ({"size": 2001, "order_type": "market"}, "max_size"),
        ({"price": 590_000, "size": 4000}, "max_notional"),
        ({"reduce_only": True}, "reduce_only"),
    ],
)
def test_filters_have_names(venue, more, name):
    assert why(venue, **more) == name


def test_notional_at_market_is_by_the_best_price(venue):
    venue.listings[1, "BTCUSDT"].min_notional = "130"
    assert why(venue, size=2, order_type="market") == "min_notional"
    assert why(venue, size=3, order_type="market") is None


def test_so_many_orders_and_stops_and_no_more(venue):
    for client_id in "bc":
        venue.place("limit", order(venue, client_id=client_id), 1)
    assert why(venue) == "max_orders"
    stop = {"order_type": "stop_limit", "trigger_ticks": 610_000, "price": 611_000}
    venue.place("stop_limit", order(venue, client_id="s", **stop), 1)
    assert why(venue, client_id="t", **stop) == "max_stop_orders"


def test_a_frozen_account_and_a_listing_that_is_not_trading_are_refused(venue):
    venue.accounts[1].frozen = True
    assert why(venue) == "frozen"
    venue.accounts[1].frozen = False
    venue.listings[1, "BTCUSDT"].status = "cancel_only"
    assert why(venue) == "status"


def test_a_new_tick_counts_from_the_change(venue):
    venue.listings[1, "BTCUSDT"].tick_multiple = 1000
    assert why(venue, price=590_500) == "tick"
    assert why(venue, price=590_000) is None


def test_a_market_buy_needs_what_the_book_asks_for(venue):
    venue.accounts[1].balance("USDT").total = Decimal("3000.05")
    assert why(venue, size=50, order_type="market") is None
    venue.listings[1, "BTCUSDT"].engine.set_level(SELL, 600_010, 49)
    venue.listings[1, "BTCUSDT"].engine.set_level(SELL, 700_000, 49)
    assert why(venue, size=50, order_type="market") == "funds"


def test_the_worst_case_counts_one_side_and_not_both(venue):
    account, listing = venue.accounts[1], venue.listings[2, "BTCUSDT"]
    for side, price in ((BUY, 590_000), (SELL, 610_000)):
        x = FakeOrder(listing, 0, str(side), side, price, 100, "gtc", None)
        venue.place("limit", x, 1)
    assert venue.worst_value(account, listing, None) == Decimal(6100)
    assert venue.margin_used(account, "USDT", "") == Decimal(305)
    assert venue.available(account, "USDT") == 10_000_000 - 305


def test_the_fee_is_where_the_rule_says_unless_a_fault_says_else(venue):
    account = venue.accounts[1]
    venue.place("limit", order(venue, price=600_010, size=10), 1)
    assert account.trades[-1].fee_coin == "BTC"
    venue.faults.add("exec.fee", coin="quote", rate="0.01", count=1)
    venue.place("limit", order(venue, price=600_010, size=10, client_id="b"), 1)
    assert (account.trades[-1].fee_coin, account.trades[-1].fee) == ("USDT", Decimal("6.0001"))
    venue.faults.add("exec.fee", coin="ODD", count=1)
    venue.place("limit", order(venue, price=600_010, size=10, client_id="c"), 1)
    assert account.trades[-1].fee_coin == "BTC", "a coin nobody has a price for"
    assert venue.audit() == []
