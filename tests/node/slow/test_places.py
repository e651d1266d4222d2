"""Ticks, lots and checks in the units of people."""

from decimal import Decimal

import pytest

from ext.instruments import Instruments
from ext.records import Market, Reason
from node.slow.places import Place, place_of, plain

PERP = Place("okx", "BTC-USDT-SWAP", Decimal("0.1"), Decimal("0.01"), 1000, 1, "BTC", "USDT", True)


def test_a_lot_of_contracts_is_shown_in_coins_and_money_is_exact():
    assert PERP.coins(3) == Decimal("0.0003")  # 0.03 contracts of 0.01 BTC
    assert PERP.price(600_001) == Decimal("60000.1")
    assert PERP.money(600_001 * 3) == Decimal("60000.1") * Decimal("0.0003")


def test_coins_of_a_lot_are_what_the_instrument_says_whatever_its_grid():
    instruments = Instruments()
    for tick, lot, contract in (("0.1", "0.001", "1"), ("0.00001", "1", "1000"), ("0.05", "0.01", "0.01")):
        number = instruments.add(Market.OKX, f"A-{tick}-{lot}", tick, lot, contract, is_perpetual=True)
        row = instruments.row(number)
        place = Place("okx", "A", Decimal(tick), Decimal(lot), row["money_mul"], row["money_div"])
        assert place.base_lot == Decimal(lot) * Decimal(contract)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("SIZE_MAX", "AT_MOST", 10, 1000, 0), ("0.001", "<=", "0.1", "BTC")),
        (("PRICE_RANGE", "AT_LEAST", 600_000, 1, 0), ("60000", ">=", "0.1", "USDT")),
        (("PRICE_RANGE", "AT_MOST", 600_000, 1 << 47, 0), ("60000", "<=", "none", "USDT")),
        (("SELF_TRADE", "HOLDS", 600_000, 0, 0), ("60000", "", "none", "USDT")),
        (("NOTIONAL_MAX", "AT_MOST", 2_999_915_000, 10**13, 0), ("29.99915", "<=", "100000", "USDT")),
        (("OPEN_NOTIONAL", "AT_MOST", 600_000 * 5, 10**13, -1), ("30", "<=", "100000", "USDT")),
        (("COIN", "AT_MOST", -150_000_000, 10**8, 0), ("-1.5", "<=", "1", "account currency")),
        (("PRICE_COLLAR", "AT_MOST", 40, 50_000, 20_000), ("20", "<=", "500", "bps")),
        (("PRICE_COLLAR", "HOLDS", 2000, 50_000, 0), ("20", "", "500", "bps")),
        (("LEVERAGE", "AT_MOST", 10**8, 5000, 3 * 10**7), ("3.33", "<=", "5", "times")),
        (("LEVERAGE", "HOLDS", 3333, 3000, 0), ("3.33", "", "3", "times")),
        (("BOOK_STALE", "AT_MOST", 2_500_000, 5 * 10**9, 0), ("2.5", "<=", "5000", "ms")),
        (("COOLDOWN", "AT_MOST", -(10**18), 0, 0), ("none", "<=", "0", "ms")),
        (("ORDER_RATE", "AT_LEAST", 1 << 61, 10**9, 0), ("never", ">=", "1000", "ms")),
        (("NO_REFERENCE", "AT_LEAST", 2, 1, 0), ("2", ">=", "1", "")),
        (("NO_REFERENCE", "AT_MOST", 3, 50_000, 1000), ("30", "<=", "500", "bps")),
        (("HALTED", "HOLDS", 2, 0, 0), ("HALT_DRIFT", "", "none", "")),
        (("HALTED", "HOLDS", 11, 0, 0), ("HALT_START", "", "none", "")),
        (("HALTED", "AT_MOST", 0, 0, 0), ("none", "<=", "none", "")),
        (("WINDOW", "BELOW", -1, 0, 0), ("none", "<", "none", "")),
        (("BOOK_UNSYNCED", "HOLDS", 3, 2, 0), ("gap", "", "synced", "")),
        (("OPEN_ORDERS", "BELOW", 3, 6, 0), ("3", "<", "6", "")),
    ],
)
def test_value_and_limit_are_in_the_unit_of_the_check(row, told):
    fields = dict(zip(("reason", "sense", "value", "limit", "whole"), row, strict=True))
    found = PERP.check(fields)
    assert (found["value"], found["sense"], found["limit"], found["unit"]) == told
    assert found["check"] == row[0]


def test_no_check_that_there_is_cannot_be_told():
    for reason in Reason:
        if reason.name not in ("OK", "REASONS"):
            for value in (-1, 0, 1, 7, 2**63 - 1):
                row = {
                    "reason": reason.name,
                    "value": value if reason.name != "BOOK_UNSYNCED" else 1,
                    "limit": 2,
                }
                assert PERP.check(row)["value"]


def test_a_decimal_is_plain_digits():
    assert [plain(Decimal(x)) for x in ("1E+3", "0.10", "-0.00", "1e-8", "100")] == [
        "1000",
        "0.1",
        "0",
        "0.00000001",
        "100",
    ]


def test_a_tape_of_before_coins_were_told_is_read_too():
    told = {"market": "okx", "symbol": "X", "tick": "0.1", "lot": "1", "money_mul": 1, "money_div": 1}
    assert (place_of(told).base, place_of(told).is_perpetual) == ("", False)
