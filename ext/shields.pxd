"""Protective stop orders that rest at the venue, one or a few for each open position, kept in step with it."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.account cimport Account
from ext.exits cimport Exits, Outbox
from ext.instruments cimport Instruments
from ext.orders cimport Order, Orders
from ext.records cimport Intent

cdef enum:
    PARTS = 4                # of one leg: with one that is replaced, on both legs, no more than the ten that venues allow

ctypedef struct Shield:
    # One part of one leg. `ids[0]` is what protects now, `ids[1]` what is to take its place.
    uint64_t ids[2]
    int64_t changed_ns       # when the last one was asked for
    int64_t looked_ns        # of the first part: when orders of an earlier run were last looked at
    int32_t asked            # proposed, and the engine has not said what became of it
    int32_t pad


cdef class Shields:
    cdef readonly Instruments instruments
    cdef readonly Orders orders
    cdef readonly Account account
    cdef readonly Exits exits
    cdef readonly Outbox outbox
    cdef Shield* rows                # [(instrument * LEGS + leg) * PARTS + part]
    cdef int64_t* agreed_ns          # when an instrument's positions and orders last agreed with the venue, 0 = not known to
    cdef int64_t* ppm                # distance of the trigger from the average entry, 0 = none is wanted
    cdef readonly bint wanted        # protection was asked for, ever
    cdef readonly int64_t proposed, refused, replaced, adopted, partly
    cdef readonly int last_reason

    cdef bint owns(self, uint64_t order_id) noexcept nogil
    cdef bint may_own(self, const Order* order) noexcept nogil
    cdef int agree(self, int instrument, int64_t now_ns) noexcept nogil
    cdef int work(self, int instrument, int64_t now_ns) noexcept nogil
    cdef int answered(self, const Intent* intent, uint64_t order_id, int reason) noexcept nogil
    cdef int _step(self, int instrument, int leg, int64_t now_ns) noexcept nogil
    cdef bint _is_due(self, Shield* rows, int64_t now_ns) noexcept nogil
    cdef int _clear(self, Shield* rows, int instrument, int leg, bint due, int64_t now_ns) noexcept nogil
    cdef int _tidy(self, int instrument, int leg, int side, bint safe, int64_t now_ns) noexcept nogil
    cdef bint _is_loose(self, const Order* order, int leg) noexcept nogil
    cdef int _leg_of(self, const Order* order) noexcept nogil
    cdef int _keep(self, Shield* row, int instrument, int leg, int side, int64_t lots, int64_t now_ns, bint due,
                   bint* busy) noexcept nogil
    cdef bint _rests(self, const Order* order) noexcept nogil
    cdef bint _covers(self, Shield* row, int side, int64_t lots) noexcept nogil
    cdef bint _is_busy(self, Shield* rows) noexcept nogil
    cdef Order* _held(self, Shield* row, int place) noexcept nogil
    cdef Order* _choose(self, Shield* row, int instrument, int leg, int side, int64_t lots, int64_t trigger,
                        int64_t entry) noexcept nogil
    cdef int64_t _misfit(self, const Order* order, int instrument, int side, int64_t lots, int64_t trigger,
                         int64_t entry) noexcept nogil
    cdef int _place(self, Shield* row, int instrument, int leg, int side, int64_t lots, int64_t trigger,
                    int64_t now_ns) noexcept nogil
    cdef int _drop(self, const Order* order) noexcept nogil
    cdef int64_t _entry(self, int instrument, int leg) noexcept nogil
    cdef int64_t _trigger(self, int instrument, int leg) noexcept nogil
    cdef int64_t _most(self, int instrument) noexcept nogil
    cdef bint _in_step(self, int instrument, const Order* order, int side, int64_t lots, int64_t trigger,
                       int64_t entry) noexcept nogil
