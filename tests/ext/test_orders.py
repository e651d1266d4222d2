"""The order table against a naive machine: any order of events, exposure never wrong, a fill never counted
twice."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.orders import Orders
from ext.records import OrderState, ReportKind

ACK, REJECT, LIVE, FILL = (
    ReportKind.REPORT_ACK,
    ReportKind.REPORT_REJECT,
    ReportKind.REPORT_LIVE,
    ReportKind.REPORT_FILL,
)
CANCELED, UNCERTAIN, CANCEL_REJECT, FILLED = (
    ReportKind.REPORT_CANCELED,
    ReportKind.REPORT_UNCERTAIN,
    ReportKind.REPORT_CANCEL_REJECT,
    ReportKind.REPORT_FILLED,
)
BUY, SELL = 0, 1
RANK = {state.name: state.value for state in OrderState}
TERMINAL = ("FILLED", "CANCELED", "REJECTED")


def table(capacity=8, instruments=2) -> Orders:
    return Orders(capacity, instruments)


def state(orders, order_id):
    return orders.order(order_id)["state"]


def reserved(orders, instrument=0):
    row = orders.reserved(instrument)
    return row["buy_lots"], row["sell_lots"], row["open_orders"]


# ---- the naive machine ----


class Twin:
    """An order as the failure catalogue wants it: fills are a set, states a ladder, the size is freed by
    evidence."""

    def __init__(self, side, size):
        self.side, self.size, self.trades, self.state = side, size, {}, "INTENT"

    @property
    def filled(self):
        return sum(self.trades.values())

    @property
    def open(self):
        return self.state not in TERMINAL

    @property
    def leaves(self):
        return self.size - self.filled if self.open else 0

    def raise_to(self, name):
        if self.state == "UNKNOWN" or RANK[name] > RANK[self.state]:
            self.state = name

    def apply(self, kind, lots=0, trade=0, cumulative=-1):
        """Lots newly filled."""
        if kind == FILL:
            return self.fill(lots, trade)
        if not self.open:
            return 0
        if kind in (ACK, LIVE):
            self.raise_to("PARTIAL" if self.filled else "LIVE")
        elif kind == REJECT:
            self.state = "REJECTED"
        elif kind == UNCERTAIN and self.state in ("INTENT", "SENT"):
            self.state = "UNKNOWN"
        elif kind in (CANCELED, FILLED):
            told = self.size if kind == FILLED else cumulative
            if (
                told > self.filled
            ):  # fills are on their way: what they used must not be free before they count
                self.size = told
            else:
                self.state = "CANCELED" if kind == CANCELED else "FILLED"
        return 0

    def fill(self, lots, trade):
        if lots <= 0 or trade in self.trades:
            return 0
        self.trades[trade] = lots
        self.size = max(self.size, self.filled)
        if self.open:
            if self.filled == self.size:
                self.state = "FILLED"
            else:
                self.raise_to("PARTIAL")
        return lots


def check(orders, twins, seen_rank):
    for instrument in range(2):
        mine = [t for (i, t) in twins.values() if i == instrument]
        buy = sum(t.leaves for t in mine if t.side == BUY)
        sell = sum(t.leaves for t in mine if t.side == SELL)
        assert reserved(orders, instrument) == (buy, sell, sum(t.open for t in mine))
        assert min(reserved(orders, instrument)) >= 0
    for order_id, (_, twin) in twins.items():
        row = orders.order(order_id)
        if row is None:
            continue
        assert (row["state"], row["filled_lots"], row["size_lots"]) == (twin.state, twin.filled, twin.size)
        rank = RANK[row["state"]]
        before = seen_rank.get(order_id, 0)
        assert rank >= before or before == RANK["UNKNOWN"]
        assert before not in [RANK[x] for x in TERMINAL] or rank == before
        seen_rank[order_id] = rank
    assert orders.open_orders() == sorted(i for i, (_, t) in twins.items() if t.open)


@pytest.mark.parametrize("seed", range(60))
def test_the_table_equals_its_twin_over_random_interleavings(seed):
    """Acks, fills, copies of fills, cancels, rejects, unknowns of many orders, in an order that no venue
    would choose."""
    rng = random.Random(f"orders {seed}")
    orders, twins, rank, trade, sent = table(16), {}, {}, 0, []
    for turn in range(400):
        if rng.random() < 0.15:
            side, size, instrument = rng.randrange(2), rng.randrange(1, 20), rng.randrange(2)
            order_id = orders.intend(instrument, side, 100, size, turn)
            if order_id:
                assert order_id not in twins
                twins[order_id] = (instrument, Twin(side, size))
            else:
                assert len(orders.open_orders()) == 16
        elif twins:
            order_id = rng.choice(list(twins)[-24:])
            twin = twins[order_id][1]
            kind = rng.choice(
                (
                    ACK,
                    LIVE,
                    FILL,
                    FILL,
                    FILL,
                    FILL,
                    UNCERTAIN,
                    CANCELED,
                    CANCELED,
                    REJECT,
                    FILLED,
                    CANCEL_REJECT,
                )
            )
            lots, number, cumulative = 0, 0, -1
            if kind == FILL:
                trade += 1
                lots, number = rng.randrange(0, 6), trade
                if sent and rng.random() < 0.3:
                    order_id, lots, number = rng.choice(sent[-20:])
                    twin = twins[order_id][1]
                sent.append((order_id, lots, number))
            elif kind == CANCELED:
                cumulative = rng.choice(
                    (-1, twin.filled, twin.filled, twin.filled + rng.randrange(3), max(0, twin.filled - 1))
                )
            gone = orders.order(order_id) is None  # its row serves another order by now
            got = orders.report(order_id, kind, lots, number, 0, cumulative, turn)
            assert got == (0 if gone else twin.apply(kind, lots, number, cumulative))
        check(orders, twins, rank)


EVENTS = [
    (ACK, 0, 0, -1),
    (LIVE, 0, 0, -1),
    (FILL, 3, 1, -1),
    (FILL, 3, 1, -1),
    (FILL, 2, 2, -1),
    (CANCELED, 0, 0, 5),
    (UNCERTAIN, 0, 0, -1),
    (CANCEL_REJECT, 0, 0, -1),
]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.permutations(EVENTS))
def test_one_life_ends_alike_in_every_order_of_arrival(events):
    """Ack, live, two fills (one twice) and a cancel that tells of both: five of ten lots, then free."""
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    twin, lots = Twin(BUY, 10), 0
    for kind, size, trade, cumulative in events:
        got = orders.report(order_id, kind, size, trade, 0, cumulative)
        assert got == twin.apply(kind, size, trade, cumulative)
        lots += got
        assert reserved(orders) == (twin.leaves, 0, int(twin.open))
    row = orders.order(order_id)
    assert (lots, row["filled_lots"]) == (5, 5)
    assert row["state"] in ("CANCELED", "FILLED")
    assert reserved(orders) == (0, 0, 0)


# ---- one rule at a time ----


def test_exposure_is_reserved_at_the_intent_by_side_and_instrument():
    orders = table()
    orders.intend(0, BUY, 100, 10)
    orders.intend(0, SELL, 100, 4)
    orders.intend(1, BUY, 100, 1)
    assert (reserved(orders, 0), reserved(orders, 1)) == ((10, 4, 2), (1, 0, 1))


def test_an_unknown_order_keeps_its_exposure_and_any_word_of_the_venue_ends_the_doubt():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    orders.report(order_id, UNCERTAIN)
    assert (state(orders, order_id), reserved(orders)) == ("UNKNOWN", (10, 0, 1))
    orders.report(order_id, LIVE)
    assert (state(orders, order_id), reserved(orders)) == ("LIVE", (10, 0, 1))
    orders.report(order_id, UNCERTAIN)  # of a cancel, perhaps: the order was seen alive
    assert state(orders, order_id) == "LIVE"
    other = orders.intend(0, BUY, 100, 10)
    orders.report(other, UNCERTAIN)
    orders.report(other, FILL, 4, 77)
    assert (state(orders, other), reserved(orders)) == ("PARTIAL", (16, 0, 2))


def test_a_refused_cancel_proves_nothing():
    orders = table()
    order_id = orders.intend(0, SELL, 100, 10)
    orders.report(order_id, LIVE)
    for _ in range(3):
        orders.report(order_id, CANCEL_REJECT)
    assert (state(orders, order_id), reserved(orders)) == ("LIVE", (0, 10, 1))


def test_a_cancel_that_tells_of_fills_not_seen_yet_keeps_their_exposure_until_they_come():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    orders.report(order_id, FILL, 2, 1)
    orders.report(order_id, CANCELED, filled_lots=5)
    assert (state(orders, order_id), reserved(orders)) == ("PARTIAL", (3, 0, 1))
    orders.report(order_id, CANCELED, filled_lots=5)  # the other channel says so too
    assert reserved(orders) == (3, 0, 1)
    assert orders.report(order_id, FILL, 2, 2) == 2
    assert reserved(orders) == (1, 0, 1)
    assert orders.report(order_id, FILL, 1, 3) == 1
    assert (state(orders, order_id), reserved(orders)) == ("FILLED", (0, 0, 0))


def test_a_filled_report_without_its_trades_keeps_the_exposure_until_they_come():
    orders = table()
    order_id = orders.intend(0, SELL, 100, 10)
    orders.report(order_id, FILLED)
    assert reserved(orders) == (0, 10, 1)
    orders.report(order_id, FILL, 10, 1)
    assert (state(orders, order_id), reserved(orders)) == ("FILLED", (0, 0, 0))


def test_a_cancel_that_tells_of_more_than_was_ordered_reserves_more():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    orders.report(order_id, CANCELED, filled_lots=12)
    assert reserved(orders) == (12, 0, 1)


def test_a_fill_before_the_ack_counts_and_the_ack_does_not_turn_it_back():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    assert orders.report(order_id, FILL, 4, 1) == 4
    orders.report(order_id, ACK)
    assert (state(orders, order_id), reserved(orders)) == ("PARTIAL", (6, 0, 1))
    assert orders.report(order_id, FILL, 6, 2) == 6
    orders.report(order_id, ACK)
    orders.report(order_id, LIVE)
    assert state(orders, order_id) == "FILLED"


def test_a_fill_behind_a_terminal_state_still_moves_the_position_once():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    orders.report(order_id, CANCELED)
    assert reserved(orders) == (0, 0, 0)
    assert orders.report(order_id, FILL, 4, 1) == 4
    assert orders.report(order_id, FILL, 4, 1) == 0
    assert (state(orders, order_id), reserved(orders), orders.unexpected) == ("CANCELED", (0, 0, 0), 1)
    assert orders.order(order_id)["filled_lots"] == 4


def test_an_overfill_is_counted_as_it_is_and_never_makes_exposure_negative():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    orders.intend(0, BUY, 100, 5)
    assert orders.report(order_id, FILL, 25, 1) == 25
    assert (state(orders, order_id), reserved(orders)) == ("FILLED", (5, 0, 1))
    assert orders.unexpected == 1


def test_a_fill_of_nothing_is_no_fill():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    for lots in (0, -1, -(2**62)):
        assert orders.report(order_id, FILL, lots, 1) == 0
    assert orders.report(order_id, FILL, 1, 1) == 1
    assert reserved(orders) == (9, 0, 1)


def test_a_report_for_an_order_that_is_not_ours_changes_nothing():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    for foreign in (0, order_id + 1, order_id + 8, 2**63):
        assert orders.report(foreign, FILL, 3, 1) == 0
        assert orders.order(foreign) is None
    assert (orders.foreign, reserved(orders)) == (4, (10, 0, 1))
    assert orders.report(order_id, FILL, 3, 1) == 3  # the foreign ones did not use up the trade id


# ---- duplicates ----


def test_the_same_trade_id_on_another_instrument_is_another_trade():
    orders = table()
    first, second = orders.intend(0, BUY, 100, 10), orders.intend(1, BUY, 100, 10)
    assert [orders.report(first, FILL, 1, 7), orders.report(second, FILL, 1, 7)] == [1, 1]


def test_both_halves_of_a_trade_id_count():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 100)
    keys = [(0, 0), (0, 1), (1, 0), (1, 1), (-1, 0), (2**62, 5), (5, 2**62)]
    assert [orders.report(order_id, FILL, 1, lo, hi) for lo, hi in keys] == [1] * len(keys)
    assert [orders.report(order_id, FILL, 1, lo, hi) for lo, hi in keys] == [0] * len(keys)
    assert orders.duplicates == len(keys)


def test_two_orders_of_ours_that_trade_with_each_other_both_fill():
    """One trade id, two sides: venues without self-trade prevention report it to both orders."""
    orders = table()
    buy, sell = orders.intend(0, BUY, 100, 10), orders.intend(0, SELL, 100, 10)
    assert [orders.report(buy, FILL, 10, 7), orders.report(sell, FILL, 10, 7)] == [10, 10]
    assert [orders.report(buy, FILL, 10, 7), orders.report(sell, FILL, 10, 7)] == [0, 0]
    assert reserved(orders) == (0, 0, 0)


def test_the_newest_65536_trades_are_remembered_for_certain():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 2**40)
    report, newest = orders.report, 3 * 65_536 + 100
    assert all(report(order_id, FILL, 1, trade) for trade in range(1, newest + 1))
    assert not any(report(order_id, FILL, 1, trade) for trade in range(newest - 65_535, newest + 1))
    assert orders.order(order_id)["filled_lots"] == newest
    assert reserved(orders) == (2**40 - newest, 0, 1)


# ---- rows ----


def test_a_full_table_gives_no_order_and_a_freed_row_does():
    orders = table(4)
    ids = [orders.intend(0, BUY, 100, 1) for _ in range(4)]
    assert orders.intend(0, BUY, 100, 1) == 0
    assert reserved(orders) == (4, 0, 4)
    orders.report(ids[2], REJECT)
    again = orders.intend(0, BUY, 100, 1)
    assert again > max(ids)
    assert again & 3 == ids[2] & 3
    assert orders.intend(0, BUY, 100, 1) == 0


def test_a_long_lived_order_keeps_its_row_while_thousands_pass_by():
    orders, used = table(4), set()
    old = orders.intend(0, SELL, 100, 9)
    for turn in range(5000):
        order_id = orders.intend(0, BUY, 100, 1)
        assert order_id
        assert order_id not in used
        used.add(order_id)
        orders.report(order_id, LIVE)
        orders.report(order_id, FILL, 1, turn + 1)
    assert (state(orders, old), reserved(orders), orders.open_orders()) == ("INTENT", (0, 9, 1), [old])
    assert orders.report(old, FILL, 9, 999_999) == 9


def test_a_late_fill_for_an_order_whose_row_was_reused_is_foreign():
    orders = table(1)
    first = orders.intend(0, BUY, 100, 5)
    orders.report(first, CANCELED)
    second = orders.intend(0, SELL, 100, 3)
    assert orders.report(first, FILL, 5, 1) == 0
    assert (orders.foreign, reserved(orders)) == (1, (0, 3, 1))
    assert state(orders, second) == "INTENT"


def test_ids_go_on_from_the_first_id_and_are_never_used_twice():
    orders = Orders(4, 1, 1_000_000)
    assert orders.intend(0, BUY, 100, 1) == 1_000_000
    assert Orders(4, 1, 0).intend(0, BUY, 100, 1) == 1


@pytest.mark.parametrize("capacity", [0, -4, 3, 4095])
def test_a_capacity_that_is_no_power_of_two_is_refused(capacity):
    with pytest.raises(ValueError, match="power of two"):
        Orders(capacity, 1)


def test_state_counts_tell_how_many_reached_each_state():
    orders = table()
    for kind in (LIVE, REJECT, CANCELED):
        orders.report(orders.intend(0, BUY, 100, 1), kind)
    assert orders.state_counts() == {"INTENT": 3, "LIVE": 1, "REJECTED": 1, "CANCELED": 1}


def test_an_instrument_beyond_the_table_is_an_index_error():
    with pytest.raises(IndexError, match="the table has 2"):
        table().reserved(2)
