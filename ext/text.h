/* JSON fields and decimals, read from and written to a byte buffer.
 *
 * Everything here is bounds-checked and allocates nothing. A reader is a cursor `tg_cur`; it never moves past
 * `end`. Decimals are read exactly, as a count of grid steps (ticks or lots), or refused with a code: a number
 * that is not on the grid, too long, negative, with an exponent or with a leading zero never becomes a value.
 *
 * The fast path takes one 16-byte load per number and needs SSE4.1; elsewhere the scalar path below does the
 * same job and is the reference in the tests.
 */
#ifndef TICKGATE_TEXT_H
#define TICKGATE_TEXT_H

#include <stdint.h>
#include <string.h>
#if defined(__SSE4_1__)
#include <immintrin.h>
#endif

typedef struct {
    const char *p;
    const char *end;
} tg_cur;

/* Why a text was refused; 0 is success. The Python side names these in `ext/text.pyx`. */
enum {
    TG_OK = 0,
    TG_SYNTAX = 1,       /* not the JSON that was expected here */
    TG_NUMBER = 2,       /* not a plain decimal: sign, exponent, letters, empty, leading zero */
    TG_GRID = 3,         /* finer than the instrument's tick or lot */
    TG_RANGE = 4,        /* does not fit */
    TG_DEEP = 5,         /* nested too deep */
    TG_MANY = 6          /* more levels than any venue sends */
};

/* One price level of a depth message. */
typedef struct {
    int64_t price_ticks;
    int64_t size_lots;
} tg_level;

/* A decimal grid: value = steps * mantissa / 10**decimals. */
typedef struct {
    int64_t mantissa;
    int32_t decimals;
} tg_grid;

#define TG_MAX_DECIMALS 18
#define TG_MAX_STEPS ((int64_t)1 << 62)
#define TG_MAX_PRICE (((int64_t)1 << 48) - 1) /* the book's key space: prices are 48-bit tick counts */
#define TG_LIKELY(x) __builtin_expect(!!(x), 1)
#define TG_UNLIKELY(x) __builtin_expect(!!(x), 0)

static const int64_t tg_pow10[19] = {
    1LL, 10LL, 100LL, 1000LL, 10000LL, 100000LL, 1000000LL, 10000000LL, 100000000LL, 1000000000LL,
    10000000000LL, 100000000000LL, 1000000000000LL, 10000000000000LL, 100000000000000LL,
    1000000000000000LL, 10000000000000000LL, 100000000000000000LL, 1000000000000000000LL};

/* ---- cursor ------------------------------------------------------------------------------------------ */

static inline void tg_space(tg_cur *c) {
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r'))
        c->p++;
}

/* Take one structural byte, with white space before it allowed. */
static inline int tg_take(tg_cur *c, char want) {
    if (TG_UNLIKELY(c->p >= c->end || *c->p != want)) {
        tg_space(c);
        if (c->p >= c->end || *c->p != want)
            return 0;
    }
    c->p++;
    return 1;
}

static inline char tg_peek(tg_cur *c) {
    tg_space(c);
    return c->p < c->end ? *c->p : 0;
}

#if defined(__SSE4_1__)
/* How many of the 16 bytes at p are plain inside a string: up to a quote, a backslash or a control byte. */
static inline unsigned tg_plain16(const char *p) {
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    __m128i odd = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    odd = _mm_or_si128(odd, _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1F)), v));
    return (unsigned)__builtin_ctz((unsigned)_mm_movemask_epi8(odd) | 0x10000u);
}

/* How many of the 16 bytes at p are digits, from the first on. */
static inline unsigned tg_digits16(const char *p) {
    __m128i v = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8('0'));
    unsigned odd = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(v, _mm_set1_epi8(10)), v));
    return (unsigned)__builtin_ctz(odd | 0x10000u);
}
#endif

/* A JSON string: *start, *size are what is between the quotes, escapes untouched. */
static inline int tg_string(tg_cur *c, const char **start, Py_ssize_t *size) {
    const char *p, *q;
    if (!tg_take(c, '"'))
        return 0;
    p = q = c->p;
#if defined(__SSE4_1__)
    while (TG_LIKELY(c->end - q >= 16)) {
        unsigned n = tg_plain16(q);
        q += n;
        if (TG_LIKELY(n < 16))
            break;
    }
#endif
    for (; q < c->end; q++) {
        if (*q == '"') {
            *start = p;
            *size = q - p;
            c->p = q + 1;
            return 1;
        }
        if (TG_UNLIKELY((unsigned char)*q < 0x20))
            return 0;
        if (TG_UNLIKELY(*q == '\\'))
            q++;
    }
    return 0;
}

/* The key of the next member, with its colon. Call after '{' or ','. */
static inline int tg_key(tg_cur *c, const char **key, Py_ssize_t *size) {
    return tg_string(c, key, size) && tg_take(c, ':');
}

/* The usual key of a hot message, `"x":` with one letter: takes it and returns the letter, else takes nothing and returns 0.
 * Compared byte by byte: what follows is then guessed by the branch predictor and does not wait for a search. */
static inline int tg_letter_key(tg_cur *c) {
    const char *p = c->p;
    if (TG_UNLIKELY(c->end - p < 4 || p[0] != '"' || p[2] != '"' || p[3] != ':' || (unsigned)((p[1] | 32) - 'a') > 25u))
        return 0;
    c->p = p + 4;
    return p[1];
}

static inline int tg_is_scalar_end(char x) {
    return x == ',' || x == '}' || x == ']' || x == ' ' || x == '\n' || x == '\r' || x == '\t';
}

static inline int tg_is_number_byte(char x) {
    return (x >= '0' && x <= '9') || x == '-' || x == '+' || x == '.' || x == 'e' || x == 'E';
}

/* true, false, null or a number, loosely: it is about to be ignored. */
static inline int tg_skip_scalar(tg_cur *c) {
    const char *p = c->p;
    Py_ssize_t n;
    while (c->p < c->end && !tg_is_scalar_end(*c->p))
        c->p++;
    n = c->p - p;
    if ((n == 4 && (!memcmp(p, "true", 4) || !memcmp(p, "null", 4))) || (n == 5 && !memcmp(p, "false", 5)))
        return 1;
    for (; p < c->p; p++)
        if (!tg_is_number_byte(*p))
            return 0;
    return n > 0;
}

/* Any JSON value that is not plain and short: see tg_skip. */
static int tg_skip_any(tg_cur *c) {
    char closers[64];
    int depth = 0;
    const char *s;
    Py_ssize_t n;
    char x;
    for (;;) {
        x = tg_peek(c);
        if (x == '{' || x == '[') {
            if (depth == 64)
                return 0;
            closers[depth++] = x == '{' ? '}' : ']';
            c->p++;
            if (tg_peek(c) == closers[depth - 1]) {
                c->p++;
                depth--;
            } else if (x == '{') {
                if (!tg_key(c, &s, &n))
                    return 0;
                continue;
            } else {
                continue;
            }
        } else if (x == '"') {
            if (!tg_string(c, &s, &n))
                return 0;
        } else if (!tg_skip_scalar(c)) {
            return 0;
        }
        for (;;) { /* after a value: close as many containers as close here, or go to the next member */
            if (depth == 0)
                return 1;
            x = tg_peek(c);
            if (x == closers[depth - 1]) {
                c->p++;
                depth--;
                continue;
            }
            if (x != ',')
                return 0;
            c->p++;
            if (closers[depth - 1] == '}' && !tg_key(c, &s, &n))
                return 0;
            break;
        }
    }
}

/* Skip any JSON value. Brackets must match in kind; depth is bounded. Short strings and numbers, which is what nearly all
 * members are, take the way that needs no stack. */
static inline int tg_skip(tg_cur *c) {
    const char *p = c->p, *start = p;
#if defined(__SSE4_1__)
    if (TG_LIKELY(c->end - p >= 17)) {
        unsigned n = *p == '"' ? tg_plain16(p + 1) : tg_digits16(p);
        if (*p == '"' ? n < 16 && p[n + 1] == '"' : n - 1u < 15u && (p[n] == ',' || p[n] == '}')) {
            c->p += n + (*p == '"' ? 2 : 0);
            return 1;
        }
    }
#endif
    if (TG_LIKELY(p < c->end)) {
        if (*p == '"') {
            for (p++; p < c->end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\'; p++)
                ;
            if (TG_LIKELY(p < c->end && *p == '"')) {
                c->p = p + 1;
                return 1;
            }
        } else if (*p >= '0' && *p <= '9') {
            for (; p < c->end && *p >= '0' && *p <= '9'; p++)
                ;
            if (TG_LIKELY(p > start && p < c->end && (*p == ',' || *p == '}'))) {
                c->p = p;
                return 1;
            }
        }
    }
    return tg_skip_any(c);
}

/* After a member: 1 = another follows, 0 = the container ended here, -1 = neither. */
static inline int tg_more(tg_cur *c, char closer) {
    char x = c->p < c->end ? *c->p : 0;
    if (TG_UNLIKELY(x != ',' && x != closer))
        x = tg_peek(c);
    if (x == ',') {
        c->p++;
        return 1;
    }
    if (x == closer) {
        c->p++;
        return 0;
    }
    return -1;
}

/* Enter a container: 1 = it has members, 0 = it is empty (and is behind us), -1 = not such a container. */
static inline int tg_enter(tg_cur *c, char opener, char closer) {
    if (!tg_take(c, opener))
        return -1;
    if (c->p < c->end && *c->p != closer && *c->p != ' ' && *c->p != '\n' && *c->p != '\r' && *c->p != '\t')
        return 1;
    if (tg_peek(c) == closer) {
        c->p++;
        return 0;
    }
    return c->p < c->end ? 1 : -1;
}

/* ---- numbers ----------------------------------------------------------------------------------------- */

/* A JSON integer, at most 18 digits and a minus sign; no leading zero, fraction or exponent. */
static inline int tg_int_slow(tg_cur *c, int64_t *out) {
    const char *p, *start;
    uint64_t v = 0;
    int minus = 0;
    tg_space(c);
    p = c->p;
    if (p < c->end && *p == '-') {
        minus = 1;
        p++;
    }
    start = p;
    while (p < c->end && *p >= '0' && *p <= '9') {
        if (p - start == 18)
            return TG_RANGE;
        v = v * 10 + (uint64_t)(*p - '0');
        p++;
    }
    if (p == start || (p - start > 1 && *start == '0'))
        return TG_NUMBER;
    if (p >= c->end || !tg_is_scalar_end(*p))
        return TG_NUMBER;
    *out = minus ? -(int64_t)v : (int64_t)v;
    c->p = p;
    return TG_OK;
}

#if defined(__SSE4_1__)
static uint8_t tg_right[17][16] __attribute__((aligned(64))); /* n bytes, right-aligned in 16 */

static inline __m128i tg_sixteen(__m128i v) { /* sixteen digits to 8 + 8 in the low two 32-bit places */
    v = _mm_maddubs_epi16(v, _mm_set1_epi16(0x010A));
    v = _mm_madd_epi16(v, _mm_set1_epi32(0x00010064));
    v = _mm_packus_epi32(v, v);
    return _mm_madd_epi16(v, _mm_set1_epi32(0x00012710));
}
#endif

/* A JSON integer. One load for up to 15 digits without a sign; the plain way for the rest. */
static inline int tg_int(tg_cur *c, int64_t *out) {
#if defined(__SSE4_1__)
    if (TG_LIKELY(c->end - c->p >= 16)) {
        __m128i v = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)c->p), _mm_set1_epi8('0'));
        unsigned odd = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(v, _mm_set1_epi8(10)), v));
        unsigned n = (unsigned)__builtin_ctz(odd | 0x10000u);
        if (TG_LIKELY(n - 1u < 15u && tg_is_scalar_end(c->p[n]) && (*c->p != '0' || n == 1))) {
            uint64_t packed;
            v = tg_sixteen(_mm_shuffle_epi8(v, _mm_load_si128((const __m128i *)tg_right[n])));
            packed = (uint64_t)_mm_cvtsi128_si64(v);
            *out = (int64_t)((packed & 0xFFFFFFFFu) * 100000000u + (packed >> 32));
            c->p += n;
            return TG_OK;
        }
    }
#endif
    return tg_int_slow(c, out);
}

/* An integer that the venue sends as a number or as a string of digits ("1597026383085"). */
static inline int tg_int_or_text(tg_cur *c, int64_t *out) {
    const char *s;
    Py_ssize_t n, i;
    int64_t v = 0;
    if (tg_peek(c) != '"')
        return tg_int(c, out);
    if (!tg_string(c, &s, &n))
        return TG_SYNTAX;
    if (n == 0 || n > 18 || (n > 1 && s[0] == '0'))
        return n > 18 ? TG_RANGE : TG_NUMBER;
    for (i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return TG_NUMBER;
        v = v * 10 + (s[i] - '0');
    }
    *out = v;
    return TG_OK;
}

/* Digits to grid steps, the plain way: the reference for the fast path, and its fallback. */
static int tg_steps_slow(const char *s, Py_ssize_t n, tg_grid g, int64_t *out) {
    uint64_t v = 0;
    Py_ssize_t i = 0;
    int frac = 0, rest = g.decimals;
    if (n == 0 || s[0] < '0' || s[0] > '9')
        return TG_NUMBER;
    if (n > 1 && s[0] == '0' && s[1] != '.')
        return TG_NUMBER;
    for (; i < n; i++) {
        if (s[i] == '.' && !frac) {
            frac = 1;
            if (i + 1 == n)
                return TG_NUMBER;
            continue;
        }
        if (s[i] < '0' || s[i] > '9')
            return TG_NUMBER;
        if (frac && rest == 0) {
            if (s[i] != '0')
                return TG_GRID;
            continue;
        }
        rest -= frac;
        if (v > ((uint64_t)TG_MAX_STEPS - 9) / 10)
            return TG_RANGE;
        v = v * 10 + (uint64_t)(s[i] - '0');
    }
    if (rest > 0 && v) {
        if (v > (uint64_t)TG_MAX_STEPS / (uint64_t)tg_pow10[rest])
            return TG_RANGE;
        v *= (uint64_t)tg_pow10[rest];
    }
    if (g.mantissa != 1) {
        if (v % (uint64_t)g.mantissa)
            return TG_GRID;
        v /= (uint64_t)g.mantissa;
    }
    *out = (int64_t)v;
    return TG_OK;
}

#if defined(__SSE4_1__)

/* For each count of decimals E and length of the integer part d: which input byte goes to which of the 16
 * digit places, so that the number comes out with exactly E decimals, right-aligned. 0x80 gives a zero. */
static uint8_t tg_shuffle[16][17][16] __attribute__((aligned(64)));
static uint8_t tg_below[17][16] __attribute__((aligned(64)));
static int tg_tables_ready = 0;

static void tg_tables(void) {
    int e, d, j, n;
    for (e = 0; e < 16; e++)
        for (d = 0; d <= 16; d++)
            for (j = 0; j < 16; j++) {
                int from_right = 15 - j;
                int src = from_right < e ? d + e - from_right : d - 1 - (from_right - e);
                tg_shuffle[e][d][j] = (src < 0 || src > 15) ? 0x80 : (uint8_t)src;
            }
    for (n = 0; n <= 16; n++)
        for (j = 0; j < 16; j++) {
            tg_below[n][j] = j < n ? 0xFF : 0;
            tg_right[n][j] = j < 16 - n ? 0x80 : (uint8_t)(j - (16 - n));
        }
    tg_tables_ready = 1;
}

/* `digits` holds byte values minus '0' for the n bytes of the number, zero behind them (n <= 16). */
static inline int tg_steps_vec(__m128i digits, const char *s, unsigned n, const tg_grid *g, int64_t *out) {
    unsigned odd = (unsigned)_mm_movemask_epi8(
        _mm_cmpeq_epi8(_mm_max_epu8(digits, _mm_set1_epi8(10)), digits));
    unsigned used = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(digits, _mm_setzero_si128())) ^ 0xFFFFu;
    unsigned d = n, e = (unsigned)g->decimals;
    __m128i v;
    uint64_t hi, lo, packed;
    if (TG_LIKELY(odd != 0)) { /* the only byte that is no digit must be one point inside */
        d = (unsigned)__builtin_ctz(odd);
        if (TG_UNLIKELY((odd & (odd - 1)) || s[d] != '.' || d == 0 || d + 1 >= n))
            return TG_NUMBER;
        used &= ~odd;
    }
    if (TG_UNLIKELY(d > 1 && s[0] == '0'))
        return TG_NUMBER;
    if (TG_UNLIKELY(d + e > 16))
        return tg_steps_slow(s, n, *g, out);
    if (TG_UNLIKELY((uint32_t)used >> (d + 1 + e)))
        return TG_GRID; /* a digit that is not zero behind the last place of the grid */
    v = _mm_shuffle_epi8(digits, _mm_load_si128((const __m128i *)tg_shuffle[e][d]));
    v = tg_sixteen(v);
    packed = (uint64_t)_mm_cvtsi128_si64(v);
    hi = packed & 0xFFFFFFFFu;
    lo = packed >> 32;
    hi = hi * 100000000u + lo;
    if (TG_UNLIKELY(g->mantissa != 1)) {
        if (hi % (uint64_t)g->mantissa)
            return TG_GRID;
        hi /= (uint64_t)g->mantissa;
    }
    *out = (int64_t)hi;
    return TG_OK;
}
#endif

/* A quoted decimal, `"61234.50"`, to grid steps. The cursor stands on the opening quote. */
static inline int tg_decimal(tg_cur *c, const tg_grid *g, int64_t *out) {
    const char *s;
    Py_ssize_t n;
#if defined(__SSE4_1__)
    if (TG_LIKELY(c->end - c->p >= 18 && *c->p == '"')) {
        __m128i raw = _mm_loadu_si128((const __m128i *)(c->p + 1));
        unsigned quotes = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(raw, _mm_set1_epi8('"')));
        /* no quote among the 16: either exactly 16 bytes long, or longer and left to the slow path */
        unsigned len = (unsigned)__builtin_ctz(quotes | 0x10000u);
        if (TG_LIKELY(len - 1u < 16u && c->p[1 + len] == '"' && g->decimals < 16)) {
            __m128i digits = _mm_and_si128(_mm_sub_epi8(raw, _mm_set1_epi8('0')),
                                           _mm_load_si128((const __m128i *)tg_below[len]));
            s = c->p + 1;
            c->p += len + 2;
            return tg_steps_vec(digits, s, len, g, out);
        }
    }
#endif
    if (!tg_string(c, &s, &n))
        return TG_SYNTAX;
    return tg_steps_slow(s, n, *g, out);
}

/* A decimal that may be negative ("-0.0001"): funding rates, fees. */
static inline int tg_signed_decimal(tg_cur *c, const tg_grid *g, int64_t *out) {
    const char *s;
    Py_ssize_t n;
    int minus, code;
    if (!tg_string(c, &s, &n))
        return TG_SYNTAX;
    minus = n > 0 && s[0] == '-';
    code = tg_steps_slow(s + minus, n - minus, *g, out);
    if (minus)
        *out = -*out;
    return code;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

/* Unsigned integer to text; returns the byte count (at most 20). */
static inline int tg_put_uint(char *out, uint64_t v) {
    char tmp[20];
    int n = 0, i;
    do {
        tmp[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    for (i = 0; i < n; i++)
        out[i] = tmp[n - 1 - i];
    return n;
}

static inline int tg_put_int(char *out, int64_t v) {
    if (v >= 0)
        return tg_put_uint(out, (uint64_t)v);
    out[0] = '-';
    return 1 + tg_put_uint(out + 1, 0 - (uint64_t)v);
}

/* Grid steps to decimal text: exact, no exponent; `keep_zeros` pads to all decimals of the grid. At most 40 bytes. */
static inline int tg_put_decimal(char *out, int64_t steps, const tg_grid *g, int keep_zeros) {
    unsigned __int128 wide = (unsigned __int128)(steps < 0 ? 0 - (uint64_t)steps : (uint64_t)steps) *
                             (uint64_t)g->mantissa;
    char tmp[48];
    int n = 0, i, size = 0, cut = 0;
    uint64_t v = (uint64_t)wide;
    if (wide >> 64) { /* beyond 64 bits: the slow, wide division */
        while (wide || n <= g->decimals) {
            tmp[n++] = (char)('0' + (int)(wide % 10));
            wide /= 10;
        }
    } else {
        while (v || n <= g->decimals) {
            tmp[n++] = (char)('0' + v % 10);
            v /= 10;
        }
    }
    if (steps < 0)
        out[size++] = '-';
    if (!keep_zeros)
        while (cut < g->decimals && tmp[cut] == '0')
            cut++;
    for (i = n - 1; i >= cut; i--) {
        if (i == g->decimals - 1)
            out[size++] = '.';
        out[size++] = tmp[i];
    }
    return size;
}

#endif
