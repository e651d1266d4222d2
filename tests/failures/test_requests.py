"""Group B of the failure catalogue, requests and what the venue makes of them: cancels, amends, limits,
sessions, units."""

from decimal import Decimal
from functools import partial

from hands import BUY, IOC, MARKET, MS, SEC, SELL, STOP, SYMBOLS
from rows import row

from node.sim.judge import differences_behind_a_restart
from node.sim.memory import named_in

NEW, CANCEL, AMEND = 0, 1, 2
CHANGES = ("binance-usdm", "bybit-linear", "okx")  # venues that change an order in place


def whole(hand, *, remembers: bool = True) -> None:
    """At the end: one order for each intent, the same open orders and position on both sides, nothing of
    unknown fate. A node that does not remember what it did before takes positions from the venue, without the
    trades and fees that made them."""
    hand.agree()
    assert all(n == 1 for n in hand.truth()["orders"].values())
    if not hand.is_naive:
        assert (hand.world.differences() if remembers else differences_behind_a_restart(hand.world)) == []


def hold(hand, action: int, seconds: float) -> list[str]:
    """The next order frame of this kind takes so long to arrive, and others overtake it. Returns a list of
    what was held."""
    held, out = [], hand.world._out

    def slow(wired, text):
        if held or wired.spec.role != "orders" or not is_request(text, action):
            return out(wired, text)
        held.append(text)
        hand.world._at(int(seconds * SEC), partial(hand.world._arrive, wired, wired.generation, text))

    hand.world._out = slow
    return held


def is_request(text: str, action: int) -> bool:
    """An order frame of this action? The node's request ids say so."""
    try:
        return named_in(text.encode())[1] == action
    except ValueError:
        return False


def requests(hand, action: int) -> list[str]:
    """From now on: the order frames of this action that leave."""
    seen, out = [], hand.world._out

    def watch(wired, text):
        if wired.spec.role == "orders" and is_request(text, action):
            seen.append(text)
        out(wired, text)

    hand.world._out = watch
    return seen


def live_there(hand) -> list[tuple[int, int]]:
    """(price, lots left) of what is open at the venue."""
    return [(x["price_ticks"], x["size_lots"] - x["filled_lots"]) for x in hand.open_there()]


# ---- 50, 51: cancels ----


@row(50, star=True)
def test_50_a_cancel_that_overtakes_its_order_is_repeated_until_the_order_is_gone(make, market):
    hand = make(market).ready()
    held = hold(hand, NEW, 0.6)
    order = hand.place(BUY, hand.away(BUY))
    hand.cancel(order)
    hand.run(0.3)
    assert held
    assert hand.taken() == 0
    if not hand.is_naive:
        assert hand.reserved(BUY) == hand.size  # which proves nothing
    hand.run(10)
    assert hand.taken() == 1
    assert hand.open_there() == []
    assert order not in hand.open_here()
    whole(hand)


@row(50, star=True)
def test_50_a_cancel_that_is_lost_on_the_way_is_repeated_too(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY))
    hand.run(1)
    hand.fault("px.blackhole", way="in", path="orders", stream="ws", for_s=0.2)
    hand.cancel(order)
    assert hand.hits("px.blackhole") == 1
    hand.run(10)
    assert hand.open_there() == []
    assert order not in hand.open_here()
    whole(hand)


@row(51, markets=("bybit-linear", "okx"))
def test_51_the_answer_to_a_cancel_frees_nothing_before_the_report_does(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY), 2 * hand.size)
    hand.run(1)
    hand.fault("exec.delay", delay_ms=3000, for_s=2)
    hand.fault("order.fill_on_cancel", part="part", count=1)
    hand.cancel(order)
    hand.run(0.5)
    assert hand.hits("order.fill_on_cancel") == 1
    assert hand.hits("exec.delay") > 0
    assert hand.open_there() == []
    assert hand.reserved(BUY) + hand.position() == 2 * hand.size  # what filled is counted, or still reserved
    assert order in hand.open_here()
    hand.run(10)
    assert hand.state(order) == "CANCELED"
    assert hand.filled(order) == hand.size == hand.position()
    assert hand.reserved(BUY) == 0
    whole(hand)


# ---- 52: amends ----


@row(52, star=True, markets=("bybit-linear", "okx"))
def test_52_an_amend_that_fails_behind_its_answer_leaves_the_order_as_it_was(make, market):
    hand = make(market).ready()
    price = hand.away(BUY)
    order = hand.place(BUY, price, 2 * hand.size)
    hand.run(1)
    hand.fault("order.amend_fail_late", delay_ms=300, count=1)
    hand.amend(order, price, 4 * hand.size)
    hand.run(0.1)
    assert hand.hits("order.amend_fail_late") == 1
    assert hand.reserved(BUY) == 4 * hand.size  # the worst of both, until the venue has said
    hand.run(90)
    assert live_there(hand) == [(price, 2 * hand.size)]
    assert hand.reserved(BUY) == 2 * hand.size
    whole(hand)


@row(52, star=True, markets=CHANGES)
def test_52_a_second_amend_waits_for_the_answer_to_the_first(make, market):
    hand = make(market).ready()
    price = hand.away(BUY)
    order = hand.place(BUY, price, 2 * hand.size)
    hand.run(1)
    hand.fault("px.delay", delay_ms=300, way="in", path="orders")
    sent = requests(hand, AMEND)
    for times in (3, 4, 5):
        hand.amend(order, price, times * hand.size)
    assert hand.hits("px.delay") == 1
    assert len(sent) == 1
    assert hand.reserved(BUY) == 3 * hand.size
    hand.run(5)
    assert live_there(hand) == [(price, 3 * hand.size)]
    whole(hand)


@row(52, star=True, markets=CHANGES)
def test_52_the_venue_cuts_the_size_of_a_resting_order(make, market):
    hand = make(market).ready()
    hand.fault("order.amend_qty", part="0.5", delay_ms=500, count=1)
    order = hand.place(BUY, hand.away(BUY), 4 * hand.size)
    hand.run(15)
    assert hand.hits("order.amend_qty") == 1
    assert [left for _, left in live_there(hand)] == [2 * hand.size]
    assert hand.reserved(BUY) == 2 * hand.size
    assert order in hand.open_here()
    whole(hand)


@row(52, star=True, markets=CHANGES)
def test_52_a_fill_between_an_amend_and_its_arrival_counts_once(make, market):
    hand = make(market).ready()
    price = hand.away(BUY)
    order = hand.place(BUY, price, 4 * hand.size)
    hand.run(1)
    hand.fault("px.delay", delay_ms=300, way="in", path="orders", for_s=0.1)
    hand.amend(order, price, 2 * hand.size)
    mine = next(x for x in hand.fake.open_orders() if x.filled_lots == 0)
    mine.listing.engine.fill(mine.number, 3 * hand.size)
    hand.fake.settle(mine.listing, hand.world.now_ns)
    assert hand.hits("px.delay") == 1
    hand.run(0.1)
    assert hand.filled(order) + hand.reserved(BUY) == 4 * hand.size
    hand.run(90)
    assert hand.position() == 3 * hand.size  # the amend came below what was filled
    assert hand.reserved(BUY) == sum(left for _, left in live_there(hand))
    whole(hand)


@row(52, star=True, markets=CHANGES)
def test_52_the_answer_to_an_amend_is_lost(make, market):
    hand = make(market).ready()
    price = hand.away(BUY)
    order = hand.place(BUY, price, 2 * hand.size)
    hand.run(1)
    hand.fault("ack.drop", op="amend", count=1)
    hand.fault("exec.drop", for_s=1)
    hand.amend(order, price, 3 * hand.size)
    hand.amend(order, price, 2 * hand.size)
    hand.run(0.5)
    assert hand.hits("ack.drop") == 1
    hand.run(90)
    assert hand.reserved(BUY) == sum(left for _, left in live_there(hand)) == 3 * hand.size
    whole(hand)


# ---- 53, 54: what an amend is made of on Binance ----


def fill_there(hand, lots: int) -> None:
    """Somebody trades with the first open order of ours, at the venue."""
    order = next(iter(hand.fake.open_orders()))
    order.listing.engine.fill(order.number, lots)
    hand.fake.settle(order.listing, hand.world.now_ns)
    hand.world.drain()


@row(53, star=True, markets=("binance-spot",))
def test_53_the_cancel_half_works_and_the_new_half_is_refused(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY), 2 * hand.size)
    hand.run(1)
    hand.fault("order.reject", count=1)
    hand.fault("exec.drop", for_s=1)  # the answer's two halves are all there is
    hand.amend(order, hand.away(BUY, 600), 2 * hand.size)
    hand.run(5)
    assert hand.hits("order.reject") == 1
    assert hand.hits("exec.drop") > 0
    assert hand.open_there() == []
    assert hand.open_here() == []
    assert hand.reserved(BUY) == 0
    whole(hand)


# the fill comes on the stream as well, and tells the naive manager that the order is gone
@row(53, star=True, markets=("binance-spot",), naive=())
def test_53_the_cancel_half_fails_and_the_new_half_is_not_tried(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY), 2 * hand.size)
    hand.run(1)
    hand.fault("exec.delay", delay_ms=300, for_s=0.2)
    fill_there(hand, 2 * hand.size)
    hand.amend(order, hand.away(BUY, 600), 2 * hand.size)
    assert hand.hits("exec.delay") > 0
    hand.run(0.1)
    assert hand.filled(order) + hand.reserved(BUY) >= 2 * hand.size  # nothing is freed by the refusal
    hand.run(10)
    assert hand.taken() == 1
    assert hand.position() == 2 * hand.size
    assert hand.open_here() == []
    assert hand.reserved(BUY) == 0
    whole(hand)


@row(53, star=True, markets=("binance-spot",))
def test_53_both_halves_count_while_the_answer_is_on_its_way_and_when_it_is_lost(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY), 2 * hand.size)
    hand.run(1)
    hand.fault("ack.drop", count=1)
    hand.fault("exec.drop", for_s=2)
    hand.amend(order, hand.away(BUY, 600), 3 * hand.size)
    hand.run(0.5)
    assert hand.hits("ack.drop") == 1
    assert hand.hits("exec.drop") > 0
    assert hand.reserved(BUY) == 5 * hand.size
    hand.run(90)
    assert hand.taken() == 2
    assert hand.reserved(BUY) == sum(left for _, left in live_there(hand))
    whole(hand)


@row(54, star=True, markets=("binance-spot", "binance-usdm"))
def test_54_the_venue_gives_an_amended_order_another_client_id(make, market):
    hand = make(market).ready()
    price = hand.away(BUY)
    order = hand.place(BUY, price, 4 * hand.size)
    hand.run(1)
    hand.fault("order.amend_id_change", count=1)
    hand.amend(order, price, 3 * hand.size)
    hand.run(1)
    assert hand.hits("order.amend_id_change") == 1
    fill_there(hand, hand.size)
    hand.run(1)
    assert hand.filled(order) == hand.position() == hand.size
    hand.run(30)
    assert hand.reserved(BUY) == 2 * hand.size
    hand.cancel(order)
    hand.run(30)
    assert hand.truth()["open"] == []
    assert hand.open_here() == []
    whole(hand)


# ---- 55, 56: what the venue does not show ----


def sleep(hand, seconds: float) -> None:
    """The whole process is stopped for so long, and goes on."""
    gap_ns = int(seconds * SEC)
    hand.world.events = [(at_ns + gap_ns, number, work) for at_ns, number, work in hand.world.events]
    hand.world.now_ns += gap_ns


@row(55, star=True)
def test_55_an_order_that_queries_do_not_find_has_filled(make, market):
    hand = make(market).ready()
    hand.fault("ack.drop", for_s=5)
    hand.fault("exec.drop", for_s=5)
    hand.fault("rest.not_found_for", ms=30_000)
    order = hand.place(BUY, hand.through(BUY))
    hand.run(15)
    assert hand.hits("ack.drop") > 0
    assert hand.hits("exec.drop") > 0
    assert hand.hits("rest.not_found_for") > 0
    assert hand.filled(order) + hand.reserved(BUY) == hand.size
    hand.run(90)
    assert hand.taken() == 1
    assert hand.position() == hand.filled(order) == hand.size
    whole(hand)


@row(55, star=True)
def test_55_absence_proves_nothing_once_the_venue_may_have_forgotten(make, market):
    hand = make(market).ready()
    hand.fault("px.blackhole", for_s=3)
    order = hand.place(BUY, hand.away(BUY))
    hand.run(1.5)
    assert hand.hits("px.blackhole") > 0
    assert hand.taken() == 0
    sleep(hand, 91 * 86_400)
    hand.run(200)
    assert order in hand.open_here()
    assert hand.reserved(BUY) == hand.size
    assert hand.state(order) == "UNKNOWN"
    assert "HALT_UNKNOWN" in hand.halts()
    assert hand.told("longer than the venue remembers")
    assert not hand.may_trade()


@row(56)
def test_56_reads_that_are_two_seconds_old_bring_nothing_back(make, market):
    hand = make(market).ready()
    hand.fault("rest.stale_by", ms=2000)
    gone = hand.place(BUY, hand.away(BUY))
    hand.run(3)
    hand.cancel(gone)
    stays = hand.place(BUY, hand.away(BUY, 600))
    hand.place(BUY, hand.through(BUY))
    for _ in range(12):
        hand.keeper.look_now(hand.world.now_ns)
        hand.run(0.25)
        assert hand.state(gone) == "CANCELED"
        assert hand.state(stays) == "LIVE"
        assert hand.position() == hand.size
    assert hand.hits("rest.stale_by") > 5
    hand.run(15)
    assert hand.open_here() == [stays]
    assert not hand.halts()
    assert hand.may_trade()
    whole(hand)


# ---- 57, 58: limits ----

ENTRY = {
    "binance-spot": "spot.orders",
    "binance-usdm": "usdm.orders",
    "bybit-linear": "order.create linear",
    "okx": "order",
}
TOO_MANY = ("-1015", "-1003", "10006", "50011", "50061")


def refused_there(hand) -> list[str]:
    """From now on: the private frames in which the venue says "too many requests"."""
    seen, towards = [], hand.world._towards

    def watch(wired, text):
        if wired.spec.role != "feed" and any(f":{x}" in text or f':"{x}"' in text for x in TOO_MANY):
            seen.append(text)
        towards(wired, text)

    hand.world._towards = watch
    return seen


@row(57, naive=())
def test_57_retry_after_alone_silences_every_request_to_the_venue(make, market):
    hand = make(market).ready()
    asked, real = [], hand.fake.request

    def banned(method, target, headers, body, now_ns):
        asked.append(target)
        return type(real(method, target, headers, body, now_ns))(429, {"Retry-After": "200"}, b"{}")

    hand.fake.request = banned  # no `Date`, no time in the words
    hand.keeper.look_now(hand.world.now_ns)
    hand.run(3)
    burst = len(asked)
    assert hand.place(BUY, hand.away(BUY)) == 0
    hand.run(190)
    assert 0 < burst == len(asked)


@row(57, markets=("binance-spot", "binance-usdm", "bybit-linear"))
def test_57_a_ban_is_waited_for_without_another_request(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY))
    hand.run(1)
    hand.fault("ban", ban_s=60, count=1)
    hand.until(lambda: hand.hits("ban"), 30)
    hand.run(1)
    assert hand.told("too many requests")
    count = hand.world.requests
    hand.run(45)
    assert hand.world.requests - count <= 4  # public lists, which are not asked for with the key
    hand.until(hand.may_trade, 90)
    assert hand.open_here() == [order]
    hand.run(75)
    whole(hand)


@row(57, markets=("okx",))  # it bans nobody, and its refusal does not say until when
def test_57_refusals_without_a_time_are_waited_for_longer_and_longer(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY))
    hand.run(1)
    hand.fault("ratelimit", limit=0, for_s=60)
    count = hand.world.requests
    hand.run(60)
    assert hand.hits("ratelimit") > 0
    assert hand.told("too many requests")
    assert hand.world.requests - count < 25
    hand.until(hand.may_trade, 120)
    assert hand.open_here() == [order]
    hand.run(75)
    whole(hand)


@row(57)
def test_57_too_many_orders_stop_new_ones_and_no_cancel(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY))
    hand.run(1)
    hand.fault("ratelimit", limiter=ENTRY[market], limit=0, retry_after_ms=3000, for_s=2.5)
    sent = requests(hand, NEW)
    refused = hand.place(BUY, hand.away(BUY))
    hand.run(0.2)
    assert hand.hits("ratelimit") == 1
    assert hand.state(refused) == "REJECTED"
    for _ in range(10):
        assert hand.place(BUY, hand.away(BUY)) == 0
    assert len(sent) == 1
    hand.cancel(order)
    hand.run(0.2)
    assert hand.open_there() == []
    hand.run(10)
    assert hand.place(BUY, hand.away(BUY))
    hand.run(1)
    assert len(hand.open_there()) == 1
    whole(hand)


# at this pace nobody comes near what Binance USD-M and OKX allow, 300 orders in 10 s and 60 in 2 s
@row(58, star=True, naive=("binance-spot", "bybit-linear"))
def test_58_a_kill_in_a_burst_of_quotes_cancels_everything_at_once(make, market):
    hand = make(market, options={"okx": {"rate_limits": True}}).ready()
    refusals = refused_there(hand)
    for i in range(500):
        hand.place(BUY, hand.away(BUY, 400 + i % 50))
        if len(hand.open_here()) > 12:
            hand.cancel(hand.open_here()[0])
    assert hand.taken() > 30
    assert len(hand.open_there()) > 0
    assert refusals == []
    hand.kill()
    hand.run(3)  # Bybit takes ten cancels a second
    assert hand.open_there() == []
    hand.run(15)
    whole(hand)


# ---- 59: the venue's clock ----


class Skew:
    """The venue's clock runs so much ahead of the node's."""

    def __init__(self, hand):
        self.ns = 0
        for name in ("open", "hear", "tick", "request"):
            setattr(hand.fake, name, self._shifted(getattr(hand.fake, name)))

    def _shifted(self, method):
        def call(*arguments):
            *rest, now_ns = arguments
            return method(*rest, now_ns + self.ns)

        return call


@row(59)
def test_59_a_clock_that_differs_is_measured_and_stamps_follow_it(make, market):
    for ms in (-5000, -600, 600, 5000):
        hand = make(market)
        Skew(hand).ns = ms * MS
        hand.run(5)
        assert abs(hand.world.desk.wires[hand.market].offset_ns - ms * MS) < 10 * MS
        assert hand.told("clock")
        assert ("HALT_CLOCK" in hand.halts()) == (abs(ms) > 1000)
        if abs(ms) < 1000:
            hand.ready()
            order = hand.place(BUY, hand.away(BUY))
            hand.run(1)
            assert hand.state(order) == "LIVE"
            hand.cancel(order)
            hand.run(5)
            whole(hand)


@row(59)
def test_59_a_clock_that_is_set_while_orders_rest_stops_new_risk_and_no_cancel(make, market):
    hand = make(market)
    skew = Skew(hand)
    hand.ready()
    order = hand.place(BUY, hand.away(BUY))
    hand.run(1)
    skew.ns = -3 * SEC
    hand.run(15)
    assert "HALT_CLOCK" in hand.halts()
    assert hand.told("clock")
    assert hand.place(BUY, hand.away(BUY)) == 0
    hand.cancel(order)
    hand.run(1)
    assert hand.open_there() == []
    skew.ns = 0
    hand.run(20)
    hand.until(hand.may_trade)
    whole(hand)


# ---- 60, 61: sessions and walls ----


@row(60, star=True)
def test_60_a_logon_that_expires_is_renewed_and_what_it_kept_back_is_found(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY), 4 * hand.size)
    hand.run(1)
    hand.fault("session.expire")
    hand.run(0.02)
    assert hand.hits("session.expire") == 1
    fill_there(hand, hand.size)
    hand.run(0.05)
    fill_there(hand, hand.size)
    hand.run(40)
    assert hand.position() == hand.filled(order) == 2 * hand.size
    assert hand.may_trade()
    hand.cancel(order)
    hand.run(10)
    assert hand.open_there() == []
    whole(hand)


@row(60, star=True)
def test_60_a_key_that_is_revoked_stops_new_risk_and_is_told(make, market):
    hand = make(market, options={"binance": {"credentials_required": True}}).ready()
    order = hand.place(BUY, hand.away(BUY))
    hand.run(1)
    key = hand.fake.accounts[1].keys[0]
    requests_before = hand.world.requests
    hand.fault("session.revoke", key=key.api_key)
    hand.run(60)
    assert hand.hits("session.revoke") == 1
    assert not hand.may_trade()
    assert hand.told("access") or hand.told("cannot connect") or hand.told("refused")
    assert hand.place(BUY, hand.away(BUY)) == 0
    assert order in hand.open_here()
    assert hand.reserved(BUY) == hand.size
    assert hand.world.requests - requests_before < 200  # nothing hammers at a closed door


@row(61)
def test_61_a_wall_in_front_of_the_venue_is_waited_for(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY))
    hand.run(1)
    hand.fault("rest.status", status=403, body="<html>Request blocked</html>", for_s=50)
    count = hand.world.requests
    hand.run(50)
    assert hand.hits("rest.status") > 0
    assert hand.world.requests - count < 25
    assert "HALT_ACCESS" not in hand.halts()
    assert not hand.told("access")
    assert hand.open_here() == [order]
    hand.until(hand.may_trade, 120)
    hand.run(75)
    whole(hand)


@row(61)
def test_61_an_order_that_meets_the_wall_is_of_unknown_fate(make, market):
    for live in (True, False):  # did the request pass before the wall answered?
        hand = make(market).ready()
        hand.fault("px.refuse", path="orders", stream="ws", for_s=4)
        hand.fault("rest.status", method="POST", status=403, body="<html>Blocked</html>", for_s=3, live=live)
        hand.world.cut(hand.world.line(hand.market, "orders"))
        order = hand.place(BUY, hand.away(BUY))
        if market == "binance-spot" or order == 0:  # the line that is gone was the private stream too
            assert order == 0
            assert hand.engine.risk.refusals() == {"PRIVATE_DOWN": 1}
            continue
        hand.run(0.3)
        assert hand.hits("rest.status") == 1
        assert hand.reserved(BUY) == hand.size
        # the private stream knows the one that passed
        assert hand.state(order) == ("LIVE" if live else "UNKNOWN")
        hand.run(100)
        assert hand.taken() == live
        whole(hand)


# ---- 62: batches ----

BATCHES = ("bybit-linear", "okx")
NO_FUNDS = {"bybit-linear": "110007", "okx": "51008"}


def three(hand) -> list[int]:
    return hand.place_many([(BUY, hand.away(BUY, 500 + 10 * i)) for i in range(3)])


@row(62, star=True, markets=BATCHES)
def test_62_each_order_of_a_batch_has_an_answer_of_its_own(make, market):
    hand = make(market).ready()
    hand.fault("ack.batch", code=NO_FUNDS[market], skip=1, count=1)
    ids = three(hand)
    hand.run(3)
    assert len(ids) == 3
    assert hand.hits("ack.batch") == 1
    assert hand.taken() == 2
    assert [hand.state(x) for x in ids] == ["LIVE", "REJECTED", "LIVE"]
    assert hand.reserved(BUY) == 2 * hand.size
    whole(hand)


@row(62, star=True, markets=BATCHES)
def test_62_an_order_that_the_answer_to_a_batch_leaves_out_is_of_unknown_fate(make, market):
    hand = make(market).ready()
    hand.fault("ack.batch", missing=True, skip=1, count=1)
    refusal = "order.reject_late" if market == "bybit-linear" else "order.reject"
    hand.fault(refusal, skip=1, count=1)  # and nothing came of it
    hand.fault("exec.drop", for_s=1.5)
    three(hand)
    hand.run(0.4)
    assert hand.hits("ack.batch") == 1
    assert hand.hits(refusal) == 1
    assert hand.reserved(BUY) == 3 * hand.size
    hand.run(90)
    assert hand.reserved(BUY) == sum(left for _, left in live_there(hand))
    whole(hand)


# ---- 63: self-trade prevention ----


@row(63)
def test_63_an_order_that_would_meet_our_own_never_leaves(make, market):
    hand = make(market).ready()
    step = hand.world.desk.instruments.row(0)["tick_step"]
    sell = hand.place(SELL, hand.best(BUY) + step)
    hand.run(1)
    assert not hand.place(BUY, hand.order(sell)["price_ticks"])
    hand.run(5)
    assert hand.engine.risk.refusals() == {"SELF_TRADE": 1}
    assert hand.taken() == hand.asked_new() == 1
    assert hand.state(sell) == "LIVE"
    assert hand.reserved(BUY) == 0
    whole(hand)


@row(63)
def test_63_an_order_that_met_our_own_expires_and_frees_its_size(make, market):
    """The gate sees to it that none does; where two meet all the same, the venue's rule holds: here the venue
    has moved one of them, and the news of it is late."""
    hand = make(market).ready()
    step = hand.world.desk.instruments.row(0)["tick_step"]
    sell = hand.place(SELL, hand.away(SELL))
    hand.run(1)
    (moved,) = hand.fake.open_orders(hand.world.account(hand.market), None, hand.listing)
    hand.fault("exec.delay", delay_ms=300, count=1)
    assert hand.fake.amend(moved, hand.best(BUY) + step, None, hand.world.venue_ns) == ""
    buy = hand.place(BUY, hand.best(SELL))
    hand.run(5)
    assert hand.traded_there() == 0
    assert hand.position() == 0
    assert (hand.state(sell), hand.state(buy)) in (("EXPIRED", "LIVE"), ("CANCELED", "LIVE"))
    assert hand.reserved(SELL) == 0
    assert hand.reserved(BUY) == hand.size
    assert not hand.halts()
    hand.run(15)
    assert hand.taken() == 2
    whole(hand)


@row(63)
def test_63_an_order_that_vanishes_without_a_fill_is_not_looked_for(make, market):
    hand = make(market).ready()
    hand.fault("order.stp", delay_ms=200, count=1)
    order = hand.place(BUY, hand.away(BUY))
    hand.run(2)
    assert hand.hits("order.stp") == 1
    assert hand.state(order) in ("EXPIRED", "CANCELED")
    assert hand.reserved(BUY) == 0
    assert not hand.halts()
    whole(hand)


# ---- 64, 65: what is meant and what is traded ----

EVERYWHERE = ("binance-spot", "binance-usdm", "bybit-spot", "bybit-linear", "okx", "okx-spot")
CONTRACT = {"okx": Decimal("0.01")}  # base coins in one unit of size; 1 elsewhere


# the others count base coins
@row(64, star=True, markets=EVERYWHERE, naive=("bybit-spot", "okx", "okx-spot"))
def test_64_the_venue_trades_the_amount_that_was_meant(make, market):
    hand = make(market)
    hand.careless = True
    hand.ready()
    meant = Decimal(SYMBOLS[market][2]) * CONTRACT.get(market, 1)
    for side in (BUY, SELL):
        hand.place(side, 0, type=MARKET, tif=IOC)
        hand.run(1)
        hand.place(side, hand.away(side))
        hand.run(1)
    orders = [x for x in hand.fake.orders.values() if x.owner == 1]
    assert len(orders) == 4
    for order in orders:
        one = hand.best(BUY)
        money = order.listing.notional(one, order.size_lots)
        assert money == meant * one * Decimal(order.listing.tick), (order.side, order.order_type)
    assert hand.traded_there() == 0
    assert len(hand.truth()["fills"]) >= 2
    hand.run(5)
    whole(hand)


@row(65, star=True, markets=CHANGES)
def test_65_the_venue_makes_several_orders_of_one(make, market):
    hand = make(market).ready()
    hand.fault("order.split", k=3, count=1)
    order = hand.place(BUY, hand.through(BUY), 3 * hand.size)
    hand.run(20)
    assert hand.hits("order.split") == 1
    assert hand.traded_there() == 3 * hand.size == hand.position()
    assert hand.filled(order) == hand.size
    assert hand.reserved(BUY) == 0
    assert hand.open_there() == []
    assert hand.open_here() == []


@row(65, star=True, markets=CHANGES)
def test_65_what_the_venue_split_off_and_rests_is_counted_and_told(make, market):
    hand = make(market).ready()
    hand.fault("order.split", k=3, count=1)
    order = hand.place(BUY, hand.away(BUY), 3 * hand.size)
    hand.run(20)
    assert hand.hits("order.split") == 1
    assert len(hand.truth()["open"]) == 3
    assert hand.reserved(BUY) == hand.size
    assert order in hand.open_here()
    assert hand.engine.orders.reserved(0)["foreign_buy_lots"] == 2 * hand.size
    assert hand.told("an order that is not ours")


@row(65, markets=("okx",))
def test_65_an_order_that_is_filled_with_nothing_moves_nothing(make, market):
    hand = make(market).ready()
    hand.fault("order.zero_fill_filled", count=1)
    order = hand.place(BUY, 0, type=MARKET, tif=IOC)
    hand.run(15)
    assert hand.hits("order.zero_fill_filled") == 1
    assert order not in hand.open_here()
    assert hand.reserved(BUY) == 0
    assert hand.position() == hand.filled(order) == 0
    assert not hand.halts()
    whole(hand)


# ---- 66, 67: answers ----


@row(66)
def test_66_answers_in_the_wrong_order_find_their_requests(make, market):
    hand = make(market).ready()
    hand.fault("ack.swap", count=1)
    hand.fault("order.reject", count=1)
    no = hand.place(BUY, hand.away(BUY))
    yes = hand.place(BUY, hand.away(BUY, 600))
    hand.run(1)
    assert hand.hits("ack.swap") == 1
    assert hand.hits("order.reject") == 1
    assert (hand.state(no), hand.state(yes)) == ("REJECTED", "LIVE")
    hand.run(90)
    assert hand.open_here() == [yes]
    whole(hand)


@row(66)
def test_66_an_answer_to_a_process_that_is_gone_is_nobodys(make, market):
    hand = make(market).ready()
    hand.fault("px.delay", delay_ms=300, way="in", path="orders", for_s=0.2)
    hand.place(BUY, hand.away(BUY))
    hand = hand.restart()
    hand.ready()
    order = hand.place(BUY, hand.away(BUY))
    hand.run(15)
    assert hand.state(order) == "LIVE"
    assert hand.open_here() == [order]
    assert len(hand.truth()["open"]) == 1
    whole(hand)


@row(67, star=True)
def test_67_a_matching_engine_that_stalls_is_not_fed(make, market):
    hand = make(market).ready()
    hand.fault("me_stall", for_s=20)
    sent = requests(hand, NEW)
    for i in range(40):
        hand.place(BUY, hand.away(BUY, 500 + i))
        hand.run(0.1)
    assert hand.hits("me_stall") == 1
    assert 0 < len(sent) <= 8
    assert hand.reserved(BUY) == len(sent) * hand.size
    hand.run(20)
    assert hand.taken() <= len(sent)
    hand.run(90)
    assert hand.open_there() == []
    assert hand.reserved(BUY) == 0
    hand.until(hand.may_trade)
    whole(hand)


# ---- 68, 69: everything at once ----


@row(68, star=True, markets=("binance-usdm", "bybit-linear", "okx"))
def test_68_a_kill_reaches_stops_too_and_what_is_not_ours_is_told(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY), 4 * hand.size)
    hand.run(1)
    hand.fault("order.algo", count=1)
    for i in range(5):
        hand.place(BUY, hand.away(BUY, 500 + 10 * i))
        hand.run(0.4)
    stop = hand.place(SELL, 0, type=STOP, trigger=hand.away(BUY, 3000), reduce_only=True)
    hand.run(2)
    assert hand.hits("order.algo") == 1
    assert len(hand.open_there()) == 6
    assert stop in hand.open_here()
    hand.kill()
    hand.run(10)
    assert hand.open_there() == []
    assert hand.open_here() == []
    assert hand.told("an order that is not ours")
    if not hand.is_naive:  # it is counted, and not ours to cancel
        assert hand.keeper.watches[hand.market].reconciler.foreign_orders == 1
    whole(hand)


@row(68, star=True)
def test_68_a_kill_of_many_orders_with_half_of_the_cancels_lost(make, market):
    hand = make(market).ready()
    while len(hand.open_there()) < 60:
        hand.place(BUY, hand.away(BUY, 400 + len(hand.open_there())))
        hand.run(0.1)
    hand.fault("ack.drop", op="cancel", every=0.5)
    hand.fault("exec.drop", every=0.5, for_s=20)
    hand.fault("px.blackhole", way="in", path="orders", for_s=0.4)
    hand.kill()
    hand.run(60)
    assert hand.hits("px.blackhole") == 1
    assert hand.hits("exec.drop") > 0
    assert hand.open_there() == []
    assert hand.open_here() == []
    whole(hand)


@row(69, star=True)
def test_69_the_venues_switch_fires_while_nobody_is_dead(make, market):
    hand = make(market).ready()
    orders = [hand.place(BUY, hand.away(BUY, 500 + 10 * i)) for i in range(3)]
    hand.run(2)
    hand.fault("exec.drop", for_s=0.5)  # and nobody says so
    hand.fault("dms.fire")
    hand.run(1)
    assert hand.hits("dms.fire") == 1
    assert hand.hits("exec.drop") > 0
    assert hand.open_there() == []
    hand.run(30)
    assert all(hand.state(x) in ("CANCELED", "EXPIRED") for x in orders)
    assert hand.reserved(BUY) == 0
    hand.until(hand.may_trade)
    whole(hand)


@row(69)
def test_69_without_a_switch_the_node_cancels_what_a_dead_one_left(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.away(BUY))
    hand.run(1)
    hand = hand.restart()
    assert len(hand.open_there()) == 1  # no switch fires for us
    hand.ready()
    assert hand.open_there() == []
    assert hand.told("adopted order")
    hand.run(75)
    whole(hand)


# ---- 70, 71: what is not understood, and what comes too early ----


@row(70, star=True)
def test_70_a_status_that_nobody_knows_is_quarantined(make, market):
    hand = make(market).ready()
    hand.fault("exec.unknown_status", text="MMP_CANCELED", for_s=0.5)
    order = hand.place(BUY, hand.away(BUY))
    hand.run(0.3)
    assert hand.hits("exec.unknown_status") > 0
    assert hand.halts().get("HALT_ODD") == 1
    assert hand.reserved(BUY) == hand.size
    assert order in hand.open_here()
    assert hand.place(BUY, hand.away(BUY)) == 0
    hand.run(60)
    assert hand.told("unknown") or hand.told("odd")
    assert hand.may_trade()
    assert hand.state(order) == "LIVE"
    whole(hand)


@row(70, star=True)
def test_70_the_end_of_an_order_in_an_unknown_word_is_found_out(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY), 2 * hand.size)
    hand.run(1)
    fill_there(hand, hand.size)
    hand.run(1)
    hand.fault("exec.unknown_status", text="CORPORATE_ACTION", for_s=0.5)
    hand.fault("order.fill_on_cancel", part="part", count=1)
    hand.fault("ack.drop", for_s=0.5)
    hand.cancel(order)
    hand.run(0.3)
    assert hand.hits("exec.unknown_status") > 0
    hand.run(60)
    assert hand.open_there() == []
    assert hand.open_here() == []
    assert hand.position() == hand.traded_there() > hand.size
    assert hand.told("unknown") or hand.told("odd")
    whole(hand)


@row(71, star=True)
def test_71_what_fills_while_the_node_starts_is_counted_once(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.away(BUY), 4 * hand.size)
    hand.run(1)
    fill_there(hand, hand.size)
    hand = hand.restart()
    for wait in (0, 0.01):  # before anybody listens, and in the middle of connecting
        hand.run(wait)
        fill_there(hand, hand.size)
    hand.until(lambda: hand.may_trade(), 60)
    hand.run(15)
    assert hand.position() == hand.traded_there() == 3 * hand.size
    assert hand.open_there() == []
    whole(hand, remembers=False)


@row(71, star=True)
def test_71_reports_that_come_while_the_private_stream_is_away_and_while_it_is_compared(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY), 6 * hand.size)
    hand.run(1)
    for wired in list(hand.world.lines.values()):
        if wired.spec.role != "feed":
            hand.world.cut(wired)
    for wait in (0.01, 0.05, 0.05, 0.3, 0.3):
        hand.run(wait)
        fill_there(hand, hand.size)
    hand.run(40)
    assert hand.position() == hand.filled(order) == 5 * hand.size
    assert hand.may_trade()
    whole(hand)
