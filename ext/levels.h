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
#define TG_LEVEL_ROOM 18 /* bytes that may be read behind the last quote that was looked at */

/* A number of n bytes (1 to 15) whose point is at d (d == n: no point), on a grid of e decimals. Masks have bit i for
 * byte i, shifted to the lane they are used in. */
typedef struct {
    uint8_t shuffle[16]; /* byte to digit place: e decimals, right-aligned in 16; nothing from behind the number */
    uint32_t inside;     /* the bytes of the number */
    uint32_t odd;        /* exactly these of them are no digits */
    uint32_t zero;       /* these must be '0': finer than the grid */
    uint32_t used;       /* these must not be '0': a leading zero */
} tg_shape;

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

/* As masks, low half first number: bytes that are no digits, points, and bytes that are not '0'. */
static inline void tg_classes(__m256i v, uint32_t *odd, uint32_t *dot, uint32_t *used) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    *odd = _mm256_cmpgt_epu8_mask(v, _mm256_set1_epi8(9));
    *dot = _mm256_cmpeq_epi8_mask(v, _mm256_set1_epi8((char)('.' - '0')));
    *used = _mm256_test_epi8_mask(v, v);
#else
    *odd = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(v, _mm256_set1_epi8(10)), v));
    *dot = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_set1_epi8((char)('.' - '0'))));
    *used = ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_setzero_si256()));
#endif
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

/* Where the quotes are in `blocks` times 64 bytes from p on: their offsets, in order. Returns how many.
 * `out` has room for 32 more than there can be quotes: offsets are stored 32 at a time. */
static inline unsigned tg_quote_offsets(const char *p, unsigned blocks, uint16_t *out) {
    unsigned n = 0, block;
    for (block = 0; block < blocks; block++) {
        uint64_t q = tg_quotes64(p + 64 * block);
        unsigned count = (unsigned)_mm_popcnt_u64(q);
#if defined(__AVX512VBMI2__) && defined(__AVX512BW__)
        const __m512i iota = _mm512_set_epi8(
            63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36,
            35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8,
            7, 6, 5, 4, 3, 2, 1, 0);
        __m512i at = _mm512_maskz_compress_epi8(q, iota), base = _mm512_set1_epi16((short)(64 * block));
        _mm512_storeu_si512(out + n, _mm512_add_epi16(base, _mm512_cvtepu8_epi16(_mm512_castsi512_si256(at))));
        if (TG_UNLIKELY(count > 32))
            _mm512_storeu_si512(out + n + 32,
                                _mm512_add_epi16(base, _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(at, 1))));
#else
        unsigned i;
        for (i = 0; i < 16; i++) { /* always 16: the count varies, a loop over it would mispredict */
            out[n + i] = (uint16_t)(64 * block + (unsigned)_tzcnt_u64(q));
            q &= q - 1;
        }
        for (; i < count; i++) {
            out[n + i] = (uint16_t)(64 * block + (unsigned)_tzcnt_u64(q));
            q &= q - 1;
        }
#endif
        n += count;
    }
    return n;
}

/* How many levels from the first quote on have their quotes where they belong: `["` n `","` n `"],["` ..., numbers of 1 to 15
 * bytes. quotes[-1] must be set so that the first quote comes 4 behind it. */
static inline unsigned tg_levels_plan(const uint16_t *quotes, unsigned have, int extra) {
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
        for (i = 4; i < per_level; i += 2)
            bad |= (q[i] - q[i - 1]) ^ 2u;
        if (bad)
            break;
    }
    return n / per_level;
}

/* One level whose quotes were found in place. True where everything else is as usual too; then *out is set. `extra` is a
 * constant where this is inlined. Reads up to 17 bytes behind the fourth quote. */
static inline __attribute__((always_inline)) int tg_level_fast(const char *p, const uint16_t *q,
                                                               tg_shape (*shapes1)[16], tg_shape (*shapes2)[16],
                                                               int extra, tg_level *out, __m128i *seen) {
    const unsigned q0 = q[0], q1 = q[1], q2 = q[2], n1 = q1 - q0 - 1, n2 = q[3] - q2 - 1;
    uint32_t odd, dot, used, bad;
    const tg_shape *s1, *s2;
    __m256i v;
    __m128i pair;
    int i;
    v = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(p + q0 + 1))),
                                _mm_loadu_si128((const __m128i *)(p + q2 + 1)), 1);
    v = _mm256_sub_epi8(v, _mm256_set1_epi8('0'));
    tg_classes(v, &odd, &dot, &used);
    s1 = &shapes1[n1][_tzcnt_u32(odd | 1u << n1)];
    s2 = &shapes2[n2][_tzcnt_u32((odd >> 16) | 1u << n2)];
    bad = ((odd ^ (s1->odd | s2->odd)) | (odd ^ dot)) & (s1->inside | s2->inside);
    bad |= (used & (s1->zero | s2->zero)) | (~used & (s1->used | s2->used));
    bad |= (uint32_t)((unsigned char)p[q1 + 1] ^ ',');
    for (i = 0; i < extra; i++)
        bad |= (uint32_t)((unsigned char)p[q[3 + 2 * i] + 1] ^ ',');
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

#define TG_BLOCKS 16 /* bytes looked at together: 16 * 64 */

/* Levels from p on, as many as the fast path takes. Returns where it stopped: at a level it did not take, or (*ended = 1)
 * behind a level that no comma follows. NULL: a price is out of range and the careful path must say which. */
static inline __attribute__((always_inline)) const char *tg_levels_fast(const char *p, const char *end, int e1, int e2,
                                                                        int extra, tg_level *out, int64_t cap,
                                                                        int64_t *count, int *ended) {
    tg_shape(*const shapes1)[16] = tg_shapes[0][e1];
    tg_shape(*const shapes2)[16] = tg_shapes[1][e2];
    const unsigned per_level = 4 + 2 * (unsigned)extra;
    uint16_t found[32 + TG_BLOCKS * 64 + 64];
    uint16_t *const quotes = found + 32, *q, *stop;
    tg_level *at = out + *count, *const full = out + cap;
    __m128i seen = _mm_setzero_si128();
    unsigned blocks, levels, start = 0;
    quotes[-1] = (uint16_t)-3; /* the first quote is at 1 */
    while (end - p >= 64 + TG_LEVEL_ROOM) {
        blocks = (unsigned)((end - p - TG_LEVEL_ROOM) / 64);
        blocks = blocks > TG_BLOCKS ? TG_BLOCKS : blocks;
        levels = tg_levels_plan(quotes, tg_quote_offsets(p, blocks, quotes), extra);
        levels = (int64_t)levels < full - at ? levels : (unsigned)(full - at);
        start = 0;
        if (TG_UNLIKELY(levels == 0 || *p != '['))
            break;
        stop = quotes + levels * per_level;
        for (q = quotes; q != stop; q += per_level) {
            if (TG_UNLIKELY(!tg_level_fast(p, q, shapes1, shapes2, extra, at, &seen)))
                goto done;
            if (TG_UNLIKELY(tg_load32(p + q[per_level - 1]) != 0x5B2C5D22u)) { /* "],[ */
                if (p[q[per_level - 1] + 1] != ']')
                    goto done;
                at++;
                start = q[per_level - 1] + 2u;
                *ended = p[start] != ',';
                start += !*ended;
                goto done;
            }
            at++;
            start = q[per_level - 1] + 3u;
        }
        p += start;
        start = 0;
    }
done:
    *count = at - out;
    return TG_UNLIKELY(_mm_cvtsi128_si64(seen) > TG_MAX_PRICE) ? NULL : p + start;
}

static const char *tg_levels_run(const char *p, const char *end, int e1, int e2, int extra, tg_level *out, int64_t cap,
                                 int64_t *count, int *ended) {
    if (extra == 0)
        return tg_levels_fast(p, end, e1, e2, 0, out, cap, count, ended);
    return tg_levels_fast(p, end, e1, e2, 2, out, cap, count, ended);
}

/* The same over the whole of a cursor: what is too close to its end to be read 64 bytes at a time is copied to where
 * there is room. Returns 0 where the careful path must read everything from the start. */
static int tg_levels_quick(tg_cur *c, const tg_grid *price, const tg_grid *size, int extra, tg_level *out, int64_t cap,
                           int64_t *count, int *ended) {
    char tail[64 + 2 * TG_LEVEL_ROOM + 64];
    int64_t n = *count;
    const char *p = tg_levels_run(c->p, c->end, price->decimals, size->decimals, extra, out, cap, &n, ended);
    Py_ssize_t left;
    if (p == NULL)
        return 0;
    left = c->end - p;
    if (!*ended && left < 64 + TG_LEVEL_ROOM) {
        memcpy(tail, p, (size_t)left);
        memset(tail + left, 0, TG_LEVEL_ROOM + 64);
        const char *q = tg_levels_run(tail, tail + left + TG_LEVEL_ROOM + 64, price->decimals, size->decimals, extra, out,
                                      cap, &n, ended);
        if (q == NULL)
            return 0;
        p += q - tail;
    }
    c->p = p;
    *count = n;
    return 1;
}
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
 * Writes at most `cap` levels; *field is 'p' or 's' where a number was refused. */
static int tg_levels(tg_cur *c, const tg_grid *price, const tg_grid *size, int extra, tg_level *out,
                     int64_t cap, int64_t *count, char *field) {
    tg_cur at = *c; /* a copy that no store can alias: it stays in registers */
    int64_t n = 0;
    int code = TG_OK, more, fast = 0, ended = 0;
#if defined(TG_LEVEL_FAST)
    fast = price->decimals < 16 && size->decimals < 16 && price->mantissa == 1 && size->mantissa == 1 &&
           (extra == 0 || extra == 2);
#endif
    *field = 0;
    more = tg_enter(&at, '[', ']');
    while (more == 1) {
#if defined(TG_LEVEL_FAST)
        if (TG_LIKELY(fast)) {
            fast = tg_levels_quick(&at, price, size, extra, out, cap, &n, &ended);
            if (TG_LIKELY(fast && ended)) {
                more = tg_more(&at, ']');
                ended = 0;
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
    (void)fast;
    (void)ended;
    *c = at;
    *count = n;
    if (code)
        return code;
    *field = 0;
    return more == 0 ? TG_OK : TG_SYNTAX;
}

#endif
