/* The venue side of the wire benchmark: sends one depth frame, times until the order frame is back.
 *
 * Python accepts the connections, does the upgrades and hands over the descriptors: market data, orders and, where
 * the client has them, its second market line and its private stream. From then on only this file touches them, busy-polling, so that no interpreter and no scheduler sits inside a measured interval.
 * A second market line carries a copy of each frame, later by a delay that varies, and one frame in four first. The
 * clock starts with the first copy; a copy that is written while the order is on its way may only add to what is measured.
 * The clock stops when the last byte of the order frame is in user space; unmasking, checking and answering
 * come after it: the answer to the request and, on the private stream, the two reports of an IOC that found nothing.
 * Signatures are checked by Python when all frames are done.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { CLOSED = -1, PROTOCOL = -2, SOCKET = -3, SILENT = -4 };
enum { OP_TEXT = 1, OP_CLOSE = 8, OP_PING = 9 };
enum { BUFFER = 1 << 16, REPLY = 4096, FIELD = 64 };
enum { MAX_SILENT = 20 };  /* frames without any order, even late, before a client counts as dead */
enum { MAX_START = 160 };   /* the same before its first order: it may have to prove its account first */
enum { START_LATE_NS = 250000000 };
enum { COPY_MIN_NS = 2000, COPY_MAX_NS = 300000 }; /* how much later the second line may be */

/* What Python asks for and what it gets back; mirrored field by field by `Job` in wire.py. */
struct job {
    int32_t md_fd, order_fd, private_fd /* -1: none */, second_fd /* of the second market line, -1: none */;
    const uint8_t **frames; /* complete server frames, header included */
    const int64_t *lens;
    int64_t n;
    int64_t first_timeout_ns; /* for frame 0: the client may still be fetching its snapshot */
    int64_t timeout_ns;
    int64_t late_ns; /* how long to wait for the answer to a missed frame before the next one goes out */
    int64_t pause_min_ns, pause_max_ns;
    uint64_t seed;
    int64_t max_missed; /* give up after so many: the run is invalid anyway */
    int64_t *out_ns;    /* per frame; -1 where no order came */
    char *orders;       /* n slots of slot_size: the payload of the timed order, NUL-terminated */
    int64_t slot_size;
    int64_t missed, strays /* orders outside an interval, late ones included */, controls, orders_seen; /* results */
};

struct line {
    int fd;
    size_t have, used;
    uint8_t buf[BUFFER];
};

struct frame {
    uint8_t op, *mask;
    char *data;
    size_t size, total;
};

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int send_all(int fd, const void *data, size_t size) {
    const uint8_t *p = data;
    while (size) {
        ssize_t n = send(fd, p, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return errno == EPIPE || errno == ECONNRESET ? CLOSED : SOCKET;
        if (n > 0) {
            p += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

static int send_frame(int fd, uint8_t op, const char *data, size_t size) {
    uint8_t out[REPLY + 4];
    size_t head = 2;
    if (size > REPLY)
        return PROTOCOL;
    out[0] = 0x80 | op;
    if (size < 126) {
        out[1] = (uint8_t)size;
    } else {
        out[1] = 126;
        out[2] = (uint8_t)(size >> 8);
        out[3] = (uint8_t)size;
        head = 4;
    }
    memcpy(out + head, data, size);
    return send_all(fd, out, head + size);
}

/* One non-blocking read. 0 also where nothing was there. */
static int fill(struct line *l) {
    if (l->used == l->have)
        l->used = l->have = 0;
    if (l->have == BUFFER) {
        memmove(l->buf, l->buf + l->used, l->have -= l->used);
        l->used = 0;
        if (l->have == BUFFER)
            return PROTOCOL;
    }
    ssize_t n = recv(l->fd, l->buf + l->have, BUFFER - l->have, MSG_DONTWAIT);
    if (n > 0)
        l->have += (size_t)n;
    if (n == 0)
        return CLOSED;
    return n < 0 && errno != EAGAIN && errno != EINTR ? (errno == ECONNRESET ? CLOSED : SOCKET) : 0;
}

/* 1: a complete client frame is in f, still masked; 0: not yet. Clients must mask and may not fragment here. */
static int peek(struct line *l, struct frame *f) {
    uint8_t *p = l->buf + l->used;
    size_t have = l->have - l->used, head = 2;
    if (have < 2)
        return 0;
    if ((p[0] & 0xf0) != 0x80 || !(p[1] & 0x80))
        return PROTOCOL;
    f->op = p[0] & 0x0f;
    f->size = p[1] & 0x7f;
    if (f->size == 127)
        return PROTOCOL;
    if (f->size == 126) {
        if (have < 4)
            return 0;
        f->size = (size_t)p[2] << 8 | p[3];
        head = 4;
    }
    f->mask = p + head;
    f->data = (char *)p + head + 4;
    f->total = head + 4 + f->size;
    if (f->total > BUFFER)
        return PROTOCOL;
    return have >= f->total;
}

static void unmask(struct frame *f) {
    for (size_t i = 0; i < f->size; i++)
        f->data[i] = (char)((uint8_t)f->data[i] ^ f->mask[i & 3]);
}

static int holds(const struct frame *f, const char *text) {
    return memmem(f->data, f->size, text, strlen(text)) != NULL;
}

/* Copies the raw value behind `"key":`, quotes included; "null" where the key is absent or the value too long. */
static void value_of(const struct frame *f, const char *key, char out[FIELD]) {
    const char *end = f->data + f->size, *p = memmem(f->data, f->size, key, strlen(key));
    strcpy(out, "null");
    if (!p)
        return;
    const char *v = p + strlen(key), *q = v;
    if (q < end && *q == '"')
        for (q++; q < end && *q != '"'; q++)
            ;
    else
        while (q < end && *q != ',' && *q != '}')
            q++;
    if (q < end && *q == '"')
        q++;
    if (q - v >= FIELD)
        return;
    memcpy(out, v, (size_t)(q - v));
    out[q - v] = 0;
}

struct order {
    char id[FIELD], cid[FIELD], symbol[FIELD], side[FIELD], price[FIELD], qty[FIELD];
    long long number, now_ms;
    int acked; /* newOrderRespType ACK: the answer says that it was taken, reports say the rest */
};

static void read_order(struct job *j, const struct frame *f, struct order *o) {
    struct timespec t;
    value_of(f, "\"id\":", o->id);
    value_of(f, "\"newClientOrderId\":", o->cid);
    value_of(f, "\"symbol\":", o->symbol);
    value_of(f, "\"side\":", o->side);
    value_of(f, "\"price\":", o->price);
    value_of(f, "\"quantity\":", o->qty);
    o->acked = holds(f, "\"newOrderRespType\":\"ACK\"");
    o->number = 325078477LL + (long long)j->orders_seen;
    clock_gettime(CLOCK_REALTIME, &t);
    o->now_ms = (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The answer to the request. One that did not ask for an ACK alone gets the final state, so that the client can free
 * the order. */
static int answer_order(struct job *j, const struct order *o) {
    char out[REPLY];
    int n = snprintf(out, sizeof out,
        "{\"id\":%s,\"status\":200,\"result\":{\"orderId\":%lld,\"symbol\":%s,\"status\":\"%s\","
        "\"clientOrderId\":%s,\"price\":%s,\"origQty\":%s,\"executedQty\":\"0.000\",\"cumQty\":\"0.000\","
        "\"timeInForce\":\"IOC\",\"type\":\"LIMIT\",\"reduceOnly\":false,\"closePosition\":false,\"side\":%s,"
        "\"positionSide\":\"BOTH\",\"stopPrice\":\"0.00\",\"workingType\":\"CONTRACT_PRICE\","
        "\"priceProtect\":false,\"origType\":\"LIMIT\",\"priceMatch\":\"NONE\","
        "\"selfTradePreventionMode\":\"EXPIRE_MAKER\",\"goodTillDate\":0,\"updateTime\":%lld}}",
        o->id, o->number, o->symbol, o->acked ? "NEW" : "EXPIRED", o->cid, o->price, o->qty, o->side, o->now_ms);
    return send_frame(j->order_fd, OP_TEXT, out, (size_t)n);
}

/* One ORDER_TRADE_UPDATE; execution type and order status are the same word in both that an unfilled IOC has. */
static int report(struct job *j, const struct order *o, const char *word) {
    char out[REPLY];
    int n = snprintf(out, sizeof out,
        "{\"e\":\"ORDER_TRADE_UPDATE\",\"T\":%lld,\"E\":%lld,\"o\":{\"s\":%s,\"c\":%s,\"S\":%s,\"o\":\"LIMIT\","
        "\"f\":\"IOC\",\"q\":%s,\"p\":%s,\"ap\":\"0\",\"sp\":\"0\",\"x\":\"%s\",\"X\":\"%s\",\"i\":%lld,\"l\":\"0\","
        "\"z\":\"0\",\"L\":\"0\",\"n\":\"0\",\"N\":\"USDT\",\"T\":%lld,\"t\":0,\"b\":\"0\",\"a\":\"0\",\"m\":false,"
        "\"R\":false,\"wt\":\"CONTRACT_PRICE\",\"ot\":\"LIMIT\",\"ps\":\"BOTH\",\"cp\":false,\"rp\":\"0\",\"pP\":false,"
        "\"si\":0,\"ss\":0,\"V\":\"EXPIRE_MAKER\",\"pm\":\"NONE\",\"gtd\":0,\"er\":\"0\"}}",
        o->now_ms, o->now_ms, o->symbol, o->cid, o->side, o->qty, o->price, word, word, o->number, o->now_ms);
    return send_frame(j->private_fd, OP_TEXT, out, (size_t)n);
}

/* What became of an order that found nothing: everything the venue has to say of it. */
static int tell(struct job *j, const struct frame *f) {
    struct order o;
    int r;
    read_order(j, f, &o);
    if ((r = answer_order(j, &o)) < 0 || !o.acked || j->private_fd < 0)
        return r;
    return (r = report(j, &o, "NEW")) < 0 ? r : report(j, &o, "EXPIRED");
}

/* Anything that is not an order: pings, and requests answered with an empty success. */
static int answer_other(struct job *j, struct line *l, const struct frame *f) {
    char id[FIELD], out[REPLY];
    j->controls++;
    if (f->op == OP_CLOSE)
        return CLOSED;
    if (f->op == OP_PING)
        return send_frame(l->fd, 10, f->data, f->size);
    if (f->op != OP_TEXT)
        return 0;
    value_of(f, "\"id\":", id);
    int n = snprintf(out, sizeof out,
                     l->fd != j->order_fd ? "{\"result\":null,\"id\":%s}" : "{\"id\":%s,\"status\":200,\"result\":{}}",
                     id);
    return send_frame(l->fd, OP_TEXT, out, (size_t)n);
}

static void keep(struct job *j, int64_t i, const struct frame *f) {
    size_t room = (size_t)j->slot_size - 1, size = f->size < room ? f->size : room;
    memcpy(j->orders + i * j->slot_size, f->data, size);
    j->orders[i * j->slot_size + (int64_t)size] = 0;
}

/* Handles the frames of one line. With `i >= 0` it returns 1 at the first order, having noted its time. */
static int service(struct job *j, struct line *l, int64_t i, int64_t start_ns) {
    struct frame f;
    int r = fill(l);
    if (r < 0)
        return r;
    while ((r = peek(l, &f)) == 1) {
        int64_t done_ns = now_ns();
        unmask(&f);
        int order = f.op == OP_TEXT && l->fd == j->order_fd && holds(&f, "\"method\":\"order.place\"");
        l->used += f.total;
        if (!order) {
            if ((r = answer_other(j, l, &f)) < 0)
                return r;
            continue;
        }
        j->orders_seen++;
        if (i < 0)
            j->strays++;
        if ((r = tell(j, &f)) < 0)
            return r;
        if (i >= 0) {
            j->out_ns[i] = done_ns - start_ns;
            keep(j, i, &f);
            return 1;
        }
    }
    return r;
}

struct lines {
    struct line md, second, order, private;
};

/* The copy of a frame that is still to be sent; fd -1: none. */
struct copy {
    int fd;
    int64_t due_ns;
};

static uint64_t next_random(uint64_t *lcg) {
    *lcg = *lcg * 6364136223846793005ULL + 1442695040888963407ULL;
    return *lcg >> 33;
}

/* Sends the copy once it is due. */
static int send_copy(struct job *j, struct copy *copy, int64_t i) {
    int fd = copy->fd;
    if (fd < 0 || now_ns() < copy->due_ns)
        return 0;
    copy->fd = -1;
    return send_all(fd, j->frames[i], (size_t)j->lens[i]);
}

/* Before the first order nothing is measured: a client that still proves its account gets the processor. */
static void yield_at_start(const struct job *j) {
    const struct timespec a_little = {0, 100000};
    if (!j->orders_seen)
        nanosleep(&a_little, NULL);
}

/* Between two frames: keep all lines answered, so that nothing old is in flight when the clock starts. Market line
 * and private line are read here only, so that a measured interval polls one socket. */
static int pause_for(struct job *j, struct lines *l, int64_t pause_ns) {
    int64_t until_ns = now_ns() + pause_ns;
    int r;
    do {
        if ((r = service(j, &l->order, -1, 0)) < 0 || (r = service(j, &l->md, -1, 0)) < 0)
            return r;
        if (j->private_fd >= 0 && (r = service(j, &l->private, -1, 0)) < 0)
            return r;
        if (j->second_fd >= 0 && (r = service(j, &l->second, -1, 0)) < 0)
            return r;
        yield_at_start(j);
    } while (now_ns() < until_ns);
    return 0;
}

/* After a missed frame: a late order must not be taken for the answer to the next one. 1 where it came. */
static int await_late(struct job *j, struct lines *l) {
    int64_t late_ns = j->orders_seen || j->late_ns < START_LATE_NS ? j->late_ns : START_LATE_NS;
    int64_t before = j->strays, until_ns = now_ns() + late_ns;
    while (j->strays == before && now_ns() < until_ns) {
        int r = pause_for(j, l, 0);
        if (r < 0)
            return r;
    }
    return j->strays != before;
}

static int one_frame(struct job *j, struct line *order, int64_t i, uint64_t *lcg) {
    int64_t timeout_ns = i ? j->timeout_ns : j->first_timeout_ns, start_ns;
    int second_first = j->second_fd >= 0 && next_random(lcg) % 4 == 0, r;
    struct copy copy = {second_first ? j->md_fd : j->second_fd, 0};
    if (copy.fd >= 0)
        copy.due_ns = COPY_MIN_NS + (int64_t)(next_random(lcg) % (COPY_MAX_NS - COPY_MIN_NS));
    start_ns = now_ns();
    copy.due_ns += start_ns;
    if ((r = send_all(second_first ? j->second_fd : j->md_fd, j->frames[i], (size_t)j->lens[i])) < 0)
        return r;
    do {
        if ((r = service(j, order, i, start_ns)) != 0 || (r = send_copy(j, &copy, i)) < 0)
            break;
        yield_at_start(j);
    } while (now_ns() - start_ns < timeout_ns);
    while (r >= 0 && copy.fd >= 0)
        r = send_copy(j, &copy, i);
    return r < 0 ? r : 0;
}

/* A frame without an order: 0 where the run goes on. Before the first order a client may still be proving its
 * account; behind it, too many of them make the run invalid anyway. */
static int on_missed(struct job *j, struct lines *l, int *silent) {
    int r = await_late(j, l), started = j->orders_seen > 0;
    if (r < 0)
        return r;
    if (started && ++j->missed > j->max_missed)
        return SILENT;
    return r == 0 && ++*silent > (started ? MAX_SILENT : MAX_START) ? SILENT : 0;
}

/* 0, or one of the negative codes above. The generator only spreads the pauses; its quality does not matter. */
int run(struct job *j) {
    static struct lines l;
    uint64_t lcg = j->seed;
    int r, silent = 0;
    l.md = (struct line){.fd = j->md_fd};
    l.order = (struct line){.fd = j->order_fd};
    l.private = (struct line){.fd = j->private_fd};
    l.second = (struct line){.fd = j->second_fd};
    for (int64_t i = 0; i < j->n; i++) {
        uint64_t span_ns = (uint64_t)(j->pause_max_ns - j->pause_min_ns + 1);
        int64_t pause_ns = j->pause_min_ns + (int64_t)(next_random(&lcg) % span_ns);
        j->out_ns[i] = -1;
        if ((r = one_frame(j, &l.order, i, &lcg)) < 0)
            return r;
        if (j->out_ns[i] < 0 && (r = on_missed(j, &l, &silent)) < 0)
            return r;
        if (j->out_ns[i] >= 0)
            silent = 0;
        if ((r = pause_for(j, &l, pause_ns)) < 0)
            return r;
    }
    return 0;
}
