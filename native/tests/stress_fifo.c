/* The queue that is first in, first out, under stress: two producers and two consumers, items of many lengths, one at a
 * time and several, some with payload blocks, over segments that come and go; members that die in the middle. Every
 * item arrives once, whole, and in order per producer.
 */
#include "fifo.h"
#include "stress.h"

#include <sched.h>
#include <string.h>

#define FIRST_BYTES 256
#define LONGEST 120
#define BATCH 5u
#define NUMBERS 0xffffffu /* a kind is the producer, and the item's number in 24 bits */

static union {
    struct hf_queue queue;
    unsigned char room[HF_QUEUE_STORE_AT + sizeof(struct hf_segment) + FIRST_BYTES];
} memory;
static struct hf_queue *const q = &memory.queue;
static bool sleeps; /* wait as the library does, or only yield: then nothing but the segments' words order the bytes */
static hf_a64 next_of[2]; /* what the consumers, together, have taken; under the take lock */
static hf_a32 ended, blocks_used;
static hf_a64 put_count, taken_count, not_done;

static void pause_for_room(const struct hf_item *item) {
    if (!sleeps) {
        sched_yield();
        return;
    }
    struct hf_patience p = hf_patience(HF_FOREVER, false);
    st_check(hf_queue_wait_room(q, hf_fifo_weight(item), &p) == HF_OK);
}

static uint64_t some_block(struct st_thread *t) {
    if (st_random(t, 20) != 0) return 0;
    uint32_t n = atomic_fetch_add_explicit(&blocks_used, 1, HF_RELAXED) + 1;
    return n < ST_PAYLOADS ? n : 0;
}

static void produce(struct st_thread *t) {
    static unsigned char bytes[2][BATCH][LONGEST];
    for (uint64_t n = 0; !st_over(t);) {
        struct hf_item items[BATCH];
        uint32_t many = 1 + st_random(t, BATCH), put;
        for (uint32_t i = 0; i < many; i++) {
            memset(bytes[t->number][i], (int)((n + i) & 255), LONGEST);
            uint64_t block = some_block(t);
            items[i] = (struct hf_item){.data = bytes[t->number][i], .length = st_random(t, LONGEST + 1),
                                        .kind = (uint32_t)t->number << 24 | (uint32_t)((n + i) & NUMBERS),
                                        .block = block, .block_uid = block, .outside = block != 0 ? 200 : 0};
        }
        for (uint32_t from = 0; from < many; from += put) {
            int r = hf_fifo_put(q, &t->who, items + from, many - from, &put, -1);
            st_check(r == HF_BUSY || (r == HF_OK && put == many - from));
            if (r == HF_BUSY) pause_for_room(&items[from + put]);
        }
        n += many;
        atomic_fetch_add_explicit(&put_count, many, HF_RELAXED);
        if (st_random(t, 1000) != 0) continue;
        if (st_random(t, 2) != 0) hf_queue_enter_put(q, &t->who); /* dies inside */
        st_reborn(t);
    }
    if (atomic_fetch_add_explicit(&ended, 1, HF_RELAXED) == 1) hf_queue_shut(q, &t->who, 1);
}

static void check_item(const struct hf_cursor *c, const struct hf_found *f, const unsigned *before) {
    unsigned char bytes[LONGEST];
    unsigned from = f->kind >> 24, n = f->kind & NUMBERS;
    st_check(from < 2 && f->length <= LONGEST && f->outside == (f->block != 0 ? 200 : 0));
    st_check(((atomic_load_explicit(&next_of[from], HF_RELAXED) + before[from]) & NUMBERS) == n);
    hf_fifo_copy(c, f, bytes);
    for (unsigned i = 0; i < f->length; i++) st_check(bytes[i] == (n & 255));
    st_check(f->block_uid == f->block && (f->block == 0 || st_consigned(f->block)));
}

/* Up to `most` of them; how many. */
static uint32_t take(struct st_thread *t, struct hf_seat *seat, struct hf_cursor *c, uint32_t most) {
    struct hf_found f;
    unsigned of[2] = {0, 0};
    while (c->n < most && hf_fifo_look(c, &f)) {
        if (!hf_fifo_pass(c, &f)) break; /* one with a block is taken alone */
        check_item(c, &f, of);
        of[f.kind >> 24]++;
    }
    if (st_random(t, 1000) == 0) {
        st_reborn(t); /* dies with them copied: they stay for the next one */
        return 0;
    }
    for (int i = 0; i < 2; i++) atomic_fetch_add_explicit(&next_of[i], of[i], HF_RELAXED);
    uint64_t block = c->block;
    hf_fifo_end(q, &t->who, seat, c);
    st_check(block == 0 || !st_consigned(block));
    return c->n;
}

static void consume(struct st_thread *t) {
    struct hf_seat seat = {0};
    struct hf_cursor c;
    for (;; t->rounds++) {
        int r = hf_fifo_begin(q, &t->who, &seat, &c);
        if (r == HF_CLOSED) return;
        st_check(r == HF_OK || r == HF_BUSY);
        if (r == HF_BUSY) {
            struct hf_patience p = hf_patience(HF_FOREVER, false);
            if (sleeps) st_check(hf_queue_wait_item(q, &p) == HF_OK);
            else sched_yield();
            continue;
        }
        uint32_t n = take(t, &seat, &c, 1 + st_random(t, BATCH));
        atomic_fetch_add_explicit(&taken_count, n, HF_RELAXED);
        if (n != 0 && st_random(t, 2000) == 0) {
            atomic_fetch_add_explicit(&not_done, n, HF_RELAXED);
            st_reborn(t); /* without having finished them */
            continue;
        }
        for (; n > 0; n--) st_check(hf_queue_done(q, &t->who, &seat) == HF_OK);
    }
}

static void work(struct st_thread *t) {
    if (t->number < 2) produce(t);
    else consume(t);
}

static void check_end(void) {
    struct hf_who who = st_checker();
    struct hf_loss loss;
    st_check(put_count == taken_count && hf_queue_size(q) == 0 && hf_queue_bytes(q) == 0);
    st_check(hf_queue_unfinished(q) == not_done);
    hf_queue_settle(q, &who, &loss);
    st_check(loss.items == not_done && hf_queue_unfinished(q) == 0);
    for (unsigned i = 1; i < ST_PAYLOADS; i++) st_check(!st_consigned(i));
    st_check(st_extents() <= 3); /* the segment in use, and the roster's */
    hf_queue_dispose(NULL, q);
    st_free_extents();
}

static void run(const char *name, bool with_sleep, uint64_t maxsize, uint64_t max_bytes) {
    memset(&memory, 0, sizeof memory);
    struct hf_queue_config how = {.flavour = HF_FIFO, .maxsize = maxsize, .max_bytes = max_bytes, .nbytes = sizeof memory};
    hf_queue_init(q, &how);
    sleeps = with_sleep;
    ended = blocks_used = 0;
    put_count = taken_count = not_done = next_of[0] = next_of[1] = 0;
    st_run(name, 4, 1, work);
    check_end();
}

int main(void) {
    run("stress_fifo", true, 30, 1600);
    run("stress_fifo growing", true, 0, 20000);
    run("stress_fifo without sleep", false, 0, 1600);
    return 0;
}
