"""Rows to reports: exact, refused where they cannot be, and never somebody else's."""

from dataclasses import replace

import pytest
from rig import EPOCH, PERP, SPOT, SYMBOL, Venue

from ext.instruments import Instruments
from ext.records import OrderType, ReportKind, pack_reports
from ext.venues.binance import BinanceWire
from node.truth.desk import Product, VenueDesk
from node.truth.evidence import Owners, Reader, number


@pytest.fixture
def reader():
    instruments = Instruments(2)
    instruments.add(SPOT, SYMBOL, "0.01", "0.001")
    desk = VenueDesk(SPOT, None, None, {SYMBOL: Product(0, "BTC", "USDT")})
    return Reader(desk, instruments)


KINDS = [
    ("live", ReportKind.REPORT_LIVE),
    ("partial", ReportKind.REPORT_LIVE),
    ("untriggered", ReportKind.REPORT_LIVE),
    ("filled", ReportKind.REPORT_FILLED),
    ("canceled", ReportKind.REPORT_CANCELED),
    ("expired", ReportKind.REPORT_EXPIRED),
    ("rejected", ReportKind.REPORT_REJECT),
    ("odd:NEW_WORD", ReportKind.REPORT_ODD),
    ("", ReportKind.REPORT_ODD),
]


@pytest.mark.parametrize(("state", "kind"), KINDS)
def test_each_state_is_what_it_is_and_an_unknown_one_is_odd(reader, state, kind):
    row = Venue(SPOT).place("x", lots=10, ticks=123, filled=4, state=state)
    report = reader.order(row, (EPOCH, 9), terms=True)
    assert (report["kind"], report["order_id"], report["epoch"], report["filled_lots"]) == (kind, 9, EPOCH, 4)
    is_open = kind == ReportKind.REPORT_LIVE
    assert (report["order_ticks"], report["order_lots"]) == ((123, 10) if is_open else (-1, -1))
    assert pack_reports([report])


def test_old_terms_are_left_out(reader):
    report = reader.order(Venue(SPOT).place("x"), (EPOCH, 9), terms=False)
    assert (report["order_ticks"], report["order_lots"]) == (-1, -1)


@pytest.mark.parametrize(("coin", "told"), [("USDT", 1), ("BTC", 2), ("BNB", 0)])
def test_a_trade_is_exact_and_says_its_fee_and_in_which_coin(reader, coin, told):
    """Base and quote fees are booked; a base fee was never received."""
    row = Venue(SPOT).trade("x", 1, 12, 5, ticks=10_001, venue_id="v")
    row = type(row)(**{f: getattr(row, f) for f in row.__slots__} | {"fee": "-0.000000015", "fee_coin": coin})
    report = reader.trade(row, (EPOCH, 9))
    assert (report["price_ticks"], report["size_lots"], report["fee_e8"], report["fee_is_quote"]) == (
        10_001,
        12,
        -2,
        told,
    )
    assert pack_reports([report])


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("size", ""), ("size", "0.0001"), ("price", "1.001"), ("fee", ""), ("fee", "x"),
        ("size", "0"), ("size", "1000000000000"), ("price", "0"), ("fee", "1e30"), ("fee", "1e999999"),
    ],
)  # fmt: skip
def test_a_trade_with_a_number_that_is_none_is_refused(reader, field, text):
    row = Venue(SPOT).trade("x", 1, 12, 5)
    row = type(row)(**{f: getattr(row, f) for f in row.__slots__} | {field: text})
    with pytest.raises(ValueError, match=r"\d|''|number|cannot be"):
        reader.trade(row, (EPOCH, 9))


def test_rows_of_another_market_are_refused_and_other_symbols_are_nobodys(reader):
    with pytest.raises(ValueError, match="market"):
        reader.instrument(PERP, SYMBOL)
    assert reader.instrument(SPOT, "ETHUSDT") is None


def test_an_adoption_carries_what_the_venue_shows(reader):
    row = Venue(SPOT).place("x", side=1, lots=10, ticks=500, filled=2, reduce_only=True)
    fields = reader.adoption(row, (7, 9), 2)
    assert (fields["epoch"], fields["sequence"], fields["side"], fields["size_lots"]) == (7, 9, 1, 10)
    assert (fields["price_ticks"], fields["filled_lots"], fields["reduce_only"]) == (500, 2, True)
    assert fields["type"] == OrderType.LIMIT


@pytest.mark.parametrize(("leg", "told"), [("", -1), ("net", 0), ("long", 1), ("short", 2)])
def test_the_leg_and_the_coin_of_the_fee_are_passed_on(reader, leg, told):
    trade = replace(Venue(SPOT).trade("x", 1, 12, 5, venue_id="v"), leg=leg, fee_coin="BNB")
    report = reader.trade(trade, (EPOCH, 9))
    assert (report["leg"], report["fee_coin"]) == (told, "BNB")
    order = replace(Venue(SPOT).place("x"), leg=leg)
    assert reader.order(order, (EPOCH, 9), terms=False)["leg"] == told
    assert reader.adoption(order, (7, 9), 0)["leg"] == max(told, 0)


def test_a_leg_that_nobody_knows_is_refused(reader):
    with pytest.raises(ValueError, match="no leg"):
        reader.order(replace(Venue(SPOT).place("x"), leg="both"), (EPOCH, 9), terms=False)


@pytest.mark.parametrize(
    ("side", "leg", "reduces"), [(0, "long", False), (1, "long", True), (0, "short", True)]
)
def test_in_hedge_mode_what_closes_a_leg_is_adopted_as_reduce_only(side, leg, reduces):
    instruments = Instruments(2)
    instruments.add(PERP, SYMBOL, "0.01", "0.001", is_perpetual=True)
    desk = VenueDesk(PERP, None, None, {SYMBOL: Product(0, "BTC", "USDT", is_perpetual=True)}, hedge=True)
    order = replace(Venue(PERP).place("x", side=side), leg=leg)
    assert Reader(desk, instruments).adoption(order, (7, 9), 0)["reduce_only"] is reduces
    for word in ("", "net"):
        with pytest.raises(ValueError, match="hedge mode"):
            Reader(desk, instruments).adoption(replace(order, leg=word), (7, 9), 0)


@pytest.mark.parametrize("text", ["", "NaN", "Infinity", "1_000", "１", "x"])
def test_what_is_no_number_is_no_zero(text):
    with pytest.raises(ValueError, match="number"):
        number(text, "total")


def test_owners_know_ours_by_id_and_others_as_nobody():
    instruments = Instruments(1)
    instruments.add(SPOT, SYMBOL, "0.01", "0.001")
    wire = BinanceWire(instruments, SPOT, "tckg", EPOCH)
    owners = Owners(wire)
    assert owners.key(wire.client_id(5, 3)) == (3, 5)
    assert owners.key("somebody") == (0, 0)
    assert owners.key("ünïcode") == (0, 0)
    venue = Venue(SPOT)
    unnamed = venue.trade("", 0, 1, 1, venue_id="v9")
    assert owners.of_trade(unnamed) is None
    owners.learn(SYMBOL, "v9", (3, 5))
    assert owners.of_trade(unnamed) == (3, 5)
    assert owners.of_trade(venue.trade("", 0, 1, 1, venue_id="")) == (0, 0)
