"""The node's own price: which sources count, when, what the median makes of them; where it was before."""

from fractions import Fraction
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.instruments import Instruments
from ext.records import Market
from ext.reference import Reference

SEC = 10**9
NOW = 1_700_000_000 * SEC
E8 = 10**8
FRESH = 5 * SEC
# symbol, market, tick, base, quote
TABLE = [
    ("BTCUSDT", Market.BYBIT_LINEAR, "0.1", "BTC", "USDT"),
    ("BTCUSDT", Market.BINANCE_SPOT, "0.01", "BTC", "USDT"),
    ("BTC-USDC-SWAP", Market.OKX, "0.5", "BTC", "USDC"),
    ("ETHUSDT", Market.BINANCE_SPOT, "0.01", "ETH", "USDT"),
    ("BTCEUR", Market.BINANCE_USDM, "0.01", "BTC", "EUR"),
    ("ODD", Market.OKX, "1", "", ""),
]
TICK = [Fraction(row[2]) for row in TABLE]


def reference():
    instruments = Instruments()
    for symbol, market, tick, base, quote in TABLE:
        instruments.add(market, symbol, tick, "0.001", base=base, quote=quote)
    return Reference(instruments)


def test_peers_have_the_same_coin_and_the_same_or_another_dollar():
    assert [reference().peers(i) for i in range(6)] == [[1, 2], [0, 2], [0, 1], [], [], []]


def test_no_source_is_no_reference():
    ref = reference()
    assert ref.now(0, NOW) == (0, 0, 0)
    assert ref.middle(0, NOW) == 0


def test_one_source_is_the_reference_and_two_are_both_handed_out():
    ref = reference()
    ref.book(0, 999, 1001, NOW)
    assert ref.now(0, NOW) == (1, 2000, 2000)
    ref.mark(0, NOW, mark_e8=102 * E8)
    assert ref.now(0, NOW) == (2, 2000, 2040)
    assert ref.middle(0, NOW) == 2020
    assert ref.now(0, NOW, own=2060) == (2, 2040, 2060)


def test_of_three_and_more_the_median_is_the_reference():
    ref = reference()
    ref.book(0, 999, 1001, NOW)
    ref.mark(0, NOW, mark_e8=102 * E8, index_e8=101 * E8)
    assert ref.now(0, NOW) == (3, 2020, 2020)
    ref.book(1, 50, 52, NOW)  # a venue gone mad
    assert ref.now(0, NOW) == (4, 2010, 2010)
    assert ref.now(0, NOW, own=0) == (3, 2020, 2020)


def test_a_print_of_others_never_moves_it():
    """Row 157: neither the last price nor a trade is a source."""
    ref = reference()
    ref.book(0, 999, 1001, NOW)
    ref.mark(0, NOW, last_e8=120 * E8)
    assert ref.now(0, NOW) == (1, 2000, 2000)
    assert not [name for name in dir(ref) if "trade" in name]


def test_each_source_counts_while_it_is_fresh():
    ref = reference()
    ref.book(0, 999, 1001, NOW)
    ref.mark(0, NOW + 1, mark_e8=102 * E8)
    ref.book(1, 10_299, 10_301, NOW + 2)
    assert ref.now(0, NOW + FRESH)[0] == 3
    assert ref.now(0, NOW + FRESH + 1) == (2, 2040, 2060)
    assert ref.now(0, NOW + FRESH + 2) == (1, 2060, 2060)
    assert ref.now(0, NOW + FRESH + 3) == (0, 0, 0)


def test_a_book_that_is_empty_or_crossed_is_no_source():
    ref = reference()
    for bid, ask in ((0, 10), (10, 10), (11, 10), (10, 0)):
        ref.book(0, bid, ask, NOW)
        assert ref.now(0, NOW)[0] == 0


PRICES = st.integers(1, 10**9)
EVENTS = st.one_of(
    st.tuples(st.just("book"), st.integers(0, 4), PRICES, st.integers(1, 1000)),
    st.tuples(st.just("mark"), st.integers(0, 4), st.integers(1, 10**17), st.just(0)),
    st.tuples(st.just("index"), st.integers(0, 4), st.integers(1, 10**17), st.just(0)),
    st.tuples(st.just("time"), st.just(0), st.integers(0, 3 * SEC), st.just(0)),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(EVENTS, max_size=40))
def test_the_reference_is_that_of_a_naive_twin(events):
    ref, now = reference(), NOW
    books, marks, indexes = {}, {}, {}
    for kind, i, value, spread in events:
        if kind == "book":
            ref.book(i, value, value + spread, now)
            books[i] = (now, 2 * value + spread)
        elif kind == "time":
            now += value
        elif kind == "mark":
            ref.mark(i, now, mark_e8=value)
            marks[i] = (now, value)
        else:
            ref.mark(i, now, index_e8=value)
            indexes[i] = (now, value)
        for who in range(3):
            others = []
            for table in (marks, indexes):
                if who in table and now - table[who][0] <= FRESH:
                    others.append(int(Fraction(2 * table[who][1], E8) / TICK[who]))
            for peer in {0, 1, 2} - {who}:
                if peer in books and now - books[peer][0] <= FRESH:
                    others.append(int(books[peer][1] * TICK[peer] / TICK[who]))
            others = [x for x in others if 0 < x <= 2**50]
            if who in books and now - books[who][0] <= FRESH:
                others.append(books[who][1])
            if len(others) == 2:
                expected = (2, min(others), max(others))
            else:
                middle = int(median(map(Fraction, others))) if others else 0
                expected = (len(others), middle, middle)
            assert ref.now(who, now) == expected


# ---- a while ago ----


def bucket(window, parts):
    return max((window // parts).bit_length() - 1, 0)


STEPS = st.lists(st.tuples(st.integers(0, 3000), st.integers(900, 1100)), min_size=1, max_size=80)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(STEPS, st.integers(1, 20_000), st.integers(1, 20_000), st.integers(1, 20_000), st.integers(0, 200_000))
def test_range_jump_and_walk_are_those_of_a_naive_twin(steps, range_ns, jump_ns, walk_ns, jump_ppm):
    """Every mid that was in force in a bucket of time that the window touches."""
    ref, now, seen, samples, last, jumped = reference(), NOW, [], [], None, None
    ref.watch(3, walk_ns=walk_ns, range_ns=range_ns, jump_ns=jump_ns, jump_ppm=jump_ppm)
    for wait, mid in steps:
        now += wait
        ref.book(3, mid - 1, mid + 1, now)
        if last is not None:
            seen.append((now, last))
        seen.append((now, 2 * mid))
        last = 2 * mid

        def within(window, now=now):
            shift = bucket(window, 64)
            return [m for at, m in seen if at >> shift >= (now - window) >> shift]

        moves = ref.moves(3)
        assert (moves["high"], moves["low"]) == (max(within(range_ns)), min(within(range_ns)))
        jump = max(abs(m - 2 * mid) for m in within(jump_ns))
        assert moves["jump"] == jump
        assert moves["jumping"] == (jump * 10**6 > 2 * mid * jump_ppm)
        jumped = now if moves["jumping"] else jumped
        assert moves["jumped_ns"] == jumped
        shift = bucket(walk_ns, 32)
        if not samples or samples[-1][0] < now >> shift:
            samples.append((now >> shift, 2 * mid))
        old = [m for b, m in samples if b <= (now - walk_ns) >> shift]
        assert moves["walk"] == (old[-1] if old else samples[0][1])


def test_a_gap_after_a_silence_is_a_jump():
    ref = reference()
    ref.watch(3, jump_ns=SEC, jump_ppm=50_000)
    ref.book(3, 999, 1001, NOW)
    ref.book(3, 919, 921, NOW + 3600 * SEC)
    assert ref.moves(3)["jumping"]


def test_a_window_that_does_not_change_keeps_what_it_has_seen():
    ref = reference()
    for window, low in ((SEC, 1800), (SEC, 1800), (2 * SEC, 2000)):
        ref.watch(3, range_ns=window)
        if window == SEC:
            ref.book(3, 899, 901, NOW)
        ref.book(3, 999, 1001, NOW)
        assert ref.moves(3)["high"] == 2000
        assert ref.moves(3)["low"] == (low if window == SEC else 2000)
    with pytest.raises(IndexError):
        ref.watch(99)
