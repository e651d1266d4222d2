"""Where a process may be killed to see what the next start makes of it: labels in the code, asleep but for tests."""

cpdef enum Label:
    """Crash points, in the order in which an order passes them. Those of shipping the tape and of a takeover come with a
    second node."""
    NOWHERE = 0
    DECIDE = 1               # a strategy has proposed, nobody has looked at it
    CHECKED = 2              # risk said yes: exposure is reserved, nothing is on the tape
    JOURNALED = 3            # the verdict is on the tape
    ENCODED = 4              # the request is spelled out, its bytes are not on the tape
    LEASE_CHECKED = 5        # its bytes are on the tape, the last look said yes, nothing is written
    WRITTEN = 6              # the socket has it, and nobody here has noted that
    CANCEL_WRITTEN = 7
    ACK_IN_KERNEL_BUFFER = 8     # a private frame came to this host, and is not on the tape
    ACK_PARSED = 9
    ACK_APPLIED = 10         # the table has it, the tape has not
    FILL_PARSED = 11
    FILL_APPLIED = 12        # the position has it, the tape has not
    FILL_JOURNALED = 13
    SNAPSHOT_HALF = 14       # in the middle of a state mark, or of a state file
    SEGMENT_ROTATE = 15      # between the seal of one segment and the header of the next
    STOP_REQUESTED = 16
    STOP_CANCELLED = 17      # every cancel of a clean stop is out and answered, or given up
    STOP_FLUSHED = 18        # the clean stop is on the tape, which is not closed
    LABELS = 19

cdef int armed               # the label that strikes, NOWHERE = none: all that the hot path ever looks at

cdef int strike(int label) except -1

cdef inline int crash_at(int label) except -1:
    """Pass a crash point."""
    return strike(label) if armed == label else 0
