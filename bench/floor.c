/* The floor of the wire benchmark: the least a busy-polling C program can do between the same two sockets.
 *
 *     floor HOST PORT [KEY SECRET]
 *
 * It does the whole job: seeds the book from the REST snapshot, reads each depth frame without blocking, checks
 * the update chain, turns every price and size text into integers (ticks of 0.1, lots of 0.001, anything off the
 * grid refused), keeps the complete book, and answers with a masked order.place at the best ask, signed with
 * HMAC-SHA-256 where it has a key (with the node's own code for that, ext/sha256.h: a slower library would make the
 * floor higher). What it leaves out is what a node adds: risk, order state, a private stream, proofs, tape, several instruments, reconnects, any other venue. It knows
 * one instrument, one key order and one symbol, and it spins on two sockets only.
 *
 * The book is a flat array of sizes indexed by tick, with one bit per occupied tick for finding the next best
 * price: about the fastest full-depth book there is where memory does not matter (32 MB a side, near-touch
 * lines stay in cache).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../ext/sha256.h"

enum { TICKS = 1 << 23, WORDS = TICKS / 64, BUFFER = 1 << 20, REFUSED = -1 };

static int32_t bid_lots[TICKS], ask_lots[TICKS];
static uint64_t bid_bits[WORDS], ask_bits[WORDS];
static int64_t best_bid = -1, best_ask = TICKS, last_u;
static char buffer[BUFFER + 64]; /* tail: fixed-size reads near the end stay inside */

static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("floor: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* ---- numbers -------------------------------------------------------------------------------------------- */

static inline unsigned digit(char c) {
    return (unsigned)(uint8_t)c - '0';
}

/* Exact decimal text up to the closing quote, scaled by 10^scale; further decimals must be zeros. */
static const char *decimal_any(const char *p, int scale, int64_t *out) {
    int64_t v = 0;
    const char *start = p;
    for (; digit(*p) < 10 && p - start < 13; p++)
        v = v * 10 + digit(*p);
    if (p == start || p - start > 12)
        return NULL;
    if (*p == '.')
        for (p++; digit(*p) < 10; p++) {
            if (scale > 0) {
                v = v * 10 + digit(*p);
                scale--;
            } else if (*p != '0') {
                return NULL;
            }
        }
    for (; scale > 0; scale--)
        v *= 10;
    *out = v;
    return *p == '"' ? p + 1 : NULL;
}

/* A loop: one load with arithmetic on eight digits was tried and is slower here, being one long dependency
 * where the loop is mostly predicted. */
static inline const char *whole(const char *p, int64_t *out) {
    const char *start = p;
    int64_t v = 0;
    for (; digit(*p) < 10 && p - start < 9; p++)
        v = v * 10 + digit(*p);
    *out = v;
    return p;
}

/* The form the venue really sends, 61800.20: two decimals, the second zero. Anything else the long way. */
static inline const char *price(const char *p, int64_t *out) {
    int64_t v;
    const char *start = p;
    p = whole(p, &v);
    if (p == start || p[0] != '.' || digit(p[1]) > 9 || p[2] != '0' || p[3] != '"')
        return decimal_any(start, 1, out);
    *out = v * 10 + digit(p[1]);
    return p + 4;
}

/* 0.014: three decimals. */
static inline const char *size_text(const char *p, int64_t *out) {
    int64_t v;
    const char *start = p;
    p = whole(p, &v);
    if (p == start || p[0] != '.' || digit(p[1]) > 9 || digit(p[2]) > 9 || digit(p[3]) > 9 || p[4] != '"')
        return decimal_any(start, 3, out);
    *out = v * 1000 + digit(p[1]) * 100 + digit(p[2]) * 10 + digit(p[3]);
    return p + 5;
}

static inline int64_t integer(const char *p) {
    int64_t v = 0;
    for (; (uint8_t)(*p - '0') < 10; p++)
        v = v * 10 + (*p - '0');
    return v;
}

/* ---- book ----------------------------------------------------------------------------------------------- */

static int64_t next_down(int64_t tick) {
    int64_t w = tick >> 6;
    uint64_t bits = bid_bits[w] & (~0ULL >> (63 - (tick & 63)));
    while (!bits && w > 0)
        bits = bid_bits[--w];
    return bits ? (w << 6) + 63 - __builtin_clzll(bits) : -1;
}

static int64_t next_up(int64_t tick) {
    int64_t w = tick >> 6;
    uint64_t bits = ask_bits[w] & (~0ULL << (tick & 63));
    while (!bits && w < WORDS - 1)
        bits = ask_bits[++w];
    return bits ? (w << 6) + __builtin_ctzll(bits) : TICKS;
}

static inline void set_bid(int64_t tick, int64_t lots) {
    bid_lots[tick] = (int32_t)lots;
    if (lots) {
        bid_bits[tick >> 6] |= 1ULL << (tick & 63);
        if (tick > best_bid)
            best_bid = tick;
    } else {
        bid_bits[tick >> 6] &= ~(1ULL << (tick & 63));
        if (tick == best_bid)
            best_bid = next_down(tick);
    }
}

static inline void set_ask(int64_t tick, int64_t lots) {
    ask_lots[tick] = (int32_t)lots;
    if (lots) {
        ask_bits[tick >> 6] |= 1ULL << (tick & 63);
        if (tick < best_ask)
            best_ask = tick;
    } else {
        ask_bits[tick >> 6] &= ~(1ULL << (tick & 63));
        if (tick == best_ask)
            best_ask = next_up(tick);
    }
}

/* ---- depth ---------------------------------------------------------------------------------------------- */

/* The text behind `key`, searched from p. */
static inline const char *after(const char *p, const char *end, const char *key, size_t size) {
    const char *at = memmem(p, (size_t)(end - p), key, size);
    return at ? at + size : NULL;
}
#define AFTER(p, end, key) after(p, end, key, sizeof(key) - 1)

/* `[["price","size"],...]` from behind its first bracket; returns behind its last. */
static inline const char *levels(const char *p, const char *end, void (*set)(int64_t, int64_t)) {
    int64_t tick, lots;
    while (p < end && *p == '[') {
        if (p[1] != '"' || !(p = price(p + 2, &tick)) || p[0] != ',' || p[1] != '"' ||
            !(p = size_text(p + 2, &lots)) || *p != ']')
            return NULL;
        if (tick >= TICKS || lots > INT32_MAX)
            return NULL;
        set(tick, lots);
        p += p[1] == ',' ? 2 : 1;
    }
    return p < end && *p == ']' ? p + 1 : NULL;
}

static int apply_depth(const char *p, const char *end) {
    const char *u, *pu, *b;
    if (!(u = AFTER(p, end, "\"u\":")) || !(pu = AFTER(u, end, "\"pu\":")) || !(b = AFTER(pu, end, "\"b\":[")))
        return REFUSED;
    int64_t this_u = integer(u), previous_u = integer(pu);
    if (this_u < last_u)
        return 0;
    if (previous_u != last_u) {
        const char *first = AFTER(p, end, "\"U\":"); /* legal once: the event that straddles the snapshot */
        if (!first || integer(first) > last_u)
            return REFUSED;
    }
    if (!(b = levels(b, end, set_bid)) || !(b = AFTER(b, end, "\"a\":[")) || !levels(b, end, set_ask))
        return REFUSED;
    last_u = this_u;
    return best_bid < best_ask ? 1 : REFUSED;
}

static int apply_snapshot(const char *p, const char *end) {
    const char *id = AFTER(p, end, "\"lastUpdateId\":"), *b = AFTER(p, end, "\"bids\":["), *a;
    if (!id || !b || !(b = levels(b, end, set_bid)) || !(a = AFTER(b, end, "\"asks\":[")) ||
        !levels(a, end, set_ask))
        return REFUSED;
    last_u = integer(id);
    return 1;
}

/* ---- order ---------------------------------------------------------------------------------------------- */

static void digits(char *at, int width, int64_t v) {
    for (int i = width - 1; i >= 0; i--, v /= 10)
        at[i] = (char)('0' + v % 10);
}

/* Parameters stand in the order of their names, as they are signed. Everything but key, price and signature has a
 * fixed width, so both texts are kept whole and only what changes is written. */
#define HEAD "{\"id\":\"0000000000\",\"method\":\"order.place\",\"params\":{"
#define CLIENT "\"newClientOrderId\":\"floor-0000000000\",\"newOrderRespType\":\"RESULT\",\"price\":\""
#define MIDDLE "\",\"quantity\":\"0.001\",\"recvWindow\":1500,\"side\":\"BUY\",\"symbol\":\"BTCUSDT\",\"timeInForce\":\"IOC\"," \
               "\"timestamp\":0000000000000,\"type\":\"LIMIT\""
#define P_CLIENT "newClientOrderId=floor-0000000000&newOrderRespType=RESULT&price="
#define P_MIDDLE "&quantity=0.001&recvWindow=1500&side=BUY&symbol=BTCUSDT&timeInForce=IOC&timestamp=0000000000000&type=LIMIT"
enum { HEADER = 8, ID_AT = 7, ORDER_MAX = 1024, KEY_MAX = 128 };
enum { CID_AT = 26, P_CID_AT = 23, TIME_AT = sizeof(MIDDLE) - 1 - 28, P_TIME_AT = sizeof(P_MIDDLE) - 1 - 24 };

static tg_hmac signer;
static const char *api_key;

static char *put(char *p, const char *text, size_t size) {
    memcpy(p, text, size);
    return p + size;
}
#define PUT(p, text) put(p, text, sizeof(text) - 1)

static size_t price_text(char *out, int64_t tick) {
    int width = 1;
    for (int64_t whole = tick / 10; whole >= 10; whole /= 10)
        width++;
    digits(out, width, tick / 10);
    out[width] = '.';
    out[width + 1] = (char)('0' + tick % 10);
    return (size_t)width + 2;
}

/* `,"signature":"..."` of the payload that says what the request does. */
static char *sign(char *p, const char *id, const char *price, size_t price_size, int64_t now_ms) {
    char text[ORDER_MAX], *t = PUT(text, "apiKey=");
    uint8_t mac[TG_SHA256_SIZE];
    t = PUT(put(t, api_key, strlen(api_key)), "&");
    memcpy(PUT(t, P_CLIENT) - sizeof(P_CLIENT) + 1 + P_CID_AT, id, 10);
    t = put(t + sizeof(P_CLIENT) - 1, price, price_size);
    digits(PUT(t, P_MIDDLE) - sizeof(P_MIDDLE) + 1 + P_TIME_AT, 13, now_ms);
    t += sizeof(P_MIDDLE) - 1;
    tg_hmac_sign(&signer, (uint8_t *)text, (size_t)(t - text), mac);
    p = PUT(p, ",\"signature\":\"");
    for (int i = 0; i < TG_SHA256_SIZE; i++, p += 2) {
        p[0] = "0123456789abcdef"[mac[i] >> 4];
        p[1] = "0123456789abcdef"[mac[i] & 15];
    }
    return PUT(p, "\"");
}

static size_t build_order(char *out, int64_t id, int64_t tick) {
    struct timespec t;
    char *start = out + HEADER, *p = PUT(start, HEAD), price[24];
    size_t price_size = price_text(price, tick);
    clock_gettime(CLOCK_REALTIME, &t);
    int64_t now_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
    digits(start + ID_AT, 10, id);
    if (api_key)
        p = PUT(put(PUT(p, "\"apiKey\":\""), api_key, strlen(api_key)), "\",");
    memcpy(PUT(p, CLIENT) - sizeof(CLIENT) + 1 + CID_AT, start + ID_AT, 10);
    p = put(p + sizeof(CLIENT) - 1, price, price_size);
    digits(PUT(p, MIDDLE) - sizeof(MIDDLE) + 1 + TIME_AT, 13, now_ms);
    p += sizeof(MIDDLE) - 1;
    if (api_key)
        p = sign(p, start + ID_AT, price, price_size, now_ms);
    return (size_t)(PUT(p, "}}") - start);
}

/* Header (always the 16-bit length form) and masking, in place. */
static void mask_frame(uint8_t *out, size_t size, uint32_t key) {
    uint8_t k[4];
    memcpy(k, &key, 4);
    out[0] = 0x81;
    out[1] = 0x80 | 126;
    out[2] = (uint8_t)(size >> 8);
    out[3] = (uint8_t)size;
    memcpy(out + 4, k, 4);
    for (size_t i = 0; i < size; i++)
        out[HEADER + i] ^= k[i & 3];
}

static void send_order(int fd) {
    static int64_t id;
    static uint32_t key = 2463534242u;
    char out[HEADER + ORDER_MAX];
    size_t size = build_order(out, ++id, best_ask);
    key ^= key << 13, key ^= key >> 17, key ^= key << 5;
    mask_frame((uint8_t *)out, size, key);
    if (send(fd, out, HEADER + size, MSG_NOSIGNAL) != (ssize_t)(HEADER + size))
        exit(0); /* the venue is done with us */
}

/* ---- sockets -------------------------------------------------------------------------------------------- */

static int dial(const char *host, const char *port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
        die("not an IPv4 address: %s", host);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("cannot connect to %s:%s: %s", host, port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void request(int fd, const char *format, const char *path, const char *host) {
    char out[1024];
    int n = snprintf(out, sizeof out, format, path, host);
    if (send(fd, out, (size_t)n, MSG_NOSIGNAL) != n)
        die("cannot send the request for %s", path);
}

static void upgrade(int fd, const char *path, const char *host) {
    size_t have = 0;
    request(fd, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", path, host);
    while (have < 4 || memcmp(buffer + have - 4, "\r\n\r\n", 4)) /* byte by byte: frames may follow */
        if (have == 4096 || recv(fd, buffer + have++, 1, 0) != 1)
            die("no upgrade reply for %s", path);
    if (memcmp(buffer, "HTTP/1.1 101", 12))
        die("upgrade refused for %s", path);
}

static void snapshot(const char *host, const char *port) {
    int fd = dial(host, port);
    size_t have = 0;
    ssize_t n;
    request(fd, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
            "/fapi/v1/depth?symbol=BTCUSDT&limit=1000", host);
    while (have < BUFFER && (n = recv(fd, buffer + have, BUFFER - have, 0)) > 0)
        have += (size_t)n;
    close(fd);
    if (apply_snapshot(buffer, buffer + have) != 1)
        die("snapshot refused");
}

/* Bytes read, 0 where none were there; ends the program when the venue has closed. */
static size_t poll_once(int fd, char *into, size_t room) {
    ssize_t n = recv(fd, into, room, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        exit(0);
    return n > 0 ? (size_t)n : 0;
}

/* ---- loop ----------------------------------------------------------------------------------------------- */

/* Answers the frame at p and returns its length, 0 where it is not complete. Server frames are not masked. */
static size_t on_frame(const uint8_t *p, size_t have, int order_fd, int *pending) {
    size_t size, head = 2;
    if (have < 10 && (have < 2 || have < (size_t)(2 + (p[1] == 126 ? 2 : p[1] == 127 ? 8 : 0))))
        return 0;
    size = p[1];
    if (p[1] == 126) {
        size = (size_t)p[2] << 8 | p[3];
        head = 4;
    } else if (p[1] == 127) {
        size = (size_t)p[6] << 24 | (size_t)p[7] << 16 | (size_t)p[8] << 8 | p[9];
        head = 10;
    }
    if (have < head + size)
        return 0;
    if (p[0] == 0x81) {
        int r = apply_depth((const char *)p + head, (const char *)p + head + size);
        if (r == REFUSED)
            die("depth frame refused");
        if (r == 1 && best_ask < TICKS) {
            send_order(order_fd);
            ++*pending;
        }
    }
    return head + size;
}

/* The order socket is read only while a reply is due: a second idle poll would slow the first one down. */
static void spin(int md_fd, int order_fd) {
    static char replies[BUFFER];
    size_t have = 0, used, n;
    int pending = 0;
    for (;;) {
        if ((n = poll_once(md_fd, buffer + have, BUFFER - have))) {
            have += n;
            for (used = 0; (n = on_frame((uint8_t *)buffer + used, have - used, order_fd, &pending)); used += n)
                ;
            memmove(buffer, buffer + used, have -= used);
        } else if (pending && poll_once(order_fd, replies, sizeof replies)) {
            pending = 0;
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 5)
        die("usage: floor HOST PORT [KEY SECRET]");
    if (argc == 5) {
        if (strlen(argv[3]) > KEY_MAX)
            die("the key is longer than %d letters", KEY_MAX);
        api_key = argv[3];
        tg_hmac_key(&signer, (uint8_t *)argv[4], strlen(argv[4]));
    }
    memset(bid_lots, 0, sizeof bid_lots); /* touch every page now, not inside a measured interval */
    memset(ask_lots, 0, sizeof ask_lots);
    memset(bid_bits, 0, sizeof bid_bits);
    memset(ask_bits, 0, sizeof ask_bits);
    memset(buffer, 0, sizeof buffer);
    snapshot(argv[1], argv[2]);
    int md_fd = dial(argv[1], argv[2]), order_fd = dial(argv[1], argv[2]);
    upgrade(md_fd, "/public/stream?streams=btcusdt@depth@100ms", argv[1]);
    upgrade(order_fd, "/ws-fapi/v1", argv[1]);
    spin(md_fd, order_fd);
}
