/* The ring under stress: two producers and two consumers, records of many lengths, consumers that die in the middle.
 * Every record arrives once, whole, and in order per producer. */
#include "ring.h"
#include "stress.h"

#include <sched.h>
#include <string.h>

#define CAPACITY 512
#define LONGEST 120

static union {
    struct hf_ring ring;
    unsigned char room[sizeof(struct hf_ring) + CAPACITY];
} memory;
static struct hf_ring *const ring = &memory.ring;
static bool sleeps; /* wait as the library does, or only yield: then nothing but head and tail order the bytes */
static hf_a64 next_of[2]; /* what the consumers, together, have taken; under the take lock */
static hf_a32 done;
static hf_a64 put_count, taken_count;

static void pause_for_room(size_t length) {
    if (!sleeps) {
        sched_yield();
        return;
    }
    struct hf_patience p = hf_patience(HF_FOREVER, false);
    st_check(hf_ring_wait_room(ring, length, &p) == HF_OK);
}

static void produce(struct st_thread *t) {
    unsigned char bytes[LONGEST];
    for (uint64_t n = 0; !st_over(t); n++) {
        size_t length = st_random(t, LONGEST + 1);
        memset(bytes, (int)(n & 255), sizeof bytes);
        int r;
        while ((r = hf_ring_put(ring, &t->who, (uint64_t)t->number << 56 | n, bytes, length)) == HF_BUSY)
            pause_for_room(length);
        st_check(r == HF_OK);
        atomic_fetch_add_explicit(&put_count, 1, HF_RELAXED);
        if (st_random(t, 1000) == 0) st_reborn(t);
    }
    if (atomic_fetch_add_explicit(&done, 1, HF_RELAXED) == 1) hf_ring_close(ring, &t->who);
}

static void check_record(const struct hf_record *record, const unsigned char *bytes) {
    uint64_t n = record->tag & ((1ull << 56) - 1);
    unsigned from = (unsigned)(record->tag >> 56);
    st_check(from < 2 && record->length <= LONGEST);
    st_check(atomic_load_explicit(&next_of[from], HF_RELAXED) == n);
    for (unsigned i = 0; i < record->length; i++) st_check(bytes[i] == (n & 255));
}

static void consume(struct st_thread *t) {
    unsigned char bytes[LONGEST];
    struct hf_record record;
    for (;; t->rounds++) {
        int r = hf_ring_begin(ring, &t->who, &record);
        if (r == HF_CLOSED) return;
        if (r == HF_BUSY) {
            struct hf_patience p = hf_patience(HF_FOREVER, false);
            if (sleeps) st_check(hf_ring_wait_record(ring, &p) == HF_OK);
            else sched_yield();
            continue;
        }
        hf_ring_copy(ring, &record, bytes);
        check_record(&record, bytes);
        if (st_random(t, 1000) == 0) {
            st_reborn(t); /* dies with the record copied: it stays for the next one */
            continue;
        }
        bool keep = st_random(t, 100) != 0;
        if (keep) {
            atomic_fetch_add_explicit(&next_of[record.tag >> 56], 1, HF_RELAXED);
            atomic_fetch_add_explicit(&taken_count, 1, HF_RELAXED);
        }
        hf_ring_end(ring, &record, keep);
    }
}

static void work(struct st_thread *t) {
    if (t->number < 2) produce(t);
    else consume(t);
}

static void run(const char *name, bool with_sleep) {
    memset(&memory, 0, sizeof memory);
    hf_ring_init(ring, CAPACITY);
    sleeps = with_sleep;
    done = 0;
    put_count = taken_count = next_of[0] = next_of[1] = 0;
    st_run(name, 4, 1, work);
    st_check(put_count == taken_count && hf_ring_used(ring) == 0 && hf_ring_records(ring) == 0);
}

int main(void) {
    run("stress_ring", true);
    run("stress_ring without sleep", false);
    return 0;
}
