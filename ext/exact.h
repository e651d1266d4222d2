/* Comparisons of money and prices that do not fit in 64 bits: products are compared, nothing is divided or rounded. What divides
 * is for explanations only. */
#ifndef TICKGATE_EXACT_H
#define TICKGATE_EXACT_H

#include <stdint.h>

/* a * b > c * d, of any 64-bit numbers. */
static inline int tg_exceeds(int64_t a, int64_t b, int64_t c, int64_t d) { return (__int128)a * b > (__int128)c * d; }
/* How many millionths of `whole` `part` is; for explanations only. */
static inline int64_t tg_share(int64_t part, int64_t whole, int64_t of) {
    __int128 out;
    if (whole <= 0) return INT64_MAX;
    out = (__int128)part * of / whole;
    return out > INT64_MAX ? INT64_MAX : out < -INT64_MAX ? -INT64_MAX : (int64_t)out;
}
static inline int64_t tg_plus(int64_t a, int64_t b) {
    int64_t out;
    return __builtin_add_overflow(a, b, &out) ? (a > 0 ? INT64_MAX : INT64_MIN) : out;
}
/* (worth + ticks * lots) * mul > limit * div: money of many orders, none of it rounded. */
static inline int tg_worth_more(__int128 worth, int64_t ticks, int64_t lots, int64_t mul, int64_t div, int64_t limit) {
    __int128 sum, money;
    if (__builtin_add_overflow(worth, (__int128)ticks * lots, &sum)) return 1;
    return __builtin_mul_overflow(sum, (__int128)mul, &money) || money > (__int128)limit * div;
}
static inline int64_t tg_worth_e8(__int128 worth, int64_t ticks, int64_t lots, int64_t mul, int64_t div) {
    __int128 sum, money;
    if (__builtin_add_overflow(worth, (__int128)ticks * lots, &sum)) return INT64_MAX;
    if (__builtin_mul_overflow(sum, (__int128)mul, &money)) return INT64_MAX;
    money = (money + div - 1) / div;
    return money > INT64_MAX ? INT64_MAX : (int64_t)money;
}
/* worth + ticks * lots, as far as it fits; for explanations only. */
static inline int64_t tg_tick_lots(__int128 worth, int64_t ticks, int64_t lots) {
    __int128 sum = worth + (__int128)ticks * lots;
    return sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}
/* Millionths of an amount, to a few of its units; for explanations only. */
static inline int64_t tg_part(int64_t of, int64_t ppm) { return of / 1000 * ppm / 1000; }
/* Walks of a book: does the average of `cost` / `lots` lie further than ppm of mid2 / 2 beyond it? `sign` 1: above. */
static inline int tg_slips(__int128 cost, int64_t lots, int64_t mid2, int64_t ppm, int sign) {
    return sign * (2 * cost - (__int128)lots * mid2) * 1000000 > (__int128)lots * mid2 * ppm;
}
static inline int64_t tg_slip_ppm(__int128 cost, int64_t lots, int64_t mid2, int sign) {
    __int128 out = sign * (2 * cost - (__int128)lots * mid2) * 1000000 / ((__int128)lots * mid2);
    return out > INT64_MAX ? INT64_MAX : (int64_t)out;
}
/* ((equity - margin) * leverage - more) / leverage below ppm of the equity? */
static inline int tg_bound(int64_t equity, int64_t margin, int64_t leverage, int64_t more, int64_t ppm) {
    return (((__int128)equity - margin) * leverage - more) * 1000000 < (__int128)equity * leverage * ppm;
}
/* equity - (maintenance + more * maintenance_ppm) below ppm of (gross + more)? */
static inline int tg_near(int64_t equity, int64_t maintenance, int64_t gross, int64_t more, int64_t mppm, int64_t ppm) {
    return ((__int128)equity - maintenance) * 1000000 - (__int128)more * mppm < ((__int128)gross + more) * ppm;
}
static inline int64_t tg_near_ppm(int64_t equity, int64_t maintenance, int64_t gross, int64_t more, int64_t mppm) {
    __int128 whole = (__int128)gross + more;
    __int128 out = whole > 0 ? (((__int128)equity - maintenance) * 1000000 - (__int128)more * mppm) / whole : 0;
    return out > INT64_MAX ? INT64_MAX : out < -INT64_MAX ? -INT64_MAX : (int64_t)out;
}

#endif
