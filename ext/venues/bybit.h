/* What the Bybit decoder needs in C: the walk over objects and lists, strings without escapes, trade identities, fees,
 * and the venue's words (members, execution types, reasons) as numbers. Everything is bounds-checked.
 */
#ifndef TICKGATE_BYBIT_H
#define TICKGATE_BYBIT_H

#include "text.h"

static inline char *tg_lit(char *at, const char *text) {
    size_t n = strlen(text);             /* folded by the compiler: every caller passes a literal */
    memcpy(at, text, n);
    return at + n;
}

/* Take exactly this text. */
static inline int tg_text(tg_cur *c, const char *text) {
    Py_ssize_t n = (Py_ssize_t)strlen(text);
    if (c->end - c->p < n || memcmp(c->p, text, (size_t)n)) return 0;
    c->p += n;
    return 1;
}

static inline int tg_is(const char *p, Py_ssize_t n, const char *text) {
    return n == (Py_ssize_t)strlen(text) && (!n || !memcmp(p, text, strlen(text))); /* what is absent points nowhere */
}

static inline int tg_starts(const char *p, Py_ssize_t n, const char *text) {
    return n >= (Py_ssize_t)strlen(text) && !memcmp(p, text, strlen(text));
}

/* A string or key that is going to be used. None of the venue's has an escape in it, so one that has is refused:
   it would compare as something that it does not spell. Sixteen bytes at a time where they are there. */
static inline int tg_plain(tg_cur *c, const char **p, Py_ssize_t *n) {
    const char *q;
    if (!tg_take(c, '"')) return 0;
    q = c->p;
#if defined(__SSE4_1__)
    for (; c->end - q >= 16; q += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)q);
        __m128i bad = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(0x5C)),
                                   _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1F)), v));
        unsigned stop = (unsigned)_mm_movemask_epi8(_mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8('"'))));
        if (stop) {
            q += __builtin_ctz(stop);
            break;
        }
    }
#endif
    while (q < c->end && *q != '"' && *q != 0x5C && (unsigned char)*q >= 0x20)
        q++;
    if (q >= c->end || *q != '"') return 0;
    *p = c->p;
    *n = q - c->p;
    c->p = q + 1;
    return 1;
}

static inline int tg_name(tg_cur *c, const char **p, Py_ssize_t *n) {
    return tg_plain(c, p, n) && tg_take(c, ':');
}

/* ---- the walk over an object or a list --------------------------------------------------------------------- */

/* `for (w.state = 0; tg_member(c, &w);)` gives each member of the object at the cursor, `tg_item` each item of a list. A
   value that the loop's body leaves unread is skipped. Afterwards `state` is TG_WALKED, or the text was no such thing:
   `why` says what was wrong inside, or is NULL where the container itself is. */
enum { TG_BEFORE = 0, TG_INSIDE = 1, TG_WALKED = 2, TG_BROKEN = 3 };

typedef struct {
    int state;
    const char *key;
    Py_ssize_t size;
    const char *value;   /* where it stands */
    const char *why;
} tg_walk;

static inline __attribute__((always_inline)) int tg_step(tg_cur *c, tg_walk *w, char opener, char closer) {
    int more;
    if (TG_UNLIKELY(w->state == TG_BEFORE)) {
        w->why = NULL;
        more = tg_enter(c, opener, closer);
    } else {
        if (c->p == w->value && TG_UNLIKELY(!tg_skip(c))) {
            w->state = TG_BROKEN;
            w->why = "value";
            return 0;
        }
        more = tg_more(c, closer);
    }
    w->state = more > 0 ? TG_INSIDE : more ? TG_BROKEN : TG_WALKED;
    return more > 0;
}

static inline __attribute__((always_inline)) int tg_member(tg_cur *c, tg_walk *w) {
    if (!tg_step(c, w, '{', '}')) return 0;
    if (TG_UNLIKELY(!tg_name(c, &w->key, &w->size))) {
        w->state = TG_BROKEN;
        w->why = "key";
        return 0;
    }
    tg_space(c);
    w->value = c->p;
    return 1;
}

static inline __attribute__((always_inline)) int tg_item(tg_cur *c, tg_walk *w) {
    if (!tg_step(c, w, '[', ']')) return 0;
    tg_space(c);
    w->value = c->p;
    return 1;
}

/* ---- identities and fees -------------------------------------------------------------------------------------- */

static inline int tg_hex(unsigned char x) {
    if (x >= '0' && x <= '9') return x - '0';
    x |= 0x20;
    return x >= 'a' && x <= 'f' ? x - 'a' + 10 : -1;
}

static inline int tg_uuid(const char *s, uint64_t half[2]) {
    int i, k = 0, x;
    half[0] = half[1] = 0;
    for (i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (s[i] != '-') return 0;
            continue;
        }
        x = tg_hex((unsigned char)s[i]);
        if (x < 0) return 0;
        half[k >> 4] = half[k >> 4] << 4 | (uint64_t)x;
        k++;
    }
    return 1;
}

/* 128 bits that identify a trade: a UUID's own bits, a decimal's own value (up to 38 digits), and for any other
   text its FNV-1a hash of 128 bits. */
static void tg_identity(const char *s, Py_ssize_t n, int64_t *hi, int64_t *lo) {
    unsigned __int128 v = 0;
    const unsigned __int128 prime = ((unsigned __int128)1 << 88) | 0x13B;
    uint64_t half[2];
    Py_ssize_t i;
    if (n == 36 && tg_uuid(s, half)) {
        *hi = (int64_t)half[0];
        *lo = (int64_t)half[1];
        return;
    }
    for (i = 0; i < n && s[i] >= '0' && s[i] <= '9'; i++)
        if (n <= 38) v = v * 10 + (unsigned)(s[i] - '0');
    if (i < n || n == 0 || n > 38 || (n > 1 && s[0] == '0')) {
        v = ((unsigned __int128)0x6C62272E07BB0142ULL << 64) | 0x62B821756295C58DULL;
        for (i = 0; i < n; i++)
            v = (v ^ (unsigned char)s[i]) * prime;
    }
    *hi = (int64_t)(uint64_t)(v >> 64);
    *lo = (int64_t)(uint64_t)v;
}

/* Fee text to quote * 10**8, rounded up where it is finer: a cost is never understated, a fill is never refused
   for the ninth decimal of its fee. */
static int tg_fee(const char *s, Py_ssize_t n, int64_t *out) {
    static const tg_grid e8 = {1, 8};
    int minus = n > 0 && s[0] == '-', up = 0, code;
    Py_ssize_t i, cut;
    s += minus;
    n -= minus;
    for (cut = 0; cut < n && s[cut] != '.'; cut++)
        ;
    cut = cut + 9 < n ? cut + 9 : n;
    for (i = cut; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') return TG_NUMBER;
        up |= s[i] != '0';
    }
    code = tg_steps_slow(s, cut, e8, out);
    if (minus) *out = -*out;
    else *out += up;
    return code;
}

/* ---- the venue's words --------------------------------------------------------------------------------------- */

/* Members of a row of the private topics that are read, in the order of `bybit.pxd`'s AT_*. */
#define TG_PLACE(x) {x, sizeof(x) - 1}
static const struct { const char *name; Py_ssize_t size; } tg_places[] = {
    TG_PLACE("symbol"), TG_PLACE("category"), TG_PLACE("side"), TG_PLACE("orderId"), TG_PLACE("orderLinkId"),
    TG_PLACE("orderStatus"), TG_PLACE("cumExecQty"), TG_PLACE("updatedTime"), TG_PLACE("execType"),
    TG_PLACE("execPrice"), TG_PLACE("execQty"), TG_PLACE("execId"), TG_PLACE("execFee"), TG_PLACE("feeCurrency"),
    TG_PLACE("execTime"), TG_PLACE("isMaker"), TG_PLACE("price"), TG_PLACE("qty"), TG_PLACE("orderType"),
    TG_PLACE("marketUnit"), TG_PLACE("cancelType"), TG_PLACE("rejectReason"), TG_PLACE("createType"),
    TG_PLACE("positionIdx"), TG_PLACE("closedSize")};

static int tg_place(const char *key, Py_ssize_t n) {
    int i;
    for (i = 0; i < (int)(sizeof(tg_places) / sizeof(tg_places[0])); i++)
        if (tg_places[i].size == n && !memcmp(key, tg_places[i].name, (size_t)n)) return i;
    return -1;
}

static const char *tg_place_name(int place) { return tg_places[place].name; }

typedef struct { const char *word; int means; } tg_word;

static int tg_means(const tg_word *words, const char *p, Py_ssize_t n, int otherwise) {
    for (; words->word; words++)
        if (tg_is(p, n, words->word)) return words->means;
    return otherwise;
}

/* execType (docs/v5/enum.mdx): the records.Nature of what moved the position, TG_COLD where nothing was traded, TG_ODD
   for a type that did not exist when this was written. MovePosition is a transfer between accounts: not our doing. */
enum { TG_COLD = 100, TG_ODD = 101 };
static int tg_exec_nature(const char *p, Py_ssize_t n) {
    static const tg_word words[] = {
        {"Trade", 0}, {"BlockTrade", 0}, {"FutureSpread", 0}, {"BustTrade", 1}, {"AdlTrade", 2}, {"Settle", 3},
        {"Delivery", 3}, {"MovePosition", 3}, {"Funding", TG_COLD}, {NULL, 0}};
    return tg_means(words, p, n, TG_ODD);
}

/* createType of the order behind a trade: the venue's liquidation engine trades like anybody. */
static int tg_create_nature(const char *p, Py_ssize_t n) {
    if (tg_starts(p, n, "CreateByLiq") || tg_starts(p, n, "CreateByTakeOver")) return 1;
    if (tg_starts(p, n, "CreateByAdl")) return 2;
    return tg_starts(p, n, "CreateBySettle") ? 3 : 0;
}

/* orderStatus to records.ReportKind; 4 = closed, and cancelType and rejectReason say how; TG_ODD = unknown. */
static int tg_status(const char *p, Py_ssize_t n) {
    static const tg_word words[] = {
        {"New", 2}, {"PartiallyFilled", 2}, {"Untriggered", 2}, {"Triggered", 2}, {"Created", 0}, {"Filled", 7},
        {"Cancelled", 4}, {"PartiallyFilledCanceled", 4}, {"Deactivated", 4}, {"Rejected", 1}, {NULL, 0}};
    return tg_means(words, p, n, TG_ODD);
}

/* Does the JSON string at p have this word in it? */
static int tg_says(const char *p, const char *end, const char *word) {
    Py_ssize_t n = (Py_ssize_t)strlen(word);
    if (p == NULL || p >= end || *p != '"') return 0;
    for (p++; end - p >= n && *p != '"'; p += *p == 0x5C ? 2 : 1)
        if (!memcmp(p, word, (size_t)n)) return 1;
    return 0;
}

/* 10001 is the venue's word for nearly everything: an amend to what is there already and a wrong position mode are not
   the fault of a price or size. `node/venues/bybit/rules.py` has the same words in TEXTS. */
static int tg_is_no_filter(const char *p, const char *end) {
    return tg_says(p, end, "unchanged") || tg_says(p, end, "osition idx") || tg_says(p, end, "osition mode");
}

/* rejectReason to records.ErrorGroup; 0 = nothing beyond what was asked for. */
static int tg_reason(const char *p, Py_ssize_t n) {
    static const tg_word words[] = {
        {"", 0}, {"EC_NoError", 0}, {"EC_PerCancelRequest", 0}, {"UNKNOWN", 0}, {"EC_PostOnlyWillTakeLiquidity", 10},
        {"EC_DuplicatedClOrdID", 8}, {"EC_OrigClOrdIDDoesNotExist", 7}, {"EC_TooLateToCancel", 7},
        {"EC_OrderNotExist", 7}, {"EC_InvalidSymbolStatus", 6}, {"EC_InCallAuctionStatus", 6},
        {"EC_SecurityStatusFail", 6}, {"EC_ReachMaxTradeNum", 4}, {"EC_ReachRiskPriceLimit", 4},
        {"EC_ReachMarketPriceLimit", 4}, {"EC_LimitOrderInvalidPrice", 4}, {"EC_InvalidPriceScale", 4},
        {"EC_QtyCannotBeZero", 4}, {"EC_EcInvalidQty", 4}, {"EC_InvalidAmount", 4}, {"EC_CancelByOrderValueZero", 4},
        {"EC_CancelByMatchValueZero", 4}, {NULL, 0}};
    return tg_means(words, p, n, 11);
}

/* Was an order closed because somebody asked for it (or nothing speaks against that)? */
static int tg_asked(const char *p, Py_ssize_t n, int group) {
    return tg_is(p, n, "CancelByUser") || ((n == 0 || tg_is(p, n, "UNKNOWN")) && group == 0);
}

/* Is this the coin of a linear contract's profits? BTCUSDT, BTCUSDT-26DEC25: USDT; BTCPERP, BTC-26DEC25: USDC. */
static int tg_is_settled_in(const char *coin, Py_ssize_t n, const char *symbol, Py_ssize_t size) {
    Py_ssize_t i;
    int is_usdt = 0;
    for (i = 0; i + 4 <= size; i++)
        is_usdt |= !memcmp(symbol + i, "USDT", 4);
    return tg_is(coin, n, is_usdt ? "USDT" : "USDC");
}

#endif
