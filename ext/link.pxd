"""The one room that touches a transport and reads the clock."""

from libc.stdint cimport int64_t, uint64_t

from picows.picows cimport WSFrame, WSListener, WSTransport

from ext.engine cimport LINES, Engine, Outlet
from ext.records cimport Approved


cdef class Link(Outlet):
    cdef readonly Engine engine
    cdef void* transports[LINES]     # borrowed from `channels`; NULL where the line is not connected
    cdef list channels
    cdef list rest                   # by line: what writes orders of a REST line, or None
    cdef public int64_t late_ns      # oldest decision that is still written
    cdef public int64_t lag_ns       # a gap between two turns that makes data stale
    cdef public int64_t still_ns     # ... and one that makes everything unproven
    cdef int64_t turn_ns             # when the last turn began; 0 before the first tick
    cdef readonly int64_t stood      # gaps so far
    cdef public object thawed        # called with a gap in ns, before anything else is done; it must not raise
    cdef bint choked[LINES]          # the kernel does not take what was written: no new orders
    cdef int64_t offset_ns           # wall minus boot time at start: time since 1970 that never steps
    cdef int64_t frame_ns            # when the frame that is being dealt with was read; 0 between frames
    cdef int64_t last_ns             # the same of the last frame
    cdef readonly int64_t written, refused
    cdef public object failed        # called with an exception that a frame caused

    cdef int64_t now(self) noexcept nogil
    cdef int _turn(self, int64_t now_ns) except -1
    cdef bint _may(self, int line, Approved order) noexcept
    cdef int _put(self, int line, char* data, Py_ssize_t size) except -1
    cdef int _note(self, int line, uint64_t order_id) except -1
    cdef int frame(self, int line, const char* data, Py_ssize_t size) except -1


cdef class Channel(WSListener):
    cdef readonly Link link
    cdef readonly int line
    cdef public object cold          # called with the text of each frame that the decoder calls "not mine"
    cdef public object seen          # called with each handled frame until set to None: first-data watch
    cdef public object up            # called with the transport when the upgrade is done
    cdef public object down          # called when the connection is gone
    cdef WSTransport transport
    cdef list parts                  # of a fragmented text; None where there is none
    cdef Py_ssize_t parts_size
    cdef readonly int64_t frames, last_ns

    cdef _take(self, const char* data, Py_ssize_t size)
    cdef _part(self, WSFrame frame)
    cdef _release(self)
    cpdef send(self, str text)
    cpdef close(self)
