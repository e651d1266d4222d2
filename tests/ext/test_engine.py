"""The chain from frame to order bytes, and what it does when a part of the world is missing."""

import contextlib
import itertools
import json
import resource
import zlib

import pytest
from chain import (
    E8,
    LIMITS,
    MS,
    ORDERS,
    PRIVATE,
    REST,
    SEC,
    START,
    A,
    B,
    Chain,
    Script,
    ack,
    depth,
    dump,
    execution,
    snapshot,
    trade,
)

from ext import records as row_of
from ext.book import BookState
from ext.engine import Engine, LineKind, Recorder
from ext.instruments import Instruments
from ext.records import (
    Action,
    ErrorGroup,
    HaltReason,
    Market,
    Nature,
    ReportKind,
    Side,
    decision_row,
    fill_row,
    signal_row,
    state_row,
    verdict_row,
)
from ext.strategies.probe import Probe
from ext.tape import RecordType, TapeReader, TapeWriter, crc32c, unrecorded_row
from ext.venues.binance import BinanceWire
from ext.venues.bybit import BybitWire
from ext.venues.okx import OkxWire
from ext.wire import Verdict

BUY, SELL = int(Side.BUY), int(Side.SELL)
SYNCED, GAP, EMPTY, BUFFERING = BookState.SYNCED, BookState.GAP, BookState.EMPTY, BookState.BUFFERING


def buyer(price=9990, lots=7, **turns):
    """A strategy that keeps one order of `lots` open."""

    def one(self, instrument, now_ns):
        if not self.orders.open_orders():
            self.buy(instrument, price, lots)

    return Script(on_book=one, **turns)


@pytest.fixture
def tape(tmp_path):
    return TapeWriter(tmp_path / "tape", now_ns=1, segment_size=1 << 20)


def records(chain):
    return list(TapeReader(chain.engine.tape.directory, follow=True))


def kinds(chain):
    return [RecordType(r.type).name for r in records(chain)]


# ---- frame to order ----


def test_a_depth_frame_becomes_exact_order_bytes():
    chain = Chain(buyer(9987, 123))
    frame = chain.sent[0]
    assert frame["method"] == "order.place"
    assert frame["params"] == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "price": "99.87",
        "quantity": "0.123",
        "newClientOrderId": chain.client_id(1),
        "newOrderRespType": "ACK",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "recvWindow": 1500,
        "timestamp": chain.now // MS,
    }
    assert chain.states() == ["SENT"]
    assert chain.recorder.orders == 1


def test_an_order_lives_through_ack_fills_and_end_and_the_account_moves_once():
    chain = Chain(buyer())
    chain.give(ORDERS, ack(chain.frames[0]))
    assert chain.states() == ["ACKED"]
    client_id = chain.client_id(1)
    chain.report(client_id, "BUY", "NEW")
    assert chain.states() == ["LIVE"]
    assert chain.fill(client_id, "BUY", 3, 3, 501) == Verdict.HANDLED
    chain.fill(client_id, "BUY", 3, 3, 501)  # the venue repeats itself
    assert chain.engine.account.position(0) | {
        "fills": 1,
        "lots": 3,
        "cash": -30_000,
    } == chain.engine.account.position(0)
    assert chain.states() == ["PARTIAL"]
    chain.fill(client_id, "BUY", 4, 7, 502, ticks=9990, status="FILLED")
    position = chain.engine.account.position(0)
    assert (position["lots"], position["cash"], position["fills"], position["fee_e8"]) == (
        7,
        -69_960,
        2,
        200_000,
    )
    assert chain.orders.order(1)["state"] == "FILLED"
    assert chain.orders.duplicates == 1


def test_a_fill_that_overtakes_the_ack_counts_once_and_the_ack_does_not_undo_it():
    chain = Chain(buyer())
    chain.fill(chain.client_id(1), "BUY", 7, 7, 501, status="FILLED")
    chain.give(ORDERS, ack(chain.frames[0]))
    assert chain.orders.order(1)["state"] == "FILLED"
    assert chain.engine.account.position(0)["lots"] == 7


def test_a_fill_of_an_order_that_is_not_ours_moves_the_position_once_and_no_order(tape):
    chain = Chain(buyer(), tape=tape)
    assert chain.fill("x-SOMEONEELSE", "BUY", 3, 3, 501) == Verdict.HANDLED
    chain.fill("x-SOMEONEELSE", "BUY", 3, 3, 501)
    assert chain.engine.account.position(0)["lots"] == 3  # it is on our account: the limits must know
    assert chain.orders.foreign == 1
    assert chain.orders.reserved(0)["buy_lots"] == 7
    assert kinds(chain).count("FILL") == 1


def test_a_definite_no_frees_the_exposure_and_an_unclear_answer_does_not():
    chain = Chain(buyer())
    chain.give(
        ORDERS, ack(chain.frames[0], 400, -2010, "Account has insufficient balance for requested action.")
    )
    assert chain.orders.order(1)["state"] == "REJECTED"
    chain.tick()
    chain.give(ORDERS, ack(chain.frames[-1], 504, -1007, "Timeout waiting for response from backend server."))
    assert chain.orders.order(2 if chain.orders.order(2) else 1)["state"] == "UNKNOWN"
    row = chain.orders.reserved(0)
    assert (row["buy_lots"], row["sell_lots"], row["open_orders"], row["unknown_lots"]) == (7, 0, 1, 7)


def test_cancels_go_out_even_while_everything_is_latched_and_the_book_is_gone():
    script = buyer(on_timer=lambda self, now: [self.cancel(i) for i in self.orders.open_orders()])
    chain = Chain(script)
    chain.give(ORDERS, ack(chain.frames[0]))
    chain.engine.risk.latch(9)
    chain.tick(skip=4)
    chain.now += 3600 * SEC
    chain.time()
    assert chain.cancels() == [chain.client_id(1)]
    chain.give(ORDERS, ack(chain.frames[-1]))
    assert chain.orders.order(1)["state"] == "CANCELED"


# ---- the tape comes first ----


def test_intent_verdict_and_order_bytes_are_on_the_tape_before_the_outlet_sees_them(tape):
    seen = []

    def look(line, frame):
        rows = list(TapeReader(tape.directory, follow=True))
        seen.append([RecordType(r.type).name for r in rows[-4:]])
        verdict, out = verdict_row(rows[-3].payload), rows[-1]
        assert (verdict["reason"], verdict["order_id"], verdict["intent"]["size_lots"]) == ("OK", 1, 7)
        assert out.payload == (1).to_bytes(8, "little") + frame
        assert out.line == line == ORDERS

    chain = Chain(buyer(), tape=tape, taker=look)
    assert seen == [["FRAME", "VERDICT", "DECISION", "ORDER_OUT"]]
    assert len(chain.sent) == 1


def test_of_a_line_whose_frames_are_not_recorded_the_tape_has_when_which_and_how_long(tape):
    chain = Chain(tape=tape)
    frames, rows = [trade(1), b"", b"x" * 5000], {}
    for recorded in (True, False):
        chain.engine.lines[A].recorded = recorded
        first = tape.sequence
        for frame in frames:
            chain.give(A, frame)
        rows[recorded] = [r for r in records(chain) if r.sequence >= first]
    assert [(r.type, r.payload) for r in rows[True]] == [(RecordType.FRAME, x) for x in frames]
    assert {(r.type, r.line) for r in rows[False]} == {(RecordType.UNRECORDED, A)}
    assert [r.now_ns for r in rows[False]] == [chain.now - 2 * MS, chain.now - MS, chain.now]
    wanted = [{"size": len(x), "crc": crc32c(x)} for x in frames]
    assert [unrecorded_row(r.payload) for r in rows[False]] == wanted
    assert chain.engine.lines[A].frames == sum(
        r.type in (RecordType.FRAME, RecordType.UNRECORDED) and r.line == A for r in records(chain)
    )
    with pytest.raises(ValueError, match="of 7 bytes"):
        unrecorded_row(b"1234567")


def test_refusals_are_on_the_tape_with_reason_value_and_limit(tape):
    chain = Chain(buyer(lots=5000), tape=tape)
    (row,) = [verdict_row(r.payload) for r in records(chain) if r.type == RecordType.VERDICT]
    assert (row["reason"], row["value"], row["limit"], row["order_id"]) == ("SIZE_MAX", 5000, 1000, 0)
    assert chain.sent == []


def test_every_door_and_every_fill_is_on_the_tape_in_order(tape):
    chain = Chain(buyer(), tape=tape)
    chain.fill(chain.client_id(1), "BUY", 7, 7, 501, status="FILLED")
    chain.time(dials=[1000, 900])
    rows = records(chain)
    assert [RecordType(r.type).name for r in rows] == [
        *("SESSION",) * 3,
        "FRAME",
        "FRAME",
        "VERDICT",
        "DECISION",
        "ORDER_OUT",
        "FRAME",
        "FILL",
        "REPORT",
        "VERDICT",
        "DECISION",
        "ORDER_OUT",
        "DIAL",
        "TIMER",
        "MARK",
        "EQUITY",
        "EQUITY",
        "HASH",
    ]
    fill = fill_row(rows[9].payload)
    assert (fill["position_lots"], fill["cash"], fill["report"]["size_lots"]) == (7, -70_000, 7)
    mark = state_row(rows[-4].payload)
    assert (mark["position_lots"], mark["open_orders"], mark["bid_ticks"], mark["fills"]) == (7, 1, 9990, 1)
    assert [r.now_ns for r in rows] == sorted(r.now_ns for r in rows)


@contextlib.contextmanager
def full_disk():
    """No file may grow: the tape cannot make another segment."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_tape_stops_new_risk_and_nothing_else(tmp_path):
    script = buyer(on_timer=lambda self, now: [self.cancel(i) for i in self.orders.open_orders()])
    chain = Chain(script, tape=TapeWriter(tmp_path / "tape", now_ns=1, segment_size=4096))
    chain.give(ORDERS, ack(chain.frames[0]))
    with full_disk():
        for _ in range(100):
            chain.tick()
        assert (chain.engine.tape_full, chain.engine.risk.latched) == (True, 2)
        chain.fill(chain.client_id(1), "BUY", 3, 3, 501)
        chain.time()
    assert chain.engine.unrecorded > 0
    assert (chain.book.state, chain.book.last_id) == (SYNCED, chain.last)
    assert chain.engine.account.position(0)["lots"] == 3
    assert chain.cancels() == [chain.client_id(1)]
    chain.give(ORDERS, ack(chain.frames[-1]).replace(b'"0.000"', b'"0.003"'))
    chain.tick()
    assert len(chain.news()) == 1
    assert chain.engine.risk.refusals()["LATCHED"] >= 1
    chain.engine.risk.release()  # even then: no order leaves that cannot be put on the tape
    chain.tick()
    assert len(chain.news()) == 1
    assert chain.orders.reserved(0)["open_orders"] == 0
    before = chain.engine.unrecorded
    chain.engine.flatten(0, 1, chain.now)  # ... but the way out
    assert [x["side"] for x in chain.news()[1:]] == ["SELL"]
    assert chain.engine.unrecorded > before


# ---- books ----


def test_a_snapshot_reply_is_spliced_onto_what_was_buffered():
    chain = Chain(Probe(), synced=False)
    for number in range(101, 106):
        chain.give(A, depth(number, number, [(9000 + number, 1)]))
    assert (chain.book.state, chain.sent) == (BUFFERING, [])
    assert chain.asks == [(0, "no snapshot yet")]
    chain.give(REST, snapshot(103, [(9990, 5)], [(10_010, 5)]))
    assert (chain.book.state, chain.book.last_id) == (SYNCED, 105)
    assert chain.book.bids() == [(9990, 5), (9105, 1), (9104, 1)]
    assert len(chain.sent) == 1


def test_a_snapshot_that_is_too_old_is_asked_for_again_at_once():
    chain = Chain(Probe(), synced=False)
    chain.give(A, depth(101, 101))
    chain.give(REST, snapshot(90, [(9990, 5)], [(10_010, 5)]))
    chain.give(REST, snapshot(95, [(9990, 5)], [(10_010, 5)]))
    assert chain.asks == [(0, "no snapshot yet"), (0, "snapshot too old"), (0, "snapshot too old")]
    chain.give(REST, snapshot(100, [(9990, 5)], [(10_010, 5)]))
    assert chain.book.state == SYNCED


def test_a_gap_stops_orders_at_once_and_is_asked_about_once_until_time_runs_out():
    chain = Chain(Probe())
    sent = len(chain.sent)
    chain.tick(skip=3)
    assert chain.asks == [(0, "gap")]
    for _ in range(50):
        chain.tick()
    assert (chain.asks, len(chain.sent), chain.book.state) == ([(0, "gap")], sent, GAP)
    chain.time(3 * SEC)
    chain.time(MS)
    assert chain.asks == [(0, "gap"), (0, "still not synced")]
    chain.time(3 * SEC + MS)
    assert len(chain.asks) == 3
    chain.sync()
    assert (chain.book.state, chain.book.gaps, chain.book.resyncs) == (SYNCED, 1, 1)
    chain.tick(skip=1)
    assert chain.asks[3:] == [(0, "gap")]  # a new gap is a new question, at once
    chain.sync()
    chain.time(4 * SEC)
    assert len(chain.asks) == 4


def test_a_crossing_is_a_gap():
    chain = Chain(Probe())
    sent = len(chain.sent)
    chain.tick([(10_010, 5)])
    assert (chain.book.state, chain.asks, len(chain.sent)) == (GAP, [(0, "gap")], sent)


def test_the_last_market_line_going_down_orphans_the_book():
    chain = Chain(Probe())
    chain.line(B, True)
    chain.tick(line=B)
    sent = len(chain.sent)
    chain.line(A, False)
    assert chain.book.state == SYNCED
    chain.line(B, False)
    assert chain.book.state == GAP
    chain.line(A, True)
    chain.tick()
    assert (len(chain.sent), chain.asks) == (sent, [(0, "no snapshot yet")])
    chain.sync()
    assert chain.book.state == SYNCED


def test_a_line_that_dies_while_buffering_throws_the_buffer_away():
    chain = Chain(Probe(), synced=False)
    chain.tick()
    assert chain.book.state == BUFFERING
    chain.line(A, False)
    assert chain.book.state == EMPTY


def test_a_hole_on_one_line_is_healed_by_the_other_without_a_gap():
    chain = Chain(Probe())
    chain.line(B, True)
    chain.tick(line=B)
    chain.give(A, depth(chain.last + 2, chain.last + 2, [(9970, 1)]))
    assert chain.book.state == SYNCED
    chain.tick([(9960, 1)], line=B)
    chain.tick([(9970, 1)], line=B)
    chain.tick(line=A)
    assert (chain.book.gaps, chain.asks) == (0, [])
    assert chain.book.bids() == [(9990, 50), (9970, 1), (9960, 1)]


def test_a_line_in_another_numbering_is_said_and_asked_about():
    chain = Chain(Probe())
    chain.now += SEC
    for number in range(1, 30):
        chain.give(A, depth(number, number), 100 * MS)
    assert (chain.book.state, chain.asks) == (GAP, [(0, "only updates that are behind the book")])


def test_trades_of_two_lines_are_counted_once_even_while_one_is_down():
    chain = Chain(Probe())
    chain.line(B, True)
    for number in range(1, 200):
        chain.give(A, trade(number))
        if number > 20:
            chain.give(B, trade(number - 20))
    assert chain.engine.trade_count(0) == 199
    chain.line(A, False)
    for number in range(180, 220):
        chain.give(B, trade(number))
    assert chain.engine.trade_count(0) == 219


# ---- orders whose fate is not known ----


def test_an_order_line_that_dies_leaves_unanswered_orders_unknown_with_their_exposure():
    chain = Chain(Script(on_book=lambda self, i, now: [self.buy(i, 9990, 1) for _ in range(2)]))
    chain.give(ORDERS, ack(chain.frames[0]))
    chain.line(ORDERS, False)
    assert chain.states()[:2] == ["ACKED", "UNKNOWN"]
    assert chain.orders.reserved(0)["buy_lots"] >= 2
    chain.line(ORDERS, True)
    assert chain.states()[1] == "UNKNOWN"
    frames = len(chain.frames)
    assert len({p["newClientOrderId"] for p in chain.news()}) == frames  # nothing was sent twice
    chain.fill(chain.client_id(2), "BUY", 1, 1, 9, status="FILLED")
    assert chain.orders.order(2)["state"] == "FILLED"


def test_an_order_that_nobody_answers_is_unknown_after_the_timeout_and_not_before():
    chain = Chain(buyer())
    sent = chain.now
    chain.time(sent + SEC - chain.now)
    assert chain.states() == ["SENT"]
    for _ in range(chain.engine.orders.capacity // 256 + 1):  # a tick looks at a stretch of the table
        chain.time(1)
    assert chain.states() == ["UNKNOWN"]
    row = chain.orders.reserved(0)
    assert (row["buy_lots"], row["sell_lots"], row["open_orders"], row["unknown_lots"]) == (7, 0, 1, 7)
    chain.tick()
    assert len(chain.news()) == 1  # it still counts as open: no second order
    assert chain.cancels() == [chain.client_id(1)]  # neutralised at once
    chain.give(ORDERS, ack(chain.frames[0]))
    assert chain.states() == ["ACKED"]


def test_without_a_link_an_order_is_rejected_at_once_and_its_exposure_is_free():
    chain = Chain(buyer(), synced=False)
    chain.line(ORDERS, False)
    chain.sync()
    row = chain.orders.order(1)
    assert (row["state"], row["reject_code"]) == ("REJECTED", 20)  # LINK_DOWN
    assert set(chain.orders.reserved(0).values()) == {0}
    assert chain.sent == []


def test_a_cancel_that_never_left_may_be_asked_again():
    script = buyer(on_timer=lambda self, now: [self.cancel(i) for i in self.orders.open_orders()])
    chain = Chain(script)
    chain.give(ORDERS, ack(chain.frames[0]))
    chain.line(ORDERS, False)
    chain.time()
    assert (chain.cancels(), chain.orders.order(1)["cancel_asked"]) == ([], 0)
    chain.line(ORDERS, True)
    chain.time()
    assert (chain.cancels(), chain.orders.order(1)["cancel_asked"]) == ([chain.client_id(1)], 1)


def test_an_outlet_that_fails_leaves_an_order_that_times_out_and_is_never_sent_twice():
    broken = [True]

    def taker(line, frame):
        if broken[0]:
            raise OSError("socket")

    chain = Chain(buyer(), synced=False, taker=taker)
    with pytest.raises(OSError, match="socket"):
        chain.sync()
    assert (chain.states(), len(chain.frames), chain.engine.risk.latched) == (["INTENT"], 1, 4)
    broken[0] = False
    chain.engine.risk.release()
    chain.tick()
    assert len(chain.frames) == 1
    chain.time(6 * SEC)
    assert chain.states() == ["UNKNOWN"]
    assert chain.orders.reserved(0)["buy_lots"] == 7


# ---- bad input and bad calls ----


def state_of(chain):
    book, orders, engine = chain.book, chain.orders, chain.engine
    levels = (book.state, book.last_id, book.bids(), book.asks(), book.changed_ns)
    ours = (chain.states(), orders.reserved(0), engine.account.position(0), len(chain.frames))
    return (*levels, *ours, list(chain.asks), engine.trade_count(0))


def test_a_bad_frame_changes_nothing():
    chain = Chain(buyer())
    client_id = chain.client_id(1)
    good = [
        (A, depth(chain.last + 1, chain.last + 1, [(9985, 5), (9984, 6)], [(10_020, 1)])),
        (A, trade(5)),
        (REST, snapshot(500, [(1, 1)], [(2, 2)])),
        (ORDERS, ack(chain.frames[0])),
        (PRIVATE, execution(client_id, "BUY", "TRADE", "FILLED", 7, 7, 9990, 11)),
    ]
    before, bad = state_of(chain), 0
    for line, frame in good:
        for cut in range(len(frame)):
            bad += chain.give(line, frame[:cut]) == Verdict.BAD
        for odd in (b'"5"', b'"-1"', b'"1e5"', b'"0.001234"', b"null"):
            bad += (
                chain.give(line, frame.replace(b'"0.005"', odd).replace(b'"0.007"', odd) + b"}")
                == Verdict.BAD
            )
    assert state_of(chain) == before
    assert bad > 500
    row = chain.engine.lines[A]
    assert row.bad > 0
    assert "at byte" in row.last_error
    for line, frame in good:
        assert chain.give(line, frame) == Verdict.HANDLED
    assert chain.engine.account.position(0)["lots"] == 7


@pytest.mark.parametrize("number", [-1, 5, 255, 2**31 - 1])
def test_a_line_beyond_the_table_is_an_index_error_and_never_a_crash(number):
    chain = Chain()
    with pytest.raises(IndexError, match="there are 5"):
        chain.engine.on_bytes(number, b"{}", START)
    with pytest.raises(IndexError, match="there are 5"):
        chain.engine.on_line(number, True, START)
    with pytest.raises(IndexError, match="there are 5"):
        chain.engine.on_many(number, [b"{}"], START)


@pytest.mark.parametrize("number", [-1, 1, 2**31 - 1])
def test_an_instrument_beyond_the_table_is_an_index_error_and_never_a_crash(number):
    engine = Chain().engine
    for call in (engine.trade_count, engine.depth_frames, engine.mark, lambda i: engine.follow(i, 0)):
        with pytest.raises(IndexError, match="the table has 1"):
            call(number)


def test_market_lines_beyond_what_the_arbiter_knows_are_refused_when_they_are_added():
    chain = Chain()
    for number in range(5, 40):
        chain.engine.add_line(f"rest {number}", LineKind.SNAPSHOT_LINE, chain.wire, 0)
    with pytest.raises(ValueError, match="first 32"):
        chain.engine.add_line("late", LineKind.MARKET_LINE, chain.wire)
    assert chain.give(38, snapshot(500, [(1, 1)], [(2, 2)])) == Verdict.HANDLED
    assert chain.give(38, depth(1, 1)) == Verdict.HANDLED  # depth where none belongs: dropped


# ---- the same again ----


def play(folder, many=False):
    """One run with everything in it; returns what must be the same in the next."""
    tape = TapeWriter(folder, now_ns=1, segment_size=1 << 20)
    chain = Chain(Probe(2), buyer(9980, 5), tape=tape)
    chain.line(B, True)
    frames = [
        depth(chain.last + n, chain.last + n, [(9900 + n % 50, n % 3)], [(10_010 + n % 50, 50)])
        for n in range(1, 120)
    ]
    if many:
        chain.engine.on_many(A, frames, chain.now, MS)
        chain.now += len(frames) * MS
    else:
        for number, frame in enumerate(frames):
            chain.engine.on_bytes(A, frame, chain.now + number * MS)
        chain.now += len(frames) * MS
    for number, frame in enumerate(chain.frames[:40]):
        chain.give(ORDERS, ack(frame))
        client_id = json.loads(frame)["params"]["newClientOrderId"]
        chain.fill(client_id, "BUY", 1, 1, number + 1)
    chain.time(dials=[1500, 500])
    chain.line(ORDERS, False)
    chain.time(10 * SEC)
    return chain.recorder.hash(), [tuple(r) for r in TapeReader(folder, follow=True)], state_of(chain)


def test_the_same_calls_give_the_same_orders_and_the_same_tape_byte_for_byte(tmp_path):
    first, second = play(tmp_path / "1"), play(tmp_path / "2")
    assert first == second
    assert len(first[1]) > 400


def test_many_frames_in_one_call_are_the_same_as_one_by_one(tmp_path):
    assert play(tmp_path / "1") == play(tmp_path / "2", many=True)


def test_replaying_the_tape_through_the_doors_gives_the_same_orders(tmp_path):
    order_hash, rows, state = play(tmp_path / "1")
    engine = Untouched(Probe(2), buyer(9980, 5), synced=False).engine
    for kind, line, _sequence, now_ns, payload in rows:
        if kind == RecordType.FRAME:
            engine.on_bytes(line, payload, now_ns)
        elif kind == RecordType.SESSION:
            engine.on_line(line, payload != b"\0", now_ns)
        elif kind == RecordType.DIAL:
            dials = [
                int.from_bytes(payload[i : i + 8], "little", signed=True) for i in range(0, len(payload), 8)
            ]
        elif kind == RecordType.TIMER:
            engine.on_time(now_ns, dials)
    assert engine.outlet.hash() == order_hash
    assert engine.account.position(0) == state[7]


class Untouched(Chain):
    """A chain whose doors nobody has used yet: its lines are not even up."""

    def line(self, line, up):
        pass


# ---- other venues ----


def okx_frame(bids, asks, last, prev, action="update", checksum=0):
    row = {"bids": [[*level, "0", "1"] for level in bids], "asks": [[*level, "0", "1"] for level in asks]}
    row |= {"ts": "1700000000000", "checksum": checksum, "prevSeqId": prev, "seqId": last}
    head = {"arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}, "action": action}
    return json.dumps({**head, "data": [row]}).encode()


def okx_checksum(bids, asks):
    """The venue's recipe: first 25 levels, bid and ask in turns, text as sent, CRC-32 as a signed number."""
    parts = []
    for i in range(25):
        parts += [":".join(side[i]) for side in (bids, asks) if i < len(side)]
    crc = zlib.crc32(":".join(parts).encode())
    return crc - (1 << 32) if crc >= 1 << 31 else crc


class Stream:
    """An engine with one market line of a venue whose stream brings its own snapshots."""

    def __init__(self, wire_class, market, symbol, tick, lot):
        self.instruments, self.asks, self.now = Instruments(), [], START
        self.instruments.add(market, symbol, tick, lot, is_perpetual=True)
        self.engine = Engine(self.instruments, outlet=Recorder())
        self.engine.ask_resync = lambda *ask: self.asks.append(ask)
        wire = wire_class(self.instruments, market)
        self.engine.add_line("a", LineKind.MARKET_LINE, wire)
        self.engine.add_line("orders", LineKind.ORDER_LINE, wire)
        self.engine.risk.set_limits(0, **LIMITS)
        self.engine.risk.set_rate(1000, SEC)
        self.probe = Probe()
        self.engine.add_strategy(self.probe)
        for line in (0, 1):
            self.engine.on_line(line, True, START)

    def give(self, frame):
        self.now += MS
        return self.engine.on_bytes(0, frame, self.now)

    @property
    def book(self):
        return self.engine.books[0]


def okx():
    return Stream(OkxWire, Market.OKX, "BTC-USDT-SWAP", "0.1", "1")


BIDS, ASKS = [["100.1", "5"], ["99.5", "6"]], [["100.2", "7"], ["100.4", "8"]]


def okx_late(late_ns, last, now_ns, action="update", bids=BIDS, asks=ASKS):
    """A frame that its venue wrote so long before `now_ns`."""
    frame = okx_frame(bids, asks, last, last - 1 if action == "update" else -1, action)
    return frame.replace(b"1700000000000", str((now_ns - late_ns) // MS).encode())


def test_a_book_is_no_fresher_than_its_venue_wrote_what_it_is_told():
    stream = okx()
    now = stream.now = 1_790_000_000 * SEC
    stream.give(okx_late(5 * SEC, 10, now, "snapshot"))
    assert stream.book.changed_ns == stream.now  # nobody knows the venue's clock: what came now is of now
    stream.engine.venue_clock(Market.OKX, 0, MS, now)
    stream.give(okx_late(90 * MS, 11, now, bids=[["100.1", "6"]], asks=[]))
    assert stream.book.changed_ns == stream.now  # an ordinary way
    stream.give(okx_late(2 * SEC, 12, now, bids=[["100.1", "7"]], asks=[]))
    assert stream.book.changed_ns == now - 2 * SEC
    stream.engine.venue_clock(Market.OKX, -2 * SEC, MS, now)  # its clock is two seconds behind ours
    stream.give(okx_late(2 * SEC, 13, now, bids=[["100.1", "8"]], asks=[]))
    assert stream.book.changed_ns == stream.now
    stream.engine.venue_clock(Market.OKX, 0, MS, now)
    stream.give(okx_late(60 * SEC, 14, now, bids=[["100.1", "9"]], asks=[]))
    stream.engine.risk.release()
    assert stream.engine.risk.probe(0, BUY, 1000, 1, stream.now) == "BOOK_STALE"


@pytest.mark.parametrize("reason", [HaltReason.HALT_PHASE, HaltReason.HALT_VENUE])
def test_a_book_that_crosses_is_a_gap_but_where_the_venue_matches_nothing(reason):
    stream = okx()
    relists = []
    stream.engine.ask_relist = relists.append
    stream.give(okx_frame(BIDS, ASKS, 10, -1, "snapshot"))
    stream.give(okx_frame([["100.3", "1"]], [], 11, 10))
    assert (stream.book.state, len(stream.asks), relists) == (GAP, 1, [Market.OKX])  # an auction, perhaps
    stream.engine.halt(0, reason, 2, stream.now)
    decisions = stream.engine.decisions
    stream.give(okx_frame([["100.3", "1"], *BIDS], ASKS, 20, -1, "snapshot"))
    for n in range(5):
        stream.give(okx_frame([["99.5", str(n + 1)]], [], 21 + n, 20 + n))
    assert (stream.book.state, len(stream.asks)) == (SYNCED, 1)
    assert stream.book.is_crossed()
    assert stream.engine.decisions == decisions  # nobody is asked to think about it
    assert not stream.engine.is_fresh(0, 0)
    stream.give(okx_frame([["100.3", "0"]], [], 26, 25))
    assert stream.engine.is_fresh(0, 0)
    assert not stream.engine.is_fresh(0, stream.book.updates)
    stream.engine.resume(0, reason, stream.now)
    stream.give(okx_frame([["100.3", "1"]], [], 27, 26))
    assert stream.book.state == GAP


def test_a_checksum_that_agrees_is_counted_and_one_that_does_not_makes_the_book_unusable():
    stream = okx()
    assert stream.give(okx_frame(BIDS, ASKS, 10, -1, "snapshot", okx_checksum(BIDS, ASKS))) == Verdict.HANDLED
    assert (stream.book.state, stream.engine.checksums, stream.engine.checksums_bad) == (SYNCED, 1, 0)
    decisions = stream.engine.decisions
    wrong = okx_checksum(BIDS, ASKS) ^ 1
    stream.give(okx_frame([["99.9", "1"]], [], 11, 10, checksum=wrong))
    assert (stream.book.state, stream.engine.checksums_bad) == (GAP, 1)
    assert stream.asks == [(0, "checksum")]
    assert stream.engine.decisions == decisions
    stream.give(okx_frame(BIDS, ASKS, 20, -1, "snapshot", okx_checksum(BIDS, ASKS)))
    assert stream.book.state == SYNCED


def test_a_checksum_of_zero_for_a_whole_run_asks_for_nothing():
    stream = okx()
    stream.give(okx_frame(BIDS, ASKS, 10, -1, "snapshot"))
    for number in range(11, 60):
        stream.give(okx_frame([["99.9", str(number)]], [], number, number - 1))
    assert (stream.book.state, stream.engine.checksums, stream.asks) == (SYNCED, 0, [])


def test_a_legal_reset_of_okx_goes_through_the_whole_chain():
    stream = okx()
    stream.give(okx_frame(BIDS, ASKS, 5000, -1, "snapshot"))
    stream.give(okx_frame([["99.9", "1"]], [], 3, 5000))
    stream.give(okx_frame([["99.8", "1"]], [], 4, 3))
    stream.give(okx_frame([], [], 4, 4))
    assert (stream.book.state, stream.book.last_id, stream.asks) == (SYNCED, 4, [])
    stream.give(okx_frame([["99.7", "1"]], [], 6, 5))
    assert (stream.book.state, stream.asks) == (GAP, [(0, "gap")])


def bybit_frame(kind, update_id, bids=(), asks=()):
    data = {"s": "BTCUSDT", "b": list(bids), "a": list(asks), "u": update_id, "seq": 1}
    row = {
        "topic": "orderbook.50.BTCUSDT",
        "type": kind,
        "ts": 1_700_000_000_000,
        "data": data,
        "cts": 1_700_000_000_000,
    }
    return json.dumps(row).encode()


def test_a_venue_that_restarts_its_numbering_makes_the_book_unusable_until_its_snapshot():
    stream = Stream(BybitWire, Market.BYBIT_LINEAR, "BTCUSDT", "0.1", "1")
    stream.give(bybit_frame("snapshot", 500, BIDS, ASKS))
    stream.give(bybit_frame("delta", 501, [["99.9", "1"]]))
    assert stream.book.state == SYNCED
    assert stream.give(bybit_frame("delta", 1, [["99.8", "1"]])) == Verdict.RESYNC
    assert (stream.book.state, stream.asks) == (GAP, [(0, "the venue restarted its numbering")])
    stream.give(bybit_frame("delta", 502, [["99.8", "1"]]))
    assert stream.book.state == GAP
    assert stream.engine.lines[0].resyncs == 1
    stream.give(bybit_frame("snapshot", 1, BIDS, ASKS))
    assert stream.book.state == SYNCED


def test_an_unasked_snapshot_of_bybit_replaces_the_book():
    stream = Stream(BybitWire, Market.BYBIT_LINEAR, "BTCUSDT", "0.1", "1")
    stream.give(bybit_frame("snapshot", 500, BIDS, ASKS))
    stream.give(bybit_frame("snapshot", 1, [["90.0", "1"]], [["91.0", "1"]]))
    assert (stream.book.state, stream.book.last_id, stream.book.bids()) == (SYNCED, 1, [(900, 1)])
    assert stream.asks == []


def test_a_book_follows_one_channel_only():
    chain = Chain(synced=False)
    wire = BinanceWire(chain.instruments, Market.BINANCE_SPOT)
    number = chain.engine.add_line("partial", LineKind.MARKET_LINE, wire)
    chain.sync()
    combined = {"stream": "btcusdt@depth5", "data": json.loads(snapshot(900, [(1, 1)], [(2, 1)]))}
    chain.give(number, json.dumps(combined).encode())
    assert (chain.book.bids(), chain.book.last_id) == ([(9990, 50)], chain.last)


def test_more_money_than_any_limit_is_never_sent():
    chain = Chain(buyer(lots=1000), limits={"max_notional_e8": 99 * E8})
    assert (chain.sent, chain.engine.risk.refusals()) == ([], {"NOTIONAL_MAX": 1})


# ---- amends, replacements, batches ----


class BybitDesk:
    """An engine with one Bybit linear order line, a feed and a REST line; frames as dicts."""

    def __init__(self, strategy, tape=None):
        self.instruments = Instruments()
        self.instruments.add(Market.BYBIT_LINEAR, "BTCUSDT", "0.1", "0.001")
        self.sent = []
        self.engine = Engine(
            self.instruments,
            tape=tape,
            outlet=Recorder(lambda line, frame: self.sent.append((line, json.loads(frame)))),
        )
        self.wire = BybitWire(self.instruments, Market.BYBIT_LINEAR, "tckg", 3)
        for name, kind in (
            ("feed", LineKind.MARKET_LINE),
            ("orders", LineKind.ORDER_LINE),
            ("rest", LineKind.REST_LINE),
        ):
            self.engine.add_line(name, kind, self.wire)
        self.engine.risk.set_limits(0, **LIMITS)
        self.engine.risk.set_rate(1000, SEC)
        self.engine.add_strategy(strategy)
        self.now = START
        for line in range(3):
            self.engine.on_line(line, True, self.now)

    def book(self, u=1):
        self.now += MS
        data = {"s": "BTCUSDT", "b": [["999.0", "1"]], "a": [["1001.0", "1"]], "u": u, "seq": u}
        frame = {"topic": "orderbook.50.BTCUSDT", "type": "snapshot", "ts": 1_700_000_000_000, "data": data}
        self.engine.on_bytes(0, dump(frame), self.now)

    def heard(self, order_id, side="Buy", *, price_ticks, size_lots, trade_lo, fee_e8=0, fee_is_quote=1, **_):
        """A fill as the private stream tells it."""
        self.now += MS
        row = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": self.wire.client_id(order_id)}
        row |= {"orderId": "7", "side": side, "execType": "Trade", "execId": str(trade_lo)}
        row |= {"execPrice": f"{price_ticks / 10}", "execQty": f"{size_lots / 1000}"}
        row |= {"execFee": f"{fee_e8 / E8:.8f}", "feeCurrency": {1: "USDT", 2: "BTC"}[fee_is_quote]}
        row |= {"execTime": "1700000000000", "isMaker": True, "leavesQty": "0", "orderQty": "0.010"}
        frame = {"id": "1", "topic": "execution", "creationTime": 1_700_000_000_000, "data": [row]}
        return self.engine.on_bytes(1, dump(frame), self.now)

    def evidence(self, order_id, kind, **more):
        self.now += MS
        row = self.engine.orders.order(order_id)
        report = {"kind": kind, "instrument": 0, "order_id": row["sequence"], "epoch": row["epoch"]}
        self.engine.on_evidence([report | more], self.now)


def both(self, instrument, now):
    if not self.orders.open_orders():
        self.buy(instrument, 9990, 10)
        self.sell(instrument, 10_010, 10)


def test_orders_of_one_turn_leave_in_one_request_where_the_venue_takes_batches(tape):
    desk = BybitDesk(Script(on_book=both), tape)
    desk.book()
    ((line, frame),) = desk.sent
    assert (line, frame["op"], len(frame["args"])) == (1, "order.create-batch", 1)
    items = frame["args"][0]["request"]
    assert [desk.wire.order_id(x["orderLinkId"]) for x in items] == [1, 2]
    assert [desk.engine.orders.order(i)["state"] for i in (1, 2)] == ["SENT", "SENT"]
    out = [x for x in records(desk) if x.type == RecordType.ORDER_OUT]
    assert [int.from_bytes(x.payload[:8], "little") for x in out] == [1, 2]


def test_an_order_of_a_batch_that_risk_refuses_does_not_hold_up_the_others():
    def three(self, instrument, now):
        if not self.orders.open_orders():
            self.buy(instrument, 9990, 10)
            self.buy(instrument, 9990, 10**9)
            self.sell(instrument, 10_010, 10)

    desk = BybitDesk(Script(on_book=three))
    desk.book()
    assert len(desk.sent) == 1
    assert len(desk.sent[0][1]["args"][0]["request"]) == 2
    assert desk.engine.risk.refusals() == {"SIZE_MAX": 1}


def test_cancels_of_one_turn_leave_in_one_request_too_and_stops_alone(tape):
    desk = BybitDesk(Script(on_book=both, on_timer=lambda self, now: self.cancel_all()), tape)
    desk.book()
    desk.evidence(1, ReportKind.REPORT_LIVE)
    desk.now += MS
    desk.engine.on_time(desk.now)
    assert [f["op"] for _, f in desk.sent] == ["order.create-batch", "order.cancel-batch"]
    items = desk.sent[-1][1]["args"][0]["request"]
    assert [desk.wire.order_id(x["orderLinkId"]) for x in items] == [1, 2]
    assert [desk.engine.orders.order(i)["cancel_asked"] for i in (1, 2)] == [1, 1]
    assert [desk.engine.orders.order(i)["state"] for i in (1, 2)] == ["LIVE", "SENT"]


def test_a_batch_on_a_line_that_died_is_closed_order_by_order():
    desk = BybitDesk(Script(on_book=both))
    desk.engine.on_line(1, False, desk.now)
    desk.engine.on_line(2, False, desk.now)
    desk.book()
    assert desk.sent == []
    assert [desk.engine.orders.order(i)["state"] for i in (1, 2)] == ["REJECTED", "REJECTED"]


def test_an_amend_goes_out_once_and_holds_the_larger_size_until_it_is_answered():
    script = Script(
        on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10),
        on_timer=lambda self, now: [self.amend(i, 9995, 15) for i in self.orders.open_orders()],
    )
    desk = BybitDesk(script)
    desk.book()
    desk.evidence(1, ReportKind.REPORT_LIVE)
    for _ in range(3):
        desk.now += MS
        desk.engine.on_time(desk.now)
    amends = [f for _, f in desk.sent if f["op"] == "order.amend"]
    assert len(amends) == 1
    assert (amends[0]["args"][0]["price"], amends[0]["args"][0]["qty"]) == ("999.5", "0.015")
    assert desk.engine.orders.reserved(0)["buy_lots"] == 15
    assert desk.engine.risk.refusals() == {"AMENDING": 2}
    desk.evidence(1, ReportKind.REPORT_AMEND_REJECT)
    assert desk.engine.orders.reserved(0)["buy_lots"] == 10
    desk.engine.on_time(desk.now + MS)
    desk.evidence(1, ReportKind.REPORT_LIVE, order_ticks=9995, order_lots=15)
    row = desk.engine.orders.order(1)
    assert (row["price_ticks"], row["size_lots"], row["amending"]) == (9995, 15, 0)


def test_where_a_venue_cannot_amend_a_price_the_order_is_replaced_and_both_count():
    script = Script(
        on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 7),
        on_timer=lambda self, now: self.amend(1, 9995, 7),
    )
    chain = Chain(script)
    chain.report(chain.client_id(1), "BUY", "NEW")
    chain.time()
    frame = chain.sent[-1]
    assert frame["method"] == "order.cancelReplace"
    assert chain.wire.order_id(frame["params"]["cancelOrigClientOrderId"]) == 1
    assert chain.wire.order_id(frame["params"]["newClientOrderId"]) == 2
    assert chain.orders.reserved(0)["buy_lots"] == 14
    assert chain.orders.order(2)["replaces"] == 1


def test_where_only_the_size_falls_a_venue_that_can_keeps_the_order_s_place():
    script = Script(
        on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 7),
        on_timer=lambda self, now: self.amend(1, 9990, 5),
    )
    chain = Chain(script)
    chain.report(chain.client_id(1), "BUY", "NEW")
    chain.time()
    assert chain.sent[-1]["method"] == "order.amend.keepPriority"
    assert chain.sent[-1]["params"]["newQty"] == "0.005"


# ---- the other path ----


def test_an_order_that_was_not_written_yet_goes_by_rest_while_the_order_line_is_down():
    desk = BybitDesk(Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10)))
    desk.engine.on_line(1, False, desk.now)
    desk.book()
    assert [line for line, _ in desk.sent] == [2]
    assert desk.engine.orders.order(1)["line"] == 2
    desk.engine.on_line(1, True, desk.now)
    desk.engine.on_line(1, False, desk.now)  # of no concern to an order that went the other way
    assert desk.engine.orders.order(1)["state"] == "SENT"


def test_an_order_that_was_written_never_goes_a_second_way():
    desk = BybitDesk(Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10)))
    desk.book()
    desk.engine.on_line(1, False, desk.now)
    assert desk.engine.orders.order(1)["state"] == "UNKNOWN"
    for turn in range(200):
        desk.now += 20 * MS
        desk.engine.on_time(desk.now)
        desk.book(2 + turn)
    ways = [(line, f["op"]) for line, f in desk.sent]
    assert ways[0] == (1, "order.create")
    assert set(ways[1:]) == {(2, "order.cancel")}  # cancels go any way, again and again
    assert 3 <= len(ways) <= 8


# ---- cold doors ----


def test_a_wanted_cancel_is_repeated_with_growing_pauses_until_the_order_is_closed():
    desk = BybitDesk(Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10)))
    desk.book()
    desk.evidence(1, ReportKind.REPORT_LIVE)
    assert desk.engine.want_cancel(1, desk.now)
    times = []
    for _ in range(1500):
        before = len(desk.sent)
        desk.now += 20 * MS
        desk.engine.on_time(desk.now)
        times += [desk.now] * (len(desk.sent) - before)
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert len(times) > 4
    assert pauses == sorted(pauses)
    assert pauses[-1] <= 5 * SEC
    desk.evidence(1, ReportKind.REPORT_CANCELED)
    sent = len(desk.sent)
    desk.engine.on_time(desk.now + 10 * SEC)
    assert len(desk.sent) == sent
    assert not desk.engine.want_cancel(1, desk.now)


def test_a_strategy_asks_for_a_cancel_once_and_the_engine_repeats_it_until_the_order_is_closed():
    asked = []

    def think(self, instrument, now):
        if not self.orders.open_orders():
            self.buy(instrument, 9990, 10)
        elif not asked:
            asked.append(self.cancel(1))

    desk = BybitDesk(Script(on_book=think))
    desk.book()
    desk.evidence(1, ReportKind.REPORT_LIVE)
    for _ in range(100):
        desk.now += 20 * MS
        desk.engine.on_time(desk.now)
    assert asked == [True]
    assert [x[1]["op"] for x in desk.sent].count("order.cancel") > 1
    desk.evidence(1, ReportKind.REPORT_CANCELED)
    count = len(desk.sent)
    desk.engine.on_time(desk.now + 10 * SEC)
    assert [x[1]["op"] for x in desk.sent[count:]].count("order.cancel") == 0


def test_only_an_order_of_unknown_fate_can_be_closed_as_absent_and_it_rises_again():
    desk = BybitDesk(Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10)))
    desk.book()
    assert not desk.engine.close_absent(1, desk.now)
    desk.engine.on_line(1, False, desk.now)
    assert desk.engine.close_absent(1, desk.now)
    assert desk.engine.orders.order(1)["state"] == "NEVER_EXISTED"
    assert desk.engine.orders.reserved(0)["buy_lots"] == 0
    desk.evidence(1, ReportKind.REPORT_FILL, size_lots=4, price_ticks=9990, trade_lo=5, filled_lots=4)
    row = desk.engine.orders.order(1)
    assert (row["state"], row["cancel_wanted"], row["filled_lots"]) == ("PARTIAL", 1, 4)
    assert desk.engine.account.position(0)["lots"] == 4
    assert desk.engine.orders.reserved(0)["buy_lots"] == 6


def futures(**more) -> dict:
    """A fill of somebody else's order on USD-M, as TRADE_LITE and ORDER_TRADE_UPDATE have it in common."""
    return {"s": "BTCUSDT", "c": "web_1", "S": "SELL", "q": "0.004", "p": "100.00", "L": "100.00",
            "l": "0.004", "t": 77, "i": 5, "m": False, "T": 1} | more  # fmt: skip


def test_in_hedge_mode_a_fast_notice_of_anothers_fill_waits_for_the_one_that_names_the_leg():
    table = Instruments()
    table.add(Market.BINANCE_USDM, "BTCUSDT", "0.01", "0.001", is_perpetual=True)
    for hedge in (False, True):
        engine = Engine(table)
        engine.risk.set_hedge(Market.BINANCE_USDM, hedge)
        line = engine.add_line("private", LineKind.PRIVATE_LINE, BinanceWire(table, Market.BINANCE_USDM))
        engine.on_line(line, True, 1)
        engine.on_bytes(line, dump({"e": "TRADE_LITE", "E": 1} | futures()), 1)
        assert engine.account.position(0)["lots"] == (0 if hedge else -4)
        told = futures(x="TRADE", X="FILLED", z="0.004", n="0.1", N="USDT", ps="SHORT" if hedge else "BOTH")
        for _ in range(2):
            engine.on_bytes(line, dump({"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": told}), 2)
        row = engine.account.position(0)
        assert [x["lots"] for x in row["legs"]] == ([0, 0, -4] if hedge else [-4, 0, 0])
        assert (row["lots"], row["fills"], row["fee_e8"]) == (-4, 1, E8 // 10)


def test_an_adopted_order_is_of_the_leg_that_it_was_placed_for():
    chain = Chain(Script())
    adopted = chain.engine.adopt(0, 3, 9, SELL, 0, 0, 10_010, 7, 2, True, "v", chain.now, leg=1)
    row = chain.orders.order(adopted)
    assert (row["leg"], row["reduce_only"]) == (1, 1)
    assert chain.orders.reserved(0)["long_sell_lots"] == 5
    with pytest.raises(ValueError, match="leg 3"):
        chain.engine.adopt(0, 3, 10, SELL, 0, 0, 10_010, 7, 2, True, "v", chain.now, leg=3)


def test_an_adopted_order_is_cancelled_by_the_id_it_was_placed_with_and_its_reports_find_it():
    desk = BybitDesk(Script())
    desk.book()
    order_id = desk.engine.adopt(0, 2, 77, 0, 0, 0, 9990, 10, 3, False, "venue-1", desk.now)
    assert desk.engine.adopt(0, 2, 77, 0, 0, 0, 9990, 10, 3, False, "venue-1", desk.now) == order_id
    assert desk.engine.orders.reserved(0)["buy_lots"] == 7
    desk.engine.want_cancel(order_id, desk.now)
    assert desk.sent[-1][1]["args"][0]["orderLinkId"] == desk.wire.client_id(77, 2)
    desk.evidence(order_id, ReportKind.REPORT_CANCELED, filled_lots=3)
    assert desk.engine.orders.order(order_id)["state"] == "CANCELED"
    assert desk.engine.orders.reserved(0)["buy_lots"] == 0


def test_a_halt_cancels_what_is_open_and_a_cold_door_is_on_the_tape(tape):
    desk = BybitDesk(
        Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10)), tape
    )
    desk.book()
    desk.evidence(1, ReportKind.REPORT_LIVE)
    desk.engine.halt(0, HaltReason.HALT_DRIFT, 2, desk.now)
    desk.engine.reconciled(0, desk.now)
    desk.engine.venue_clock(Market.BYBIT_LINEAR, 5 * MS, MS, desk.now)
    assert desk.wire.offset_ns == 5 * MS
    for until_ns in (desk.now + MS, desk.now):  # what ends earlier than known is no news
        desk.engine.pause(Market.BYBIT_LINEAR, until_ns, desk.now)
    assert desk.engine.risk.budgets.wait(Market.BYBIT_LINEAR, 0, 0, desk.now) == MS
    for _ in range(20):
        desk.now += 20 * MS
        desk.engine.on_time(desk.now)
    assert desk.sent[-1][1]["op"] == "order.cancel"
    doors = [row_of.door_row(x.payload)["door"] for x in records(desk) if x.type == RecordType.DOOR]
    assert doors == ["DOOR_HALT", "DOOR_RECONCILED", "DOOR_CLOCK", "DOOR_PAUSE"]
    (evidence,) = [x for x in records(desk) if x.type == RecordType.EVIDENCE]
    assert row_of.evidence_rows(evidence.payload)[0]["kind"] == "REPORT_LIVE"


@pytest.mark.parametrize(
    "report",
    [{}, {"kind": 3, "odd": 1},
     {"kind": "x"}, {"kind": 3, "size_lots": 2**70}, {"kind": 3, "venue_id": "x" * 41},
     {"kind": 3, "instrument": 7}],
)  # fmt: skip
def test_evidence_that_is_none_is_refused_before_any_of_it_counts(report):
    desk = BybitDesk(Script())
    good = {"kind": ReportKind.REPORT_FILL, "instrument": 0, "size_lots": 1, "price_ticks": 1, "trade_lo": 1}
    with pytest.raises(ValueError, match="report"):
        desk.engine.on_evidence([good, report], desk.now)
    assert desk.engine.account.position(0)["lots"] == 0


@pytest.mark.parametrize(
    ("group", "halt"),
    [(ErrorGroup.GROUP_ACCESS, {"HALT_ACCESS": 2}), (ErrorGroup.GROUP_MARKET, {"HALT_VENUE": 1})],
)
def test_what_an_error_means_beyond_its_order_stops_the_symbol(group, halt):
    desk = BybitDesk(Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10)))
    desk.book()
    desk.evidence(1, ReportKind.REPORT_REJECT, code=5, group=group)
    assert desk.engine.risk.halts(0) == halt


def test_a_filter_that_refuses_again_and_again_stops_the_symbol():
    desk = BybitDesk(Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10)))
    for turn in range(5):
        assert desk.engine.risk.halts(0) == {}
        desk.book(1 + turn)
        desk.evidence(turn + 1, ReportKind.REPORT_REJECT, code=5, group=ErrorGroup.GROUP_FILTER)
    assert desk.engine.risk.halts(0) == {"HALT_FILTER": 1}


def test_a_person_who_lets_a_symbol_go_has_the_refusals_of_its_filters_counted_anew():
    desk = BybitDesk(Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10)))
    for turn in range(10):
        assert desk.engine.risk.halts(0) == {}
        desk.book(1 + turn)
        desk.evidence(turn + 1, ReportKind.REPORT_REJECT, code=5, group=ErrorGroup.GROUP_FILTER)
        if turn == 4:
            assert desk.engine.risk.halts(0) == {"HALT_FILTER": 1}
            desk.engine.resume(0, int(HaltReason.HALT_FILTER), desk.now)
    assert desk.engine.risk.halts(0) == {"HALT_FILTER": 1}


def test_refusals_by_a_filter_are_in_a_row_only_where_no_later_order_passed():
    desk = BybitDesk(Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10)))
    for turn in range(8):
        desk.book(1 + turn)
        if turn % 4 == 3:  # this one rests, and is gone again
            desk.evidence(turn + 1, ReportKind.REPORT_LIVE)
            desk.evidence(turn + 1, ReportKind.REPORT_CANCELED)
        else:
            desk.evidence(turn + 1, ReportKind.REPORT_REJECT, code=5, group=ErrorGroup.GROUP_FILTER)
    assert desk.engine.risk.halts(0) == {}


def test_the_first_refusal_by_a_filter_asks_for_the_rules_anew_and_those_that_follow_do_not():
    desk = BybitDesk(Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10)))
    asked = []
    desk.engine.ask_relist = asked.append
    for turn in range(3):
        desk.book(1 + turn)
        desk.evidence(turn + 1, ReportKind.REPORT_REJECT, code=5, group=ErrorGroup.GROUP_FILTER)
    assert asked == [Market.BYBIT_LINEAR]


def test_an_unknown_word_of_the_venue_makes_the_symbol_reduce_only():
    desk = BybitDesk(Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10)))
    desk.book()
    desk.evidence(1, ReportKind.REPORT_ODD)
    assert desk.engine.risk.halts(0) == {"HALT_ODD": 1}
    assert desk.engine.orders.order(1)["state"] == "SENT"


def test_a_liquidation_stops_every_symbol_of_the_account():
    desk = BybitDesk(Script())
    fill = {
        "kind": ReportKind.REPORT_FILL,
        "instrument": 0,
        "side": 1,
        "size_lots": 3,
        "price_ticks": 9990,
        "trade_lo": 9,
    }
    desk.engine.on_evidence([fill | {"nature": Nature.LIQUIDATION}], desk.now)
    assert desk.engine.account.position(0)["lots"] == -3
    assert desk.engine.risk.halts(0) == {"HALT_LIQUIDATION": 2}


# ---- what a venue cannot mean ----

MANY = 10**12
FILL = {"size_lots": 3, "price_ticks": 9990, "trade_lo": 9, "fee_is_quote": 1, "event_ns": 1}
ABSURD = {
    "more than was ever asked for": {"size_lots": MANY},
    "more than any order may be": {"size_lots": LIMITS["max_size_lots"] + 1},
    "nothing": {"size_lots": 0},
    "less than nothing": {"size_lots": -3},
    "for nothing": {"price_ticks": 0},
    "at a price below zero": {"price_ticks": -1},
    "at a price beyond any": {"price_ticks": 2**47 + 1},
    "a sum beyond any": {"filled_lots": MANY},
    "the largest fee that can be written": {"fee_e8": -(2**63) + 1, "fee_is_quote": 0, "fee_coin": "BNB"},
}
STRANGE = {  # what is told of it, and what the venue says: refused on a stream, believed of a list
    "far above its limit": (
        "its price is more than a fifth beyond 9990, the furthest limit that its order ever had",
        {"price_ticks": 9990 + 9990 // 5 + 1},
    ),
    "ten times below the market": ("a tenth of, 10000 in the book", {"price_ticks": 999}),
    "a fee above what was traded": ("is more than the 299700000 that was", {"fee_e8": 299_700_001}),
    "a rebate above what was traded": ("is more than the 299700000 that was", {"fee_e8": -299_700_001}),
    "a fee in the base coin above what was traded": (
        "its fee 4 is more than the 3 that was traded",
        {"fee_e8": 300_001, "fee_is_quote": 2},
    ),
}


def one_order():
    desk = BybitDesk(Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10)))
    desk.book()
    return desk


@pytest.mark.parametrize("what", ABSURD)
def test_a_fill_that_cannot_be_holds_its_symbol_and_moves_nothing(what):
    desk = one_order()
    if "BNB" in ABSURD[what].values():  # of a sum that two such fees leave no room in
        desk.engine.account.fee(0, -(2**62) - 2, 0, "BNB")
    before = desk.engine.account.position(0)
    desk.evidence(1, ReportKind.REPORT_FILL, **FILL | ABSURD[what])
    assert desk.engine.account.position(0) == before
    assert desk.engine.orders.reserved(0)["buy_lots"] == 10
    assert (desk.engine.risk.latches, desk.engine.risk.halts(0)) == (0, {"HALT_ODD": 1})
    assert (desk.engine.absurd, desk.engine.orders.order(1)["state"]) == (1, "SENT")
    assert [x["id"] for x in desk.engine.orders.troubled(desk.now)] == [1]  # the venue is asked about it


def test_what_such_a_fill_was_really_still_counts_and_once():
    desk = one_order()
    for more in ({"size_lots": MANY}, {}, {}):
        desk.evidence(1, ReportKind.REPORT_FILL, **FILL | more)
    assert desk.engine.account.position(0)["lots"] == 3
    assert (desk.engine.absurd, desk.engine.orders.duplicates) == (1, 1)


def test_the_largest_fill_and_the_largest_fee_that_can_be_are_booked():
    desk = one_order()
    desk.evidence(1, ReportKind.REPORT_FILL, **FILL | {"size_lots": LIMITS["max_size_lots"], "trade_lo": 1})
    desk.evidence(1, ReportKind.REPORT_FILL, **FILL | {"fee_e8": 3 * 999 * E8 // 10_000})
    assert desk.engine.account.position(0)["lots"] == LIMITS["max_size_lots"] + 3
    assert (desk.engine.account.position(0)["fills"], desk.engine.absurd) == (2, 0)


@pytest.mark.parametrize("what", STRANGE)
def test_a_strange_fill_is_refused_on_a_stream_with_its_reason_and_believed_when_the_list_says_it(what):
    why, said = STRANGE[what]
    desk = one_order()
    assert desk.heard(1, **FILL | said) == Verdict.BAD
    assert desk.engine.account.position(0)["fills"] == 0
    assert (desk.engine.risk.halts(0), desk.engine.absurd) == ({"HALT_ODD": 1}, 1)
    assert why in desk.engine.absurd_in(0)
    assert desk.engine.absurd_in(1) == ""
    assert [x["id"] for x in desk.engine.orders.troubled(desk.now)] == [1]
    for _ in range(2):
        desk.evidence(1, ReportKind.REPORT_FILL, **FILL | said)
    assert (desk.engine.account.position(0)["lots"], desk.engine.absurd) == (3, 1)


def test_the_dearest_and_the_cheapest_fill_that_can_be_are_booked_from_a_stream():
    desk = one_order()
    for number, price in enumerate((9990 + 9990 // 5, 1000)):
        assert desk.heard(1, **FILL | {"price_ticks": price, "trade_lo": 20 + number}) == Verdict.HANDLED
    assert (desk.engine.account.position(0)["fills"], desk.engine.absurd) == (2, 0)


@pytest.mark.parametrize("side", ["Buy", "Sell"])
def test_a_late_fill_at_any_limit_that_its_order_ever_had_is_booked_from_a_stream(side):
    desk = BybitDesk(
        Script(
            on_book=lambda self, i, now: (
                self.orders.open_orders()
                or (self.buy(i, 9990, 10) if side == "Buy" else self.sell(i, 10_010, 10))
            )
        )
    )
    desk.book()
    first, turns = (9990, (8000, 6400)) if side == "Buy" else (10_010, (12_000, 14_400))
    for price in turns:  # acknowledged, then by the venue itself
        desk.evidence(1, ReportKind.REPORT_AMENDED, order_ticks=price, order_lots=10)
    far = first + 1998 if side == "Buy" else first - 2002
    assert desk.heard(1, side, **FILL | {"price_ticks": first, "trade_lo": 31}) == Verdict.HANDLED
    assert desk.heard(1, side, **FILL | {"price_ticks": far, "trade_lo": 32}) == Verdict.HANDLED
    beyond = far + 1 if side == "Buy" else far - 1
    assert desk.heard(1, side, **FILL | {"price_ticks": beyond, "trade_lo": 33}) == Verdict.BAD
    assert (desk.engine.account.position(0)["fills"], desk.engine.absurd) == (2, 1)


def test_an_adopted_order_may_have_had_any_limit_before():
    desk = BybitDesk(Script())
    desk.book()
    own = desk.engine.adopt(0, 3, 77, 0, 0, 0, 5000, 10, 0, False, "7", desk.now)
    epoch = desk.engine.orders.order(own)["epoch"]
    assert (own, epoch) == (desk.engine.orders.whose(77, 3), 3)
    desk.wire, wire = BybitWire(desk.instruments, Market.BYBIT_LINEAR, "tckg", 3), desk.wire
    assert desk.heard(77, **FILL | {"price_ticks": 9990}) == Verdict.HANDLED
    desk.wire = wire
    assert (desk.engine.account.position(0)["lots"], desk.engine.absurd) == (3, 0)


@pytest.mark.parametrize("times", [11, 0.05])
def test_one_wrong_mark_and_a_book_that_is_gone_refuse_no_fill(times):
    desk = one_order()
    desk.engine.equity.mark_now(0, 0, 0, int(times * 999 * E8), desk.now)
    assert desk.heard(1, **FILL) == Verdict.HANDLED  # the book says that it can be
    desk.engine.on_line(0, False, desk.now)
    assert desk.heard(1, **FILL | {"price_ticks": 900, "trade_lo": 41}) == Verdict.HANDLED  # a crash, unseen
    assert (desk.engine.account.position(0)["lots"], desk.engine.absurd) == (6, 0)


def test_a_book_older_than_risk_may_be_taken_on_says_nothing_of_a_fill():
    desk = one_order()
    desk.now += LIMITS["stale_ns"] + SEC
    assert desk.heard(1, **FILL | {"price_ticks": 900}) == Verdict.HANDLED
    assert desk.engine.absurd == 0


@pytest.mark.parametrize("kind", ["LIVE", "AMENDED", "CANCELED", "EXPIRED", "FILLED"])
@pytest.mark.parametrize("field", ["filled_lots", "order_lots", "order_ticks"])
def test_an_order_that_cannot_be_keeps_what_it_reserves(kind, field):
    desk = one_order()
    for value in (2**62, 2**62, 2**48):  # twice the first is more than 64 bits hold
        desk.evidence(1, ReportKind[f"REPORT_{kind}"], **{field: value})
    assert desk.engine.orders.reserved(0)["buy_lots"] == 10
    assert (desk.engine.risk.latches, desk.engine.risk.halts(0)) == (0, {"HALT_ODD": 1})
    assert (desk.engine.absurd, desk.engine.orders.order(1)["state"]) == (3, "SENT")


def test_lies_of_any_number_about_anothers_trades_never_latch_the_node():
    desk = one_order()
    row = {"kind": ReportKind.REPORT_FILL, "instrument": 0, "size_lots": 2**32, "price_ticks": 90_000}
    # each fits by itself, and all together do not
    desk.engine.on_evidence([row | {"trade_lo": number} for number in range(1, 30_001)], desk.now)
    assert desk.engine.risk.latches == 0
    assert 0 < desk.engine.absurd < 30_000
    assert desk.engine.risk.halts(0) == {"HALT_ODD": 1}


def test_a_frame_that_cannot_be_is_counted_and_named_and_the_other_symbol_trades_on():
    chain = Chain(buyer(), symbols=("BTCUSDT", "ETHUSDT"))
    assert chain.fill(chain.client_id(1), "BUY", MANY, MANY, 501) == Verdict.BAD
    line = chain.engine.lines[PRIVATE]
    assert (line.bad, "1000000000000 lots at 10000" in line.last_error) == (1, True)
    assert chain.engine.risk.halts(0) == {"HALT_ODD": 1}
    assert (chain.engine.risk.halts(1), chain.engine.risk.latches) == ({}, 0)
    assert chain.fill(chain.client_id(1), "BUY", 3, 3, 501) == Verdict.HANDLED
    assert chain.engine.account.position(0)["lots"] == 3


def test_numbers_that_no_door_can_hold_are_refused_or_bounded_and_latch_nothing():
    desk = BybitDesk(Script())
    engine, now, huge = desk.engine, desk.now, 10**30
    for call in (
        lambda: engine.funding(0, huge, now), lambda: engine.funding(0, -huge, now),
        lambda: engine.set_position(0, huge, 0, now), lambda: engine.set_position(0, 2**47 + 1, 0, now),
        lambda: engine.set_position(0, 1, -huge, now), lambda: engine.set_position(0, 1, 0, now, cost=huge),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"cannot be|no such position"):
            call()
    for _ in range(7):  # 7 times 2**60 is the most that a sum holds
        engine.funding(0, 2**60, now)
    with pytest.raises(ValueError, match="cannot be"):
        engine.funding(0, 2**60, now)
    engine.capital(0, huge, now)
    assert engine.equity.sums(0)["capital_e8"] == 2**60
    engine.flow(0, -huge, now)
    assert engine.equity.sums(0)["capital_e8"] == 0
    engine.set_coin_price("BNB", 5 * E8, now)
    engine.set_coin_price("BNB", huge, now)
    assert engine.equity.coin_price("BNB") == 0  # as good as none
    engine.foreign(0, huge, huge, now)
    assert engine.orders.reserved(0)["foreign_buy_lots"] == 2**47
    assert engine.risk.latches == 0


def test_a_symbol_whose_new_filters_cannot_be_is_not_traded():
    desk = BybitDesk(Script())
    assert desk.engine.refresh(0, "0.1", "0.001", {"min_size": "1e999999"}, desk.now) is False
    assert desk.instruments.row(0)["tradable"] == 0
    assert desk.engine.refresh(0, "0.1", "0.001", {"min_size": "0.001"}, desk.now) is True
    assert desk.instruments.row(0)["tradable"] == 1


# ---- capital, flows, funding ----


def test_what_the_account_holds_goes_through_doors_that_are_on_the_tape(tape):
    desk = BybitDesk(Script(), tape)
    engine, now = desk.engine, desk.now
    engine.capital(0, 1000 * E8, now)
    engine.capital(0, 3 * E8, now, coin="BNB")
    engine.set_coin_price("BNB", 500 * E8, now)
    engine.flow(0, -100 * E8, now)
    engine.funding(0, -2 * E8, now)
    engine.restore_peak(9000 * E8, 8000 * E8, now // (86_400 * SEC), now)
    assert engine.equity.known
    assert engine.equity.sums()["equity_e8"] == (1000 + 3 * 500 - 100 - 2) * E8
    assert (engine.equity.peak_e8, engine.account.position(0)["funding_e8"]) == (9000 * E8, -2 * E8)
    desk.engine.mark_now(now)
    rows = [row_of.door_row(x.payload) for x in records(desk) if x.type == RecordType.DOOR]
    assert [(x["door"], x["a"]) for x in rows] == [
        ("DOOR_CAPITAL", 1000 * E8), ("DOOR_COIN", 0), ("DOOR_CAPITAL", 3 * E8), ("DOOR_COIN", 500 * E8),
        ("DOOR_FLOW", -100 * E8), ("DOOR_FUNDING", -2 * E8), ("DOOR_PEAK", 9000 * E8),
        ("DOOR_MARK", 0),
    ]  # fmt: skip
    assert rows[2]["b"] == rows[3]["instrument"] + 1  # the coin by its number, which has its name
    assert rows[3]["b"].to_bytes(8, "little") == b"BNB".ljust(8, b"\0")
    equity = [row_of.equity_row(x.payload) for x in records(desk) if x.type == RecordType.EQUITY]
    assert [(x["purse"], x["equity_e8"]) for x in equity] == [(0, 2398 * E8), (-1, 2398 * E8)]


def test_a_door_that_makes_no_sense_is_refused_and_not_on_the_tape(tape):
    desk = BybitDesk(Script(), tape)
    engine, now = desk.engine, desk.now
    for call in (
        lambda: engine.capital(8, 1, now), lambda: engine.capital(-1, 1, now), lambda: engine.flow(9, 1, now),
        lambda: engine.capital(0, 1, now, coin="A" * 16), lambda: engine.set_coin_price("", 1, now),
        lambda: engine.set_coin_price("BNB", -1, now), lambda: engine.restore_peak(1, 1, 10**6, now),
        lambda: engine.set_position(0, 1, 1, now, leg=3), lambda: engine.set_position(0, 0, 0, now, cost=1),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"purse|coin|day|position"):
            call()
    for call in (lambda: engine.funding(7, 1, now), lambda: engine.set_position(7, 1, 1, now)):
        with pytest.raises(IndexError, match="the table has"):
            call()
    assert not [x for x in records(desk) if x.type == RecordType.DOOR]


def test_an_order_that_was_approved_counts_in_the_worst_case_before_the_next_is_looked_at():
    chain = Chain(buyer(9990, 7))
    assert chain.engine.orders.reserved(0)["buy_lots"] == 7
    worth = chain.engine.equity.worth(0)
    assert worth["long_e8"] == chain.engine.instruments.money(0, worth["ticks"], 7)
    assert worth["short_e8"] == 0


def test_a_fill_is_on_the_tape_with_the_leg_and_the_cost_of_what_is_open(tape):
    chain = Chain(buyer(9990, 7), tape=tape)
    chain.give(ORDERS, ack(chain.frames[0]))
    chain.fill(chain.client_id(1), "BUY", 3, 3, 501)
    (record,) = [x for x in records(chain) if x.type == RecordType.FILL]
    row = fill_row(record.payload)
    assert (row["leg"], row["leg_lots"], row["leg_cash"], row["leg_cost"]) == (0, 3, -30_000, 30_000)
    assert (row["position_lots"], row["cash"], row["cost"]) == (3, -30_000, 30_000)


# ---- standing still ----


def written(chain, event_ms):
    """The next depth event of line A, written by the venue at `event_ms`."""
    chain.last += 1
    row = {"e": "depthUpdate", "E": event_ms, "s": "BTCUSDT", "U": chain.last, "u": chain.last}
    chain.give(A, dump({**row, "b": [["99.90", "0.0" + str(10 + chain.last % 80)]], "a": []}))


def verdict_now(chain):
    return chain.engine.risk.probe(0, BUY, 9990, 7, chain.now)


def test_after_standing_still_a_book_is_stale_until_its_venue_has_written_something_since():
    """Frames that lay in the socket are read at once when a process goes on: they are not news."""
    chain = Chain()
    assert verdict_now(chain) == "OK"
    chain.now += SEC
    chain.engine.stood_still(SEC, chain.now, False)
    thawed_ms = chain.now // MS
    assert verdict_now(chain) == "BOOK_STALE"
    for age_ms in (900, 500, 101):
        written(chain, thawed_ms - age_ms)
        assert chain.book.state == SYNCED
        assert verdict_now(chain) == "BOOK_STALE", age_ms
    written(chain, thawed_ms - 90)
    assert verdict_now(chain) == "OK"
    written(chain, thawed_ms - 900)
    assert verdict_now(chain) == "OK", "from then on receive times count again"


def test_what_is_fresh_after_standing_still_is_read_on_the_venue_s_clock():
    for offset_ns, event_ns, verdict in (
        (-5 * SEC, -5 * SEC, "OK"),
        (5 * SEC, 0, "BOOK_STALE"),
        (5 * SEC, 5 * SEC, "OK"),
    ):
        chain = Chain()
        chain.engine.venue_clock(Market.BINANCE_SPOT, offset_ns, MS, chain.now)
        chain.engine.stood_still(SEC, chain.now, False)
        written(chain, (chain.now + event_ns) // MS)
        assert verdict_now(chain) == verdict


def test_a_snapshot_without_a_time_is_no_proof_of_a_fresh_book():
    chain = Chain()
    chain.now += SEC
    chain.engine.stood_still(SEC, chain.now, False)
    chain.tick(skip=5)
    chain.give(REST, snapshot(chain.last + 10, ((9990, 50),), ((10_010, 50),)))
    chain.last += 10
    written(chain, chain.now // MS - 900)
    assert (chain.book.state, verdict_now(chain)) == (SYNCED, "BOOK_STALE")


def test_after_standing_still_for_long_everything_must_be_proven_anew():
    chain = Chain()
    risk = chain.engine.risk
    risk.require(reconcile_ns=60 * SEC, clock_ns=60 * SEC, private=True)
    chain.engine.reconciled(0, chain.now)
    chain.engine.venue_clock(Market.BINANCE_SPOT, 0, MS, chain.now)
    chain.engine.private_proven(Market.BINANCE_SPOT, True, chain.now)
    written(chain, chain.now // MS)
    assert verdict_now(chain) == "OK"
    chain.engine.stood_still(SEC // 5, chain.now, False)
    written(chain, chain.now // MS)
    assert verdict_now(chain) == "OK", "late is not gone: data only"
    chain.engine.stood_still(SEC, chain.now)
    written(chain, chain.now // MS)
    assert verdict_now(chain) == "RECONCILE_STALE"
    chain.engine.reconciled(0, chain.now)
    assert verdict_now(chain) == "CLOCK"
    chain.engine.venue_clock(Market.BINANCE_SPOT, 0, MS, chain.now)
    assert verdict_now(chain) == "PRIVATE_DOWN"
    chain.engine.private_proven(Market.BINANCE_SPOT, True, chain.now)
    assert verdict_now(chain) == "OK"


# ---- what counts, of whoever's orders ----


@pytest.mark.parametrize("strategy", [0, -1, -2, -3])
def test_fills_of_the_desk_and_of_adopted_orders_count_for_ratios_and_day_trades(strategy):
    chain = Chain(Script())
    chain.engine.risk.set_flow(cancel_ratio_milli=10_000, cancel_ratio_ns=SEC, trade_ratio_milli=-1)
    throttle, start = chain.engine.risk.throttle, chain.engine.risk.throttle.day_fills
    for number, side in enumerate(("BUY", "SELL"), 1):
        chain.orders.intend(0, side == "SELL", 9990, 5, chain.now, strategy=strategy)
        chain.fill(chain.client_id(number), side, 5, 5, 500 + number)
    assert chain.engine.account.position(0)["lots"] == 0
    assert (throttle.day_fills - start, throttle.day_trades, throttle.ratio(chain.now)[1]) == (2, 1, 2)


DAY = 86_400 * SEC


@pytest.mark.parametrize(
    ("before_ns", "days"),
    [(SEC, [(START // DAY, 1)]), (-SEC, []), (3 * SEC, [])],
    ids=["as the venue dates it", "not from the future", "not from before its order"],
)
def test_a_closing_fill_that_is_heard_of_behind_midnight_is_a_day_trade_of_the_day_before(before_ns, days):
    desk = BybitDesk(Script())
    desk.engine.risk.set_day_trades(3, 5, -1)
    midnight = (START // DAY + 1) * DAY
    desk.now = midnight - 2 * SEC
    for side in (0, 1):
        number = desk.engine.orders.intend(0, side, 9990, 3, desk.now)
        made_ns = desk.now + MS
        if side:
            desk.now, made_ns = (
                midnight + 10 * SEC,
                midnight - before_ns if before_ns > 0 else midnight + 20 * SEC,
            )
        desk.evidence(
            number,
            ReportKind.REPORT_FILL,
            **FILL | {"side": side, "trade_lo": 60 + side, "event_ns": made_ns},
        )
    assert desk.engine.account.position(0)["lots"] == 0
    assert desk.engine.risk.throttle.day_trade_rows() == days


# ---- why it did that ----


def decisions(chain):
    """(verdict, decision) of each decision on the tape, which must stand right behind its verdict."""
    rows = records(chain)
    found = [i for i, r in enumerate(rows) if r.type == RecordType.DECISION]
    assert all(rows[i - 1].type == RecordType.VERDICT for i in found)
    return [(verdict_row(rows[i - 1].payload), decision_row(rows[i].payload)) for i in found]


def test_behind_a_verdict_stand_the_book_the_reference_and_every_check(tape):
    chain = Chain(buyer(), tape=tape)
    ((verdict, row),) = decisions(chain)
    assert (row["order_id"], row["instrument"], row["state"], row["changed_ns"]) == (1, 0, 2, chain.now)
    assert (row["bids"], row["asks"]) == (chain.book.bids(5), chain.book.asks(5))
    assert row["low2"] == row["high2"] == 20_000
    assert row["checks"][0]["reason"] == "LATCHED"
    assert {"SIZE_MAX", "PRICE_COLLAR", "POSITION"} <= {x["reason"] for x in row["checks"]}
    assert verdict["reason"] == "OK"


def test_a_refusal_tells_the_check_that_refused_last(tape):
    ((verdict, row),) = decisions(Chain(buyer(lots=5000), tape=tape))
    last = row["checks"][-1]
    assert (last["reason"], last["value"], last["limit"]) == ("SIZE_MAX", 5000, 1000)
    assert (verdict["reason"], row["order_id"]) == ("SIZE_MAX", 0)


def test_a_cancel_has_a_verdict_alone_and_leaves_nothing_to_the_next_decision(tape):
    def three(self, now_ns):
        self.cancel(99)
        self.amend(99, 9990, 1)
        self.buy(0, 9990, 1)

    chain = Chain(Script(on_timer=three), tape=tape)
    chain.time()
    first, second = decisions(chain)
    assert [r.type for r in records(chain)].count(RecordType.VERDICT) == 3
    assert (first[0]["reason"], first[1]["checks"]) == ("UNKNOWN_ORDER", [])
    assert (second[0]["reason"], second[1]["instrument"]) == ("OK", 0)
    assert [x["reason"] for x in second[1]["checks"]].count("LATCHED") == 1


def test_an_amend_is_asked_as_the_order_that_it_changes(tape):
    script = Script(
        on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 10),
        on_timer=lambda self, now: [self.amend(i, 9995, 15) for i in self.orders.open_orders()],
    )
    desk = BybitDesk(script, tape)
    desk.book()
    desk.evidence(1, ReportKind.REPORT_LIVE)
    desk.engine.on_time(desk.now + MS)
    verdict, row = decisions(desk)[-1]
    assert (verdict["intent"]["action"], verdict["reason"]) == (Action.AMEND, "OK")
    assert (row["instrument"], row["order_id"]) == (0, 1)
    told = {x["reason"]: x["value"] for x in row["checks"]}
    assert told["POSITION"] == 15  # its own ten do not count twice


# ---- signals ----


def signals(chain):
    return [signal_row(r.payload) for r in records(chain) if r.type == RecordType.SIGNAL]


def test_a_signal_stands_once_in_front_of_the_verdicts_of_its_turn(tape):
    def both(self, instrument, now_ns):
        self.signal(1, 5, -6)
        self.buy(instrument, 9990, 1)
        self.signal(2, 7, -8, 9, -(2**63))
        self.buy(instrument, 9980, 1)

    chain = Chain(Script(on_book=both), tape=tape)
    names = [x for x in kinds(chain) if x in ("SIGNAL", "VERDICT", "DECISION")]
    assert names == ["SIGNAL", "VERDICT", "DECISION", "VERDICT", "DECISION"]
    assert signals(chain) == [
        {"strategy": 0, "instrument": 0, "kind": 2, "a": 7, "b": -8, "c": 9, "d": -(2**63)}
    ]


def test_what_moved_nobody_is_not_on_the_tape_and_does_not_stick_to_a_later_proposal(tape):
    turns = []

    def sometimes(self, now_ns):
        turns.append(now_ns)
        if len(turns) == 1:
            self.signal(1)
        elif len(turns) == 2:
            self.buy(0, 9990, 1)
        else:
            self.signal(3)
            self.buy(0, 9980, 1)

    chain = Chain(Script(on_timer=sometimes), tape=tape)
    chain.time()
    chain.time()
    assert signals(chain) == []
    chain.time()
    assert [(x["kind"], x["instrument"]) for x in signals(chain)] == [(3, -1)]


def test_a_signal_that_is_no_number_is_a_fault_of_the_strategy_and_nothing_is_sent(tape):
    def wild(self, instrument, now_ns):
        self.buy(instrument, 9990, 1)
        self.signal(1, 2**63)

    script = Script(on_book=wild)
    chain = Chain(script, tape=tape)
    assert (script.faults, chain.sent, signals(chain)) == (1, [], [])
