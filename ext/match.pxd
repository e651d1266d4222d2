"""A venue-side matching engine for one instrument: price-time priority, with a model of the queue around our orders."""

from libc.stdint cimport int64_t


ctypedef struct Node:
    # One place in the queue of a price: a client's order, a background order, or (id 0) anonymous background.
    int64_t id
    int64_t owner            # 0 = background
    int64_t size_lots        # still resting
    int64_t filled_lots
    int side
    bint reduce_only         # trades no further than its position goes
    int64_t position         # whose lots its trades change; 0 = nobody's
    int64_t price_ticks
    Node* prev
    Node* next

ctypedef struct Rung:
    # One price of one side.
    int64_t total_lots
    int64_t shown_lots       # the total that the last LEVEL event said
    int64_t background_lots  # the part of the total that has owner 0
    Node* head               # first in time
    Node* tail
    Rung* spare

ctypedef struct Place:
    int64_t key              # price for bids, minus price for asks: the best is always the largest
    Rung* rung

ctypedef struct Ladder:
    # One side, ascending by key: the best is last, so that work near the market moves little.
    Place* places
    Py_ssize_t count
    Py_ssize_t capacity
    int64_t resting_lots


cdef class MatchingEngine:
    cdef Ladder sides[2]
    cdef Node* spare_nodes
    cdef Rung* spare_rungs
    cdef dict nodes                  # order id -> address of its Node, for what rests
    cdef list events
    cdef bint proportional
    cdef readonly str queue
    cdef public int64_t next_order_id
    cdef public int64_t next_trade_id
    cdef readonly int64_t update_id
    cdef bint stopped                # by self-trade prevention: the order that is being placed
    cdef int64_t prevented_lots      # of the order that is being placed
    cdef int64_t taker_position      # the same; 0 while the background takes
    cdef dict positions              # number -> signed lots

    cdef Node* _node(self, int side, int64_t price_ticks, int64_t size_lots, int64_t id, int64_t owner) except NULL
    cdef Rung* _rung(self, int side, int64_t price_ticks) except NULL
    cdef int _append(self, int side, int64_t price_ticks, int64_t size_lots, int64_t id, int64_t owner) except -1
    cdef int _unlink(self, Rung* rung, Node* node) except -1
    cdef int _shrink(self, Rung* rung, Node* node, int64_t by_lots) except -1
    cdef int _publish(self, int side, Py_ssize_t at) except -1
    cdef int _publish_price(self, int side, int64_t price_ticks) except -1
    cdef int64_t _cross(self, int side, int64_t limit_ticks, int64_t size_lots, int64_t owner, int64_t id,
                        int stp) except -1
    cdef int64_t _room(self, Node* node) except -1
    cdef int _move(self, int64_t position, int side, int64_t size_lots) except -1
    cdef int64_t _prevent(self, Rung* rung, Node* maker, int64_t left_lots, int64_t id, int stp) except -1
    cdef int _check_order(self, int side, bint is_market, int64_t price, int64_t size_lots, str tif, int64_t owner,
                          str stp, int64_t order_id) except -1
    cdef int64_t _match(self, Rung* rung, Node* maker, int64_t left_lots, int64_t size_lots, int taker_side,
                        int64_t owner, int64_t id) except -1
    cdef bint _crosses(self, int side, int64_t limit_ticks) noexcept nogil
    cdef bint _can_fill(self, int side, int64_t limit_ticks, int64_t size_lots, int64_t owner, int stp) noexcept nogil
    cdef int64_t _overrun(self, int side, int64_t price_ticks, int64_t size_lots) except -1
    cdef int _drop_background(self, Rung* rung) except -1
    cdef int _reduce_background(self, Rung* rung, int64_t by_lots) except -1
    cdef int _thin_background(self, Rung* rung, int64_t to_lots) except -1
    cdef int _check(self) except -1
    cdef Ladder* _side(self, int side) except NULL
    cdef int _done(self, int64_t owner, int64_t order_id, str reason, int64_t filled_lots) except -1
