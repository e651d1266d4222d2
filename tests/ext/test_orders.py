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
TERMINAL = ("FILLED", "CANCELED", "REJECTED", "EXPIRED", "NEVER_EXISTED")


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
    evidence, and what was closed without any comes back when there is some."""

    def __init__(self, side, size):
        self.side, self.size, self.trades, self.state = side, size, {}, "INTENT"
        self.final, self.told, self.amend, self.risen, self.refused = "", 0, None, 0, False

    @property
    def filled(self):
        return sum(self.trades.values())

    @property
    def open(self):
        return self.state not in TERMINAL

    @property
    def leaves(self):
        size = max(self.size, self.amend or 0)
        return max(size - self.filled, 0) if self.open else 0

    def raise_to(self, name):
        if self.state == "UNKNOWN" or RANK[name] > RANK[self.state]:
            self.state = name

    def rise(self):
        if self.state == "REJECTED":
            self.state, self.final, self.risen = "LIVE", "", self.risen + 1

    def apply(self, kind, lots=0, trade=0, cumulative=-1):
        """Lots newly filled."""
        if kind == FILL:
            return self.fill(lots, trade)
        if kind in (CANCELED, FILLED):
            self.end(kind, cumulative)
        elif kind == LIVE:
            self.rise()
            if self.open and not self.final:
                self.refused = False
                self.raise_to("PARTIAL" if self.filled or cumulative > 0 else "LIVE")
                self.told = max(self.told, cumulative)
        elif not self.open:
            return 0
        elif kind == ACK and self.state in ("INTENT", "SENT", "UNKNOWN"):
            self.raise_to("PARTIAL" if self.filled else "ACKED")
        elif kind == REJECT:
            doubted, self.refused = self.refused, self.refused or self.state in ("LIVE", "PARTIAL")
            self.state = "REJECTED" if doubted or not self.refused else self.state
        elif kind == UNCERTAIN and self.state in ("INTENT", "SENT"):
            self.state = "UNKNOWN"
        return 0

    def end(self, kind, cumulative):
        told = self.size if kind == FILLED and cumulative < 0 else cumulative
        if told > self.filled:
            self.rise()
        if not self.open:
            return
        told = self.told if told < 0 else told
        name = "CANCELED" if kind == CANCELED else "FILLED"
        if told > self.filled:  # fills are on their way: what they used must not be free before they count
            self.size, self.final, self.told, self.amend = told, name, max(told, self.told), None
            if RANK[self.state] < RANK["LIVE"] or self.state == "UNKNOWN":
                self.state = "LIVE"
        else:
            self.state, self.amend = name, None

    def fill(self, lots, trade):
        if lots <= 0 or trade in self.trades:
            return 0
        self.rise()
        self.trades[trade] = lots
        self.size = max(self.size, self.filled)
        if self.open:
            if self.filled == self.size and (self.amend or 0) <= self.filled:
                self.state, self.amend = self.final or "FILLED", None
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
        risen = before == RANK["REJECTED"] and twin.risen
        assert rank >= before or before == RANK["UNKNOWN"] or risen
        assert before not in [RANK[x] for x in TERMINAL] or rank == before or risen
        seen_rank[order_id] = rank
    assert orders.open_orders() == sorted(i for i, (_, t) in twins.items() if t.open)
    recount(orders)


def recount(orders):
    """Lists, best prices and what is reduce-only, from the rows alone."""
    rows = [orders.order(i) for i in orders.open_orders()]
    assert orders.open_total == len(rows)
    for instrument in range(2):
        told = orders.reserved(instrument)
        mine = [row for row in rows if row["instrument"] == instrument]
        worth = 0
        for side, name in ((BUY, "buy"), (SELL, "sell")):
            here = [row for row in mine if row["side"] == side]
            assert sorted(orders.listed(instrument, side)) == [row["id"] for row in here]
            reducing = [row for row in here if row["reduce_only"]]
            assert told[f"reduce_{name}_lots"] == sum(row["leaves_lots"] for row in reducing)
            exits = [row["leaves_lots"] for row in reducing if row["type"] != 2]
            assert told[f"exit_{name}_lots"] == sum(exits)
            resting = []
            for row in here:
                prices = [row["price_ticks"]] + ([row["amend_ticks"]] if row["amending"] else [])
                if row["type"] == 0 and row["tif"] in (0, 3):
                    resting += prices
                if row["type"] != 2:
                    valued = row["price_ticks"] if row["type"] == 0 else row["value_ticks"]
                    worth += max([valued, *prices[1:]]) * row["leaves_lots"]
            best = (max if side == BUY else min)(resting, default=0)
            assert orders.best_own(instrument, side) == best
        assert told["worth"] == worth


@pytest.mark.parametrize("seed", range(60))
def test_the_table_equals_its_twin_over_random_interleavings(seed):
    """Acks, fills, copies of fills, cancels, rejects, unknowns of many orders, in an order that no venue
    would choose."""
    rng = random.Random(f"orders {seed}")
    orders, twins, rank, trade, sent = table(16), {}, {}, 0, []
    for turn in range(400):
        if rng.random() < 0.15:
            side, size, instrument = rng.randrange(2), rng.randrange(1, 20), rng.randrange(2)
            more = {
                "reduce_only": rng.random() < 0.3,
                "type": rng.choice([0, 0, 0, 1, 2]),
                "tif": rng.randrange(4),
            }
            order_id = orders.intend(instrument, side, rng.randrange(90, 110), size, turn, trigger=80, **more)
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
            elif kind in (CANCELED, LIVE, FILLED):
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
    orders.report(order_id, LIVE)  # a late word from before the end does not undo it
    orders.report(order_id, CANCELED, filled_lots=5)  # the other channel says so too
    assert reserved(orders) == (3, 0, 1)
    assert orders.report(order_id, FILL, 2, 2) == 2
    assert reserved(orders) == (1, 0, 1)
    assert orders.report(order_id, FILL, 1, 3) == 1
    assert (state(orders, order_id), reserved(orders)) == ("CANCELED", (0, 0, 0))


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


# ---- amends: a range until the venue has spoken ----

AMENDED, AMEND_REJECT, ODD, EXPIRED = (
    ReportKind.REPORT_AMENDED,
    ReportKind.REPORT_AMEND_REJECT,
    ReportKind.REPORT_ODD,
    ReportKind.REPORT_EXPIRED,
)


def resting(orders, size=10):
    order_id = orders.intend(0, BUY, 100, size)
    orders.report(order_id, LIVE)
    return order_id


def terms(orders, order_id):
    row = orders.order(order_id)
    return row["price_ticks"], row["size_lots"], row["amending"]


@pytest.mark.parametrize(("wanted", "reserve"), [(15, 15), (4, 10)])
def test_an_amend_in_the_air_reserves_the_larger_size(wanted, reserve):
    orders = table()
    order_id = resting(orders)
    orders.amend(order_id, 99, wanted)
    assert (reserved(orders), terms(orders, order_id)) == ((reserve, 0, 1), (100, 10, 1))


def test_an_amend_is_in_force_when_the_venue_says_so_and_not_on_the_way():
    orders = table()
    order_id = resting(orders)
    orders.amend(order_id, 99, 4)
    orders.report(order_id, LIVE, order_ticks=100, order_lots=10)  # a report from before it
    assert terms(orders, order_id) == (100, 10, 1)
    orders.report(order_id, LIVE, order_ticks=99, order_lots=4)
    assert (terms(orders, order_id), reserved(orders)) == ((99, 4, 0), (4, 0, 1))


def test_a_report_from_before_an_amend_in_force_frees_none_of_its_size():
    orders = table()
    order_id = resting(orders)
    orders.amend(order_id, 99, 15)
    orders.report(order_id, AMENDED, order_ticks=99, order_lots=15, event_ns=7)
    orders.report(order_id, LIVE, order_ticks=100, order_lots=10, event_ns=5)  # another connection was slower
    assert (terms(orders, order_id), reserved(orders)) == ((99, 15, 0), (15, 0, 1))
    orders.report(order_id, LIVE, order_ticks=98, order_lots=12, event_ns=8)
    assert (terms(orders, order_id), reserved(orders)) == ((98, 12, 0), (12, 0, 1))


@pytest.mark.parametrize(("kind", "left"), [(AMENDED, (99, 15, 0)), (AMEND_REJECT, (100, 10, 0))])
def test_an_answer_to_an_amend_ends_the_range(kind, left):
    orders = table()
    order_id = resting(orders)
    orders.amend(order_id, 99, 15)
    orders.report(order_id, kind)
    assert (terms(orders, order_id), reserved(orders)) == (left, (left[1], 0, 1))


def test_a_fill_of_the_old_size_does_not_end_an_order_that_may_have_grown():
    orders = table()
    order_id = resting(orders)
    orders.amend(order_id, 100, 15)
    assert orders.report(order_id, FILL, 10, 1) == 10
    assert (state(orders, order_id), reserved(orders)) == ("PARTIAL", (5, 0, 1))
    orders.report(order_id, AMEND_REJECT)
    orders.report(order_id, FILLED, filled_lots=10)
    assert (state(orders, order_id), reserved(orders)) == ("FILLED", (0, 0, 0))


def test_a_size_that_the_venue_cut_itself_is_taken_over_and_counted():
    orders = table()
    order_id = resting(orders)
    orders.report(order_id, AMENDED, order_ticks=100, order_lots=6)
    assert (terms(orders, order_id), reserved(orders), orders.venue_changes) == ((100, 6, 0), (6, 0, 1), 1)


# ---- doubt ----


def test_an_ack_is_not_acceptance_and_is_asked_about_when_no_report_follows():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    orders.report(order_id, ACK, now_ns=1000)
    assert state(orders, order_id) == "ACKED"
    assert orders.troubled(1000 + 499_999_999) == []
    assert [x["id"] for x in orders.troubled(1000 + 500_000_000)] == [order_id]
    orders.report(order_id, LIVE)
    assert orders.troubled(10**12) == []


def test_a_cumulative_quantity_ahead_of_the_fills_is_asked_about():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    orders.report(order_id, LIVE, filled_lots=4, now_ns=1000)
    assert orders.troubled(2000) == []
    assert [x["id"] for x in orders.troubled(10**9)] == [order_id]
    orders.report(order_id, FILL, 4, 1, now_ns=3000)
    assert orders.troubled(10**9) == []
    assert reserved(orders) == (6, 0, 1)


def test_a_refused_cancel_and_an_odd_state_are_asked_about_until_settled():
    orders = table()
    for kind in (CANCEL_REJECT, ODD):
        order_id = resting(orders)
        orders.report(order_id, kind)
        assert [x["id"] for x in orders.troubled(1)] == [order_id]
        orders.settle(order_id)
        assert orders.troubled(1) == []
    assert orders.odd == 1
    assert state(orders, order_id) == "LIVE"  # never mapped to a known one


def test_a_refusal_of_an_order_that_rested_ends_it_the_second_time_however_often_it_was_settled_between():
    orders = table()
    order_id = resting(orders)
    orders.report(order_id, REJECT)
    orders.settle(order_id)
    assert (state(orders, order_id), reserved(orders)) == ("LIVE", (10, 0, 1))
    assert [x["id"] for x in orders.troubled(1)] == [order_id]
    orders.report(order_id, REJECT)
    assert (state(orders, order_id), reserved(orders)) == ("REJECTED", (0, 0, 0))


@pytest.mark.parametrize("evidence", [(LIVE, 0, -1), (FILL, 3, 3), (CANCELED, 0, 3)])
def test_an_order_that_was_closed_as_refused_and_exists_is_open_again_and_to_be_cancelled(evidence):
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    orders.report(order_id, REJECT)
    kind, lots, cumulative = evidence
    orders.report(order_id, kind, lots, 1, filled_lots=cumulative)
    row = orders.order(order_id)
    assert row["state"] in ("LIVE", "PARTIAL")
    assert orders.risen == 1
    assert reserved(orders)[2] == 1
    assert reserved(orders)[0] >= 3 - lots
    if kind != CANCELED:
        assert row["cancel_wanted"]


def test_a_refusal_of_an_order_that_was_reported_to_rest_frees_nothing_before_it_is_said_again():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    orders.report(order_id, LIVE)
    orders.report(order_id, REJECT)  # an answer that says "failed" behind a report that says "live"
    assert state(orders, order_id) == "LIVE"
    assert reserved(orders) == (10, 0, 1)
    assert [x["id"] for x in orders.troubled(0)] == [order_id]  # somebody must ask
    orders.report(order_id, REJECT)
    assert state(orders, order_id) == "REJECTED"
    assert reserved(orders) == (0, 0, 0)


def test_a_refusal_that_was_not_so_leaves_no_doubt_behind():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    for kind in (LIVE, REJECT, LIVE):
        orders.report(order_id, kind)
    orders.settle(order_id)
    assert orders.troubled(0) == []
    orders.report(order_id, REJECT)
    assert state(orders, order_id) == "LIVE"


def test_the_unknown_size_is_told_apart_and_so_are_requests_in_the_air():
    orders = table()
    first, second = orders.intend(0, BUY, 100, 10), orders.intend(0, SELL, 100, 4)
    row = orders.reserved(0)
    assert (row["unknown_lots"], row["unacked"]) == (0, 2)
    orders.report(first, UNCERTAIN)
    row = orders.reserved(0)
    assert (row["unknown_lots"], row["unacked"]) == (10, 2)  # not knowing is no answer
    orders.report(first, FILL, 4, 1)
    orders.report(second, ACK)
    row = orders.reserved(0)
    assert (row["unknown_lots"], row["unacked"]) == (0, 0)


# ---- fills that nobody can name yet, and other people's ----


def test_a_fill_before_the_ack_and_without_our_id_counts_at_once_and_finds_its_order():
    orders = table()
    order_id = orders.intend(0, BUY, 100, 10)
    assert orders.report(0, FILL, 4, 1, instrument=0, side=BUY, venue_id="v7") == 4
    assert reserved(orders) == (10, 0, 1)  # whose it is is not known: nothing is freed
    orders.report(order_id, ACK, venue_id="v7")
    row = orders.order(order_id)
    assert (row["filled_lots"], row["state"], reserved(orders)) == (4, "PARTIAL", (6, 0, 1))
    assert orders.report(order_id, FILL, 4, 1, venue_id="v7") == 0  # the full report of the same trade
    assert orders.report(0, FILL, 4, 1, instrument=0, side=BUY, venue_id="v7") == 0


def test_a_fill_that_names_only_the_venue_s_id_reaches_an_order_that_is_known_by_it():
    orders = table()
    order_id = orders.intend(0, SELL, 100, 10)
    orders.report(order_id, LIVE, venue_id="v8")
    assert orders.report(0, FILL, 10, 1, instrument=0, side=SELL, venue_id="v8") == 10
    assert state(orders, order_id) == "FILLED"


def test_a_fill_of_somebody_else_s_order_counts_once_and_touches_none_of_ours():
    orders = table()
    resting(orders)
    assert [orders.report(0, FILL, 7, 5, instrument=0, side=SELL, venue_id="x") for _ in range(2)] == [7, 0]
    assert (orders.foreign, reserved(orders)) == (1, (10, 0, 1))


def test_an_order_of_an_earlier_epoch_is_a_stray_until_it_is_adopted():
    orders = table()
    orders.intend(0, BUY, 100, 1)
    orders.report(1, LIVE, epoch=9)
    assert (orders.strays, state(orders, 1)) == (1, "INTENT")


def test_an_instrument_beyond_the_table_is_an_index_error():
    with pytest.raises(IndexError, match="the table has 2"):
        table().reserved(2)


def test_a_refused_cancel_or_amend_is_no_sign_of_life_of_an_order():
    orders = table()
    number = orders.intend(0, BUY, 100, 10, 1)
    orders.report(number, ACK, now_ns=5)
    for kind in (CANCEL_REJECT, UNCERTAIN, ReportKind.REPORT_AMEND_REJECT):
        orders.report(number, kind, now_ns=9)
        assert orders.order(number)["heard_ns"] == 5
    orders.report(number, LIVE, now_ns=12)
    assert orders.order(number)["heard_ns"] == 12


def test_a_venue_id_that_fills_its_place_is_shown_whole():
    """It is the end of an order's row: `make sanitize` sees a read behind it."""
    orders = Orders(4, 1)
    order = orders.intend(0, BUY, 100, 10)
    orders.report(order, ReportKind.REPORT_LIVE, venue_id="v" * 40)
    assert orders.order(order)["venue_id"] == "v" * 40
