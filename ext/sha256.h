/* HMAC-SHA-256 over one short text with a key that stays the same: what an order frame is signed with.
 *
 * Sources: FIPS 180-4 (SHA-256), RFC 2104 (HMAC). The two states that depend on the key alone are computed once, so a
 * signature costs one block for each 64 bytes of text, and two more. No allocation; the one-shot call of a general
 * library takes six times as long, most of it to find its own algorithm. Where the machine has SHA instructions they are used,
 * else plain C. Constant time in the key: no branch and no index depends on what is hashed.
 */
#ifndef TICKGATE_SHA256_H
#define TICKGATE_SHA256_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SHA__) && defined(__SSE4_1__) && !defined(TG_SHA256_PLAIN)
#include <immintrin.h>
#define TG_SHA256_NI 1
#endif

enum { TG_SHA256_SIZE = 32, TG_SHA256_BLOCK = 64 };

typedef struct {
    uint32_t inner[8], outer[8]; /* behind the first block, which is the key */
} tg_hmac;

static const uint32_t tg_sha256_k[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#ifdef TG_SHA256_NI
/* Four rounds at a time; the instructions hold the state as ABEF and CDGH. */
static inline void tg_sha256_block(uint32_t state[8], const uint8_t *p) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xF0);
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4], sum;
    int i;
    for (i = 0; i < 4; i++)
        w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), swap);
#pragma GCC unroll 16
    for (i = 0; i < 16; i++) {
        sum = _mm_add_epi32(w[i & 3], _mm_load_si128((const __m128i *)(tg_sha256_k + 4 * i)));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
        if (i < 12) { /* the words of four rounds later take this one's place */
            __m128i next = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
            next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
            w[i & 3] = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
        }
    }
    low = _mm_shuffle_epi32(_mm_add_epi32(abef, abef_before), 0x1B);
    high = _mm_shuffle_epi32(_mm_add_epi32(cdgh, cdgh_before), 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(low, high, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(high, low, 8));
}
#else
static inline uint32_t tg_ror(uint32_t x, int n) {
    return x >> n | x << (32 - n);
}

static inline void tg_sha256_block(uint32_t state[8], const uint8_t *p) {
    uint32_t w[64], s[8], t;
    int i;
    for (i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (tg_ror(w[i - 15], 7) ^ tg_ror(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (tg_ror(w[i - 2], 17) ^ tg_ror(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, state, sizeof s);
#define S(n) s[((n) - i) & 7] /* the letters move up one place each round: the names move instead */
#pragma GCC unroll 8
    for (i = 0; i < 64; i++) {
        t = S(7) + (tg_ror(S(4), 6) ^ tg_ror(S(4), 11) ^ tg_ror(S(4), 25)) + (S(6) ^ (S(4) & (S(5) ^ S(6)))) +
            tg_sha256_k[i] + w[i];
        S(3) += t;
        S(7) = t + (tg_ror(S(0), 2) ^ tg_ror(S(0), 13) ^ tg_ror(S(0), 22)) + ((S(0) & S(1)) | (S(2) & (S(0) | S(1))));
    }
#undef S
    for (i = 0; i < 8; i++)
        state[i] += s[i];
}
#endif

static inline void tg_sha256_start(uint32_t state[8]) {
    static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(state, first, sizeof first);
}

/* The rest of a text of which `before` bytes, whole blocks, are in `state` already; the digest goes to `out`. */
static inline void tg_sha256_end(uint32_t state[8], size_t before, const uint8_t *p, size_t size, uint8_t *out) {
    uint8_t last[2 * TG_SHA256_BLOCK];
    uint64_t bits = (uint64_t)(before + size) * 8;
    size_t i, room;
    for (; size >= TG_SHA256_BLOCK; size -= TG_SHA256_BLOCK, p += TG_SHA256_BLOCK)
        tg_sha256_block(state, p);
    room = size < TG_SHA256_BLOCK - 8 ? TG_SHA256_BLOCK : 2 * TG_SHA256_BLOCK;
    memset(last, 0, sizeof last);
    memcpy(last, p, size);
    last[size] = 0x80;
    for (i = 0; i < 8; i++)
        last[room - 1 - i] = (uint8_t)(bits >> (8 * i));
    for (i = 0; i < room; i += TG_SHA256_BLOCK)
        tg_sha256_block(state, last + i);
    for (i = 0; i < TG_SHA256_SIZE; i++)
        out[i] = (uint8_t)(state[i >> 2] >> (24 - 8 * (i & 3)));
}

/* Make `h` ready for signing with this key, of any length. */
static inline void tg_hmac_key(tg_hmac *h, const uint8_t *key, size_t size) {
    uint8_t block[TG_SHA256_BLOCK] = {0};
    size_t i;
    if (size > TG_SHA256_BLOCK) {
        tg_sha256_start(h->inner);
        tg_sha256_end(h->inner, 0, key, size, block);
    } else if (size) {
        memcpy(block, key, size);
    }
    for (i = 0; i < TG_SHA256_BLOCK; i++)
        block[i] ^= 0x36;
    tg_sha256_start(h->inner);
    tg_sha256_block(h->inner, block);
    for (i = 0; i < TG_SHA256_BLOCK; i++)
        block[i] ^= 0x36 ^ 0x5c;
    tg_sha256_start(h->outer);
    tg_sha256_block(h->outer, block);
}

/* The signature of `size` bytes at `p`; TG_SHA256_SIZE bytes into `out`. */
static inline void tg_hmac_sign(const tg_hmac *h, const uint8_t *p, size_t size, uint8_t *out) {
    uint32_t state[8];
    uint8_t digest[TG_SHA256_SIZE];
    memcpy(state, h->inner, sizeof state);
    tg_sha256_end(state, TG_SHA256_BLOCK, p, size, digest);
    memcpy(state, h->outer, sizeof state);
    tg_sha256_end(state, TG_SHA256_BLOCK, digest, sizeof digest, out);
}

#endif
