"""What a tape tells, added up: of a run of the engine, and of records made by hand."""

import struct
from collections import Counter
from decimal import Decimal

import orjson
import pytest

from ext.engine import Engine, LineKind, Recorder
from ext.instruments import Instruments
from ext.records import Action, HaltReason, Latch, Market, OrderType, Reason, Side, TimeInForce
from ext.strategy import Strategy
from ext.tape import Record, RecordType, TapeReader, TapeWriter
from ext.venues.bybit import BybitWire
from node.slow.summary import Summary, percentiles_us

SECOND = 10**9
CONFIG = {
    "build": "0123456789ab",
    "config": {"mode": "sim"},
    "instruments": [
        {
            "market": "bybit-linear",
            "symbol": "BTCUSDT",
            "tick": "0.1",
            "lot": "0.001",
            "money_mul": 10_000,
            "money_div": 1,
        },
        {
            "market": "okx",
            "symbol": "BTC-USDT-SWAP",
            "tick": "0.1",
            "lot": "0.01",
            "money_mul": 1_000,
            "money_div": 1,
        },
    ],
    "lines": [{"name": "feed A", "kind": 0}, {"name": "feed B", "kind": 0}, {"name": "orders", "kind": 1}],
}


def record(kind: int, payload: bytes = b"", now_ns: int = 1, line: int = 0) -> Record:
    return Record(kind, line, 0, now_ns, payload)


def fed(*records: Record) -> Summary:
    summary = Summary()
    summary.feed(record(RecordType.CONFIG, orjson.dumps(CONFIG)))
    for x in records:
        summary.feed(x)
    return summary


# struct layouts of ext/records.pxd, spelled out once more: a change there must be noticed here
INTENT = struct.Struct("<8i3q2Q")
VERDICT = struct.Struct("<8i3q2Q2i2qQ")
SENT = struct.Struct("<Q3q")
EQUITY = struct.Struct("<2i12q")
STATE = struct.Struct("<2i13q")


def verdict(
    reason: int = 0,
    *,
    instrument=0,
    action=Action.NEW,
    side=Side.BUY,
    size=5,
    price=600_000,
    order_id=7,
    type=0,
    tif=0,
    value=0,
    limit=0,
) -> Record:
    intent_id = order_id if action == Action.CANCEL else 0
    row = VERDICT.pack(
        instrument,
        0,
        action,
        side,
        type,
        tif,
        0,
        0,
        price,
        size,
        0,
        intent_id,
        0,
        reason,
        0,
        value,
        limit,
        order_id,
    )
    return record(RecordType.VERDICT, row)


def out(order_id: int) -> Record:
    return record(RecordType.ORDER_OUT, order_id.to_bytes(8, "little") + b'{"op":"order.create"}')


def sent(frame_ns: int, sent_ns: int, order_id: int = 7) -> Record:
    return record(RecordType.SENT, SENT.pack(order_id, frame_ns, sent_ns, 1))


def mark(instrument=0, **fields) -> Record:
    names = "frames bid_ticks bid_lots ask_ticks ask_lots gaps resyncs trades position_lots cash fee_e8"
    values = [fields.get(x, 0) for x in (names + " open_orders fills").split()]
    return record(RecordType.MARK, STATE.pack(instrument, fields.get("state", 2), *values))


# ---- a true run ----------------------------------------------------------------------------------


class TwoQuotes(Strategy):
    """A bid and an ask on the first book, one order that is too large, and a cancel of the bid on the
    third."""

    def __init__(self):
        self.seen = 0
        self.bid = 0

    def on_book(self, instrument, now_ns):
        self.seen += 1
        bid, ask = self.best(instrument)
        if self.seen == 1:
            self.buy(instrument, bid[0], 5)
            self.sell(instrument, ask[0], 5, TimeInForce.POST_ONLY)
        elif self.seen == 2:
            self.buy(instrument, bid[0], 5000)
        elif self.seen == 3:
            self.cancel(self.bid)
            self.cancel(999)
        return 0

    def on_order(self, instrument, side, order_id, now_ns):
        if side == Side.BUY:
            self.bid = order_id
        return 0


@pytest.fixture
def run(tmp_path) -> Summary:
    """The summary of a run of the engine with two orders, of which one fills and one is cancelled."""
    instruments = Instruments(1)
    instruments.add(Market.BYBIT_LINEAR, "BTCUSDT", "0.1", "0.001")
    tape = TapeWriter(str(tmp_path), now_ns=1, segment_size=1 << 20)
    written = []
    engine = Engine(
        instruments, tape=tape, outlet=Recorder(lambda line, frame: written.append(orjson.loads(frame)))
    )
    wire = BybitWire(instruments, Market.BYBIT_LINEAR, "tst0", 1)
    kinds = {"feed": LineKind.MARKET_LINE, "orders": LineKind.ORDER_LINE, "private": LineKind.PRIVATE_LINE}
    for name, kind in kinds.items():
        engine.add_line(name, kind, wire)
    engine.follow(0, 50)
    engine.risk.set_rate(1000, SECOND)
    engine.risk.set_limits(
        0,
        max_size_lots=1000,
        max_notional_e8=10**15,
        max_position_lots=1000,
        collar_ppm=10_000,
        stale_ns=SECOND,
        max_open_orders=4,
    )
    engine.add_strategy(TwoQuotes())
    told = CONFIG | {
        "instruments": CONFIG["instruments"][:1],
        "lines": [{"name": x.name, "kind": x.kind} for x in engine.lines],
    }
    tape.append(RecordType.CONFIG, 0, SECOND, orjson.dumps(told))
    for line in range(3):
        engine.on_line(line, True, SECOND)

    def book(update: int):
        data = {"s": "BTCUSDT", "b": [["60000.0", "1"]], "a": [["60000.1", "1"]], "u": update, "seq": update}
        message = {
            "topic": "orderbook.50.BTCUSDT",
            "type": "snapshot" if update == 1 else "delta",
            "ts": 1,
            "data": data,
        }
        engine.on_bytes(0, orjson.dumps(message), SECOND + update)

    def link_of(n: int) -> str:
        """Client id of the nth order that was written, in whatever requests."""
        items = [x for frame in written for x in frame["args"][0].get("request", frame["args"])]
        return items[n]["orderLinkId"]

    def order(n: int, status: str, filled: str = "0", reason: str = "EC_NoError"):
        link = link_of(n)
        row = {
            "category": "linear",
            "symbol": "BTCUSDT",
            "orderId": f"v{n}",
            "orderLinkId": link,
            "side": "Buy",
        }
        row |= {
            "orderStatus": status,
            "cumExecQty": filled,
            "qty": "0.005",
            "price": "60000",
            "rejectReason": reason,
            "orderType": "Limit",
            "timeInForce": "PostOnly",
            "triggerPrice": "",
            "stopOrderType": "",
        }
        row |= {"updatedTime": "1", "createdTime": "1", "leavesQty": "0", "cancelType": "UNKNOWN"}
        engine.on_bytes(
            2,
            orjson.dumps({"topic": "order.linear", "id": "x", "creationTime": 1, "data": [row]}),
            2 * SECOND,
        )
        assert not engine.lines[2].bad, engine.lines[2].last_error

    def fill(n: int, size: str, trade: str):
        link = link_of(n)
        row = {
            "category": "linear",
            "symbol": "BTCUSDT",
            "execId": trade,
            "execPrice": "60000.1",
            "execQty": size,
        }
        row |= {"orderId": f"v{n}", "orderLinkId": link, "side": "Sell", "execType": "Trade", "isMaker": True}
        row |= {
            "execFee": "0.006",
            "feeCurrency": "USDT",
            "execTime": "1",
            "orderQty": "0.005",
            "leavesQty": "0",
        }
        message = {"topic": "execution.linear", "id": "x", "creationTime": 1, "data": [row]}
        assert engine.on_bytes(2, orjson.dumps(message), 2 * SECOND) == 1

    book(1)
    order(0, "New")
    order(0, "New")
    order(1, "New")
    fill(1, "0.002", "b0a0c1d2-0000-4000-8000-000000000001")
    fill(1, "0.003", "b0a0c1d2-0000-4000-8000-000000000002")
    book(2)
    book(3)
    order(0, "Cancelled")
    engine.on_line(0, False, 3 * SECOND)
    engine.on_line(0, True, 4 * SECOND)
    engine.on_line(1, False, 5 * SECOND)
    engine.mark_now(6 * SECOND)
    tape.close(7 * SECOND)
    summary = Summary()
    for x in TapeReader(str(tmp_path)):
        summary.feed(x)
    return summary


def test_a_run_is_counted_by_instrument(run):
    (x,) = run.instruments
    assert x.name == "bybit-linear:BTCUSDT"
    assert (x.orders, x.cancels, x.acked, x.fills, x.rejected) == (2, 1, 2, 2, 0)
    assert x.state["position_lots"] == -5
    assert x.size(x.state["position_lots"]) == "-0.005"
    assert (x.price(x.state["bid_ticks"]), x.price(x.state["ask_ticks"])) == ("60000.0", "60000.1")
    assert x.fees() == Decimal("0.012")
    assert x.profit() == Decimal(0)  # sold at the ask that it could be bought back for


def test_refusals_have_reasons_and_their_first_example_names_the_order(run):
    assert run.refusals == Counter({"SIZE_MAX": 1, "UNKNOWN_ORDER": 1})
    assert run.examples["SIZE_MAX"] == "bybit-linear:BTCUSDT buy 5 at 60000.0 gtc: value 5, limit 1"
    assert run.examples["UNKNOWN_ORDER"] == "cancel of order 999"


def test_lines_are_counted_with_the_times_they_were_down(run):
    feed, orders, private = run.lines
    assert (feed.name, feed.frames, feed.ups, feed.downs) == ("feed", 3, 2, 1)
    assert feed.down_ns == [(3 * SECOND, 4 * SECOND)]
    assert orders.down_ns == [(5 * SECOND, 0)]  # still down
    assert (private.frames, private.down_ns) == (6, [])
    assert run.frames == 9


def test_the_run_has_a_beginning_an_end_and_a_build(run):
    assert (run.first_ns, run.last_ns) == (SECOND, 6 * SECOND)
    assert run.build == CONFIG["build"]
    assert run.config == CONFIG["config"]
    assert run.records > 20


# ---- records made by hand -----------------------------------------------------------------------


def test_an_order_is_one_order_however_often_it_is_heard_of():
    summary = fed(verdict(order_id=7), out(7), out(7), out(7))
    assert (summary.instruments[0].orders, summary.instruments[0].cancels) == (1, 2)


def test_orders_of_an_instrument_are_its_own():
    summary = fed(verdict(order_id=7), out(7), verdict(order_id=8, instrument=1), out(8))
    assert [x.orders for x in summary.instruments] == [1, 1]


def test_what_was_sent_before_the_tape_began_is_nobodys():
    summary = fed(out(99))
    assert [x.orders for x in summary.instruments] == [0, 0]


def test_tick_to_order_counts_only_what_a_frame_caused():
    summary = fed(sent(1_000, 26_000), sent(0, 50_000), sent(2_000, 12_000))
    assert summary.sent == 3
    assert summary.tick_to_order_ns == [25_000, 10_000]


def test_an_example_says_how_an_order_was_meant():
    summary = fed(
        verdict(
            Reason.POSITION,
            instrument=1,
            side=Side.SELL,
            size=150,
            price=599_999,
            tif=TimeInForce.POST_ONLY,
            value=3,
            limit=2,
        ),
        verdict(Reason.ORDER_RATE, type=OrderType.MARKET),
        verdict(Reason.POSITION, size=1),
    )
    assert summary.examples == {
        "POSITION": "okx:BTC-USDT-SWAP sell 1.5 at 59999.9 post-only: value 0.03, limit 0.02",
        "ORDER_RATE": "bybit-linear:BTCUSDT buy 0.005 at 60000.0 market: value 0.000 ms, limit 0.000 ms",
    }
    assert summary.refusals == {"POSITION": 2, "ORDER_RATE": 1}
    assert [x.refused for x in summary.instruments] == [2, 1]


def test_what_a_latch_or_a_halt_refused_is_counted_by_latch_and_by_halt():
    summary = fed(
        *(verdict(Reason.LATCHED, value=int(x)) for x in (Latch.LATCH_TAPE, Latch.LATCH_OPERATOR, 2)),
        verdict(Reason.HALTED, value=int(HaltReason.HALT_START)),
        verdict(Reason.POSITION, value=3),
    )
    assert summary.held_by == {"LATCHED": {2: 2, 1: 1}, "HALTED": {11: 1}}


def test_a_refused_cancel_belongs_to_the_instrument_of_its_order():
    """A cancel names its order only; where that is not known either, it is nobody's."""
    cancel = {"action": Action.CANCEL, "price": 0, "size": 0}
    summary = fed(verdict(order_id=8, instrument=1), verdict(Reason.UNKNOWN_ORDER, order_id=8, **cancel))
    assert [x.refused for x in summary.instruments] == [0, 1]
    assert summary.examples["UNKNOWN_ORDER"] == "okx:BTC-USDT-SWAP cancel of order 8"
    summary = fed(verdict(Reason.UNKNOWN_ORDER, order_id=5, **cancel))
    assert [x.refused for x in summary.instruments] == [0, 0]
    assert summary.examples["UNKNOWN_ORDER"] == "cancel of order 5"


def test_an_instrument_that_there_is_not_is_refused_like_any_other():
    for number in (2, 99, -1):
        summary = fed(verdict(Reason.INSTRUMENT, instrument=number))
        assert summary.refusals == {"INSTRUMENT": 1}
        assert [x.refused for x in summary.instruments] == [0, 0]


def test_the_last_mark_of_an_instrument_is_its_state():
    summary = fed(mark(bid_ticks=1), mark(1, bid_ticks=5), mark(bid_ticks=2), mark(7, bid_ticks=9))
    assert [x.state["bid_ticks"] for x in summary.instruments] == [2, 5]


@pytest.mark.parametrize(
    ("fields", "profit"),
    [
        ({"position_lots": 0, "cash": 1_000}, "0.1"),  # a tick times a lot is 0.0001 here
        ({"position_lots": 5, "cash": -5 * 600_000, "bid_ticks": 600_010, "ask_ticks": 600_020}, "0.005"),
        ({"position_lots": -5, "cash": 5 * 600_000, "bid_ticks": 600_010, "ask_ticks": 600_020}, "-0.01"),
    ],
)
def test_profit_values_a_position_where_it_could_be_closed(fields, profit):
    assert fed(mark(**fields)).instruments[0].profit() == Decimal(profit)


def test_without_a_mark_there_is_no_profit_and_no_fee():
    x = fed().instruments[0]
    assert (x.profit(), x.fees()) == (0, 0)


def test_frames_and_sessions_of_lines_that_are_not_known_are_counted_and_left_alone():
    summary = fed(record(RecordType.FRAME, b"{}", line=9), record(RecordType.SESSION, b"\x00", line=9))
    assert summary.frames == 1
    assert [x.downs for x in summary.lines] == [0, 0, 0]


def test_record_types_that_are_not_known_are_counted_and_left_alone():
    summary = fed(record(999, b"of a newer node"), record(RecordType.TIMER), record(RecordType.DIAL, b"x"))
    assert summary.records == 4


def test_notes_are_kept():
    summary = fed(record(RecordType.NOTE, b'{"event":"stop","open_orders":0}'))
    assert summary.notes == [{"event": "stop", "open_orders": 0}]


def test_records_before_the_config_do_no_harm():
    """A reader that joins late, or a tape whose front was archived."""
    summary = Summary()
    for x in (verdict(), verdict(Reason.SIZE_MAX), out(7), mark(), record(RecordType.FRAME), sent(1, 2)):
        summary.feed(x)
    assert (summary.sent, summary.frames) == (1, 1)
    assert summary.refusals == {"SIZE_MAX": 1}


def test_a_node_that_started_again_on_the_tape_is_counted_from_its_start():
    summary = fed(verdict(order_id=1), out(1), sent(1, 2))
    summary.feed(record(RecordType.CONFIG, orjson.dumps(CONFIG)))
    assert summary.instruments[0].orders == 0
    for x in (verdict(order_id=1), out(1)):
        summary.feed(x)
    assert (summary.instruments[0].orders, summary.instruments[0].cancels) == (1, 0)


# ---- percentiles --------------------------------------------------------------------------------


def test_percentiles_are_values_that_occurred():
    told = percentiles_us([n * 1_000 for n in range(1, 1001)])
    assert told == {"count": 1000, "p50_us": 501.0, "p99_us": 990.0, "p999_us": 999.0, "max_us": 1000.0}
    assert percentiles_us([7_123]) == {
        "count": 1,
        "p50_us": 7.12,
        "p99_us": 7.12,
        "p999_us": 7.12,
        "max_us": 7.12,
    }


def test_of_nothing_there_are_zeros():
    assert percentiles_us([]) == {"count": 0, "p50_us": 0.0, "p99_us": 0.0, "p999_us": 0.0, "max_us": 0.0}


def test_the_order_of_the_values_does_not_matter():
    assert percentiles_us([3_000, 1_000, 2_000])["p50_us"] == 2.0


def equity(
    purse, known=1, capital=0, profit=0, fees=0, funding=0, worth=0, peak=0, day_worth=0, open_profit=0
):
    row = (purse, known, capital, profit, fees, funding, worth, 0, 0, 0, peak, day_worth, 0, open_profit)
    return record(RecordType.EQUITY, EQUITY.pack(*row))


def test_what_each_wallet_and_everything_is_worth_is_what_the_last_mark_told():
    summary = fed(
        equity(0, worth=5),
        equity(0, capital=10**10, profit=-(10**8), fees=10**7, worth=99 * 10**8, open_profit=-3 * 10**8),
        equity(1, known=0),
        equity(-1, worth=90 * 10**8, peak=100 * 10**8),
    )
    wallet, unknown, total = summary.purses()
    assert (wallet.name, unknown.name, total.name) == ("purse 0", "purse 1", "total")
    assert (wallet.money("equity"), wallet.money("capital"), wallet.realised()) == (99, 100, 2)
    assert (wallet.drawdown(), unknown.drawdown(), total.drawdown()) == (None, None, Decimal("0.1"))
    assert (wallet.known, unknown.known) == (True, False)


def test_wallets_are_named_as_the_config_names_them_and_a_new_start_forgets_the_last_one():
    summary = fed(equity(0), equity(-1))
    summary.feed(record(RecordType.CONFIG, orjson.dumps(CONFIG | {"purses": ["okx"]})))
    assert summary.purses() == []
    summary.feed(equity(0))
    assert [x.name for x in summary.purses()] == ["okx"]
