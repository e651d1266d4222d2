"""JSON fields and decimals in a byte buffer: the C side, declared. See `text.h` for what each does."""

from libc.stdint cimport int32_t, int64_t, uint64_t

cdef extern from "text.h" nogil:
    ctypedef struct tg_cur:
        const char* p
        const char* end
    ctypedef struct tg_grid:
        int64_t mantissa
        int32_t decimals
    ctypedef struct tg_level:
        int64_t price_ticks
        int64_t size_lots

    const int TG_OK, TG_SYNTAX, TG_NUMBER, TG_GRID, TG_RANGE, TG_DEEP, TG_MANY
    const int TG_MAX_DECIMALS
    const int64_t TG_MAX_STEPS
    const int64_t TG_MAX_PRICE
    const int64_t tg_pow10[19]

    void tg_space(tg_cur* c) noexcept
    int tg_take(tg_cur* c, char want) noexcept
    char tg_peek(tg_cur* c) noexcept
    int tg_string(tg_cur* c, const char** start, Py_ssize_t* size) noexcept
    int tg_key(tg_cur* c, const char** key, Py_ssize_t* size) noexcept
    int tg_letter_key(tg_cur* c) noexcept
    int tg_skip(tg_cur* c) noexcept
    int tg_more(tg_cur* c, char closer) noexcept
    int tg_enter(tg_cur* c, char opener, char closer) noexcept
    int tg_int(tg_cur* c, int64_t* out) noexcept
    int tg_int_or_text(tg_cur* c, int64_t* out) noexcept
    int tg_steps_slow(const char* s, Py_ssize_t n, tg_grid g, int64_t* out) noexcept
    int tg_decimal(tg_cur* c, const tg_grid* g, int64_t* out) noexcept
    int tg_signed_decimal(tg_cur* c, const tg_grid* g, int64_t* out) noexcept
    int tg_put_uint(char* out, uint64_t v) noexcept
    int tg_put_int(char* out, int64_t v) noexcept
    int tg_put_decimal(char* out, int64_t steps, const tg_grid* g, int keep_zeros) noexcept

cdef extern from *:
    """
    #include "text.h"
    static void tg_setup(void) {
    #if defined(__SSE4_1__)
        if (!tg_tables_ready) tg_tables();
    #endif
    }
    """
    void tg_setup() noexcept nogil
