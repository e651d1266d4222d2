"""The state hash: what each room decides by, as 64 bits, so that a replay can be compared with its run at every mark.

It is cheap, because it is made four times a second where frames come in: of books the sequence state and the best levels, of orders
the open ones and a running hash of every change of state, of windows their counts and ends. Nothing in it is an address or of a
process: the same events give the same hash, anywhere. It is no proof against forgery (the archive's chain is that).
"""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.arbiter cimport Feed
from ext.book cimport Book
from ext.equity cimport COINS_MAX, Pool, Worth
from ext.exits cimport Exit
from ext.orders cimport Exposure, Order
from ext.records cimport LEGS, Level, mix
from ext.reference cimport Reference, Source
from ext.shields cimport PARTS, Shield
from ext.strategy cimport Strategy
from ext.throttle cimport Ring, Throttle

VERSION = 1              # of what goes in: hashes of different versions are not compared

cdef enum:
    LEVELS = 20          # of each side of a book
    SEED = 0x7461706500000001


cdef uint64_t mix_words(uint64_t hash, const void* at, Py_ssize_t count) noexcept nogil:
    """So many 64-bit words. For rows whose padding is zero, or that have none."""
    cdef Py_ssize_t i
    cdef const uint64_t* words = <const uint64_t*>at
    for i in range(count):
        hash = mix(hash, words[i])
    return hash


cdef inline uint64_t _pair(uint64_t hash, int64_t a, int64_t b) noexcept nogil:
    """Two numbers of 32 bits in one step."""
    return mix(hash, (<uint64_t>a << 32) ^ <uint64_t>b)


# ---- books ----


cdef uint64_t of_books(list books, Arbiter arbiter) except? 0:
    cdef uint64_t hash = SEED
    cdef Book book
    cdef Feed* feed
    for book in books:
        hash = _of_book(hash, book)
        feed = &arbiter.feeds[book.instrument]
        hash = _pair(mix(_pair(hash, feed.lead, feed.carriers), feed.moved_ns), feed.fresh, feed.loose)
        hash = mix(mix(mix(hash, feed.behind_ns), feed.hole_ns), feed.epoch)
        hash = _pair(mix(hash, feed.buffered_id), feed.waiting.count, 0)
    return mix(hash, arbiter.up)


cdef uint64_t _of_book(uint64_t hash, Book book) noexcept:
    cdef Level levels[LEVELS]
    cdef int side, count
    hash = _pair(hash, book.state, book.loaded | book.suspended << 1 | book.may_cross << 2)
    hash = mix(mix(hash, book.last_id), book.changed_ns)
    hash = mix(mix(hash, book.updates), book.gaps)
    hash = mix(mix(hash, book.buffered), book.buffer_size)
    for side in range(2):
        count = book.top(side, levels, LEVELS)
        hash = mix_words(mix(hash, count), levels, 2 * count)
    return _pair(hash, book.bid.count, book.ask.count)


# ---- orders ----


cdef uint64_t of_orders(Orders orders) noexcept nogil:
    cdef uint64_t hash = mix(SEED, orders.history)
    cdef int i
    cdef int32_t at
    hash = mix(mix(hash, orders.next_id), orders.seen_count)
    hash = _pair(_pair(hash, orders.adopted, orders.open_total), orders.parked_at, 0)
    hash = mix(mix(hash, orders.duplicates), orders.strays)
    hash = mix(mix(hash, orders.foreign), orders.unexpected)
    for i in range(orders.instruments):
        hash = _of_exposure(hash, &orders.exposure[i])
    for i in range(2 * orders.instruments):
        hash = mix(hash, orders.queues[i].best_ticks)
        at = orders.queues[i].first
        while at >= 0:
            hash = _of_order(hash, &orders.rows[at])
            at = orders.rows[at].after
    return hash


cdef uint64_t _of_exposure(uint64_t hash, const Exposure* row) noexcept nogil:
    hash = mix(mix(hash, row.buy_lots), row.sell_lots)
    hash = mix(mix(hash, row.foreign_buy_lots), row.foreign_sell_lots)
    return _pair(mix(hash, row.unknown_lots), row.open_orders, row.unacked)


cdef uint64_t _of_order(uint64_t hash, const Order* row) noexcept nogil:
    hash = mix(mix(mix(hash, row.id), row.epoch), row.sequence)
    hash = _pair(_pair(hash, row.state, row.strategy), row.type, row.tif)
    hash = _pair(_pair(hash, row.reduce_only, row.leg), row.line, row.reject_code)
    hash = _pair(_pair(hash, row.final_state, row.doubt), row.cancel_wanted, row.cancel_asked)
    hash = mix(mix(_pair(hash, row.amending, row.limits_version), row.price_ticks), row.size_lots)
    hash = mix(mix(hash, row.amend_ticks), row.amend_lots)
    hash = mix(mix(hash, row.trigger_ticks), row.value_ticks)
    hash = mix(mix(hash, row.filled_lots), row.told_lots)
    hash = mix(mix(hash, row.state_ns), row.heard_ns)
    hash = mix(mix(hash, row.last_cancel_ns), row.terms_ns)
    return mix(hash, row.replaces)


# ---- account and equity: rows of whole words ----


cdef uint64_t of_account(Account account) noexcept nogil:
    cdef uint64_t hash = SEED
    cdef int i
    for i in range(account.instruments):
        hash = mix_words(hash, &account.rows[i], sizeof(account.rows[i]) >> 3)
    return _pair(hash, account.third_count, 0)


cdef uint64_t of_equity(Equity equity) noexcept nogil:
    cdef uint64_t hash = SEED
    cdef int i, k
    for i in range(equity.instruments.count):
        hash = mix_words(hash, &equity.rows[i], sizeof(Worth) >> 3)
    hash = mix_words(hash, &equity.total, sizeof(Pool) >> 3)
    for i in range(equity.purse_count):
        hash = mix_words(hash, &equity.purses[i], sizeof(Pool) >> 3)
        for k in range(equity.coin_count):
            hash = mix(hash, equity.capital[i * COINS_MAX + k])
        hash = mix(_pair(hash, equity.told[i], 0), equity.capital[i * COINS_MAX + COINS_MAX - 1])
    for k in range(equity.coin_count):
        hash = _pair(mix(hash, equity.price_e8[k]), equity.priced[k], 0)
    hash = mix(mix(hash, equity.peak_e8), equity.day_e8)
    if equity.waiting_e8 or equity.gone_e8:
        hash = mix(mix(mix(hash, equity.waiting_e8), equity.gone_e8), equity.gone_peak_e8)
    return _pair(mix(hash, equity.day), equity.has_peak, 0)


# ---- risk ----


cdef uint64_t of_risk(Checks risk, Stops stops, int strategies) except? 0:
    cdef uint64_t hash, off = 0     # bit s = strategy s is off
    cdef int i, n = risk.instruments.count
    for i in range(strategies):
        off |= <uint64_t>(risk.why_off[i] != 0) << i
    hash = mix(SEED, off)
    hash = mix(mix(_pair(hash, risk.latches, risk.table.version), risk.lease_ns), risk.watched_ns)
    hash = mix(_pair(hash, risk.window_kind, risk.window_version), risk.window_until_ns)
    hash = mix_words(hash, risk.guards, n * (sizeof(risk.guards[0]) >> 3))
    hash = mix_words(hash, risk.markets, 8 * (sizeof(risk.markets[0]) >> 3))
    for i in range(2 * n):
        hash = _pair(hash, risk.recent[i].at, 0)
        hash = mix(hash, risk.recent[i].at_ns[risk.recent[i].at])
    for i in range(n):
        hash = _pair(hash, risk.instruments.rows[i].tradable, 0)
        hash = mix(mix(hash, risk.instruments.rows[i].tick_step), risk.instruments.rows[i].lot_step)
    hash = _of_throttle(hash, risk.throttle, strategies)
    hash = mix_words(hash, risk.budgets.buckets, risk.budgets.bucket_count * 3)
    hash = mix_words(hash, risk.budgets.blocked_ns, 8)
    return _of_stops(_of_reference(hash, risk.reference, n), stops, n)


cdef uint64_t _of_throttle(uint64_t hash, Throttle row, int strategies) noexcept:
    cdef int i
    hash = _of_ring(_of_ring(_of_ring(hash, &row.orders), &row.amends), &row.cancels)
    for i in range(3 * strategies):
        hash = _of_ring(hash, &row.repeats[i])
    hash = mix(mix(mix(hash, row.flow.ones), row.flow.twos), row.flow.bucket)
    hash = mix(mix(hash, row.day_orders), row.day_fills)
    return mix(mix(hash, row.day), row.day_trades)


cdef inline uint64_t _of_ring(uint64_t hash, const Ring* row) noexcept nogil:
    return mix(mix(hash, row.at), row.last_ns)


cdef uint64_t _of_reference(uint64_t hash, Reference reference, int n) noexcept:
    cdef Source* row
    cdef int i
    for i in range(n):
        row = &reference.rows[i]
        hash = mix(mix(hash, row.own2), row.own_ns)
        hash = mix(mix(hash, row.mark2), row.index2)
        hash = mix(mix(hash, row.walk2), row.jumped_ns)
        hash = mix(mix(hash, row.high2), row.low2)
    return hash


cdef uint64_t _of_stops(uint64_t hash, Stops stops, int n) noexcept:
    cdef int i
    for i in range(n):
        hash = _pair(hash, stops.lost[i], 0)
    hash = _pair(_pair(hash, stops.daily, stops.drawdown), stops.in_window, stops.exits.active)
    hash = mix_words(hash, stops.exits.rows, n * <int>LEGS * (sizeof(Exit) >> 3))
    return mix_words(hash, stops.shields.rows, n * <int>LEGS * <int>PARTS * (sizeof(Shield) >> 3))


# ---- strategies ----


cdef uint64_t of_strategies(list strategies, Checks risk) except? 0:
    cdef uint64_t hash = SEED
    cdef Strategy strategy
    for strategy in strategies:
        hash = mix(mix(hash, strategy.calls), strategy.faults)
        hash = _pair(mix(hash, strategy.dropped), strategy.strikes, risk.why_off[strategy.number])
        hash = strategy.digest(hash)
    return hash
