"""Money of the simulated venues: exact, double-entry, rounded only where a venue rounds."""

from dataclasses import dataclass, field
from decimal import Decimal, Inexact

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.venues.ledger import (
    BUY,
    EXACT,
    PRIVATE_KEY_PEM,
    PUBLIC_KEY_PEM,
    SELL,
    Account,
    Balance,
    House,
    Key,
    Position,
    Refusal,
    VenueTrade,
    change_position,
    make_account,
    margin_of,
    need_of,
)
from node.venues.parts import Listing


@dataclass(eq=False)
class Order:
    """What the ledger reads of an order."""

    listing: Listing
    side: int = BUY
    price_ticks: int = 100
    leaves_lots: int = 10
    order_type: str = "limit"
    leg: str = "net"
    locked: Decimal = Decimal(0)
    locked_coin: str = ""
    is_resting: bool = True
    notes: dict = field(default_factory=dict)


SPOT = Listing("ABUSDT", "0.1", "0.01", 1, base="AB")
PERP = Listing("ABUSDT", "0.1", "1", 2, base="AB", contract="0.001", is_perpetual=True)


def trade(order, price=100, size=10, fee="0", coin="USDT", side=None):
    side = order.side if side is None else side
    return VenueTrade(1, order, order.listing, side, price, size, Decimal(fee), coin, False, 5)


def account(**coins):
    made = Account(1, house=House())
    for coin, amount in coins.items():
        made.balance(coin).total = Decimal(amount)
    return made


def test_free_is_what_is_not_locked():
    assert Balance(Decimal(5), Decimal("1.5")).free == Decimal("3.5")


def test_sums_that_cannot_be_exact_are_an_error_and_not_a_number():
    with pytest.raises(Inexact):
        EXACT.divide(Decimal(1), Decimal(3))


def test_an_order_locks_what_it_may_cost_once():
    holder, order = account(USDT="150"), Order(SPOT, price_ticks=1000, leaves_lots=100)
    holder.lock(order)
    holder.lock(order)
    assert holder.balance("USDT").locked == 100
    with pytest.raises(Refusal, match=r"100\.000 is needed, 50\.000 is free") as refused:
        holder.lock(Order(SPOT, price_ticks=1000, leaves_lots=100))
    assert refused.value.name == "funds"
    order.leaves_lots = 40
    holder.relock(order)
    assert holder.balance("USDT").locked == 40
    holder.unlock(order)
    assert holder.balance("USDT").locked == 0


def test_a_seller_locks_what_he_sells_and_a_perpetual_locks_nothing():
    assert need_of(Order(SPOT, side=SELL)) == ("AB", Decimal("0.1"))
    assert need_of(Order(SPOT, order_type="market")) == ("USDT", 0)
    assert need_of(Order(PERP)) == ("USDT", 0)


def test_what_the_account_gets_the_house_owes():
    holder = account(USDT="1000")
    booked = holder.apply(trade(Order(SPOT, is_resting=False), fee="0.0001", coin="AB"))
    assert booked.number == 1
    assert {c: b.total for c, b in holder.balances.items()} == {
        "USDT": Decimal(999),
        "AB": Decimal("0.0999"),
    }
    assert holder.house.owed == {
        ("trade", "AB"): Decimal("-0.1"),
        ("trade", "USDT"): 1,
        ("fee", "AB"): Decimal("0.0001"),
    }


def test_entry_is_the_average_of_what_opened_and_realised_of_what_closed():
    position = Position()
    change_position(position, PERP, 1000, 100, 1)
    change_position(position, PERP, 2000, 130, 2)
    assert (position.entry, position.cost, position.opened_ns) == (Decimal(12), Decimal(36), 1)
    assert change_position(position, PERP, -1000, 150, 3) == Decimal(3)
    assert (position.lots, position.entry) == (2000, Decimal(12))
    assert change_position(position, PERP, -3000, 110, 4) == Decimal(-2)
    assert (position.lots, position.entry, position.realised) == (-1000, Decimal(11), Decimal(0))
    assert (position.opened_ns, position.updated_ns) == (4, 4)


@given(st.lists(st.tuples(st.integers(-50, 50).filter(bool), st.integers(1, 10**7)), max_size=30))
def test_realised_and_open_cost_are_exactly_what_was_paid_and_got(steps):
    position, realised, paid = Position(), Decimal(0), Decimal(0)
    for lots, price in steps:
        realised += change_position(position, PERP, lots, price, 0)
        paid += PERP.notional(price, lots)
    assert realised == position.cost - paid
    assert position.lots == sum(lots for lots, _ in steps)
    assert (position.cost == 0) >= (position.lots == 0)


def test_funding_of_a_flat_account_is_nothing_and_is_listed_otherwise():
    holder = account(USDT="1000")
    assert holder.fund(PERP, Decimal("0.001"), Decimal(10), 7) == []
    holder.apply(trade(Order(PERP), size=1000))
    (income,) = holder.fund(PERP, Decimal("0.001"), Decimal(10), 7)
    assert (income.kind, income.amount, income.now_ns) == ("funding", Decimal("-0.01"), 7)
    assert holder.incomes == [income]


def test_equity_and_margins_are_at_the_mark():
    holder = account(USDT="1000")
    holder.apply(trade(Order(PERP), size=1000))
    arguments = ("USDT", "", [SPOT, PERP], lambda _: Decimal(15))
    assert holder.equity(*arguments) == 1005
    assert holder.initial_margin(*arguments) == Decimal("0.75")
    assert holder.maintenance_margin(*arguments) == Decimal("0.06")
    assert margin_of(Decimal(10), 3) == Decimal("3.33333334")


def test_purses_are_apart():
    made = make_account(7, [("", "USDT"), ("usdm", "USDT"), ("", "XYZ")])
    assert made.uid == "900000007"
    assert set(made.wallets) == {"", "usdm"}
    made.move("USDT", Decimal(-5), "transfer", "usdm")
    assert made.balance("USDT").total - made.balance("USDT", "usdm").total == 5


def test_a_key_does_not_show_its_secrets():
    assert "hidden" not in repr(Key("a", "hidden", "hidden"))


def test_the_key_pair_of_the_simulation_is_a_pair():
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

    private = load_pem_private_key(PRIVATE_KEY_PEM.encode(), None)
    public = load_pem_public_key(PUBLIC_KEY_PEM.encode())
    public.verify(private.sign(b"x"), b"x")
