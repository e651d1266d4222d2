"""The base of the venue fakes: what is said, in which order, and what the faults lose."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from ext.match import MatchingEngine
from node.venues.fakes import BUY, MS, SELL, FakeOrder, FakeVenue, Listing, RateLimited


class Plain(FakeVenue):
    """Says everything in words, to every connection."""

    fast_interval_ns = 10 * MS

    def say(self, *words):
        for connection in list(self.connections.values()):
            self.send(connection, " ".join(str(w) for w in words))

    def push_depth(self, listing, bids, asks, first_id, last_id, prev_id, now_ns):
        self.say("depth", listing.symbol, bids, asks, first_id, last_id, prev_id)

    def push_fast_depth(self, listing, bids, asks, first_id, last_id, prev_id, now_ns):
        self.say("fast", listing.symbol, bids, asks, first_id, last_id, prev_id)

    def push_quote(self, listing, now_ns):
        self.say("quote", listing.symbol, *listing.top)

    def push_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns):
        self.say("trade", trade_id, price_ticks, size_lots, taker_side)

    def on_accepted(self, order, now_ns):
        self.say("accepted", order.client_id)

    def on_fill(self, order, trade_id, price_ticks, size_lots, is_maker, now_ns):
        self.say("fill", order.client_id, trade_id, price_ticks, size_lots, is_maker, order.leaves_lots)

    def on_done(self, order, reason, now_ns):
        self.say("done", order.client_id, reason)


@pytest.fixture
def listing():
    return Listing("BTCUSDT", "0.1", "0.001", 1)


@pytest.fixture
def venue(listing):
    return Plain([listing, Listing("ETHUSDT", "0.01", "0.001", 1)])


def said(venue, *kinds):
    """What was said since the last call, to anyone; of some kinds only."""
    out = [text for _, text in venue.take()]
    return [t for t in out if t.split()[0] in kinds] if kinds else out


def order(listing, connection, side, price, size, client_id="a", tif="gtc"):
    return FakeOrder(listing, 0, client_id, side, price, size, tif, connection)


def test_an_order_is_accepted_then_traded_then_filled_then_closed_then_the_quote_moves(venue, listing):
    listing.engine.set_level(SELL, 100, 3)
    client = venue.open("/", 0)
    venue.tick(0)
    venue.take()
    venue.place("limit", order(listing, client, BUY, 100, 5, tif="ioc"), 1)
    assert said(venue) == [
        "accepted a",
        "trade 1 100 3 0",
        "fill a 1 100 3 False 2",
        "done a ioc",
        "quote BTCUSDT None None",
    ]


def test_a_fill_that_completes_an_order_says_so_and_no_done_follows(venue, listing):
    client = venue.open("/", 0)
    mine = order(listing, client, BUY, 100, 5)
    venue.place("limit", mine, 1)
    listing.engine.trade(SELL, 100, 5)
    venue.tick(2)
    assert said(venue, "fill", "done") == ["fill a 1 100 5 True 0"]
    assert (mine.done, mine.filled_lots, mine.leaves_lots) == ("filled", 5, 0)
    assert not venue.cancel(mine, 3)


def test_what_the_market_did_before_a_command_is_told_before_its_answers(venue, listing):
    listing.engine.set_level(BUY, 99, 4)
    client = venue.open("/", 0)
    venue.tick(0)
    venue.take()
    listing.engine.trade(SELL, 99, 1)
    venue.place("limit", order(listing, client, BUY, 98, 1), 1)
    assert said(venue) == ["trade 1 99 1 1", "quote BTCUSDT (99, 3) None", "accepted a"]


def test_a_quote_is_pushed_only_when_the_best_changed(venue, listing):
    client = venue.open("/", 0)
    listing.engine.set_level(BUY, 99, 4)
    venue.settle(listing, 1)
    assert said(venue, "quote") == ["quote BTCUSDT (99, 4) None"]
    listing.engine.set_level(BUY, 98, 7)
    venue.settle(listing, 2)
    venue.place("limit", order(listing, client, BUY, 97, 1), 3)
    assert said(venue, "quote") == []
    listing.engine.set_level(BUY, 99, 5)
    venue.settle(listing, 4)
    assert said(venue, "quote") == ["quote BTCUSDT (99, 5) None"]


def test_depth_pushes_chain_their_ids_at_both_cadences(venue, listing):
    venue.fast_interval_ns = 10 * MS
    venue.open("/", 0)
    venue.tick(0)
    for i in range(1, 21):
        listing.engine.set_level(BUY, 50 + i, i)
        venue.tick(i * 10 * MS)
    frames = said(venue)
    fast = [t for t in frames if t.startswith("fast")]
    slow = [t for t in frames if t.startswith("depth")]
    assert (len(fast), len(slow)) == (20, 2)
    assert fast[3].endswith("[(54, 4)] [] 4 4 3")
    assert slow[0].endswith("1 10 0")
    assert slow[1].endswith("11 20 10")


def test_the_cadence_does_not_drift_with_the_callers_period(venue, listing):
    venue.open("/", 0)
    for i in range(301):
        listing.engine.set_level(BUY, 50, i + 1)
        venue.tick(i * 7 * MS)
    assert len(said(venue, "depth")) == 22  # 2.1 s at 100 ms, and the first


def test_an_unchanged_book_pushes_nothing(venue, listing):
    venue.open("/", 0)
    for i in range(30):
        venue.tick(i * 10 * MS)
    assert said(venue) == []


def test_a_snapshot_after_flush_is_where_the_next_push_goes_on(venue, listing):
    venue.open("/", 0)
    listing.engine.set_level(BUY, 50, 1)
    listing.engine.set_level(BUY, 51, 1)
    venue.flush(listing, 1)
    assert listing.pushed_id == listing.fast_id == listing.engine.update_id == 2
    venue.take()
    listing.engine.set_level(BUY, 52, 1)
    venue.tick(10**9)
    assert said(venue, "depth", "fast") == [
        "fast BTCUSDT [(52, 1)] [] 3 3 2",
        "depth BTCUSDT [(52, 1)] [] 3 3 2",
    ]


def test_order_ids_are_unique_across_the_listings_of_a_venue(venue):
    first, second = venue.listings.values()
    client = venue.open("/", 0)
    one, two = order(first, client, BUY, 50, 1), order(second, client, BUY, 50, 1)
    venue.place("limit", one, 1)
    venue.place("limit", two, 1)
    assert one.number != two.number
    assert venue.find_order(first, number=one.number) is one
    assert venue.find_order(second, number=one.number) is None


def test_the_latest_order_of_a_client_id_is_found(venue, listing):
    client = venue.open("/", 0)
    for price in (50, 51):
        last = order(listing, client, BUY, price, 1, "x")
        venue.place("limit", last, 1)
    assert venue.find_order(listing, "x") is last
    assert venue.find_order(listing, "y") is None
    assert venue.find_order(listing) is None


def test_cancel_and_reduce_work_once_and_tell_the_truth(venue, listing):
    client = venue.open("/", 0)
    mine = order(listing, client, BUY, 50, 5)
    venue.place("limit", mine, 1)
    assert venue.reduce(mine, 3, 2)
    assert not venue.reduce(mine, 4, 2)
    assert mine.leaves_lots == 3
    assert venue.open_orders() == venue.open_orders(listing) == [mine]
    assert venue.cancel(mine, 3)
    assert not venue.cancel(mine, 3)
    assert said(venue, "done") == ["done a canceled"]
    assert venue.open_orders() == []


def test_two_orders_of_the_account_never_trade_with_each_other(venue, listing):
    client = venue.open("/", 0)
    venue.place("limit", order(listing, client, BUY, 50, 5, "a"), 1)
    venue.place("limit", order(listing, client, SELL, 50, 5, "b"), 2)
    assert said(venue, "done", "trade", "accepted") == ["accepted a", "accepted b", "done a stp"]


def test_a_dropped_connection_loses_what_was_queued_and_is_forgotten(venue):
    first, second = venue.open("/", 0), venue.open("/", 0)
    venue.say("hello")
    venue.drop(first)
    venue.send(first, "late")
    assert [c for c, _ in venue.take()] == [second]
    assert first.dropped
    assert list(venue.connections.values()) == [second]
    assert venue.counts["lost_frames"] == 2


def test_a_muted_connection_stays_open_and_hears_nothing(venue):
    first, second = venue.open("/", 0), venue.open("/", 0)
    venue.mute(first)
    venue.say("one")
    venue.mute(first, False)
    venue.say("two")
    assert venue.take() == [(second, "one"), (first, "two"), (second, "two")]


def test_a_connection_that_the_venue_hangs_up_gets_what_was_queued_and_no_more(venue):
    client = venue.open("/", 0)
    venue.send(client, "bye")
    venue.hang_up(client, 1001, "maintenance")
    venue.send(client, "late")
    assert venue.take() == [(client, "bye")]
    assert client.closing == (1001, "maintenance")


def push(venue, listing, n):
    for i in range(n):
        listing.engine.set_level(BUY, 60, venue.counts["orders"] + listing.engine.update_id + 1)
        venue.flush(listing, i)


def test_skipped_depth_is_a_gap_on_one_connection_only(venue, listing):
    venue.fast_interval_ns = 0
    first, second = venue.open("/", 0), venue.open("/", 0)
    push(venue, listing, 1)
    venue.skip_depth(listing, 2, second)
    push(venue, listing, 4)
    depth = [(c, t.split()[-3]) for c, t in venue.take() if t.startswith("depth")]
    assert [x for c, x in depth if c is first] == ["1", "2", "3", "4", "5"]
    assert [x for c, x in depth if c is second] == ["1", "4", "5"]


def test_a_skip_without_a_connection_sticks_to_the_first_one_concerned(venue, listing):
    venue.fast_interval_ns = 0
    first, second = venue.open("/", 0), venue.open("/", 0)
    venue.skip_depth(listing, 1)
    push(venue, listing, 2)
    depth = [(c, t.split()[-3]) for c, t in venue.take() if t.startswith("depth")]
    assert depth == [(second, "1"), (first, "2"), (second, "2")]


def test_a_skip_does_not_touch_other_listings_nor_other_frames(venue, listing):
    venue.fast_interval_ns = 0
    client = venue.open("/", 0)
    other = venue.listings[1, "ETHUSDT"]
    venue.skip_depth(other, 1, client)
    push(venue, listing, 1)
    push(venue, other, 1)
    kinds = [t.split()[:2] for t in said(venue)]
    assert kinds == [["quote", "BTCUSDT"], ["depth", "BTCUSDT"], ["quote", "ETHUSDT"]]


def test_listings_may_bring_their_own_engine():
    mine = Listing("BTCUSDT", "0.1", "0.001", 1, engine=MatchingEngine("proportional"))
    assert mine.engine.queue == "proportional"
    assert mine.price(605_432) == "60543.2"
    assert mine.size(5) == "0.005"


def test_a_listing_keeps_its_quote_currency(venue, listing):
    venue.tick(0)
    assert listing.quote == "USDT"


# ---- faults of market data ----


def moved(venue, listing, n):
    """`n` changes of the book, each pushed at once; what was said of depth."""
    out = []
    for _ in range(n):
        listing.engine.set_level(BUY, 50, 100 + listing.engine.update_id)
        venue.flush(listing, venue.now_ns)
        out += [int(t.rsplit(" ", 1)[1]) for t in said(venue, "depth")]
    return out


def test_depth_is_lost_doubled_and_shuffled_by_faults(venue, listing):
    venue.fast_interval_ns = 0
    venue.open("/", 0)
    assert moved(venue, listing, 3) == [0, 1, 2]
    venue.faults.add("book.gap", n=2, count=1)
    assert moved(venue, listing, 4) == [5, 6]
    venue.faults.clear()
    venue.faults.add("book.dup")
    assert moved(venue, listing, 2) == [7, 7, 8, 8]
    assert venue.faults.counts == {"book.gap": 1, "book.dup": 2}


def test_depth_comes_last_first_in_a_window(venue, listing):
    venue.fast_interval_ns = 0
    venue.open("/", 0)
    venue.faults.add("book.reorder", window=3, count=1)
    assert moved(venue, listing, 4) == [2, 1, 0, 3]


def test_a_frozen_topic_is_silent_for_the_connections_that_are_meant(venue, listing):
    one, two = venue.open("/public", 0), venue.open("/other", 0)
    venue.faults.add("book.freeze", topic="quote", path="public")
    listing.engine.set_level(BUY, 60, 1)
    venue.settle(listing, 1)
    assert [c for c, text in venue.take() if text.startswith("quote")] == [two]
    assert venue.faults.counts == {"book.freeze": 1}
    assert one.number in venue.connections


def test_a_book_that_only_keeps_alive_says_later_what_changed_and_misses_nothing(venue, listing):
    venue.fast_interval_ns = 0
    venue.open("/", 0)
    assert moved(venue, listing, 1) == [0]
    venue.faults.add("book.keepalive_only")
    assert moved(venue, listing, 3) == []
    venue.faults.clear()
    assert moved(venue, listing, 1) == [1]


def test_a_crossed_push_does_not_cross_the_book(venue, listing):
    venue.fast_interval_ns = 0
    venue.open("/", 0)
    listing.engine.set_level(SELL, 70, 1)
    venue.flush(listing, 1)
    said(venue)
    venue.faults.add("book.cross", ticks=3, count=1)
    listing.engine.set_level(BUY, 50, 9)
    venue.flush(listing, 1)
    assert said(venue, "depth") == ["depth BTCUSDT [(73, 1), (50, 9)] [] 2 2 1"]
    assert listing.engine.best(BUY) == (50, 9)


def test_a_snapshot_is_stale_where_a_fault_wants_it(venue, listing):
    venue.faults.add("book.stale_snapshot", by_ms=100, count=1)
    listing.engine.set_level(BUY, 50, 1)
    venue.flush(listing, 10**9)
    listing.engine.set_level(BUY, 51, 1)
    assert venue.book(listing, 5, 10**9 + 10**8) == (1, [(50, 1)], [])
    assert venue.book(listing, 5, 10**9 + 10**8) == (2, [(51, 1), (50, 1)], [])


def test_a_connection_has_the_address_and_headers_it_was_admitted_with(venue):
    connection = venue.admit("/x", 5, "127.0.0.7", {"a": "b"})
    assert (connection.ip, connection.headers) == ("127.0.0.7", {"a": "b"})
    assert venue.open("/y", 6).ip == "127.0.0.1"


def test_a_limiter_is_made_once_and_reached_by_faults(venue):
    limiter = venue.limiter("orders", 5, 10**9)
    assert venue.limiter("orders", 7, 10**9) is limiter
    venue.faults.add("ratelimit", limiter="orders", count=1)
    with pytest.raises(RateLimited):
        limiter.charge("me", 1, 0)


# what a subclass may set or extend, calling the base
SHARED = {"_pushing", "_pushing_kind", "_skipping", "_doubling", "_decided", "_enter", "_add_algo"}


def private_names(cls):
    return {name for name in vars(cls) if name.startswith("_") and not name.startswith("__")}


@pytest.mark.parametrize("name", ["binance.BinanceFake", "bybit.BybitFake", "okx.OkxFake"])
def test_no_venue_takes_a_private_name_of_the_base(name):
    """What a subclass calls by chance as the base calls something of its own breaks in odd ways."""
    module, _, cls = name.partition(".")
    fake = getattr(importlib.import_module(f"node.venues.{module}.fake"), cls)
    base = {x for c in FakeVenue.__mro__ for x in private_names(c)} | set(vars(FakeVenue([])))
    own = {x for c in fake.__mro__ if c not in FakeVenue.__mro__ for x in private_names(c)}
    files = Path(inspect.getfile(fake)).parent.glob("fake*.py")
    own |= {x for path in files for x in re.findall(r"self\.(_\w+)(?::[^=\n]*)? = ", path.read_text())}
    assert own & base <= SHARED
