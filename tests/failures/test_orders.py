"""Group B of the failure catalogue, order entry, rows 28 to 49: one scenario or more for each row."""

import re
from itertools import permutations
from pathlib import Path

import pytest
from hands import BUY, POST_ONLY, SELL, VENUES, Ours, without_before
from rows import ELSEWHERE, ROWS, row

from ext.records import Outcome
from node.venues.markets import MARKETS
from node.venues.values import Reply, Request

BINANCE, BYBIT_OKX = ("binance-spot", "binance-usdm"), ("bybit-spot", "bybit-linear", "okx")
FILLS = re.compile(r'"x":"TRADE"|"topic":"execution|"fillSz":"[0-9.]*[1-9]')
LINK_ID = re.compile(r'"orderLinkId":"[^"]*"')


def finish(hand, within_s=30, *, remembers=True):
    """Nothing is being found out any more, both sides agree, and each intent made one order at most. Behind
    a new tape the trades of before are not counted."""
    if not hand.is_naive:
        since_ns = hand.world.now_ns
        hand.keeper.look_now(since_ns)
        hand.until(lambda: hand.keeper.is_settled(since_ns), within_s)
        assert (hand.world.differences() if remembers else without_before(hand.world)) == []
    hand.agree()
    assert set(hand.truth()["orders"].values()) <= {1}


def answered(hand):
    """Time for an answer to come back."""
    hand.run(0.05)


def blind(hand, for_s):
    """The private stream tells nothing for a while: only answers and questions do."""
    hand.fault("exec.drop", for_s=for_s)


# ---- 28 to 37: what became of the request? ----


@row(28, star=True)
def test_28_an_ack_that_is_lost_leaves_one_order_at_the_venue_and_its_size_reserved(make, market):
    hand = make(market).ready()
    hand.fault("ack.drop", count=1)
    price = hand.away(BUY)
    order = hand.place(BUY, price)
    hand.run(1.5)
    assert hand.hits("ack.drop") == 1
    assert hand.taken() == 1
    hand.run(10)
    assert hand.taken() == hand.asked_new() == 1
    assert order
    finish(hand)


@row(28, star=True)
def test_28_an_order_that_nobody_speaks_of_is_unknown_reserved_cancelled_and_never_sent_again(make, market):
    hand = make(market).ready()
    hand.fault("ack.drop", count=1)
    blind(hand, 8)
    hand.place(BUY, hand.away(BUY))
    if not hand.is_naive:
        hand.until(lambda: hand.entered("UNKNOWN") or hand.entered("LIVE"), 2)  # LIVE: a list came first
        assert hand.reserved(BUY) >= len(hand.open_there()) * hand.size
    hand.run(20)
    assert hand.hits("ack.drop") == 1
    assert hand.hits("exec.drop") > 0
    assert hand.taken() == hand.asked_new() == 1
    assert hand.is_naive or not hand.entered("UNKNOWN") or hand.open_there() == []  # neutralised
    assert hand.reserved(BUY) == len(hand.open_there()) * hand.size
    finish(hand)


@row(28, star=True)
def test_28_an_order_that_filled_behind_a_lost_ack_is_counted(make, market):
    hand = make(market).ready()
    hand.fault("ack.drop", count=1)
    blind(hand, 8)
    hand.place(BUY, hand.through(BUY))
    hand.run(20)
    assert hand.hits("ack.drop") == 1
    assert hand.taken() == hand.asked_new() == 1
    assert hand.position() == hand.traded_there() == hand.size
    finish(hand)


@row(29, star=True)
def test_29_a_request_that_is_lost_frees_its_size_only_when_its_absence_is_proven(make, market):
    hand = make(market).ready()
    hand.fault("px.blackhole", way="in", path="orders", for_s=0.5)
    order = hand.place(BUY, hand.away(BUY))
    hand.run(30)
    assert hand.hits("px.blackhole") == 1
    assert hand.taken() == hand.asked_new() == 0  # neither then nor later, at an old price
    if not hand.is_naive:
        assert hand.state(order) == "UNKNOWN"
        assert hand.reserved(BUY) == hand.size
        assert "HALT_UNKNOWN" in hand.halts()
        assert hand.told("of unknown fate for 10 s: reduce-only")
        assert not hand.may_trade()
        hand.until(lambda: hand.state(order) == "NEVER_EXISTED", 60)
        assert hand.world.now_ns - hand.order(order)["sent_ns"] > 60 * 10**9
        assert hand.told("is not there: not found")
        hand.until(lambda: not hand.halts() and hand.may_trade(), 10)
    assert hand.reserved(BUY) == 0
    finish(hand)


@row(29, star=True)
def test_29_a_request_that_comes_late_is_refused_by_its_own_deadline(make, market):
    hand = make(market).ready()
    hand.fault("px.delay", way="in", path="orders", delay_ms=6000, for_s=0.03)
    order = hand.place(BUY, hand.through(BUY))
    hand.run(10)
    assert hand.hits("px.delay") == 1
    assert hand.asked_new() == 1
    assert hand.taken() == hand.traded_there() == 0
    if not hand.is_naive:
        hand.until(lambda: order not in hand.open_here(), 90)
        assert hand.state(order) in ("REJECTED", "NEVER_EXISTED")
    assert hand.reserved(BUY) == 0
    finish(hand)


UNKNOWN_CODES = {
    "binance-spot": "-1000 -1001 -1006 -1007 -9999",
    "binance-usdm": "-1000 -1006 -1007 -9999",
    "bybit-linear": "10000 10016 10019 170007 170146 170147 199999",
    "okx": "50001 50004 50013 50026 51054 59999",
}  # the last one of each is in no document


@row(30, star=True)
def test_30_an_answer_that_does_not_know_leaves_a_live_order_reserved_until_it_is_cancelled(make, market):
    hand = make(market).ready()
    codes = UNKNOWN_CODES[market].split()
    for i, code in enumerate(codes, 1):
        hand.until(hand.may_trade)
        hand.fault("ack.error", code=code, live=True, op="place", count=1)
        blind(hand, 1)
        order = hand.place(BUY, hand.away(BUY))
        answered(hand)
        if not hand.is_naive:
            assert hand.entered("UNKNOWN") == i, code
            assert hand.state(order) != "REJECTED"
            assert hand.reserved(BUY) >= len(hand.open_there()) * hand.size
        hand.run(5)
        assert hand.open_there() == [], code
        assert hand.reserved(BUY) == 0
    assert hand.hits("ack.error") == hand.taken() == hand.asked_new() == len(codes)
    finish(hand)


@row(30, naive=())  # "refused" is what the naive one says, and here it is right by chance
def test_30_an_answer_that_does_not_know_frees_nothing_before_the_absence_is_proven(make, market):
    hand = make(market).ready()
    codes, orders = UNKNOWN_CODES[market].split(), []
    for code in codes:
        hand.fault("ack.error", code=code, live=False, op="place", count=1)
        orders.append(hand.place(BUY, hand.away(BUY, 500 + len(orders))))
        hand.run(0.4)  # the venue's own budget
    assert hand.hits("ack.error") == len(codes)
    assert {hand.state(x) for x in orders} == {"UNKNOWN"}
    hand.run(30)
    assert {hand.state(x) for x in orders} == {"UNKNOWN"}
    assert hand.reserved(BUY) == len(codes) * hand.size
    hand.until(lambda: {hand.state(x) for x in orders} == {"NEVER_EXISTED"}, 60)
    assert hand.taken() == 0
    assert hand.reserved(BUY) == 0
    finish(hand)


UNKNOWN_503 = "Unknown error, please check your request or try again later."
FAILED_503 = ("Service Unavailable.", "Internal error; unable to process your request. Please try again.")
THROTTLED = "Request throttled by system-level protection."


def by_rest(hand):
    """The order line is away: new orders go by REST."""
    hand.by_rest_too = True
    hand.fault("px.refuse", path="orders", stream="ws", for_s=60)
    hand.world.cut(hand.world.line(hand.market, "orders"))
    hand.run(1)
    if not hand.is_naive:
        hand.until(hand.may_trade, 20)


# Spot and OKX send no order by REST: without the order line they have no private stream, and risk nothing.
@row(31, star=True, markets=("binance-usdm",))
def test_31_a_503_that_does_not_know_is_unknown_and_a_live_order_behind_it_is_cancelled(make, market):
    hand = make(market).ready()
    bodies = [f'{{"code":-1000,"msg":"{UNKNOWN_503}"}}', "<html>503</html>", ""]
    by_rest(hand)
    for i, body in enumerate(bodies, 1):
        hand.fault("rest.status", status=503, body=body, live=True, method="POST", path="/order", count=1)
        blind(hand, 1)
        hand.place(BUY, hand.away(BUY))
        answered(hand)
        if not hand.is_naive:
            assert hand.entered("UNKNOWN") == i, body
            assert hand.reserved(BUY) >= len(hand.open_there()) * hand.size
        hand.run(8)
        assert hand.open_there() == [], body
        if not hand.is_naive:
            hand.until(hand.may_trade, 20)
    assert hand.hits("rest.status") == hand.taken() == hand.asked_new("rest") == len(bodies)
    hand.run(60)
    finish(hand)


@row(31, markets=("binance-usdm",))
def test_31_a_503_frees_the_size_at_once_only_where_it_is_documented_as_failed(make, market):
    hand = make(market).ready()
    by_rest(hand)
    bodies = dict.fromkeys(FAILED_503, "REJECTED")
    bodies |= {UNKNOWN_503: "UNKNOWN", "Internal error; please wait.": "UNKNOWN"}
    for body, state in bodies.items():
        code = -1000 if body == UNKNOWN_503 else -1001
        body = f'{{"code":{code},"msg":"{body}"}}'
        hand.fault("rest.status", status=503, body=body, live=False, method="POST", path="/order", count=1)
        order = hand.place(BUY, hand.away(BUY, 500 + len(hand.fake.heard)))
        answered(hand)
        assert hand.state(order) == state, body
    assert hand.hits("rest.status") == len(bodies)
    hand.run(90)
    assert hand.taken() == 0
    finish(hand)


@row(31, markets=("binance-spot",))
def test_31_on_spot_no_503_is_a_failure(make, market):
    rest = make(market).world.desk.rest[make(market).market]
    request = Request("POST", "/api/v3/order?symbol=BTCUSDT")
    for text in (*FAILED_503, UNKNOWN_503, THROTTLED):
        reply = Reply(503, {}, f'{{"code":-1008,"msg":"{text}"}}'.encode())
        assert rest.read_said(request, reply).outcome == Outcome.UNCERTAIN, text


@row(31, markets=("binance-usdm",))
def test_31_throttled_by_the_venue_stops_new_risk_and_lets_cancels_through(make, market):
    hand = make(market).ready()
    resting = hand.place(BUY, hand.away(BUY))
    answered(hand)
    hand.fault("ack.error", code="-1008", live=False, op="place", count=1)
    order = hand.place(BUY, hand.away(BUY, 600))
    answered(hand)
    assert hand.hits("ack.error") == 1
    assert hand.state(order) == "REJECTED"
    assert not hand.may_trade()
    hand.cancel(resting)
    hand.run(0.1)
    assert hand.state(resting) == "CANCELED"
    hand.until(hand.may_trade, 30)
    finish(hand)


@row(31, markets=("binance-usdm",))
def test_31_an_order_that_was_said_to_have_failed_and_rests_is_counted_whatever_is_heard_first(make, market):
    hand = make(market).ready()
    by_rest(hand)
    body = f'{{"code":-1001,"msg":"{FAILED_503[1]}"}}'
    for late_ms in (1, 400):
        hand.fault("rest.status", status=503, body=body, live=True, method="POST", path="/order", count=1)
        hand.fault("rest.delay", delay_ms=late_ms, method="POST", path="/order", count=1)
        hand.place(BUY, hand.away(BUY))
        for _ in range(20):
            hand.run(0.1)
            assert hand.reserved(BUY) >= len(hand.open_there()) * hand.size, late_ms
        hand.run(10)
        assert hand.reserved(BUY) == len(hand.open_there()) * hand.size
        hand.until(hand.may_trade, 20)
    assert hand.hits("rest.status") == hand.hits("rest.delay") == 2
    hand.run(60)
    finish(hand)


@row(32, star=True)
def test_32_a_client_id_is_no_idempotency_key(make, market):
    hand = make(market).ready()
    hand.fault("ack.drop", count=1)
    blind(hand, 3)
    hand.fault("order.fill_immediately", count=1)
    hand.place(BUY, hand.away(BUY))
    hand.run(20)
    assert hand.hits("ack.drop") == hand.hits("order.fill_immediately") == 1
    assert hand.taken() == hand.asked_new() == 1
    assert hand.traded_there() == hand.size
    finish(hand)


@row(33, star=True)
def test_33_no_retry_fires_behind_an_accept(make, market):
    hand = make(market).ready()
    hand.fault("ack.delay", delay_ms=1500, count=1)
    hand.fault("exec.delay", delay_ms=500, for_s=0.4)
    order = hand.place(BUY, hand.through(BUY))
    hand.run(5)
    assert hand.hits("ack.delay") == 1
    assert hand.hits("exec.delay") > 0
    assert hand.taken() == hand.asked_new() == 1
    assert hand.state(order) == "FILLED"
    assert hand.traded_there() == hand.size
    finish(hand)


@row(33, star=True)
def test_33_an_order_that_was_reported_live_is_not_sent_again_nor_cancelled_for_want_of_an_ack(make, market):
    hand = make(market).ready()
    hand.run(3)  # the looks of the start are over: none finds the order before what is tried here does
    hand.fault("ack.delay", delay_ms=1500, count=1)
    hand.fault("exec.delay", delay_ms=500, for_s=0.4)
    order = hand.place(BUY, hand.away(BUY))
    hand.run(0.4)
    assert hand.state(order) == "SENT"
    hand.run(4)
    assert hand.asked_new() == hand.taken() == len(hand.open_there()) == 1
    assert hand.state(order) == "LIVE"
    finish(hand)


@row(34, star=True, markets=("binance-usdm", "bybit-linear"))  # others send none by REST: see row 31
def test_34_a_post_whose_answer_is_lost_is_not_repeated(make, market):
    hand = make(market).ready()
    by_rest(hand)
    hand.fault("rest.drop", live=True, method="POST", path="order", count=1)
    hand.fault("exec.delay", delay_ms=500, for_s=1)  # or the stream tells before anybody is in doubt
    hand.place(BUY, hand.away(BUY))
    answered(hand)
    assert hand.hits("rest.drop") == 1
    if not hand.is_naive:
        assert hand.entered("UNKNOWN") == 1
        assert hand.reserved(BUY) >= len(hand.open_there()) * hand.size
    hand.run(8)
    assert hand.asked_new("rest") == hand.taken() == 1
    hand.run(60)
    assert hand.asked_new() == hand.taken() == 1
    finish(hand)


@row(35, star=True)
def test_35_a_silent_socket_sends_cancels_and_questions_by_rest_and_never_the_order(make, market):
    hand = make(market).ready()
    hand.run(3)  # the looks of the start are over: none finds the order before what is tried here does
    hand.by_rest_too = True
    hand.fault("ack.delay", delay_ms=3000, for_s=3)
    blind(hand, 4)
    hand.fault("order.fill_immediately", count=1)
    hand.place(BUY, hand.away(BUY))
    hand.run(0.9)
    before = len(hand.fake.heard)
    hand.run(3)
    assert hand.hits("ack.delay") > 0
    assert hand.asked_new("rest") == 0
    assert hand.asked_new("socket") == hand.taken() == 1
    assert any("GET" in x and "order" in x for x in hand.fake.heard[before:])
    hand.run(10)
    assert hand.asked_new() == hand.taken() == 1
    assert hand.position() == hand.traded_there() == hand.size
    finish(hand)


@row(35, naive=())
def test_35_an_order_of_a_dead_socket_does_not_go_by_rest_and_its_cancel_does(make, market):
    hand = make(market).ready()
    blind(hand, 20)
    hand.fault("ack.drop", count=1)
    hand.fault("px.refuse", path="orders", stream="ws", for_s=30)
    hand.place(BUY, hand.away(BUY))
    answered(hand)
    hand.world.cut(hand.world.line(hand.market, "orders"))
    hand.run(10)
    assert hand.hits("px.refuse") > 0
    assert hand.asked_new("rest") == 0
    assert hand.taken() == 1
    assert hand.open_there() == []  # by the other path
    hand.run(60)
    finish(hand)


@row(36, star=True)
def test_36_no_order_outlives_the_socket_it_was_written_to(make, market):
    hand = make(market).ready()
    hand.fault("px.blackhole", path="orders", stream="ws", for_s=5)
    orders = [hand.place(BUY, hand.away(BUY, 500 + i)) for i in range(10)]
    hand.world.cut(hand.world.line(hand.market, "orders"))
    hand.run(8)
    assert hand.hits("px.blackhole") == 1
    assert hand.asked_new() == hand.taken() == 0
    if not hand.is_naive:
        passed = [x for x in orders if x]
        assert 3 <= len(passed) <= 8  # un-acked orders are capped, and so is the venue's own budget
        assert {hand.state(x) for x in passed} == {"UNKNOWN"}
        assert hand.reserved(BUY) == len(passed) * hand.size
        hand.until(lambda: hand.reserved(BUY) == 0, 90)
    hand.run(5)
    assert hand.asked_new() == hand.taken() == 0
    finish(hand)


@row(36, star=True)
def test_36_what_cannot_leave_now_never_leaves(make, market):
    hand = make(market).ready()
    hand.fault("px.refuse", path="orders", stream="ws", for_s=5)
    hand.world.cut(hand.world.line(hand.market, "orders"))
    if not hand.is_naive:  # no other way either
        rest = hand.world.desk.rest_lines[hand.market]
        hand.engine.on_line(rest, False, hand.world.now_ns)
    orders = [hand.place(BUY, hand.away(BUY, 500 + i)) for i in range(10)]
    assert hand.hits("px.refuse") >= 0
    if not hand.is_naive:
        assert {hand.state(x) for x in orders if x} <= {"REJECTED"}  # refused here, or never sent: at once
    hand.run(15)
    assert hand.hits("px.refuse") == 1
    assert hand.asked_new() == hand.taken() == 0
    assert hand.reserved(BUY) == 0
    finish(hand)


@row(37, star=True)
def test_37_a_write_to_a_dying_socket_is_unknown_in_one_step_when_the_socket_is_gone(make, market):
    hand = make(market).ready()
    hand.fault("px.rst", way="in", path="orders", stream="ws", count=1)
    orders = hand.place_many([(BUY, hand.away(BUY, 500 + i)) for i in range(3)])
    assert hand.hits("px.rst") == 1
    if not hand.is_naive:
        assert {hand.state(x) for x in orders} == {"UNKNOWN"}
        assert hand.reserved(BUY) == 3 * hand.size
    hand.run(30)
    assert hand.asked_new() == hand.taken() == 0
    if not hand.is_naive:
        assert {hand.state(x) for x in orders} == {"UNKNOWN"}
        hand.until(lambda: {hand.state(x) for x in orders} == {"NEVER_EXISTED"}, 60)
    assert hand.reserved(BUY) == 0
    finish(hand)


# ---- 38 to 43: what the private stream says, and does not say ----


@row(38, naive=VENUES)
def test_38_an_ack_behind_the_fill_opens_nothing(make, market):
    hand = make(market).ready()
    hand.fault("ack.after_fill", op="place", count=1)
    order = hand.place(BUY, hand.through(BUY))
    hand.run(3)
    assert hand.hits("ack.after_fill") == 1
    assert hand.state(order) == "FILLED"
    assert hand.open_here() == []
    assert hand.position() == hand.traded_there() == hand.size
    finish(hand)


def without_link_id(hand, for_s):
    """The venue's executions do not say whose order it was, and of the order itself it says nothing yet."""
    hand.fault("exec.drop", kind="order", for_s=for_s)
    send = hand.fake.send

    def blank(connection, text):
        if '"topic":"execution' in text:
            text = LINK_ID.sub('"orderLinkId":""', text)
        send(connection, text)

    hand.fake.send = blank


@row(39, star=True, markets=(*VENUES, "bybit-spot"))
def test_39_a_fill_before_the_ack_counts_at_once_and_finds_its_order(make, market):
    hand = make(market).ready()
    hand.fault("ack.delay", delay_ms=800, count=1, op="place")
    if "bybit" in market:
        without_link_id(hand, 0.7)
    order = hand.place(BUY, hand.through(BUY))
    answered(hand)
    assert hand.hits("ack.delay") == 1
    assert hand.position() == hand.traded_there() == hand.size
    if "bybit" in market and not hand.is_naive:
        assert hand.filled(order) == 0  # nobody can know whose it was
        assert hand.reserved(BUY) == hand.size
    hand.run(1)
    assert hand.filled(order) == hand.size
    hand.run(2)
    assert hand.open_here() == []
    assert hand.reserved(BUY) == 0
    finish(hand)


@row(39, star=True, markets=("bybit-linear", "bybit-spot"))
def test_39_a_fill_whose_ack_never_comes_finds_its_order_by_asking(make, market):
    hand = make(market).ready()
    hand.fault("ack.drop", count=1)
    without_link_id(hand, 2)
    order = hand.place(BUY, hand.through(BUY))
    answered(hand)
    assert hand.position() == hand.traded_there() == hand.size
    hand.run(10)
    assert hand.hits("ack.drop") == 1
    assert hand.filled(order) == hand.size
    assert hand.taken() == hand.asked_new() == 1
    finish(hand)


@row(40, markets=(*VENUES, "bybit-spot"))
def test_40_reports_in_any_order_end_in_the_same_state(make, market):
    hand = make(market).ready()
    for seed in range(6):
        hand.fault("exec.reorder", window=6, for_s=1)
        price, size = hand.away(BUY), 4 * hand.size
        before = hand.position()
        order = hand.place(BUY, price, size)
        hand.run(0.02 * seed)
        while not hand.open_there():
            hand.run(0.01)
        filled = []
        for _ in range(3 + seed % 2):
            hand.fill_there(hand.size)
            hand.run(0.01)
            filled.append(hand.filled(order))
        hand.run(1.5)
        assert filled == sorted(filled)
        assert hand.filled(order) == hand.position() - before == (3 + seed % 2) * hand.size
        assert hand.state(order) == ("FILLED" if seed % 2 else "PARTIAL")
        assert hand.order(order)["leaves_lots"] == size - hand.filled(order)
        hand.cancel(order)
        hand.run(1.5)
        assert hand.state(order) == ("FILLED" if seed % 2 else "CANCELED")
    assert hand.hits("exec.reorder") > 10
    assert hand.reserved(BUY) == 0
    finish(hand)


@row(41, star=True)
def test_41_a_trade_that_is_told_again_is_counted_once(make, market):
    hand = make(market).ready()
    hand.fault("exec.dup")
    for i in range(5):
        hand.place(BUY, hand.through(BUY, 200 + i))
        hand.run(0.3)
    hand.fault("exec.dup", delay_ms=3000)
    order = hand.place(BUY, hand.away(BUY), 4 * hand.size)
    answered(hand)
    for _ in range(2):
        hand.fill_there(hand.size)
        hand.run(0.2)
    hand.cancel(order)
    hand.run(5)
    assert hand.hits("exec.dup") > 10
    assert hand.position() == hand.traded_there() == 7 * hand.size
    finish(hand)


def replay(hand, frames):
    """The venue says again what it said before, on the connection of now."""
    for path, text in frames:
        for connection in list(hand.fake.connections.values()):
            if connection.path.partition("?")[0] == path:
                hand.fake.send(connection, text)
    hand.world.drain()
    answered(hand)


def told_fills(hand):
    """From now on: (path, frame) of every private frame that carries a fill."""
    frames, send = [], hand.fake.send

    def keep(connection, text):
        if FILLS.search(text):
            frames.append((connection.path.partition("?")[0], text))
        send(connection, text)

    hand.fake.send = keep
    return frames


@row(41, star=True)
def test_41_a_reconnect_that_replays_old_trades_counts_none_of_them(make, market):
    hand = make(market).ready()
    frames = told_fills(hand)
    for i in range(3):
        hand.place(BUY, hand.through(BUY, 200 + i))
        hand.run(0.3)
    assert hand.position() == 3 * hand.size
    for wired in list(hand.world.lines.values()):
        if wired.spec.role in ("private", "orders"):
            hand.world.cut(wired)
    hand.run(3)
    assert len(frames) >= 3
    replay(hand, frames[:])
    assert hand.is_naive or hand.engine.orders.duplicates >= 3
    assert hand.position() == hand.traded_there() == 3 * hand.size
    finish(hand)


@row(41, star=True, markets=("binance-usdm", "bybit-linear", "okx"))
def test_41_trades_from_before_a_restart_are_not_counted_behind_it(make, market):
    hand = make(market).ready()
    frames = told_fills(hand)
    for i in range(3):
        hand.place(BUY, hand.through(BUY, 200 + i))
        hand.run(0.3)
    old = frames[:]
    assert len(old) >= 3
    hand = hand.restart().ready()
    assert hand.position() == hand.traded_there() == 3 * hand.size
    replay(hand, old)
    assert hand.is_naive or hand.engine.orders.duplicates >= 3
    assert hand.position() == hand.traded_there() == 3 * hand.size
    finish(hand, remembers=False)


@row(42, star=True)
def test_42_an_order_that_the_stream_keeps_back_is_found_by_asking_and_bars_new_risk(make, market):
    hand = make(market).ready()
    hand.run(3)  # the looks of the start are over: none finds the order before what is tried here does
    hand.fault("order.accept_silent", count=1)
    order = hand.place(BUY, hand.away(BUY))
    hand.run(0.7)
    assert hand.hits("order.accept_silent") == 1
    if not hand.is_naive:
        assert hand.state(order) == "LIVE"  # by a query: its ack proves less
        assert hand.told("the private stream kept an order back")
        assert not hand.may_trade()
    hand.fill_there(hand.size)
    hand.until(lambda: hand.position() == hand.traded_there() == hand.size, 30)
    if not hand.is_naive:
        hand.until(hand.may_trade, 30)
    assert hand.open_here() == []
    finish(hand)


@row(42, star=True)
def test_42_a_private_stream_that_alone_is_dead_is_found_out_and_bars_new_risk(make, market):
    hand = make(market).ready()
    tells_all = MARKETS[hand.market].orders_tell_all
    hand.fault("px.blackhole", way="out", path="orders" if tells_all else "private", for_s=8)
    order = hand.place(BUY, hand.through(BUY))
    hand.run(3)
    assert hand.hits("px.blackhole") == 1
    assert hand.traded_there() == hand.size
    assert hand.is_naive or hand.told("the private stream kept an order back")
    hand.until(lambda: hand.position() == hand.size, 12)  # before any stream is back, or by it
    if not hand.is_naive:
        hand.until(hand.may_trade, 40)
        assert hand.state(order) == "FILLED"
    assert hand.taken() == 1
    finish(hand)


@row(42, star=True, markets=("binance-usdm",))
def test_42_a_listen_key_that_expired_costs_no_fill(make, market):
    hand = make(market).ready()
    resting = hand.place(BUY, hand.away(BUY))
    answered(hand)
    hand.fault("session.expire")
    hand.fault("px.refuse", path="private", stream="ws", for_s=3)
    hand.run(0.5)
    hand.fill_there(hand.size)
    hand.run(1)
    assert hand.hits("session.expire") == 1
    if not hand.is_naive:
        assert not hand.may_trade()
        hand.until(hand.may_trade, 30)
        assert hand.state(resting) == "FILLED"
    else:
        hand.run(30)
    assert hand.position() == hand.traded_there() == hand.size
    finish(hand)


@row(43, star=True)
def test_43_a_fill_that_is_not_reported_is_found_while_the_stream_looks_healthy(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY), 4 * hand.size)
    answered(hand)
    hand.fault("exec.drop", for_s=0.1)
    hand.fill_there(hand.size)
    hand.run(0.2)
    other = hand.place(SELL, hand.away(SELL))
    answered(hand)
    assert hand.hits("exec.drop") > 0
    assert hand.state(other) == "LIVE"
    assert hand.traded_there() == hand.size
    hand.until(lambda: hand.position() == hand.size, 35)
    assert hand.filled(order) == hand.size
    finish(hand)


@row(43, star=True)
def test_43_a_last_fill_that_is_not_reported_closes_its_order_all_the_same(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY))
    answered(hand)
    hand.fault("exec.drop", for_s=0.1)
    hand.fill_there(hand.size)
    hand.run(0.2)
    assert hand.hits("exec.drop") > 0
    hand.until(lambda: hand.position() == hand.size, 35)
    hand.run(1)
    assert hand.state(order) == "FILLED"
    assert hand.reserved(BUY) == 0
    finish(hand)


@row(43, star=True)
def test_43_a_cumulative_quantity_that_runs_ahead_brings_the_missing_trade_at_once(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY), 4 * hand.size)
    answered(hand)
    hand.fault("exec.drop", for_s=0.1)
    hand.fill_there(hand.size)
    hand.run(0.2)
    hand.fill_there(2 * hand.size)
    hand.until(lambda: hand.filled(order) == 3 * hand.size, 3)
    assert hand.hits("exec.drop") > 0
    assert hand.position() == hand.traded_there() == 3 * hand.size
    finish(hand)


# ---- 44 to 49: refusals and ends ----


@row(44, markets=BYBIT_OKX)
def test_44_an_ack_is_no_acceptance(make, market):
    hand = make(market).ready()
    for delay_ms in (5, 50, 200, 400):  # later than the query that looks for it, it was live
        hand.fault("order.reject_late", delay_ms=delay_ms, count=1)
        live = hand.entered("LIVE")
        order = hand.place(BUY, hand.away(BUY))
        hand.run(2)
        assert hand.state(order) in ("REJECTED", "CANCELED", "EXPIRED")
        assert market == "okx" or hand.entered("LIVE") == live  # OKX says "live" first
        assert hand.reserved(BUY) == 0
        hand.until(hand.may_trade, 20)
    assert hand.hits("order.reject_late") == 4
    assert hand.traded_there() == 0
    finish(hand)


@row(44, markets=BYBIT_OKX)
def test_44_a_post_only_order_that_would_take_is_acked_and_closed_by_its_report(make, market):
    hand = make(market).ready()
    hand.fault("order.expire", reason="post_only", delay_ms=100, count=1)  # the price had moved
    order = hand.place(BUY, hand.away(BUY), tif=POST_ONLY)
    answered(hand)
    assert hand.state(order) in ("ACKED", "LIVE")
    assert hand.reserved(BUY) == hand.size
    hand.run(0.5)
    assert hand.hits("order.expire") == 1
    assert hand.state(order) in ("CANCELED", "EXPIRED", "REJECTED")
    assert hand.reserved(BUY) == hand.traded_there() == 0
    assert hand.may_trade()
    finish(hand)


@row(45, markets=("binance-usdm",))
def test_45_a_post_only_refusal_ends_the_order_and_its_absence_does_not_open_it_again(make, market):
    hand = make(market).ready()
    hand.fault("ack.error", code="-5022", live=False, op="place", count=1)
    hand.fault("rest.not_found_for", ms=3_600_000)
    order = hand.place(BUY, hand.away(BUY), tif=POST_ONLY)
    answered(hand)
    assert hand.hits("ack.error") == 1
    assert hand.state(order) == "REJECTED"
    assert hand.reserved(BUY) == 0
    asked = len(hand.fake.heard)
    hand.run(30)
    row = hand.order(order)
    client_id = hand.world.desk.wires[hand.market].client_id(row["sequence"], row["epoch"])
    assert not any(client_id in x for x in hand.fake.heard[asked:])  # nobody searches for it
    assert hand.state(order) == "REJECTED"
    assert hand.entered("UNKNOWN") == 0
    assert not hand.halts()
    assert hand.may_trade()
    finish(hand)


@row(46)
def test_46_refused_by_a_filter_again_and_again_the_symbol_stops_before_the_venue_does(make, market):
    hand = make(market).ready()
    hand.fault("order.reject", filter="percent_price")
    orders = [hand.place(BUY, hand.away(BUY, 500 + i)) or hand.run(0.3) for i in range(100)]
    answered(hand)
    # the fifth stops it; a few may be on their way then
    assert 5 <= hand.hits("order.reject") == hand.asked_new() <= 8
    assert {hand.state(x) for x in orders if x} == {"REJECTED"}
    assert "HALT_FILTER" in hand.halts()
    assert not hand.may_trade()
    finish(hand)


@row(46)
def test_46_refusals_between_orders_that_pass_are_not_in_a_row(make, market):
    hand = make(market).ready()
    for i in range(12):
        if i % 2 == 0:
            hand.fault("order.reject", filter="percent_price", count=1)
        order = hand.place(BUY, hand.away(BUY, 500 + i))
        hand.run(0.5)
        assert order
        assert hand.state(order) == ("LIVE" if i % 2 else "REJECTED")
        hand.cancel(order)
        hand.run(0.5)
    assert hand.hits("order.reject") == 6
    assert not hand.halts()
    finish(hand)


@row(46)
def test_46_the_first_refusal_by_a_filter_brings_the_rules_anew(make, market):
    hand = make(market).ready()
    hand.fault("status.tick_change", multiple=10)
    hand.run(0.1)
    assert hand.hits("status.tick_change") == 1
    step = hand.world.desk.instruments.row(0)["tick_step"]
    off = hand.away(BUY) // (10 * step) * 10 * step + step
    order = hand.place(BUY, off)
    if order:
        hand.run(5)
        assert hand.state(order) == "REJECTED"
    row = hand.world.desk.instruments.row(0)
    assert row["tick_step"] == 10 * step
    assert not hand.place(BUY, off)  # refused here from now on
    hand.until(hand.may_trade, 20)
    assert hand.place(BUY, off - step)
    assert hand.asked_new() <= 2
    hand.run(1)
    finish(hand)


@row(47, star=True)
def test_47_no_client_id_is_used_again_after_a_start_without_memory(make, market):
    hand = make(market).ready()
    for i in range(3):
        hand.place(BUY, hand.through(BUY, 200 + i))
        hand.run(0.3)
    hand.place(BUY, hand.away(BUY))
    answered(hand)
    first = set(hand.truth()["orders"])
    hand = hand.restart().ready()
    for i in range(4):
        order = hand.place(BUY, hand.away(BUY, 600 + i))
        hand.run(0.3)
        assert hand.state(order) == "LIVE"
    orders = hand.truth()["orders"]
    assert len(orders) == len(first) + 4
    assert set(orders.values()) == {1}
    assert all(x.isalnum() and len(x) <= 32 for x in orders)


@row(48, star=True)
def test_48_what_filled_before_a_cancel_counts_and_only_the_rest_is_replaced(make, market):
    hand = make(market).ready()
    hand.fault("order.fill_on_cancel", part="part", count=1)
    order = hand.place(BUY, hand.away(BUY), 4 * hand.size)
    answered(hand)
    replacement = hand.replace_wanted(order, hand.away(BUY, 600))
    hand.run(1)
    assert hand.hits("order.fill_on_cancel") == 1
    assert hand.state(order) == "CANCELED"
    assert hand.filled(order) == hand.position() == hand.traded_there() == 2 * hand.size
    assert replacement
    assert hand.reserved(BUY) == 2 * hand.size
    assert sum(x["size_lots"] - x["filled_lots"] for x in hand.open_there()) == 2 * hand.size
    finish(hand)


@row(48, star=True)
def test_48_a_cancel_report_that_overtakes_its_trade_frees_the_rest_and_waits_for_the_trade(make, market):
    hand = make(market).ready()
    hand.fault("order.fill_on_cancel", part="part", count=1)
    hand.fault("exec.drop", kind="execution", for_s=2)
    order = hand.place(BUY, hand.away(BUY), 4 * hand.size)
    answered(hand)
    hand.cancel(order)
    answered(hand)
    assert hand.hits("order.fill_on_cancel") == 1
    assert hand.hits("exec.drop") > 0
    if not hand.is_naive and hand.position() < 2 * hand.size:
        assert hand.reserved(BUY) == 2 * hand.size  # the trade that is on its way, no more and no less
    hand.until(lambda: hand.position() == hand.traded_there() == 2 * hand.size, 20)
    assert hand.state(order) == "CANCELED"
    assert hand.reserved(BUY) == 0
    finish(hand)


# Bybit acknowledges the cancel, and reports the fill: there is no refusal to be misread.
@row(49, star=True, naive=("binance-spot", "binance-usdm", "okx"))
def test_49_a_refused_cancel_is_no_reason_for_a_replacement(make, market):
    hand = make(market).ready()
    hand.fault("order.fill_on_cancel", part="full", count=1)
    order = hand.place(BUY, hand.away(BUY))
    answered(hand)
    hand.fault("exec.delay", delay_ms=1500, for_s=1)
    replacement = hand.replace_wanted(order, hand.away(BUY, 600))
    hand.run(3)
    assert hand.hits("order.fill_on_cancel") == 1
    assert not replacement
    assert hand.asked_new() == hand.taken() == 1
    assert hand.state(order) == "FILLED"
    assert hand.position() == hand.traded_there() == hand.size
    finish(hand)


@row(49, star=True)
def test_49_a_refused_cancel_without_any_report_is_resolved_by_asking(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY))
    answered(hand)
    hand.fault("order.fill_on_cancel", part="full", count=1)
    blind(hand, 3)
    replacement = hand.replace_wanted(order, hand.away(BUY, 600))
    hand.run(5)
    assert hand.hits("order.fill_on_cancel") == 1
    assert hand.hits("exec.drop") > 0
    assert not replacement
    assert hand.taken() == 1
    assert hand.state(order) == "FILLED"
    assert hand.position() == hand.traded_there() == hand.size
    finish(hand)


@row(49, markets=(*VENUES, "bybit-spot"))
def test_49_every_order_of_five_messages_ends_in_the_same_state(make, market):
    """Ack, reports and refused cancel of an order that filled as its cancel came, in every order."""
    hand = make(market).ready()
    node, held = hand.world, []
    towards = node._towards
    for n, order_of in enumerate(permutations(range(5))):
        hand.fault("order.fill_on_cancel", part="full", count=1)
        before = hand.position()
        node._towards = lambda wired, text: hold(towards, held, wired, text)
        side = SELL if n % 2 else BUY
        order = hand.place(side, hand.away(side, 500 + n % 300))
        assert order, hand.engine.risk.refusals()
        answered(hand)
        hand.cancel(order)
        answered(hand)
        node._towards = towards
        assert len(held) >= 3, held
        turns = [held[i] for i in order_of if i < len(held)] + held[5:]
        held.clear()
        for wired, text in turns:
            node._deliver(wired, wired.generation, text)
            assert hand.filled(order) in (0, hand.size)
        hand.run(0.6)
        assert hand.state(order) == "FILLED", order_of
        assert hand.position() - before == (hand.size if side == BUY else -hand.size)
        assert hand.reserved(side) == 0
    assert hand.hits("order.fill_on_cancel") == 120
    finish(hand)


@pytest.mark.parametrize("market", ["bybit-linear", "okx"])
def test_a_fill_unheard_of_until_its_order_was_amended_far_down_is_booked_and_protected(market):
    policies = dict.fromkeys(("on_position_loss", "on_daily_loss", "on_drawdown", "on_margin"), "cancel")
    stops = policies | {"exit_slippage_bps": 100, "exit_retry_ms": 100, "cooldown_s": 0, "protect_bps": 300}
    hand = Ours(market, changes={"stops": stops}).ready()
    price, (instruments, engine) = hand.away(BUY, 20), (hand.world.desk.instruments, hand.engine)
    grid = instruments.row(0)
    order = hand.place(BUY, price)
    hand.run(1)
    hand.fault("exec.drop")
    half = hand.size // 2 // grid["lot_step"] * grid["lot_step"]
    hand.fill_there(half)
    hand.amend(order, price * 81 // 100 // grid["tick_step"] * grid["tick_step"], hand.size)
    hand.run(1)
    hand.fake.faults.clear()
    assert engine.orders.order(order)["price_ticks"] < price * 82 // 100
    hand.until(lambda: hand.position() == half, 60)
    assert engine.absurd == 0
    hand.until(lambda: [x for x in engine.stops.state()["protecting"].values() if x], 10)
    hand.until(lambda: not hand.halts(), 60)
    finish(hand)


def hold(towards, held, wired, text):
    """Keep back what the venue says of orders; books go on."""
    if wired.spec.role == "feed":
        towards(wired, text)
    else:
        held.append((wired, text))


def test_every_row_from_28_to_49_has_a_scenario_and_what_is_shown_elsewhere_is_there():
    assert set(range(28, 50)) <= ROWS.keys()
    for place in ELSEWHERE.values():
        path, _, name = place.partition("::")
        assert f"def {name}(" in (Path(__file__).parents[2] / path).read_text()
