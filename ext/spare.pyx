"""The next segment of a tape, made ahead of need, and the pages in front of the writer kept writable.

How it works. Making a file, allocating it, mapping it and faulting its pages in take as long as the disk likes, and so
does the first store to a page that the kernel has written back. All of it happens in turns. A turn is taken by whoever
calls, or, once `start` was called, every few milliseconds by a thread of its own that never takes the interpreter's
lock: then the writer waits for none of it. The finished segment is handed over in one exchange of a pointer. The writer
waits for a turn only where the next segment is not there when it is needed; that is counted as a stall.

This file must not know: what a segment holds.
"""

import os

from libc.errno cimport EINTR, EINVAL, EMFILE, ENFILE, ENOSPC, errno
from libc.stdio cimport rename, snprintf

from ext.segments cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, madvise, mmap, munmap

cdef extern from *:
    """
    #include <fcntl.h>
    #include <poll.h>
    #include <pthread.h>
    #include <signal.h>
    #include <sys/eventfd.h>
    #include <sys/mman.h>
    #include <sys/statvfs.h>
    #include <unistd.h>
    #define spare_load(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
    #define spare_store(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
    #define spare_exchange(p, v) __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL)
    #ifndef MADV_POPULATE_WRITE
    #define MADV_POPULATE_WRITE 23
    #endif
    static int spare_make(const char* path) { return open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644); }
    static int spare_hold(void) { return open("/dev/null", O_RDONLY | O_CLOEXEC); }
    static int64_t spare_free(int fd) {
        struct statvfs told;
        return fstatvfs(fd, &told) ? -1 : (int64_t)(told.f_bavail * told.f_frsize);
    }
    /* Wait for `ms`, or for the end: then 1. */
    static int spare_wait(int fd, int ms) { struct pollfd p = {fd, POLLIN, 0}; return poll(&p, 1, ms) > 0; }
    static int spare_thread(pthread_t* thread, void* (*run)(void*), void* what) {
        sigset_t all, before;   /* signals are for the threads of the interpreter */
        int failed;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failed = pthread_create(thread, NULL, run, what);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return failed;
    }
    """
    char* spare_load(char** p) noexcept nogil
    void spare_store(char** p, char* v) noexcept nogil
    char* spare_exchange(char** p, char* v) noexcept nogil
    int32_t load_failed "spare_load"(int32_t* p) noexcept nogil
    int64_t load_count "spare_load"(int64_t* p) noexcept nogil
    void store_count "spare_store"(int64_t* p, int64_t v) noexcept nogil
    void store_failed "spare_store"(int32_t* p, int32_t v) noexcept nogil
    int spare_make(const char* path) noexcept nogil
    int spare_hold() noexcept nogil
    int64_t spare_free(int fd) noexcept nogil
    int spare_wait(int fd, int ms) noexcept nogil
    int spare_thread(pthread_t* thread, void* (*run)(void*) noexcept nogil, void* what) noexcept nogil
    int eventfd(unsigned int first, int flags) noexcept nogil
    int eventfd_write(int fd, unsigned long long value) noexcept nogil
    int close(int fd) noexcept nogil
    int unlink(const char* path) noexcept nogil
    int posix_fallocate(int fd, Py_ssize_t offset, Py_ssize_t size) noexcept nogil
    int pthread_join(pthread_t thread, void** out) noexcept nogil
    int pthread_mutex_init(pthread_mutex_t* lock, void* how) noexcept nogil
    int pthread_mutex_lock(pthread_mutex_t* lock) noexcept nogil
    int pthread_mutex_unlock(pthread_mutex_t* lock) noexcept nogil
    enum: EFD_CLOEXEC, MADV_DONTNEED, MADV_POPULATE_WRITE

cdef enum:
    PAGE = 4096
    NAME_MAX = 4200
    STEP = 256 << 10        # bytes allocated in one turn, or twice what was written since the last one
    LET_GO = 1 << 20        # pages behind the writer are unmapped so many bytes at a time
    RETRY_TURNS = 25        # a segment that could not be made is tried again so many turns later


cdef void* _thread_main(void* what) noexcept nogil:
    (<Spare>what)._run()
    return NULL


cdef class Spare:
    """Makes the segments of `directory` (absolute or relative to where the process stays), beginning with `index`.

    size: bytes of a segment, a multiple of 4096. ahead: bytes kept mapped and writable in front of the writer.
    folder_fd: a descriptor of a file on the same file system, to ask how much is free.
    """

    def __cinit__(self):
        self._fd = self._reserve = self._stop_fd = -1
        self._free = -1
        pthread_mutex_init(&self._lock, NULL)

    def __init__(self, str directory, uint32_t index, Py_ssize_t size, Py_ssize_t ahead, int folder_fd):
        self._directory = os.fsencode(directory)
        if len(self._directory) > NAME_MAX - 64:
            raise ValueError(f"the directory's name is too long: {len(self._directory)} bytes")
        self._folder = self._directory
        self.index, self.size, self.ahead, self._folder_fd = index, size, ahead, folder_fd
        self._reserve = spare_hold()

    def __dealloc__(self):
        self._end_thread()
        if self._ready:
            munmap(self._ready, self.size)
        if self._retired:
            munmap(self._retired, self.size)
        for fd in (self._fd, self._reserve):
            if fd >= 0:
                close(fd)

    @property
    def turns(self) -> int:
        """Turns that were finished: a number that stands still tells of a disk that does, where a thread takes them."""
        return load_count(&self._turns)

    @property
    def free(self) -> int:
        """Bytes that are free where the tape is, as of the last turn; -1 where nobody can tell."""
        return load_count(&self._free)

    @property
    def failed(self) -> tuple:
        """(errno, SpareStep) of the last turn; (0, 0) where it went well."""
        return load_failed(&self._failed), load_failed(&self._failed_step)

    @property
    def is_ready(self) -> bool:
        """Is the next segment made?"""
        return spare_load(&self._ready) != NULL

    def start(self, int every_ms):
        """From here on a thread takes the turns, `every_ms` apart. Raises OSError where there can be none."""
        if self.threaded:
            return
        self._every_ms = every_ms
        self._stop_fd = eventfd(0, EFD_CLOEXEC)
        if self._stop_fd < 0:
            raise OSError(errno, os.strerror(errno))
        failed = spare_thread(&self._thread, _thread_main, <void*>self)
        if failed:
            close(self._stop_fd)
            self._stop_fd = -1
            raise OSError(failed, os.strerror(failed))
        self.threaded = True

    def end(self):
        """No more turns; what was made and is not needed is given back."""
        self._end_thread()
        self._retire()
        self._drop()
        if self._reserve >= 0:
            close(self._reserve)
            self._reserve = -1

    def halt(self):
        """No more turns, and everything stays as a crash would leave it."""
        self._end_thread()

    def _end_thread(self):
        if self.threaded:
            eventfd_write(self._stop_fd, 1)
            pthread_join(self._thread, NULL)
            close(self._stop_fd)
            self._stop_fd = -1
            self.threaded = False

    cdef int _run(self) noexcept nogil:
        while not spare_wait(self._stop_fd, self._every_ms):
            self.turn(False)
        return 0

    # ---- for the writer

    cdef char* take(self) noexcept nogil:
        """The next segment, mapped and zero but for nothing, or NULL where it is not made yet."""
        return spare_exchange(&self._ready, NULL)

    cdef int follow(self, char* base, char** at, char* retired) noexcept nogil:
        """The writer goes on at `base`; `at` is where it keeps how far it is, and `retired` it needs no more (or NULL)."""
        cdef char* older = spare_exchange(&self._retired, retired)
        if older:           # two segments were filled within one turn
            pthread_mutex_lock(&self._lock)
            munmap(older, self.size)
            pthread_mutex_unlock(&self._lock)
        self._at = at
        spare_store(&self._base, base)
        return 0

    cdef int turn(self, bint all_of_it) noexcept nogil:
        """One turn, or as many steps as the next segment takes. Returns an errno, or 0."""
        cdef int failed
        pthread_mutex_lock(&self._lock)
        failed = self._all() if all_of_it else self._some()
        store_count(&self._free, spare_free(self._folder_fd))
        store_count(&self._turns, self._turns + 1)
        pthread_mutex_unlock(&self._lock)
        return failed

    # ---- one turn

    cdef int _all(self) noexcept nogil:
        """The writer needs the next segment now."""
        cdef int failed = 0
        if spare_load(&self._ready) == NULL:
            failed = self._grow(self.size - self._made)
        return failed

    cdef int _some(self) noexcept nogil:
        cdef Py_ssize_t step
        cdef int failed
        self._retire()
        step = self._due()
        failed = self._keep_ahead()
        if spare_load(&self._ready) != NULL:
            self._told(failed, READY)
            return failed
        if self._calm > 0:
            self._calm -= 1
            return self._failed
        return self._grow(min(step, self.size - self._made)) or failed

    cdef int _retire(self) noexcept nogil:
        cdef char* old = spare_exchange(&self._retired, NULL)
        if old:
            munmap(old, self.size)
        return 0

    cdef Py_ssize_t _due(self) noexcept nogil:
        """How much to allocate: in small steps, but faster than the writer writes."""
        cdef char* base = spare_load(&self._base)
        cdef Py_ssize_t used
        if base == NULL:
            return STEP
        used = spare_load(self._at) - (self._seen if base == self._base_seen else base)
        return STEP if not 0 < 2 * used < self.size else max(<Py_ssize_t>STEP, (2 * used + PAGE - 1) & ~<Py_ssize_t>(PAGE - 1))

    cdef int _keep_ahead(self) noexcept nogil:
        """Keep the next `ahead` bytes writable without a fault, and let go of the pages behind."""
        cdef char* base = spare_load(&self._base)
        cdef char* at
        cdef char* here
        cdef int failed
        if base == NULL:
            return 0
        at = spare_load(self._at)
        if not base <= at <= base + self.size:
            return 0            # just now gone on to the next segment
        if base != self._base_seen:
            self._base_seen = self._dropped = base
        self._seen = at
        here = base + (at - base) // PAGE * PAGE
        failed = _touch(here, min(self.ahead, base + self.size - here), not self.threaded)
        if here - self._dropped >= LET_GO:      # they stay in the page cache; only our resident size shrinks
            madvise(self._dropped, here - self._dropped, MADV_DONTNEED)
            self._dropped = here
        return failed

    # ---- the next segment

    cdef int _grow(self, Py_ssize_t step) noexcept nogil:
        """Allocate `step` more bytes of the next segment; map it once it is whole. Returns an errno, or 0."""
        cdef int failed
        if self._fd < 0:
            failed = self._open()
            if failed:
                return self._fail(failed, MAKE)
        failed = posix_fallocate(self._fd, self._made, step)
        while failed == EINTR:
            failed = posix_fallocate(self._fd, self._made, step)
        if failed:
            return self._fail(failed, ALLOCATE)
        self._made += step
        if self._made == self.size:
            return self._map()
        self._told(0, 0)
        return 0

    cdef int _open(self) noexcept nogil:
        """A file for the next segment. Where no descriptor is left, the one that was kept for this is spent."""
        cdef char path[NAME_MAX]
        cdef int64_t free = spare_free(self._folder_fd)
        if 0 <= free < self.size:
            return ENOSPC       # rather than sit on the last free bytes
        self._name(path, b".new")
        self._fd = spare_make(path)
        if self._fd < 0 and errno in (EMFILE, ENFILE) and self._reserve >= 0:
            close(self._reserve)
            self._reserve = -1
            self._fd = spare_make(path)
        return errno if self._fd < 0 else 0

    cdef int _map(self) noexcept nogil:
        cdef char made[NAME_MAX]
        cdef char path[NAME_MAX]
        cdef int failed
        cdef void* at = mmap(NULL, self.size, PROT_READ | PROT_WRITE, MAP_SHARED, self._fd, 0)
        if at == MAP_FAILED:
            return self._fail(errno, MAP)
        failed = _touch(<char*>at, min(self.ahead, self.size), True)
        self._name(made, b".new")
        self._name(path, b"")
        if failed == 0 and rename(made, path):      # readers only ever see whole, zeroed files
            failed = errno
        if failed:
            munmap(at, self.size)
            return self._fail(failed, NAME)
        close(self._fd)
        self._fd = -1
        if self._reserve < 0:
            self._reserve = spare_hold()
        self._made = 0
        self.index += 1
        self._told(0, 0)
        spare_store(&self._ready, <char*>at)
        return 0

    cdef int _told(self, int error, int step) noexcept nogil:
        store_failed(&self._failed_step, step if error else 0)
        store_failed(&self._failed, error)
        return 0

    cdef int _fail(self, int error, int step) noexcept nogil:
        """A half-made file would sit on the last free bytes: give it back."""
        cdef char path[NAME_MAX]
        if self._fd >= 0:
            close(self._fd)
            self._fd = -1
            self._name(path, b".new")
            unlink(path)
            if self._reserve < 0:
                self._reserve = spare_hold()
        self._made = 0
        self._calm = RETRY_TURNS
        self._told(error, step)
        return error

    cdef int _drop(self) noexcept nogil:
        """Give back what is not needed."""
        cdef char path[NAME_MAX]
        cdef char* ready = self.take()
        if ready:
            munmap(ready, self.size)
            self.index -= 1
            self._name(path, b"")
            unlink(path)
        if self._fd >= 0:
            self._fail(0, 0)
        return 0

    cdef int _name(self, char* out, const char* suffix) noexcept nogil:
        return snprintf(out, NAME_MAX, b"%s/%08u.tape%s", self._folder, self.index, suffix)


cdef int _touch(char* start, Py_ssize_t size, bint by_hand) noexcept nogil:
    """Make pages present and writable. Returns 0, or an errno. Contents stay as they are. by_hand: nobody else writes to
    them, so where the kernel (before 5.14) cannot do it, a byte of each is read and written back."""
    cdef Py_ssize_t i = 0
    if size <= 0 or madvise(start, size, MADV_POPULATE_WRITE) == 0:
        return 0
    if errno != EINVAL:
        return errno
    while by_hand and i < size:
        (<volatile char*>start)[i] = (<volatile char*>start)[i]
        i += PAGE
    return 0
