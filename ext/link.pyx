"""The one room that touches a transport and reads the clock: a native WebSocket listener that stamps frames, calls the
engine and writes `Approved` bytes.

`Channel` is one connection (a picows listener): a text frame is stamped and given to the engine where it lies in the
receive buffer; what the decoder does not want goes to the cold side as text. `Link` is the engine's outlet and the only
function that writes orders to a socket is `Link.write`; latch and approval are looked at there, last.

Time is the boot-time clock plus the wall time at start: it can be compared with the venues' stamps, never steps, and goes on
while the machine sleeps. So one clock shows every way of standing still: a stopped process, a busy loop, a sleeping machine.
Each frame and each tick is a turn; a gap between two of them is told to the engine before the turn is dealt with.
"""

from libc.stdint cimport int64_t, uint64_t

from picows.picows cimport WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from ext.crash cimport LEASE_CHECKED, crash_at
from ext.records cimport CANCEL, Approved, SentRow
from ext.tape cimport SENT as TAPE_SENT
from ext.wire cimport HANDLED, NOT_MINE

import sys


cdef extern from *:
    """
    #include <time.h>
    static inline int64_t tg_clock(clockid_t id) {
        struct timespec t;
        clock_gettime(id, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    static inline int64_t tg_monotonic_ns(void) { return tg_clock(CLOCK_MONOTONIC); }
    static inline int64_t tg_boot_ns(void) { return tg_clock(CLOCK_BOOTTIME); }
    static inline int64_t tg_wall_ns(void) { return tg_clock(CLOCK_REALTIME); }
    """
    int64_t tg_monotonic_ns() noexcept nogil
    int64_t tg_boot_ns() noexcept nogil
    int64_t tg_wall_ns() noexcept nogil


cdef enum:
    MESSAGE_MAX = 16 << 20      # of a message in parts; picows allows 10 MiB in one frame


cdef int64_t LATE_NS = 50_000_000      # a decision older than this is not written
cdef int64_t LAG_NS = 100_000_000      # ticks come every 20 ms: a turn this late means that data waited
cdef int64_t STILL_NS = 250_000_000    # ... and this late that sessions, clocks and orders may have changed meanwhile


cdef class Link(Outlet):
    """The engine's connection to its sockets. `channel(line)` gives the listener for a line's connection."""

    def __cinit__(self, Engine engine):
        self.engine = engine
        self.channels = [None] * LINES
        self.rest = [None] * LINES
        self.late_ns, self.lag_ns, self.still_ns = LATE_NS, LAG_NS, STILL_NS
        self.offset_ns = tg_wall_ns() - tg_boot_ns()
        engine.outlet = self

    cdef int64_t now(self) noexcept nogil:
        """ns since 1970 that never step."""
        return tg_boot_ns() + self.offset_ns

    def now_ns(self) -> int:
        """The engine's time: ns since 1970 that never step."""
        return self.now()

    def monotonic_ns(self) -> int:
        """The clock that dial leases are on."""
        return tg_monotonic_ns()

    def channel(self, int line):
        """A new listener for a connection of `line`; it takes the line over when it is connected."""
        if not 0 <= line < len(self.engine.lines):
            raise IndexError(f"line {line}: there are {len(self.engine.lines)}")
        return Channel(self, line)

    cdef int frame(self, int line, const char* data, Py_ssize_t size) except -1:
        """One whole frame, where it lies; returns the Verdict. What the engine raises has latched it already."""
        self.frame_ns = self.now()
        if self.turn_ns:
            self._turn(self.frame_ns)
        try:
            return self.engine.receive(line, data, size, self.frame_ns)
        finally:
            self.last_ns = self.frame_ns
            self.frame_ns = 0

    def bytes_in(self, int line, bytes frame) -> int:
        """A frame that came another way than by WebSocket (a REST reply). Raises what the engine raises."""
        return self.frame(line, frame, len(frame))

    def tick(self, dials=None):
        """Let the engine see that time passed. From the first one on, the owner must tick more often than `lag_ns`."""
        cdef int64_t now_ns = self.now()
        self._turn(now_ns)
        self.engine.on_time(now_ns, dials)

    cdef int _turn(self, int64_t now_ns) except -1:
        """A turn begins: was there a gap in front of it?"""
        cdef int64_t gap_ns = now_ns - self.turn_ns
        cdef bint is_first = self.turn_ns == 0
        self.turn_ns = now_ns
        if is_first or gap_ns <= self.lag_ns:
            return 0
        self.stood += 1
        self.engine.stood_still(gap_ns, now_ns, gap_ns > self.still_ns)
        if self.thawed is not None:
            self.thawed(gap_ns)
        return 0

    cdef int write(self, int line, Approved order, char* data, Py_ssize_t size) except -1:
        """One approved request to its socket; 1 = handed over."""
        if not self._may(line, order):
            self.refused += 1
            return 0
        crash_at(LEASE_CHECKED)
        order.live = False              # one approval, one frame
        if self.rest[line] is not None:
            self.rest[line](order.order_id, order.intent.action, data[:size])
        elif not self._put(line, data, size):
            self.refused += 1
            return 0
        return self._note(line, order.order_id)

    cdef int write_batch(self, int line, list orders, int count, char* data, Py_ssize_t size) except -1:
        """One request for several approved orders: all of them or none."""
        cdef int i
        for i in range(count):
            if not self._may(line, <Approved>orders[i]):
                self.refused += count
                return 0
        crash_at(LEASE_CHECKED)
        for i in range(count):
            (<Approved>orders[i]).live = False
        if not self._put(line, data, size):
            self.refused += count
            return 0
        for i in range(count):
            self._note(line, (<Approved>orders[i]).order_id)
        return 1

    cdef bint _may(self, int line, Approved order) noexcept:
        """The last look: is it approved, is nothing latched, does the socket take bytes, is the decision still young? What was
        decided long ago (a stalled process) was decided on a market that is gone; and so was what an answer by REST made
        somebody decide after a gap that no turn has told of yet."""
        cdef int64_t now_ns
        if not order.live:
            return False
        if order.intent.action == CANCEL:
            return True
        now_ns = self.now()
        return (self.engine.risk.may_send(&order.intent, now_ns) and not self.choked[line]
                and now_ns - self.engine.now_ns <= self.late_ns
                and (not self.turn_ns or now_ns - self.turn_ns <= self.lag_ns))

    cdef int _put(self, int line, char* data, Py_ssize_t size) except -1:
        """The one place where an order is written to a socket. Masks in place, in front of and behind `data`."""
        if self.transports[line] == NULL:
            return 0
        transport = <WSTransport>self.transports[line]
        if transport.is_disconnected or transport.is_close_frame_sent:
            return 0
        transport.send_reuse_external_buffer(WSMsgType.TEXT, data, size)
        return 1

    cdef int _note(self, int line, uint64_t order_id) except -1:
        """When it had left, on the tape."""
        cdef SentRow row
        self.written += 1
        if self.engine.tape is not None and not self.engine.tape_full:
            row.order_id, row.frame_ns, row.sent_ns, row.written = order_id, self.frame_ns, self.now(), 1
            self.engine._record(TAPE_SENT, line, NULL, 0, <const char*>&row, sizeof(row))
        return 1

    def by_rest(self, int line, writer):
        """Requests of this line go to `writer(order_id, action, frame)`, which must not raise and sends each at most once."""
        if not 0 <= line < len(self.engine.lines):
            raise IndexError(f"line {line}: there are {len(self.engine.lines)}")
        self.rest[line] = writer


cdef class Channel(WSListener):
    """One WebSocket connection of one line."""

    def __init__(self, Link link, int line):
        self.link, self.line = link, line

    @property
    def connected(self) -> bool:
        """Whether the upgrade was done and the connection is not gone."""
        return self.transport is not None

    cpdef on_ws_connected(self, WSTransport transport):
        self.transport = transport
        self.link.transports[self.line] = <void*>transport
        self.link.channels[self.line] = transport
        self.link.choked[self.line] = False
        transport.underlying_transport.set_write_buffer_limits(0)
        if self.up is not None:
            self.up(self)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        if frame.msg_type == WSMsgType.TEXT and frame.fin:
            self._take(frame.payload_ptr, frame.payload_size)
        elif frame.msg_type == WSMsgType.TEXT:
            self.parts, self.parts_size = [], 0
            self._part(frame)
        elif frame.msg_type == WSMsgType.CONTINUATION and self.parts is not None:
            self._part(frame)
        elif frame.msg_type == WSMsgType.BINARY:
            self.parts = None           # nor are its continuations text
        elif frame.msg_type == WSMsgType.CLOSE:
            code = frame.get_close_code()
            transport.send_close(WSCloseCode.OK if code == WSCloseCode.NO_INFO else code)   # no code: nothing to echo
            transport.disconnect()

    cdef _take(self, const char* data, Py_ssize_t size):
        """Whatever is raised here, by the engine, a strategy or a session, is a fault of ours: `failed` is told, and the
        exception goes on to the transport, which must keep the connection (`disconnect_on_exception` False) for cancels."""
        cdef int verdict
        cdef bint failed = True
        try:
            verdict = self.link.frame(self.line, data, size)
            self.frames += 1
            self.last_ns = self.link.last_ns
            if verdict == NOT_MINE and self.cold is not None:
                self.cold(data[:size].decode("utf-8", "replace"))
            elif verdict == HANDLED and self.seen is not None:
                self.seen(data[:size])
            failed = False
        finally:
            if failed:
                self.link.engine.latch(4, True, self.link.now())
                if self.link.failed is not None:
                    self.link.failed(sys.exc_info()[1])

    cdef _part(self, WSFrame frame):
        """A fragmented message: rare, so it is put together the plain way."""
        self.parts.append(frame.get_payload_as_bytes())
        self.parts_size += frame.payload_size
        if self.parts_size > MESSAGE_MAX:
            self.close()
        elif frame.fin:
            whole = b"".join(self.parts)
            self.parts = None
            self._take(whole, len(whole))

    cpdef pause_writing(self):
        """The venue reads slower than we write: what is written now would leave late."""
        if self.link.transports[self.line] == <void*>self.transport:
            self.link.choked[self.line] = True

    cpdef resume_writing(self):
        if self.link.transports[self.line] == <void*>self.transport:
            self.link.choked[self.line] = False

    cpdef on_ws_disconnected(self, WSTransport transport):
        self._release()
        self.transport = None
        if self.down is not None:
            self.down(self)

    cpdef send(self, str text):
        """Write session traffic (log-in, subscriptions, pings). Orders never come this way."""
        if self.transport is not None:
            self.transport.send(WSMsgType.TEXT, text)

    cpdef close(self):
        """Drop the connection, now: no order is written to it from here on, and what the venue did not read is lost."""
        if self.transport is not None:
            self._release()
            self.transport.disconnect(False)

    cdef _release(self):
        """The line has no connection, unless another one took it over."""
        if self.transport is not None and self.link.transports[self.line] == <void*>self.transport:
            self.link.transports[self.line] = NULL
            self.link.channels[self.line] = None


cdef class Spinner:
    """Keeps an asyncio loop from ever sleeping: it is always due again. Stops when told, or with the loop."""
    cdef object loop
    cdef bint running
    cdef object again
    cdef readonly int64_t turns

    def __init__(self, loop):
        self.loop = loop
        self.running = True
        self.again = self._turn
        self.again()

    def _turn(self):
        self.turns += 1
        if self.running:
            self.loop.call_soon(self.again)

    def stop(self):
        self.running = False
