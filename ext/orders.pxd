"""Our orders: a preallocated table, a one-way state lattice, and the reserved exposure that follows from them."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.records cimport LEGS, Intent, Report

cdef extern from *:
    """
    typedef __int128 tg_wide_lots;
    """
    ctypedef long long tg_wide_lots      # 128 bits: ticks * lots of many orders

cdef enum:
    GROUPS_MAX = 8
    VENUE_ID_MAX = 40
    PARKED_MAX = 256         # fills that nobody could name yet; the position counts them all the same

ctypedef struct Order:
    uint64_t id              # ours, in this table; the low bits are the row
    uint64_t epoch           # in its client id
    uint64_t sequence        # in its client id: `id`, unless the order was adopted from an earlier epoch
    int32_t state            # OrderState
    int32_t instrument
    int32_t strategy
    int32_t side
    int32_t type
    int32_t tif
    int32_t reduce_only
    int32_t leg              # LegKind
    int32_t limits_version   # of the limits that it was approved under
    int32_t line             # that its last request was written to
    int32_t reject_code
    int32_t group            # ErrorGroup of `reject_code`
    int32_t final_state      # a terminal report told of fills that have not come yet: what to become then, else 0
    int32_t doubt            # Doubt bits: somebody should ask the venue
    int32_t cancel_wanted    # sticky: until a terminal state
    int32_t cancel_asked     # cancels written
    int32_t amending         # an amend is written and not answered
    int64_t price_ticks      # in force
    int64_t size_lots        # in force, filled included
    int64_t amend_ticks      # asked for, while `amending`
    int64_t amend_lots
    int64_t widest_ticks     # the furthest limit it ever had or asked for: highest of a buy, lowest of a sale; 0 = not known
    int64_t widest_lots      # the largest size
    int64_t trigger_ticks
    int64_t value_ticks      # what risk valued it at, where it has no price of its own
    int64_t filled_lots      # from fills applied once each
    int64_t told_lots        # the largest cumulative quantity that the venue told
    int64_t intent_ns
    int64_t sent_ns
    int64_t acked_ns
    int64_t state_ns         # when it came into `state`
    int64_t heard_ns         # last word from the venue
    int64_t behind_ns        # since when `told_lots` is more than `filled_lots`, 0 = it is not
    int64_t amend_ns
    int64_t terms_ns         # the venue's time of the word that price and size are from, 0 = it told none
    int64_t last_cancel_ns
    uint64_t replaces        # REPLACE: the order that this one takes the place of
    int32_t after            # rows of its neighbours among the open orders of its instrument and side, -1 = none
    int32_t before
    int32_t venue_id_size
    char venue_id[VENUE_ID_MAX]

cpdef enum Doubt:
    DOUBT_CANCEL = 1         # a cancel was refused: not open now, but what became of it?
    DOUBT_ODD = 2            # the venue used a word that the decoder does not know
    DOUBT_LINE = 4           # its line died with a request in the air
    DOUBT_RISEN = 8          # it was closed as absent or refused, and turned out to exist
    DOUBT_REFUSED = 16       # it was reported to rest, and is said to have been refused

ctypedef struct Exposure:
    # What could still happen to the position of one instrument: everything not terminal, UNKNOWN included.
    int64_t buy_lots
    int64_t sell_lots
    int64_t unknown_lots     # of these, in orders of unknown fate
    int64_t foreign_buy_lots # open orders of others on this account, as last counted
    int64_t foreign_sell_lots
    int64_t leg_lots[2 * LEGS]   # hedge mode, by 2 * LegKind + side: which of the lots above are of that leg
    int64_t reduce_buy_lots  # of `buy_lots`, in orders that only reduce
    int64_t reduce_sell_lots
    int64_t exit_buy_lots    # of these, not in stop orders
    int64_t exit_sell_lots
    tg_wide_lots worth       # ticks * lots of all that is open but stop orders: of an amend the larger price
    int32_t open_orders
    int32_t unacked          # requests without an answer: orders in INTENT or SENT

ctypedef struct Queue:
    # Open orders of one instrument and side, and the best price at which one of them may rest.
    int32_t first            # row, -1 = none
    int32_t stale            # the best one may have gone: look again
    int64_t best_ticks       # 0 = none


ctypedef struct TradeKey:
    int64_t hi
    int64_t lo
    int32_t place            # 2 * instrument + side + 1; 0 = free. Two orders of ours that met each other share a trade id
    int32_t fee_due          # the fill came without its fee

ctypedef struct Parked:
    # A fill whose order nobody knew when it came.
    int32_t instrument
    int32_t side
    int32_t venue_id_size
    char venue_id[VENUE_ID_MAX]
    int64_t price_ticks
    int64_t lots
    int64_t at_ns


cdef class Orders:
    cdef Order* rows
    cdef Exposure* exposure
    cdef Queue* queues               # [2 * instrument + side]
    cdef int32_t* groups             # of each instrument, as told (risk: its market)
    cdef int32_t unacked[GROUPS_MAX] # requests without an answer, by group
    cdef readonly int open_total     # open orders of all instruments
    cdef readonly int capacity
    cdef readonly int instruments
    cdef uint64_t mask
    cdef readonly uint64_t next_id
    cdef public uint64_t epoch       # of this process: what an order that is not adopted carries in its client id
    cdef readonly int adopted        # orders of earlier epochs that were ever taken in
    cdef readonly uint64_t stray_epoch, stray_sequence   # in the client id of the last report on an order of ours that is not here
    cdef TradeKey* seen[2]
    cdef int64_t seen_count
    cdef int seen_turn
    cdef Parked parked[PARKED_MAX]
    cdef int parked_at
    cdef Parked bound                # a parked fill that just found its order: the engine tells the strategy
    cdef Order* hit                  # the order that the last report was about, or NULL
    cdef bint fee_came               # the last report told the fee of a fill that had come without one
    cdef readonly int64_t duplicates, foreign, strays, unexpected, risen, odd, venue_changes
    cdef int troubles                # orders that may need somebody to ask; 0 = certainly none
    cdef int64_t counts[16]          # orders that reached each OrderState
    cdef uint64_t history            # running hash of every change of state there was

    cdef Order* find(self, uint64_t id) noexcept nogil
    cdef Order* locate(self, const Report* report) noexcept nogil
    cdef Order* reserve(self, const Intent* intent, int64_t now_ns) noexcept nogil
    cdef Order* adopt(self, const Intent* intent, uint64_t epoch, uint64_t sequence, int64_t filled_lots,
                      int64_t unsure_ns, int64_t now_ns) noexcept nogil
    cdef int want_cancel(self, Order* order) noexcept nogil
    cdef int to_state(self, Order* order, int state, int64_t now_ns) except -1
    cdef int widen(self, Order* order, int64_t price_ticks, int64_t size_lots) noexcept nogil
    cdef int start_amend(self, Order* order, int64_t price_ticks, int64_t size_lots, int64_t now_ns) except -1
    cdef int end_amend(self, Order* order, bint in_force, int64_t now_ns) except -1
    cdef int64_t on_report(self, const Report* report, int64_t now_ns) except -1
    cdef int64_t apply(self, Order* order, const Report* report, int64_t now_ns) except -1
    cdef bint take_bound(self, Order* order, int64_t now_ns) except -1
    cdef bint first_sight(self, const Report* report, int instrument, int side) noexcept nogil
    cdef bint is_open(self, const Order* order) noexcept nogil
    cdef int64_t leaves(self, const Order* order) noexcept nogil
    cdef int64_t price(self, const Order* order) noexcept nogil
    cdef int64_t best(self, int instrument, int side) noexcept nogil
    cdef int revalue(self, Order* order, int64_t ticks) noexcept nogil
    cdef int set_group(self, int instrument, int group) noexcept nogil
    cdef int _shift(self, const Order* order, int sign) noexcept nogil
    cdef int _quote(self, const Order* order, int sign) noexcept nogil
    cdef int _link(self, Order* order) noexcept nogil
    cdef int _unlink(self, Order* order) noexcept nogil
    cdef int _count(self, const Order* order, int sign) except -1
    cdef int _remember(self, const Order* order) noexcept nogil
    cdef int _enter(self, Order* order, int state, int64_t now_ns) except -1
    cdef int _closed(self, Order* order, int64_t filled_lots, int state, int64_t now_ns) except -1
    cdef int _stray(self, const Report* report) noexcept nogil
    cdef int _refused(self, Order* order, int64_t now_ns) except -1
    cdef int _alive(self, Order* order, const Report* report, int64_t now_ns) except -1
    cdef int _amended(self, Order* order, const Report* report, int64_t now_ns) except -1
    cdef int _rise(self, Order* order, int64_t now_ns) except -1
    cdef int _told(self, Order* order, int64_t filled_lots, int64_t now_ns) except -1
    cdef int _fill(self, Order* order, int64_t lots, int64_t now_ns) except -1
    cdef int64_t _on_fill(self, Order* order, const Report* report, int64_t now_ns) except -1
    cdef int _name(self, Order* order, const Report* report) noexcept nogil
