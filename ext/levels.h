/* Price levels of a depth message: the loop that most of the bytes of a node go through.
 *
 * A level is `["61234.50","0.123"]`. The fast path finds its quotes with one 64-byte compare, puts both numbers into the two
 * lanes of one register and converts them together; the only thing that one level waits for in the one before is where it
 * ended. What makes a number acceptable depends only on its length and on where its point is, so that is a table
 * ("shapes") and not a row of branches. Anything unusual falls back to the careful path, which also names what is wrong.
 *
 * Included by `ext/wire.pyx` only: the tables are large.
 */
#ifndef TICKGATE_LEVELS_H
#define TICKGATE_LEVELS_H

#include "text.h"

#if defined(__AVX2__)
#define TG_LEVEL_FAST 1

/* A number of n bytes (1 to 15) whose point is at d (d == n: no point), on a grid of e decimals. Masks have bit i for
 * byte i, shifted to the lane they are used in. */
typedef struct {
    uint8_t shuffle[16]; /* byte to digit place: e decimals, right-aligned in 16; nothing from behind the number */
    uint32_t inside;     /* the bytes of the number */
    uint32_t odd;        /* exactly these of them are no digits */
    uint32_t zero;       /* these must be '0': finer than the grid */
    uint32_t used;       /* these must not be '0': a leading zero */
} tg_shape; /* 32 bytes: TG_ROW below */
#define TG_ROW 9 /* log2 of the bytes of all shapes of one length: 16 * 32 */

static tg_shape tg_shapes[2][16][16][16] __attribute__((aligned(64))); /* [lane][e][n][d] */

static void tg_shape_make(int lane, int e, int n, int d) {
    tg_shape *s = &tg_shapes[lane][e][n][d];
    uint32_t inside = ((uint32_t)1 << n) - 1;
    int whole = d >= 1 && (d == n || d <= n - 2) && d + e <= 16, i;
    for (i = 0; i < 16; i++)
        s->shuffle[i] = tg_shuffle[e][d][i] < n ? tg_shuffle[e][d][i] : 0x80;
    s->inside = (whole ? inside : 0xFFFFu) << (16 * lane);
    s->odd = (whole ? ((uint32_t)1 << d) & inside : 0xFFFFu) << (16 * lane);
    s->used = (whole && d > 1 ? 1u : 0u) << (16 * lane);
    s->zero = d + 1 + e < 16 ? (inside & ~(((uint32_t)2 << (d + e)) - 1)) << (16 * lane) : 0;
    if (!whole) /* never true: a byte would have to be no digit and '0' */
        s->zero = s->used = s->odd;
}

static void tg_shapes_make(void) {
    int lane, e, n, d;
    if (!tg_tables_ready)
        tg_tables();
    for (lane = 0; lane < 2; lane++)
        for (e = 0; e < 16; e++)
            for (n = 0; n < 16; n++)
                for (d = 0; d < 16; d++)
                    tg_shape_make(lane, e, n, d);
}

/* Bit i = byte i of the 64 at p is a quote. */
static inline uint64_t tg_quotes64(const char *p) {
#if defined(__AVX512BW__)
    return _mm512_cmpeq_epi8_mask(_mm512_loadu_si512((const void *)p), _mm512_set1_epi8('"'));
#else
    const __m256i quote = _mm256_set1_epi8('"');
    uint32_t lo = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)p), quote));
    uint32_t hi = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(p + 32)), quote));
    return (uint64_t)hi << 32 | lo;
#endif
}

/* As masks, low half first number: bytes that are no digits, points, and bytes that are '0'. */
static inline void tg_classes(__m256i v, uint32_t *odd, uint32_t *dot, uint32_t *zero) {
    *odd = (uint32_t)_mm256_movemask_epi8(_mm256_adds_epu8(v, _mm256_set1_epi8(118))); /* 10 and up: the top bit */
    *dot = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_set1_epi8((char)('.' - '0'))));
    *zero = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_setzero_si256()));
}

/* Sixteen digits in each lane to one integer in the low half of each lane. */
static inline __m256i tg_digits_value(__m256i v) {
    v = _mm256_maddubs_epi16(v, _mm256_set1_epi16(0x010A));  /* pairs: 10*a + b */
    v = _mm256_madd_epi16(v, _mm256_set1_epi32(0x00010064));  /* fours: 100*a + b */
    v = _mm256_packus_epi32(v, v);
    v = _mm256_madd_epi16(v, _mm256_set1_epi32(0x00012710));  /* eights: 10000*a + b */
    return _mm256_add_epi64(_mm256_mul_epu32(v, _mm256_set1_epi64x(100000000)), _mm256_srli_epi64(v, 32));
}

static inline uint32_t tg_load32(const char *p) {
    uint32_t x;
    memcpy(&x, p, 4);
    return x;
}

#define TG_BLOCKS 64 /* a frame is looked through 64 * 64 bytes at a time; nearly all fit */

/* Where the quotes of a frame are. One look serves both sides of a book. */
typedef struct {
    const char *base;    /* offsets count from here */
    const char *limit;   /* up to here quotes have been looked for */
    const char *end;     /* of the frame; NULL = not looked at yet */
    unsigned have;       /* quotes found */
    unsigned next;       /* the first that no level has used */
    uint16_t found[32 + TG_BLOCKS * 64 + 64];
    uint16_t rows[TG_BLOCKS * 64 + 64]; /* see tg_levels_plan */
} tg_scan;

/* Offsets of the quotes in one block of 64 bytes; `out` has room for 64. Returns how many. */
static inline unsigned tg_block_offsets(uint64_t q, unsigned base, uint16_t *out) {
    unsigned count = (unsigned)_mm_popcnt_u64(q);
#if defined(__AVX512VBMI2__) && defined(__AVX512BW__)
    const __m512i iota = _mm512_set_epi8(63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43,
                                         42, 41, 40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22,
                                         21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i at = _mm512_maskz_compress_epi8(q, iota), from = _mm512_set1_epi16((short)base);
    _mm512_storeu_si512(out, _mm512_add_epi16(from, _mm512_cvtepu8_epi16(_mm512_castsi512_si256(at))));
    if (TG_UNLIKELY(count > 32))
        _mm512_storeu_si512(out + 32, _mm512_add_epi16(from, _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(at, 1))));
#else
    unsigned i;
    for (i = 0; i < 16; i++) { /* always 16: the count varies, a loop over it would mispredict */
        out[i] = (uint16_t)(base + (unsigned)_tzcnt_u64(q));
        q &= q - 1;
    }
    for (; i < count; i++) {
        out[i] = (uint16_t)(base + (unsigned)_tzcnt_u64(q));
        q &= q - 1;
    }
#endif
    return count;
}

/* Look for quotes from p on. What is left of the last block is copied to where 64 bytes can be read. */
static void tg_scan_from(tg_scan *scan, const char *p, const char *end) {
    uint16_t *const quotes = scan->found + 32;
    const Py_ssize_t size = end - p;
    unsigned blocks = size >= 64 * TG_BLOCKS ? TG_BLOCKS : (unsigned)(size / 64), rest, i, n = 0;
    char last[64];
    for (i = 0; i < blocks; i++)
        n += tg_block_offsets(tg_quotes64(p + 64 * i), 64 * i, quotes + n);
    rest = blocks < TG_BLOCKS ? (unsigned)(size - 64 * blocks) : 0;
    if (rest) {
        memset(last, 0, sizeof last);
        memcpy(last, p + 64 * blocks, rest);
        n += tg_block_offsets(tg_quotes64(last), 64 * blocks, quotes + n);
    }
    scan->base = p;
    scan->limit = p + 64 * blocks + rest;
    scan->end = end;
    scan->have = n;
    scan->next = 0;
}

/* How many levels from the first quote on have their quotes where they belong: `["` n `","` n `"],["` ..., numbers of 1 to 15
 * bytes, other strings of at most 15. quotes[-1] must be set so that the first quote comes 4 behind it. rows[i]: the length
 * of the number that ends at quote i, as an offset into the shapes (only set where a number ends, and only for the levels
 * counted). */
static inline unsigned tg_levels_plan(const uint16_t *quotes, unsigned have, int extra, uint16_t *rows) {
    const unsigned per_level = 4 + 2 * (unsigned)extra;
    unsigned n, i, good, bad;
#if defined(__AVX512BW__)
    if (extra == 0) {
        const __m512i want = _mm512_set1_epi64(0x0000000200000004LL); /* 4, any, 2, any */
        for (n = 0; n + 4 <= have; n += 32) {
            __m512i step = _mm512_sub_epi16(_mm512_loadu_si512(quotes + n), _mm512_loadu_si512(quotes + n - 1));
            uint32_t off = _mm512_cmpneq_epi16_mask(step, want) & 0x55555555u;
            off |= _mm512_cmpgt_epu16_mask(_mm512_sub_epi16(step, _mm512_set1_epi16(2)), _mm512_set1_epi16(14)) &
                   0xAAAAAAAAu;
            _mm512_storeu_si512(rows + n, _mm512_slli_epi16(_mm512_sub_epi16(step, _mm512_set1_epi16(1)), TG_ROW));
            if (off) {
                good = (n + (unsigned)__builtin_ctz(off)) / 4;
                return good < have / 4 ? good : have / 4;
            }
        }
        return have / 4;
    }
#endif
    for (n = 0; n + per_level <= have; n += per_level) {
        const uint16_t *q = quotes + n;
        bad = (unsigned)((uint16_t)(q[0] - q[-1]) ^ 4u) | ((q[2] - q[1]) ^ 2u);
        bad |= (unsigned)(q[1] - q[0] - 2u > 14u) | (unsigned)(q[3] - q[2] - 2u > 14u);
        for (i = 4; i < per_level; i += 2) /* short, so that a level behind the last 16-byte load fits in `room` */
            bad |= ((q[i] - q[i - 1]) ^ 2u) | (unsigned)(q[i + 1] - q[i] - 1u > 15u);
        if (bad)
            break;
        rows[n + 1] = (uint16_t)((q[1] - q[0] - 1) << TG_ROW);
        rows[n + 3] = (uint16_t)((q[3] - q[2] - 1) << TG_ROW);
    }
    return n / per_level;
}

/* One level whose quotes were found in place. True where everything else is as usual too; then *out is set. `extra` is a
 * constant where this is inlined. Reads up to 17 bytes behind the third quote. The quote behind a number is a byte that
 * is no digit, so the first such byte is the point or the end. */
static inline __attribute__((always_inline)) int tg_level_fast(const char *p, const uint16_t *q, const uint16_t *row,
                                                               const char *shapes1, const char *shapes2, int extra,
                                                               tg_level *out, __m128i *seen) {
    const char *t1 = p + q[0], *t2 = p + q[2];
    uint32_t odd, dot, zero, bad;
    const tg_shape *s1, *s2;
    __m256i v;
    __m128i pair;
    int i;
    v = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(t1 + 1))),
                                _mm_loadu_si128((const __m128i *)(t2 + 1)), 1);
    v = _mm256_sub_epi8(v, _mm256_set1_epi8('0'));
    tg_classes(v, &odd, &dot, &zero);
    s1 = (const tg_shape *)(shapes1 + row[1]) + _tzcnt_u32(odd);
    s2 = (const tg_shape *)(shapes2 + row[3]) + _tzcnt_u32(odd >> 16);
    bad = ((odd ^ (s1->odd | s2->odd)) | (odd ^ dot)) & (s1->inside | s2->inside);
    bad |= (zero & (s1->used | s2->used)) | (~zero & (s1->zero | s2->zero));
    bad |= (uint32_t)((unsigned char)t2[-1] ^ ',');
    for (i = 0; i < extra; i++) { /* a quote behind a backslash ends no string */
        bad |= (uint32_t)((unsigned char)p[q[3 + 2 * i] + 1] ^ ',');
        bad |= (uint32_t)(p[q[5 + 2 * i] - 1] == '\\');
    }
    if (TG_UNLIKELY(bad))
        return 0;
    v = _mm256_shuffle_epi8(
        v, _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_load_si128((const __m128i *)s1->shuffle)),
                                   _mm_load_si128((const __m128i *)s2->shuffle), 1));
    v = tg_digits_value(v);
    pair = _mm_unpacklo_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    *seen = _mm_or_si128(*seen, pair);
    _mm_storeu_si128((__m128i *)out, pair);
    return 1;
}

/* What tg_levels_run comes back with besides where it stopped. */
enum {
    TG_STOPPED = 0, /* at a level it did not take */
    TG_ENDED = 1,   /* behind a level that no comma follows */
    TG_BEYOND = 2   /* a price is out of range: the careful path must say which */
};

/* Levels that are planned, one after the other, from *at on. `base`: where offsets count from. Returns where it stopped, as
 * an offset; *how as above, or -1 where all of them were taken. */
static inline __attribute__((always_inline)) unsigned tg_levels_take(const char *base, const uint16_t *q, const uint16_t *row,
                                                                     unsigned levels, unsigned start, int e1, int e2,
                                                                     int extra, tg_level **at, __m128i *seen, int *how) {
    const char *const shapes1 = (const char *)tg_shapes[0][e1], *const shapes2 = (const char *)tg_shapes[1][e2];
    const unsigned per_level = 4 + 2 * (unsigned)extra;
    const uint16_t *const stop = q + levels * per_level;
    tg_level *out = *at;
    *how = -1;
    for (; q != stop; q += per_level, row += per_level) {
        if (TG_UNLIKELY(!tg_level_fast(base, q, row, shapes1, shapes2, extra, out, seen))) {
            *how = TG_STOPPED;
            break;
        }
        if (TG_UNLIKELY(tg_load32(base + q[per_level - 1]) != 0x5B2C5D22u)) { /* "],[ */
            const char *behind = base + q[per_level - 1] + 1;
            *how = TG_STOPPED;
            if (*behind == ']') {
                out++;
                start = q[per_level - 1] + 2u;
                if (behind[1] == ',')
                    start++;
                else
                    *how = TG_ENDED;
            }
            break;
        }
        out++;
        start = q[per_level - 1] + 3u;
    }
    *at = out;
    return start;
}

/* Levels from p on, as many as the fast path takes. Returns where it stopped and, in *how, why. Never reads at or behind
 * `end`: the last levels, too close to it for 16-byte loads, are copied to where there is room. */
static inline __attribute__((always_inline)) const char *tg_levels_fast(tg_scan *scan, const char *p, const char *end, int e1,
                                                                        int e2, int extra, tg_level *out, int64_t cap,
                                                                        int64_t *count, int *how) {
    const unsigned per_level = 4 + 2 * (unsigned)extra;
    uint16_t *const quotes = scan->found + 32, *q;
    tg_level *at = out + *count, *const full = out + cap;
    __m128i seen = _mm_setzero_si128();
    char room[192];
    unsigned start, levels, near, limit;
    do {
        *how = TG_STOPPED;
        if (TG_UNLIKELY(p >= end))
            break;
        if (scan->end != end || p < scan->base || p >= scan->limit)
            tg_scan_from(scan, p, end);
        start = (unsigned)(p - scan->base);
        while (scan->next < scan->have && quotes[scan->next] < start)
            scan->next++;
        q = quotes + scan->next;
        q[-1] = (uint16_t)(start + 1 - 4); /* so that the first quote must be the one behind '[' */
        levels = *p == '[' ? tg_levels_plan(q, scan->have - scan->next, extra, scan->rows + scan->next) : 0;
        levels = (int64_t)levels < full - at ? levels : (unsigned)(full - at);
        limit = (unsigned)(end - scan->base); /* at most 4 KB more than what offsets reach */
        for (near = 0; near < levels; near++) {
            const uint16_t *last = q + (levels - near - 1) * per_level;
            if (last[2] + 17u <= limit && last[per_level - 1] + 4u <= limit)
                break;
        }
        if (end - scan->base > 64 * TG_BLOCKS + 64)
            near = 0;
        if (TG_UNLIKELY(levels == 0))
            break;
        start = tg_levels_take(scan->base, q, scan->rows + scan->next, levels - near, start, e1, e2, extra, &at, &seen, how);
        if (near && *how < 0) {
            const uint16_t *first = q + (levels - near) * per_level;
            const unsigned from = first[0] - 1u;
            memset(room, 0, sizeof room);
            memcpy(room, scan->base + from, limit - from < 128 ? limit - from : 128);
            start = tg_levels_take((const char *)((uintptr_t)room - from), first, scan->rows + (first - quotes), near, start,
                                   e1, e2, extra, &at, &seen, how);
        }
        p = scan->base + start;
    } while (*how < 0);
    *count = at - out;
    if (TG_UNLIKELY(_mm_cvtsi128_si64(seen) > TG_MAX_PRICE))
        *how = TG_BEYOND;
    return p;
}

static const char *tg_levels_run(tg_scan *scan, const char *p, const char *end, int e1, int e2, int extra, tg_level *out,
                                 int64_t cap, int64_t *count, int *how) {
    if (extra == 0)
        return tg_levels_fast(scan, p, end, e1, e2, 0, out, cap, count, how);
    return tg_levels_fast(scan, p, end, e1, e2, 2, out, cap, count, how);
}
#else
typedef struct {
    const char *end;
} tg_scan;
#endif

/* One level, read with care: white space, long numbers, and the exact reason where it is refused. */
static int tg_level_slow(tg_cur *c, const tg_grid *price, const tg_grid *size, int extra, tg_level *out, char *field) {
    const char *s;
    Py_ssize_t len;
    int code, k;
    if (!tg_take(c, '['))
        return TG_SYNTAX;
    tg_space(c);
    *field = 'p';
    code = tg_decimal(c, price, &out->price_ticks);
    if (code || out->price_ticks > TG_MAX_PRICE)
        return code ? code : TG_RANGE;
    if (!tg_take(c, ','))
        return TG_SYNTAX;
    tg_space(c);
    *field = 's';
    code = tg_decimal(c, size, &out->size_lots);
    if (code)
        return code;
    for (k = 0; k < extra; k++)
        if (!tg_take(c, ',') || !tg_string(c, &s, &len))
            return TG_SYNTAX;
    return tg_take(c, ']') ? TG_OK : TG_SYNTAX;
}

/* `[["61234.50","0.123"],["61234.40","0"]]` or `[]`. Each level has `extra` more strings behind the size (OKX: 2).
 * Writes at most `cap` levels; *field is 'p' or 's' where a number was refused. `scan` must have been reset
 * (end = NULL) since the frame that the cursor is in arrived. */
static int tg_levels(tg_cur *c, const tg_grid *price, const tg_grid *size, int extra, tg_level *out,
                     int64_t cap, int64_t *count, char *field, tg_scan *scan) {
    tg_cur at = *c; /* a copy that no store can alias: it stays in registers */
    int64_t n = 0;
    int code = TG_OK, more;
#if defined(TG_LEVEL_FAST)
    int how, fast = price->decimals < 16 && size->decimals < 16 && price->mantissa == 1 && size->mantissa == 1 &&
                    (extra == 0 || extra == 2);
#else
    (void)scan;
#endif
    *field = 0;
    more = tg_enter(&at, '[', ']');
    while (more == 1) {
#if defined(TG_LEVEL_FAST)
        if (TG_LIKELY(fast)) {
            const int64_t before = n;
            const char *p = tg_levels_run(scan, at.p, at.end, price->decimals, size->decimals, extra, out, cap, &n, &how);
            if (TG_UNLIKELY(how == TG_BEYOND)) {
                n = before; /* all of this stretch again, with care */
                fast = 0;
            } else {
                at.p = p;
            }
            if (TG_LIKELY(how == TG_ENDED)) {
                more = tg_more(&at, ']');
                continue;
            }
        }
#endif
        if (TG_UNLIKELY(n == cap)) {
            code = TG_MANY;
            break;
        }
        code = tg_level_slow(&at, price, size, extra, &out[n], field);
        if (code)
            break;
        n++;
        more = tg_more(&at, ']');
    }
    *c = at;
    *count = n;
    if (code)
        return code;
    *field = 0;
    return more == 0 ? TG_OK : TG_SYNTAX;
}

#endif
