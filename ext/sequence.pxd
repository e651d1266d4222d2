"""Does a depth message continue a feed? The venues' own continuity rules, as one inline function."""

from libc.stdint cimport int64_t

from ext.records cimport RULE_NONE, RULE_PREV, RULE_RANGE, RULE_STEP, DepthHead

cpdef enum Order:
    """Where an update stands to what has been applied."""
    NEXT = 0   # continues exactly
    OLD = 1    # already contained
    JUMP = 2   # something between is missing


cdef inline int classify(const DepthHead* head, int64_t last_id, bint seeded) noexcept nogil:
    """Place of an UPDATE after `last_id`. `seeded`: the book is a request's snapshot and nothing followed yet.

    Sources: Binance "How to manage a local order book correctly" (spot: U <= id+1 <= u; USD-M: first event
    U <= id <= u, then pu == previous u), Bybit orderbook page (u steps by one), OKX order book channel (prevSeqId equals
    the last seqId; an equal or smaller seqId behind it is legal).
    """
    if head.rule == RULE_PREV:
        if head.prev_id == last_id:
            return NEXT
        # an event that ends at the snapshot's id is applied too: it may show levels beyond the snapshot's depth
        if seeded and head.first_id >= 0 and head.first_id <= last_id and head.last_id >= last_id:
            return NEXT
        return OLD if head.last_id <= last_id else JUMP
    if head.rule == RULE_RANGE:
        if head.last_id <= last_id:
            return OLD
        return NEXT if head.first_id <= last_id + 1 else JUMP
    if head.rule == RULE_STEP:
        if head.last_id <= last_id:
            return OLD
        return NEXT if head.last_id == last_id + 1 else JUMP
    return NEXT
