/* Histories of the queue that is first in, first out: every committed item reaches exactly one living consumer, in order
 * per producer, but for what a dead consumer had taken; counts are exact after the next entry; payload blocks live
 * exactly as long as they are queued; nobody sleeps for ever, joiners neither, whoever dies.
 *
 * Segments are tiny here (HF_TINY_SEGMENTS), so that a few items make the queue grow, advance, free and shrink.
 */
#include "explore.h"
#include "fifo.h"

#include <string.h>

#define MOST 4         /* items of a producer */
#define LONGEST 1000u  /* such an item gets the largest segment to itself */
#define FIRST_LINK 2u  /* what fifo.c calls FIRST */

/* A history in a word: what each fiber is. */
enum part { PRODUCER, CONSUMER, JOINER, SHUTTER, POLLER };

static const struct plan {
    enum part part[HX_FIBERS];
    int producers;             /* they come first */
    unsigned each;             /* items of a producer */
    uint32_t put_at_once, take_at_once;
    uint64_t first;            /* bytes of the first segment */
    uint64_t maxsize, max_bytes;
    unsigned blocks, large;    /* bit masks: which of a producer's items have a block, which are LONGEST */
} *plan;

static union {
    struct hf_queue queue;
    unsigned char room[1024];
} memory;
static struct hf_queue *const q = &memory.queue;

struct set {
    bool has[HX_FIBERS][MOST];
};
static struct set committed, delivered, finished;
static struct set holding[HX_FIBERS]; /* what a consumer is about to take, or took and has not yet noted */
static unsigned next_of[HX_FIBERS];   /* number of a producer's item that comes next */
static int again[HX_FIBERS];          /* or this one, which a dead consumer held; -1: none */
static unsigned ended;                /* producers */
static bool bell_works;               /* the poller's wish is noted */

static void reset(const struct plan *the_plan) {
    plan = the_plan;
    memset(&memory, 0, sizeof memory);
    uint64_t nbytes = HF_QUEUE_STORE_AT + sizeof(struct hf_segment) + plan->first;
    struct hf_queue_config how = {.flavour = HF_FIFO, .maxsize = plan->maxsize, .nbytes = nbytes,
                                  .max_bytes = plan->max_bytes != 0 ? plan->max_bytes : 1u << 20};
    hf_queue_init(q, &how);
    memset(&committed, 0, sizeof committed);
    memset(&delivered, 0, sizeof delivered);
    memset(&finished, 0, sizeof finished);
    memset(holding, 0, sizeof holding);
    memset(next_of, 0, sizeof next_of);
    for (int i = 0; i < HX_FIBERS; i++) again[i] = -1;
    ended = 0;
    bell_works = false;
    hx_name(q, sizeof memory, "queue");
}

/* What lies there, without a step. */
static uint64_t peek(hf_a64 *p) {
    return atomic_load(p);
}
static uint64_t block_of(int from, unsigned i) {
    return plan->blocks & 1u << i ? 1 + (uint64_t)from * MOST + i : 0;
}
static bool is(int fiber, enum part part) {
    return fiber < hx.history->fibers && plan->part[fiber] == part;
}
static bool someone_died(enum part part) {
    for (int i = 0; i < hx.history->fibers; i++)
        if (is(i, part) && hx_dead(i)) return true;
    return false;
}

/* ---- producers ---- */

static struct hf_item item_of(int me, unsigned i, unsigned char *bytes) {
    uint32_t length = plan->large & 1u << i ? LONGEST : 8;
    memset(bytes, 16 * me + (int)i + 1, length);
    uint64_t block = block_of(me, i);
    return (struct hf_item){.data = bytes, .length = length, .kind = (uint32_t)me << 8 | i, .block = block,
                            .block_uid = block, .outside = block != 0 ? 100 : 0};
}

static void note_put(int me, unsigned from, uint32_t n) {
    for (unsigned i = from; i < from + n; i++) committed.has[me][i] = true;
    if (plan->maxsize != 0 && !hx_any_dead()) hx_assert(peek(&q->put.count) - peek(&q->take.count) <= plan->maxsize);
}

/* HF_OK or HF_CLOSED. */
static int put(int me, const struct hf_item *items, unsigned from, uint32_t n) {
    struct hf_patience p = hf_patience(HF_FOREVER, true);
    int bell = -1;
    for (;;) {
        uint32_t put = 0;
        int r = hf_fifo_put(q, hx_who(me), items, n, &put, bell);
        note_put(me, from, put);
        items += put;
        from += put;
        n -= put;
        hx_assert((r == HF_OK) == (n == 0));
        if (r == HF_OK || r == HF_CLOSED) return r;
        if (r == HF_BELL) {
            bell = 3;
            continue;
        }
        hx_assert(r == HF_BUSY);
        r = hf_queue_wait_room(q, hf_fifo_weight(items), &p);
        hx_assert(r == HF_OK || r == HF_INTR);
    }
}

/* The last living producer closes the queue. */
static void produce(int me) {
    unsigned char bytes[MOST][LONGEST];
    struct hf_item items[MOST];
    for (unsigned i = 0; i < plan->each; i++) items[i] = item_of(me, i, bytes[i]);
    for (unsigned i = 0; i < plan->each; i += plan->put_at_once) {
        uint32_t n = plan->each - i < plan->put_at_once ? plan->each - i : plan->put_at_once;
        if (put(me, &items[i], i, n) != HF_OK) break;
    }
    unsigned gone = 0;
    for (int i = 0; i < plan->producers; i++) gone += hx_dead(i);
    if (++ended + gone == (unsigned)plan->producers) hf_queue_shut(q, hx_who(me), 1);
}

/* ---- consumers ---- */

static void look_at(int me, const struct hf_cursor *c, const struct hf_found *f) {
    unsigned char bytes[LONGEST];
    int from = (int)(f->kind >> 8);
    unsigned i = f->kind & 255;
    hx_assert(from < plan->producers && i < plan->each && f->block == block_of(from, i) && f->block_uid == f->block);
    hx_assert(f->length == (plan->large & 1u << i ? LONGEST : 8));
    hf_fifo_copy(c, f, bytes);
    for (unsigned k = 0; k < f->length; k++) hx_assert(bytes[k] == 16 * from + (int)i + 1);
    if (f->block != 0) hx_assert(hx_consigned(f->block));
    hx_assert(i == next_of[from] || (int)i == again[from] || (hx_any_dead() && atomic_load(&q->closed) == 2));
    if (i != next_of[from]) again[from] = -1;
    next_of[from] = i + 1;
    hx_assert(!delivered.has[from][i]);
    if (me >= 0) holding[me].has[from][i] = true;
}

/* What we held is ours. */
static uint32_t note_taken(int me) {
    uint32_t n = 0;
    for (int from = 0; from < plan->producers; from++) {
        for (unsigned i = 0; i < plan->each; i++) {
            if (!holding[me].has[from][i]) continue;
            hx_assert(!delivered.has[from][i]);
            if (block_of(from, i) != 0) hx_assert(!hx_consigned(block_of(from, i)));
            delivered.has[from][i] = finished.has[from][i] = true;
            n++;
        }
    }
    memset(&holding[me], 0, sizeof holding[me]);
    return n;
}

/* HF_OK, HF_BUSY or HF_CLOSED. */
static int take(int me, struct hf_seat *seat) {
    struct hf_cursor c;
    struct hf_found f;
    int r = hf_fifo_begin(q, hx_who(me), seat, &c);
    if (r != HF_OK) return r;
    while (c.n < plan->take_at_once && hf_fifo_look(&c, &f)) {
        if (!hf_fifo_pass(&c, &f)) break; /* one with a block is taken alone */
        look_at(me, &c, &f);
    }
    hf_fifo_end(q, hx_who(me), seat, &c);
    for (uint32_t n = note_taken(me); n > 0; n--) hx_assert(hf_queue_done(q, hx_who(me), seat) == HF_OK);
    return HF_OK;
}

static void consume(int me) {
    struct hf_seat seat = {0};
    struct hf_patience p = hf_patience(hf_now() + 300 * HF_MS, true);
    for (;;) {
        int r = take(me, &seat);
        if (r == HF_CLOSED) return;
        if (r == HF_OK) continue;
        hx_assert(r == HF_BUSY);
        r = hf_queue_wait_item(q, &p);
        if (r != HF_TIMEOUT) continue;
        hx_assert(hx_any_dead()); /* nobody closed: the producer that should have is dead */
        return;
    }
}

/* What it held comes again if it had not committed. */
static void died(int me) {
    for (int from = 0; from < plan->producers; from++)
        for (unsigned i = MOST; i-- > 0;)
            if (holding[me].has[from][i]) again[from] = (int)i;
}

/* ---- the others ---- */

static bool all_put(void) {
    unsigned gone = 0;
    for (int i = 0; i < plan->producers; i++) gone += hx_dead(i);
    return ended + gone >= (unsigned)plan->producers;
}

static void join(int me) {
    struct hf_patience p = hf_patience(HF_FOREVER, false);
    struct hf_loss loss;
    hx_until(all_put);
    while (hf_queue_unfinished(q) != 0)
        if (hf_queue_wait_done(q, &p) == HF_TICK) hf_queue_settle(q, hx_who(me), &loss);
    for (int from = 0; from < plan->producers; from++)
        for (unsigned i = 0; i < plan->each; i++)
            hx_assert(!committed.has[from][i] || finished.has[from][i] || someone_died(CONSUMER) ||
                      atomic_load(&q->closed) == 2);
}

static bool rings(void) {
    return hx_rung || all_put() || hx_any_dead();
}

/* As a program that polls the descriptor and takes what there is when it is readable. */
static void poll(int me) {
    struct hf_seat seat = {0};
    hf_queue_want_bell(q, hx_who(me), 3);
    bell_works = true;
    for (int i = 0; i < 20; i++) {
        hx_until(rings);
        int r = take(me, &seat);
        if (r == HF_CLOSED || (r == HF_BUSY && !hx_rung)) return;
        if (r == HF_BUSY) hf_queue_hush(q, hx_who(me), 3);
        if (r == HF_BUSY && hx_rung) hx_until_quiet(); /* somebody is about to put */
    }
    hx_fail("the bell rings on and on, and nothing is there");
}

static void work(int me) {
    switch (plan->part[me]) {
    case PRODUCER: produce(me); break;
    case CONSUMER: consume(me); break;
    case JOINER: join(me); break;
    case SHUTTER: hf_queue_shut(q, hx_who(me), 2); break;
    case POLLER: poll(me); break;
    }
}

/* ---- afterwards ---- */

static uint64_t drain(void) {
    struct hf_seat seat = {0};
    struct hf_cursor c;
    struct hf_found f;
    uint64_t n = 0;
    while (hf_fifo_begin(q, hx_who(-1), &seat, &c) == HF_OK) {
        hx_assert(hf_fifo_look(&c, &f));
        look_at(-1, &c, &f);
        delivered.has[f.kind >> 8][f.kind & 255] = true;
        hx_assert(hf_fifo_pass(&c, &f));
        hf_fifo_end(q, hx_who(-1), &seat, &c);
        n++;
    }
    return n;
}

static void check_items(bool thrown_away) {
    uint64_t all = 0, lost = 0;
    for (int from = 0; from < plan->producers; from++) {
        for (unsigned i = 0; i < plan->each; i++) {
            bool with_the_dead = false;
            for (int k = 0; k < hx.history->fibers; k++) with_the_dead |= hx_dead(k) && holding[k].has[from][i];
            all += delivered.has[from][i];
            if (block_of(from, i) != 0) hx_assert(!hx_consigned(block_of(from, i)));
            if (delivered.has[from][i]) continue;
            if (!hx_dead(from) && !thrown_away && !committed.has[from][i]) hx_fail("a producer has not finished");
            lost += with_the_dead;
            if (committed.has[from][i] && !with_the_dead && !thrown_away) hx_fail("item %u of %d is lost", i, from);
        }
    }
    if (!thrown_away) hx_assert(peek(&q->put.count) == all + lost);
}

static void check(void) {
    struct hf_loss loss;
    hf_queue_settle(q, hx_who(-1), &loss); /* enters both sides */
    bool thrown_away = atomic_load(&q->closed) == 2;
    hf_queue_shut(q, hx_who(-1), 1); /* so that an empty look goes under the locks, and tidies up */
    uint64_t queued = hf_queue_size(q), done = peek(&q->done);
    hx_assert(q->put.intent == 0 && q->take.intent == 0);
    if (bell_works && queued != 0) hx_assert(hx_rung);
    hx_assert(hf_queue_unfinished(q) == queued && done <= peek(&q->put.count)); /* the rest is done, or written off */
    hx_assert(drain() == queued && hf_queue_bytes(q) == 0 && hf_queue_size(q) == 0);
    hx_assert(peek(&q->put.count) == peek(&q->take.count) && peek(&q->put.bytes) == peek(&q->take.bytes));
    check_items(thrown_away);
    uint64_t last = peek(&q->put.segment);
    hx_assert(last == peek(&q->take.segment) && (thrown_away || atomic_load(&q->large) == 0));
    unsigned needed = last != FIRST_LINK;
    hx_assert(hx_extents() >= needed && hx_extents() <= needed + (hx_any_dead() ? 2 : 0));
    hf_queue_dispose(NULL, q);
    hf_queue_dispose(NULL, q);
}

/* The block goes with items in it, and with whatever the dead left: no payload block may stay. */
static void check_disposal(void) {
    hf_queue_dispose(NULL, q);
    for (int from = 0; from < plan->producers; from++)
        for (unsigned i = 0; i < plan->each; i++)
            if (block_of(from, i) != 0) hx_assert(!hx_consigned(block_of(from, i)));
}

/* ---- the histories ---- */

#define HISTORY(name, ...)                                                                                   \
    static void reset_##name(void) {                                                                         \
        static const struct plan it = {__VA_ARGS__};                                                         \
        reset(&it);                                                                                          \
    }
#define P PRODUCER
#define C CONSUMER

HISTORY(pair, {P, C}, 1, 4, 1, 1, 48, 0, 0, 0, 0)
HISTORY(batches, {P, C, C}, 1, 3, 3, 2, 48, 0, 0, 0, 0)
HISTORY(two_producers, {P, P, C}, 2, 2, 2, 1, 48, 1, 0, 0, 0)
HISTORY(bytes, {P, P, C}, 2, 2, 1, 2, 48, 0, 32, 0, 0)
HISTORY(four, {P, P, C, C}, 2, 2, 1, 2, 24, 0, 0, 0, 0)
HISTORY(blocks, {P, C, C}, 1, 3, 3, 2, 96, 0, 0, 5, 0)
HISTORY(unread, {P, C}, 1, 3, 1, 1, 48, 0, 0, 7, 0)
HISTORY(shrink, {P, C}, 1, 3, 1, 1, 24, 0, 0, 0, 2)
HISTORY(shrink_two, {P, C, C}, 1, 2, 1, 1, 24, 0, 0, 0, 1)
HISTORY(join, {P, C, C, JOINER}, 1, 2, 1, 1, 48, 0, 0, 0, 0)
HISTORY(shut, {P, C, SHUTTER}, 1, 3, 1, 2, 48, 0, 0, 4, 0)
HISTORY(shut_join, {P, C, SHUTTER, JOINER}, 1, 2, 2, 1, 48, 0, 0, 0, 0)
HISTORY(bell, {P, POLLER}, 1, 2, 1, 1, 48, 0, 0, 0, 0)

#define ALL (HX_PLAIN | HX_TICKS | HX_DEATH)
static const struct hx_history histories[] = {
    {"fifo_pair", 2, ALL, {2, 2, 1}, reset_pair, work, died, check, {0}},
    {"fifo_batches", 3, ALL, {1, 1, 1}, reset_batches, work, died, check, {0}},
    {"fifo_two_producers", 3, HX_PLAIN | HX_TICKS, {1, 1, 0}, reset_two_producers, work, died, check, {0}},
    {"fifo_bytes", 3, HX_PLAIN | HX_TICKS, {1, 1, 0}, reset_bytes, work, died, check, {0}},
    {"fifo_four", 4, ALL, {1, 1, 0}, reset_four, work, died, check, {0}},
    {"fifo_blocks", 3, ALL, {1, 1, 1}, reset_blocks, work, died, check, {0}},
    {"fifo_unread", 2, HX_DEATH, {0, 0, 1}, reset_unread, work, died, check_disposal, {0}},
    {"fifo_shrink", 2, ALL, {2, 2, 1}, reset_shrink, work, died, check, {0}},
    {"fifo_shrink_two", 3, ALL, {1, 1, 1}, reset_shrink_two, work, died, check, {0}},
    {"fifo_join", 4, ALL, {1, 1, 0}, reset_join, work, died, check, {0}},
    {"fifo_shut", 3, ALL, {1, 1, 1}, reset_shut, work, died, check, {0}},
    {"fifo_shut_join", 4, HX_PLAIN | HX_DEATH, {1, 0, 0}, reset_shut_join, work, died, check, {0}},
    {"fifo_bell", 2, ALL, {2, 2, 2}, reset_bell, work, died, check, {0}},
    {0},
};

int main(int argc, char **argv) {
    return hx_main(argc, argv, histories);
}
