/* Histories of the ring: every committed record reaches exactly one living consumer, in order per producer; a death
 * loses at most the dead one's own record. */
#include "explore.h"
#include "ring.h"

#include <string.h>

#define PER_PRODUCER 3
static union {
    struct hf_ring ring;
    unsigned char room[256];
} memory;
static struct hf_ring *const ring = &memory.ring;

static int producers;                              /* fibers 0 .. producers - 1 */
static unsigned each;                              /* records a producer puts */
static unsigned lengths[HX_FIBERS];                /* of a producer's records */
static bool committed[HX_FIBERS][PER_PRODUCER];
static unsigned delivered[HX_FIBERS][PER_PRODUCER]; /* to consumers that ended the taking */
static unsigned last[HX_FIBERS];                   /* sequence number last copied out, plus 1 */
static unsigned ended;                             /* producers that are done */
static bool drained;                               /* a living consumer saw the end */

static void reset_to(int n, unsigned records, uint64_t capacity) {
    memset(&memory, 0, sizeof memory);
    hf_ring_init(ring, capacity);
    producers = n;
    each = records;
    ended = 0;
    drained = false;
    memset(committed, 0, sizeof committed);
    memset(delivered, 0, sizeof delivered);
    memset(last, 0, sizeof last);
    for (int i = 0; i < HX_FIBERS; i++) lengths[i] = 8;
    hx_name(ring, sizeof memory, "ring");
}
static void reset_pair(void) {
    reset_to(1, 3, 48); /* room for two */
}
static void reset_two_consumers(void) {
    reset_to(1, 2, 48);
}
static void reset_two_producers(void) {
    reset_to(2, 1, 24); /* room for one */
}
static void reset_four(void) {
    reset_to(2, 1, 48);
}
static void reset_uneven(void) {
    reset_to(2, 2, 48);
    lengths[0] = 24;
}

/* ---- producers ---- */

static void put(int me, unsigned i) {
    unsigned char bytes[24];
    memset(bytes, 16 * me + (int)i + 1, sizeof bytes);
    struct hf_patience p = hf_patience(HF_FOREVER, true);
    for (;;) {
        int r = hf_ring_put(ring, hx_who(me), (uint64_t)me << 8 | i, bytes, lengths[me]);
        if (r == HF_OK) break;
        hx_assert(r == HF_BUSY);
        r = hf_ring_wait_room(ring, lengths[me], &p);
        hx_assert(r == HF_OK || r == HF_INTR);
    }
    committed[me][i] = true;
}

/* The last living producer closes the ring. */
static void produce(int me) {
    for (unsigned i = 0; i < each; i++) put(me, i);
    unsigned gone = 0;
    for (int i = 0; i < producers; i++) gone += hx_dead(i);
    if (++ended + gone == (unsigned)producers) hf_ring_close(ring, hx_who(me));
}

/* ---- consumers ---- */

static void took(const struct hf_record *record, const unsigned char *bytes) {
    unsigned from = (unsigned)(record->tag >> 8), i = (unsigned)(record->tag & 255);
    hx_assert(from < (unsigned)producers && i < each && record->length == lengths[from]);
    for (unsigned k = 0; k < record->length; k++) hx_assert(bytes[k] == 16 * from + i + 1);
    hx_assert(last[from] == i || (hx_any_dead() && last[from] == i + 1)); /* again, if its taker died */
    last[from] = i + 1;
}

/* HF_OK, HF_BUSY or HF_CLOSED. */
static int take(int me) {
    struct hf_record record;
    unsigned char bytes[24];
    int r = hf_ring_begin(ring, hx_who(me), &record);
    if (r != HF_OK) return r;
    hx_assert(record.length <= sizeof bytes);
    hf_ring_copy(ring, &record, bytes);
    took(&record, bytes);
    hf_ring_end(ring, &record, true);
    delivered[record.tag >> 8][record.tag & 255]++;
    return HF_OK;
}

static void consume(int me) {
    struct hf_patience p = hf_patience(hf_now() + 300 * HF_MS, true);
    for (;;) {
        int r = take(me);
        if (r == HF_CLOSED) return;
        if (r == HF_OK) continue;
        r = hf_ring_wait_record(ring, &p);
        if (r != HF_TIMEOUT) continue;
        /* nobody closed: the producer that should have is dead; and nothing may lie there while we sleep */
        hx_assert(hx_any_dead() && hf_ring_used(ring) == 0);
        return;
    }
}

static void work(int me) {
    if (me < producers) {
        produce(me);
    } else {
        consume(me);
        drained = true;
    }
}

static void check(void) {
    unsigned missing = 0;
    bool dead_consumer = false;
    for (int i = producers; i < hx.history->fibers; i++) dead_consumer |= hx_dead(i);
    for (int i = 0; i < producers; i++) {
        for (unsigned k = 0; k < each; k++) {
            hx_assert(delivered[i][k] <= 1);
            if (!committed[i][k] && !hx_dead(i) && drained) hx_fail("a living producer has not finished");
            missing += committed[i][k] && delivered[i][k] == 0;
        }
    }
    if (drained) hx_assert(missing <= (dead_consumer ? 1u : 0u));
    if (!hx_any_dead()) hx_assert(hf_ring_used(ring) == 0 && hf_ring_records(ring) == 0);
}

/* With the only consumer dead a producer would wait for room for ever: there is room for all. */
static void reset_pair_roomy(void) {
    reset_to(1, 3, 120);
}

/* Look at a record and put it back: the next one finds it. */
static void peek(int me) {
    if (me == 1) {
        struct hf_record record;
        if (hf_ring_begin(ring, hx_who(me), &record) == HF_OK) hf_ring_end(ring, &record, false);
        return;
    }
    work(me);
}

#define ALL (HX_PLAIN | HX_TICKS | HX_DEATH)
static const struct hx_history histories[] = {
    {"ring_pair", 2, HX_PLAIN | HX_TICKS, {4, 3, 0}, reset_pair, work, NULL, check, {0}},
    {"ring_pair_roomy", 2, HX_DEATH, {0, 0, 2}, reset_pair_roomy, work, NULL, check, {0}},
    {"ring_two_consumers", 3, ALL, {2, 2, 1}, reset_two_consumers, work, NULL, check, {0}},
    {"ring_two_producers", 3, HX_PLAIN | HX_TICKS, {2, 2, 0}, reset_two_producers, work, NULL, check, {0}},
    {"ring_uneven", 3, HX_PLAIN | HX_TICKS, {2, 1, 0}, reset_uneven, work, NULL, check, {0}},
    {"ring_four", 4, ALL, {1, 1, 1}, reset_four, work, NULL, check, {0}},
    {"ring_peek", 3, HX_PLAIN | HX_DEATH, {2, 0, 1}, reset_two_consumers, peek, NULL, check, {0}},
    {0},
};

int main(int argc, char **argv) {
    return hx_main(argc, argv, histories);
}
