/* crc32c (Castagnoli), twice: with the processor's own instruction, and with tables.

   Functions named *_update take and return the raw register; `~update(~0, data, n)` is the usual checksum.

   One crc32 instruction has three cycles of latency and can start every cycle, so long runs are cut in three equal
   lanes that run side by side. A lane's register is moved over the bytes that follow it by a carry-less
   multiplication with x^(bits - 33) mod P; the products go through the same instruction as the last word. */
#ifndef TICKGATE_CRC32C_H
#define TICKGATE_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint32_t crc32c_tables[8][256];

static void crc32c_init_tables(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t r = i;
        for (int bit = 0; bit < 8; bit++) r = (r >> 1) ^ (0x82F63B78u & (0u - (r & 1u)));
        crc32c_tables[0][i] = r;
    }
    for (int t = 1; t < 8; t++)
        for (int i = 0; i < 256; i++) {
            uint32_t r = crc32c_tables[t - 1][i];
            crc32c_tables[t][i] = (r >> 8) ^ crc32c_tables[0][r & 0xFF];
        }
}

static inline uint64_t crc32c_word(const unsigned char *p) {
    uint64_t w;
    memcpy(&w, p, 8);
    return w;
}

static uint32_t crc32c_sliced_update(uint32_t crc, const void *data, size_t n) {
    const unsigned char *p = (const unsigned char *)data;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t w = crc32c_word(p) ^ crc;
        crc = 0;
        for (int t = 0; t < 8; t++) crc ^= crc32c_tables[7 - t][(w >> (8 * t)) & 0xFF];
    }
    for (; n; n--, p++) crc = (crc >> 8) ^ crc32c_tables[0][(crc ^ *p) & 0xFF];
    return crc;
}

#if defined(__SSE4_2__) && defined(__PCLMUL__)
#include <nmmintrin.h>
#include <wmmintrin.h>

#define CRC32C_HARDWARE 1
#define CRC32C_LANE_MAX 512 /* words per lane: the constants stay within 4 KB */
#define CRC32C_LANE_MIN 8   /* below this, joining the lanes costs more than it saves */

static uint32_t crc32c_shift[2 * CRC32C_LANE_MAX + 1]; /* [w] = x^(64 w - 33) mod P */

static void crc32c_init(void) {
    crc32c_init_tables();
    crc32c_shift[1] = 1;
    for (int w = 2; w <= 2 * CRC32C_LANE_MAX; w++) crc32c_shift[w] = (uint32_t)_mm_crc32_u64(crc32c_shift[w - 1], 0);
}

static inline uint64_t crc32c_moved(uint64_t crc, size_t words) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)crc), _mm_cvtsi32_si128((int)crc32c_shift[words]), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

static inline uint64_t crc32c_lanes(uint64_t a, const unsigned char *p, size_t words) {
    uint64_t b = 0, c = 0;
    const unsigned char *q = p + 8 * words, *r = q + 8 * words;
    for (size_t i = 0; i < words - 1; i++) {
        a = _mm_crc32_u64(a, crc32c_word(p + 8 * i));
        b = _mm_crc32_u64(b, crc32c_word(q + 8 * i));
        c = _mm_crc32_u64(c, crc32c_word(r + 8 * i));
    }
    a = _mm_crc32_u64(a, crc32c_word(q - 8));
    b = _mm_crc32_u64(b, crc32c_word(r - 8));
    return _mm_crc32_u64(c, crc32c_word(r + 8 * words - 8) ^ crc32c_moved(a, 2 * words) ^ crc32c_moved(b, words));
}

static inline uint32_t crc32c_update(uint32_t start, const void *data, size_t n) {
    const unsigned char *p = (const unsigned char *)data;
    uint64_t crc = start;
    while (n >= 24 * CRC32C_LANE_MIN) {
        size_t words = n / 24 < CRC32C_LANE_MAX ? n / 24 : CRC32C_LANE_MAX;
        crc = crc32c_lanes(crc, p, words);
        p += 24 * words;
        n -= 24 * words;
    }
    for (; n >= 8; n -= 8, p += 8) crc = _mm_crc32_u64(crc, crc32c_word(p));
    uint32_t last = (uint32_t)crc;
    for (; n; n--, p++) last = _mm_crc32_u8(last, *p);
    return last;
}

#else

#define CRC32C_HARDWARE 0
static void crc32c_init(void) { crc32c_init_tables(); }
static inline uint32_t crc32c_update(uint32_t crc, const void *data, size_t n) {
    return crc32c_sliced_update(crc, data, n);
}

#endif
#endif
