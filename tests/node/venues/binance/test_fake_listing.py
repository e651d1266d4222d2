"""exchangeInfo: every filter that is enforced is told, and what is told can be parsed by the node."""

from decimal import Decimal

import pytest
from binance_venue import MARKETS, NOW, Rest, venue

from node.venues.binance import rest
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM


def info(fake, market, **params):
    path = "/api/v3/exchangeInfo" if market == BINANCE_SPOT else "/fapi/v1/exchangeInfo"
    return Rest(fake).call("GET", path, sign_it=False, **params)[1]


@pytest.mark.parametrize("market", MARKETS)
def test_filters_are_those_of_the_listing(market):
    fake = venue()
    listing = fake.listings[market, "BTCUSDT"]
    listing.min_size, listing.max_size, listing.max_orders = "0.002", "100", 7
    (row,) = info(fake, market)["symbols"]
    filters = {x["filterType"]: x for x in row["filters"]}
    assert Decimal(filters["PRICE_FILTER"]["tickSize"]) == Decimal(listing.tick)
    assert Decimal(filters["LOT_SIZE"]["minQty"]) == Decimal("0.002")
    assert Decimal(filters["LOT_SIZE"]["maxQty"]) == 100
    orders = filters["MAX_NUM_ORDERS"]
    assert orders.get("maxNumOrders", orders.get("limit")) == 7
    assert row["status"] == "TRADING"


@pytest.mark.parametrize("market", MARKETS)
def test_the_node_reads_what_is_listed(market):
    fake = venue()
    request = rest.exchange_info(market)
    (row,) = rest.instruments(fake.request("GET", request.target, {}, b"", NOW).body)
    listing = fake.listings[market, "BTCUSDT"]
    assert (Decimal(row.tick), Decimal(row.lot), row.tradable) == (
        Decimal(listing.tick),
        Decimal(listing.lot),
        True,
    )


@pytest.mark.parametrize(
    ("market", "status", "word"),
    [
        (BINANCE_SPOT, "halt", "HALT"),
        (BINANCE_SPOT, "cancel_only", "CANCEL_ONLY"),
        (BINANCE_SPOT, "delisted", "BREAK"),
        (BINANCE_USDM, "halt", "SETTLING"),
        (BINANCE_USDM, "delisted", "CLOSE"),
    ],
)
def test_a_status_has_the_venues_word_and_stops_orders(market, status, word):
    fake = venue()
    fake.listings[market, "BTCUSDT"].status = status
    assert info(fake, market)["symbols"][0]["status"] == word
    body = Rest(fake).place(market)[1]
    assert body["code"] == (-1013 if market == BINANCE_SPOT else -4108)


def test_a_tick_change_is_listed_and_enforced():
    fake = venue()
    fake.strike(fake.faults.add("status.tick_change", multiple=10), NOW)
    filters = info(fake, BINANCE_SPOT)["symbols"][0]["filters"]
    assert filters[0]["tickSize"] == "0.10000000"
    assert Rest(fake).place(BINANCE_SPOT, price="5990.01")[1]["msg"] == "Filter failure: PRICE_FILTER"
    assert Rest(fake).place(BINANCE_SPOT, price="5990.10")[0] == 200


def test_symbols_may_be_chosen():
    fake = venue()
    assert len(info(fake, BINANCE_SPOT, symbol="BTCUSDT")["symbols"]) == 1
    assert len(info(fake, BINANCE_SPOT, symbols=["BTCUSDT"])["symbols"]) == 1
    assert info(fake, BINANCE_SPOT, symbols=["X"])["code"] == -1121
    assert info(fake, BINANCE_SPOT, symbolStatus="HALT")["symbols"] == []
    assert info(fake, BINANCE_SPOT, symbolStatus="X")["code"] == -1122
    assert info(fake, BINANCE_SPOT, showPermissionSets="false")["symbols"][0]["permissionSets"] == []
