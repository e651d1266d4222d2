"""The next segment of a tape, made ahead of need: step by step from a timer, or by a thread of its own."""

from libc.stdint cimport int32_t, int64_t, uint32_t

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass


cdef enum SpareStep:        # what was being done when it failed
    MAKE, ALLOCATE, MAP, READY, NAME


cdef class Spare:
    cdef readonly Py_ssize_t size           # bytes of a segment
    cdef readonly Py_ssize_t ahead          # bytes kept ready in front of the writer
    cdef readonly uint32_t index            # of the segment to be made next
    cdef readonly bint threaded
    cdef bytes _directory
    cdef char* _folder                      # the same, for the thread
    cdef int _folder_fd                     # borrowed: the writer's lock
    cdef char* _ready                       # made and mapped; taken with one exchange
    cdef int _fd                            # of the one that is being made, or -1
    cdef int _reserve                       # a descriptor kept for the next segment, or -1
    cdef Py_ssize_t _made                   # bytes of it that are allocated
    cdef char* _retired                     # the segment before the current one, to be unmapped
    cdef char* _base                        # the current segment, as the writer last told
    cdef char** _at                         # where the writer keeps how far it is
    cdef char* _base_seen                   # as of the last turn
    cdef char* _seen                        # how far the writer was then
    cdef char* _dropped                     # pages before this are no longer mapped in
    cdef int _stop_fd                       # wakes the thread for its end, or -1
    cdef int _every_ms
    cdef pthread_t _thread
    cdef pthread_mutex_t _lock              # held for one turn; the writer takes it only where it would wait anyway
    cdef int32_t _failed                    # errno of the last turn, 0 = it went well
    cdef int32_t _failed_step
    cdef int64_t _turns
    cdef int64_t _free                      # bytes; -1 = not known
    cdef int _calm                          # turns until a next segment that could not be made is tried again

    cdef char* take(self) noexcept nogil
    cdef int follow(self, char* base, char** at, char* retired) noexcept nogil
    cdef int turn(self, bint all_of_it) noexcept nogil
    cdef int _all(self) noexcept nogil
    cdef int _some(self) noexcept nogil
    cdef int _told(self, int error, int step) noexcept nogil
    cdef int _retire(self) noexcept nogil
    cdef int _keep_ahead(self) noexcept nogil
    cdef Py_ssize_t _due(self) noexcept nogil
    cdef int _grow(self, Py_ssize_t step) noexcept nogil
    cdef int _open(self) noexcept nogil
    cdef int _map(self) noexcept nogil
    cdef int _fail(self, int error, int step) noexcept nogil
    cdef int _drop(self) noexcept nogil
    cdef int _name(self, char* out, const char* suffix) noexcept nogil
    cdef int _run(self) noexcept nogil
