/* The shelf under stress: two producers and two consumers, items of many lengths that are read where they lie,
 * members that die with an item in hand or inside the lock. With redeliver every item is finished once; without,
 * at most once. */
#include "shelf.h"
#include "stress.h"

#include <string.h>

#define LONGEST 300
#define ITEMS (1u << 18)
#define SENDS 4 /* payload blocks of each producer */

static union {
    struct hf_queue queue;
    unsigned char room[HF_QUEUE_STORE_AT + sizeof(struct hf_shelf)];
} memory;
static struct hf_queue *const q = &memory.queue;

static hf_a32 finished[2][ITEMS];
static hf_a32 busy[1 + 2 * SENDS]; /* payload blocks that a producer has handed over */
static hf_a32 producers_done;
static hf_a64 put_count, finished_count, lost_count;

struct content {
    uint32_t from, n;
    unsigned char bytes[LONGEST];
};

/* A payload block that is not on its way, or 0. */
static uint64_t spare_block(struct st_thread *t) {
    for (uint64_t b = 1 + (uint64_t)t->number * SENDS; b <= (uint64_t)(t->number + 1) * SENDS; b++)
        if (atomic_load_explicit(&busy[b], HF_RELAXED) == 0) return b;
    return 0;
}

static void die_inside(struct st_thread *t) {
    hf_queue_enter_put(q, &t->who);
    st_reborn(t);
}

static void put(struct st_thread *t, uint32_t n) {
    struct content c = {.from = (uint32_t)t->number, .n = n};
    uint32_t length = st_random(t, LONGEST + 1);
    unsigned char key[2] = {(unsigned char)st_random(t, 3), (unsigned char)st_random(t, 3)};
    memset(c.bytes, (int)(n & 255), sizeof c.bytes);
    struct hf_item item = {.data = &c, .length = 8 + length, .kind = length, .key = key};
    item.key_length = q->flavour == HF_PRIORITY ? 1 + st_random(t, 2) : 0;
    if (st_random(t, 4) == 0) item.block = item.block_uid = spare_block(t);
    if (item.block != 0) atomic_store_explicit(&busy[item.block], 1, HF_RELAXED);
    struct hf_patience p = hf_patience(HF_FOREVER, false);
    int r;
    while ((r = hf_shelf_put(q, &t->who, &item, -1)) == HF_BUSY)
        st_check(hf_queue_wait_room(q, hf_shelf_weight(&item), &p) == HF_OK);
    st_check(r == HF_OK);
    atomic_fetch_add_explicit(&put_count, 1, HF_RELAXED);
}

static void produce(struct st_thread *t) {
    for (uint32_t n = 0; n < ITEMS && !st_over(t); n++) {
        put(t, n);
        if (st_random(t, 500) == 0) st_reborn(t);
        if (st_random(t, 500) == 0) die_inside(t);
    }
    if (atomic_fetch_add_explicit(&producers_done, 1, HF_RELAXED) == 1) hf_queue_shut(q, &t->who, 1);
}

static const struct content *check_lease(const struct hf_lease *l) {
    const struct content *c = l->data;
    st_check(c->from < 2 && c->n < ITEMS && l->length == 8 + l->kind && l->kind <= LONGEST);
    for (uint32_t i = 0; i < l->kind; i++) st_check(c->bytes[i] == (c->n & 255));
    st_check(l->block == 0 || st_consigned(l->block));
    return c;
}

static void finish(struct st_thread *t, struct hf_seat *seat, const struct hf_lease *l) {
    const struct content *c = check_lease(l);
    st_check(atomic_fetch_add_explicit(&finished[c->from][c->n], 1, HF_RELAXED) == 0);
    st_check(hf_shelf_release(q, &t->who, seat, l->lease, l->serial) == HF_OK);
    if (!q->redeliver) st_check(hf_queue_done(q, &t->who, seat) == HF_OK);
    if (l->block != 0) atomic_store_explicit(&busy[l->block], 0, HF_RELAXED);
    atomic_fetch_add_explicit(&finished_count, 1, HF_RELAXED);
}

static void handle(struct st_thread *t, struct hf_seat *seat, const struct hf_lease *l) {
    unsigned what = st_random(t, 300);
    if (what == 0) { /* dies with it in hand */
        check_lease(l);
        atomic_fetch_add_explicit(&lost_count, !q->redeliver, HF_RELAXED);
        st_reborn(t);
    } else if (what < 10) {
        st_check(hf_shelf_return(q, &t->who, seat, l->lease, l->serial) == HF_OK);
    } else {
        finish(t, seat, l);
        if (what == 10) die_inside(t);
    }
}

static void consume(struct st_thread *t) {
    struct hf_seat seat = {0, NULL};
    struct hf_patience p = hf_patience(HF_FOREVER, false);
    struct hf_lease l;
    for (;; t->rounds++) {
        int r = hf_shelf_take(q, &t->who, &seat, false, st_random(t, 50) == 0, &l);
        if (r == HF_CLOSED) return;
        if (r == HF_OK) handle(t, &seat, &l);
        else st_check(r == HF_BUSY && hf_queue_wait_item(q, &p) == HF_OK);
    }
}

static void work(struct st_thread *t) {
    if (t->number < 2) produce(t);
    else consume(t);
}

/* One who died at the very end may have left something. */
static void drain(void) {
    struct st_thread t = {.number = 2, .who = st_checker(), .random = 1};
    struct hf_seat seat = {0, NULL};
    struct hf_loss loss;
    struct hf_lease l;
    hf_queue_settle(q, &t.who, &loss);
    while (hf_shelf_take(q, &t.who, &seat, false, true, &l) == HF_OK) finish(&t, &seat, &l);
    hf_queue_settle(q, &t.who, &loss);
}

static void run(const char *name, uint32_t flavour, bool redeliver) {
    struct hf_queue_config how = {.flavour = flavour, .redeliver = redeliver, .maxsize = 100, .max_bytes = 16384};
    memset(&memory, 0, sizeof memory);
    memset(finished, 0, sizeof finished);
    memset(busy, 0, sizeof busy);
    producers_done = 0;
    put_count = finished_count = lost_count = 0;
    hf_queue_init(q, &how);
    st_run(name, 4, 1, work);
    drain();
    st_check(put_count == finished_count + lost_count);
    st_check(hf_queue_size(q) == 0 && hf_queue_bytes(q) == 0 && hf_queue_unfinished(q) == 0);
    for (uint64_t b = 1; b <= 2 * SENDS; b++) st_check(!st_consigned(b));
    st_free_extents();
}

int main(void) {
    run("stress_shelf lifo", HF_LIFO, false);
    run("stress_shelf priority", HF_PRIORITY, false);
    run("stress_shelf again", HF_FIFO, true);
    run("stress_shelf priority again", HF_PRIORITY, true);
    return 0;
}
