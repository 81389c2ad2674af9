/* Histories of the shelf: every committed item reaches exactly one consumer that lives, in the queue's order; a dead
 * taker's item comes back or becomes a dead letter; the counts are exact again after a death at any step. */
#include "explore.h"
#include "shelf.h"

#include <string.h>

#define PER_PRODUCER 3
#define NO_ITEM 255u

static union {
    struct hf_queue queue;
    unsigned char room[HF_QUEUE_STORE_AT + sizeof(struct hf_shelf)];
} memory;
static struct hf_queue *const q = &memory.queue;

static int producers;  /* fibers 0 .. producers - 1 */
static unsigned each;  /* items a producer puts */
static bool wholesale; /* somebody throws away what is queued */
static struct hf_seat seats[HX_FIBERS + 1];
static bool committed[HX_FIBERS][PER_PRODUCER]; /* put returned */
static unsigned finished[HX_FIBERS][PER_PRODUCER];
static unsigned lettered[HX_FIBERS][PER_PRODUCER];
static bool in_hand[HX_FIBERS][HX_FIBERS][PER_PRODUCER]; /* consumer has, or is releasing, this item */
static unsigned ended;

static void reset_to(struct hf_queue_config how, int n, unsigned items) {
    memset(&memory, 0, sizeof memory);
    how.max_bytes = 1 << 20;
    how.nbytes = sizeof memory;
    hf_queue_init(q, &how);
    producers = n;
    each = items;
    wholesale = false;
    ended = 0;
    memset(seats, 0, sizeof seats);
    memset(committed, 0, sizeof committed);
    memset(finished, 0, sizeof finished);
    memset(lettered, 0, sizeof lettered);
    memset(in_hand, 0, sizeof in_hand);
    hx_name(q, sizeof memory, "queue");
}
#define CONFIG(...) ((struct hf_queue_config){__VA_ARGS__})
static void reset_lifo_pair(void) {
    reset_to(CONFIG(.flavour = HF_LIFO), 1, 3);
}
static void reset_priority_pair(void) {
    reset_to(CONFIG(.flavour = HF_PRIORITY), 1, 3);
}
static void reset_narrow(void) {
    reset_to(CONFIG(.flavour = HF_LIFO, .maxsize = 1), 1, 3);
}
static void reset_lifo_order(void) {
    reset_to(CONFIG(.flavour = HF_LIFO), 2, 3);
}
static void reset_priority_order(void) {
    reset_to(CONFIG(.flavour = HF_PRIORITY), 2, 3);
}
static void reset_two_consumers(void) {
    reset_to(CONFIG(.flavour = HF_PRIORITY), 1, 2);
}
static void reset_four(void) {
    reset_to(CONFIG(.flavour = HF_PRIORITY), 2, 1);
}
static void reset_four_again(void) {
    reset_to(CONFIG(.redeliver = 1), 2, 1);
}
static void reset_again(void) {
    reset_to(CONFIG(.redeliver = 1), 1, 2);
}
static void reset_lifo_again(void) {
    reset_to(CONFIG(.flavour = HF_LIFO, .redeliver = 1), 1, 2);
}
static void reset_letters(void) {
    reset_to(CONFIG(.redeliver = 1, .max_deliveries = 1), 1, 2);
}
static void reset_thrown(void) {
    reset_to(CONFIG(.redeliver = 1), 1, 2);
    wholesale = true;
}
static void reset_thrown_lifo(void) {
    reset_to(CONFIG(.flavour = HF_LIFO), 1, 2);
    wholesale = true;
}

/* ---- items: byte 0 the producer, byte 1 the number; the key is the number, from the last to the first ---- */

static unsigned key_of(unsigned i) {
    return PER_PRODUCER - i;
}

/* Every second one has a payload block. */
static uint64_t payload_of(unsigned from, unsigned i) {
    return i % 2 == 0 ? 1 + from * PER_PRODUCER + i : 0;
}

static void look_at(const struct hf_lease *l, unsigned *from, unsigned *i) {
    const unsigned char *bytes = l->data;
    *from = bytes[0];
    *i = bytes[1];
    hx_assert(l->length == 2 && *from < (unsigned)producers && *i < each && l->kind == 7);
    hx_assert(l->block == payload_of(*from, *i) && l->block_uid == l->block);
    hx_assert(l->block == 0 || hx_consigned(l->block));
    hx_assert(l->deliveries == 1 || (q->redeliver && hx_any_dead() && l->deliveries == 2));
}

/* ---- producers ---- */

static int put(int me, unsigned i) {
    unsigned char bytes[2] = {(unsigned char)me, (unsigned char)i}, key = (unsigned char)key_of(i);
    bool keyed = q->flavour == HF_PRIORITY;
    struct hf_item item = {.data = bytes, .length = 2, .kind = 7, .key = &key, .key_length = keyed};
    item.block = item.block_uid = payload_of((unsigned)me, i);
    item.outside = item.block != 0 ? 100 : 0;
    struct hf_patience p = hf_patience(HF_FOREVER, true);
    for (;;) {
        int r = hf_shelf_put(q, hx_who(me), &item, -1);
        if (r != HF_BUSY) return r;
        r = hf_queue_wait_room(q, hf_shelf_weight(&item), &p);
        hx_assert(r == HF_OK || r == HF_INTR);
    }
}

/* The last living producer closes the queue. */
static void produce(int me) {
    for (unsigned i = 0; i < each; i++) {
        int r = put(me, i);
        hx_assert(r == HF_OK || (wholesale && r == HF_CLOSED));
        if (r == HF_OK) committed[me][i] = true;
    }
    unsigned gone = 0;
    for (int i = 0; i < producers; i++) gone += hx_dead(i);
    if (++ended + gone == (unsigned)producers) hf_queue_shut(q, hx_who(me), 1);
}

/* ---- consumers ---- */

static int take(int me, bool back) {
    struct hf_lease l;
    unsigned from, i;
    struct hf_seat *seat = &seats[me + 1];
    int r = hf_shelf_take(q, hx_who(me), seat, false, true, &l);
    if (r != HF_OK) return r;
    look_at(&l, &from, &i);
    if (me >= 0) in_hand[me][from][i] = true;
    if (back) {
        hx_assert(hf_shelf_return(q, hx_who(me), seat, l.lease, l.serial) == HF_OK);
        in_hand[me][from][i] = false;
        return HF_OK;
    }
    hx_assert(hf_shelf_release(q, hx_who(me), seat, l.lease, l.serial) == HF_OK);
    finished[from][i]++;
    if (me >= 0) in_hand[me][from][i] = false;
    if (!q->redeliver) hx_assert(hf_queue_done(q, hx_who(me), seat) == HF_OK);
    hx_assert(hf_shelf_release(q, hx_who(me), seat, l.lease, l.serial) == HF_WRONG);
    return HF_OK;
}

static void consume(int me, bool back) {
    struct hf_patience p = hf_patience(hf_now() + 300 * HF_MS, true);
    for (;;) {
        int r = take(me, back);
        back = back && r != HF_OK;
        if (r == HF_CLOSED) return;
        if (r == HF_OK) continue;
        hx_assert(r == HF_BUSY);
        r = hf_queue_wait_item(q, &p);
        if (r != HF_TIMEOUT) continue;
        if (hx_any_dead()) return; /* nobody closed: the producer that should have is dead */
        hx_assert(hx.mode == HX_TICKS); /* others slept long: the clock is one for all */
        p = hf_patience(hf_now() + 300 * HF_MS, true);
    }
}

static void work(int me) {
    if (me < producers) produce(me);
    else consume(me, false);
}
static void work_with_return(int me) {
    if (me < producers) produce(me);
    else consume(me, me == producers);
}
static void work_and_throw(int me) {
    if (me < producers) produce(me);
    else if (me == producers) consume(me, false);
    else hf_queue_shut(q, hx_who(me), 2);
}

/* ---- in the end ---- */

/* What nobody took comes out in order. */
static void drain(void) {
    struct hf_lease l, before = {0};
    unsigned from, i, key_before = 0;
    while (hf_shelf_take(q, hx_who(-1), &seats[0], false, true, &l) == HF_OK) {
        look_at(&l, &from, &i);
        if (before.lease != 0 && q->flavour == HF_LIFO)
            hx_assert(before.deliveries > l.deliveries || before.serial > l.serial);
        if (before.lease != 0 && q->flavour == HF_FIFO) hx_assert(before.serial < l.serial);
        if (before.lease != 0 && q->flavour == HF_PRIORITY)
            hx_assert(key_before < key_of(i) || (key_before == key_of(i) && before.serial < l.serial));
        before = l;
        key_before = key_of(i);
        hx_assert(hf_shelf_release(q, hx_who(-1), &seats[0], l.lease, l.serial) == HF_OK);
        if (!q->redeliver) hx_assert(hf_queue_done(q, hx_who(-1), &seats[0]) == HF_OK);
        finished[from][i]++;
    }
    for (uint64_t n = hf_shelf_dead_letters(q); n != 0; n--) {
        hx_assert(hf_shelf_take(q, hx_who(-1), &seats[0], true, false, &l) == HF_OK);
        look_at(&l, &from, &i);
        hx_assert(hf_shelf_release(q, hx_who(-1), &seats[0], l.lease, l.serial) == HF_OK);
        lettered[from][i]++;
    }
    hx_assert(hf_shelf_take(q, hx_who(-1), &seats[0], true, false, &l) == HF_BUSY);
}

/* A dead consumer's last item: whether it was finished, nobody else can know. Without redeliver it is gone with it. */
static bool with_the_dead(int from, unsigned i) {
    for (int c = producers; c < hx.history->fibers; c++)
        if (hx_dead(c) && in_hand[c][from][i]) return true;
    return false;
}

static void check_item(int from, unsigned i) {
    unsigned n = finished[from][i] + lettered[from][i];
    hx_assert(n <= 1 && (lettered[from][i] == 0 || q->max_deliveries != 0));
    if (committed[from][i] && n == 0 && !wholesale && !with_the_dead(from, i)) {
        /* taken by one who died before it could say so: without redeliver it is lost with him */
        bool consumer_died = false;
        for (int c = producers; c < hx.history->fibers; c++) consumer_died |= hx_dead(c);
        hx_assert(consumer_died && !q->redeliver);
    }
    hx_assert(!hx_consigned(payload_of((unsigned)from, i)));
}

static void check(void) {
    struct hf_loss loss;
    hf_queue_settle(q, hx_who(-1), &loss); /* enters and mends */
    drain();
    hf_queue_settle(q, hx_who(-1), &loss);
    unsigned missing = 0;
    for (int from = 0; from < producers; from++)
        for (unsigned i = 0; i < each; i++) {
            check_item(from, i);
            missing += committed[from][i] && finished[from][i] + lettered[from][i] == 0;
        }
    hx_assert(missing <= (wholesale ? each : hx_any_dead() ? 1u : 0u));
    hx_assert(hf_queue_size(q) == 0 && hf_queue_bytes(q) == 0);
    hx_assert(hf_load(&q->put.count, HF_RELAXED) == hf_load(&q->done, HF_RELAXED));
    hx_assert(hf_load(&q->put.count, HF_RELAXED) == hf_load(&q->take.count, HF_RELAXED));
    hx_assert(hx_extents() <= 1u + (hx_any_dead() ? 1u : 0u)); /* the index, and what the dead one was about to free */
}

/* The queue goes as it is, without anybody having mended it. */
static void check_disposed(void) {
    hf_queue_dispose(NULL, q);
    hf_queue_dispose(NULL, q);
    for (uint64_t b = 1; b < HX_PAYLOADS; b++) hx_assert(!hx_consigned(b));
}

#define ALL (HX_PLAIN | HX_TICKS | HX_DEATH)
static const struct hx_history histories[] = {
    {"shelf_lifo", 2, ALL, {2, 2, 1}, reset_lifo_pair, work, NULL, check, {0}},
    {"shelf_priority", 2, ALL, {2, 2, 1}, reset_priority_pair, work, NULL, check, {0}},
    {"shelf_narrow", 2, HX_PLAIN | HX_TICKS, {2, 2, 0}, reset_narrow, work, NULL, check, {0}},
    {"shelf_lifo_order", 2, HX_PLAIN | HX_DEATH, {2, 0, 1}, reset_lifo_order, work, NULL, check, {0}},
    {"shelf_priority_order", 2, HX_PLAIN | HX_DEATH, {2, 0, 1}, reset_priority_order, work, NULL, check, {0}},
    {"shelf_two_consumers", 3, ALL, {1, 1, 0}, reset_two_consumers, work, NULL, check, {0}},
    {"shelf_four", 4, ALL, {1, 1, 0}, reset_four, work, NULL, check, {0}},
    {"shelf_four_again", 4, ALL, {1, 1, 0}, reset_four_again, work, NULL, check, {0}},
    {"shelf_again", 3, ALL, {1, 1, 0}, reset_again, work, NULL, check, {0}},
    {"shelf_lifo_again", 3, HX_DEATH, {0, 0, 0}, reset_lifo_again, work, NULL, check, {0}},
    {"shelf_letters", 3, HX_DEATH, {0, 0, 0}, reset_letters, work, NULL, check, {0}},
    {"shelf_return", 3, ALL, {1, 1, 0}, reset_again, work_with_return, NULL, check, {0}},
    {"shelf_thrown", 3, ALL, {1, 1, 0}, reset_thrown, work_and_throw, NULL, check, {0}},
    {"shelf_thrown_lifo", 3, HX_PLAIN | HX_DEATH, {1, 0, 0}, reset_thrown_lifo, work_and_throw, NULL, check, {0}},
    {"shelf_disposed", 2, HX_PLAIN | HX_DEATH, {1, 0, 1}, reset_again, work, NULL, check_disposed, {0}},
    {0},
};

int main(int argc, char **argv) {
    return hx_main(argc, argv, histories);
}
