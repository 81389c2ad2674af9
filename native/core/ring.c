#include "ring.h"

#include <string.h>

#include "round.h"

_Static_assert(offsetof(struct hf_ring, take) == 64, "layout of hf_ring");
_Static_assert(offsetof(struct hf_ring, bytes) == 128, "layout of hf_ring");
_Static_assert(sizeof(struct hf_record) == 16, "layout of hf_record");

void hf_ring_init(struct hf_ring *r, uint64_t capacity) {
    memset(r, 0, sizeof *r);
    r->capacity = capacity & ~7ull;
    atomic_init(&r->put.own.cpu, HF_NO_CPU);
    atomic_init(&r->take.own.cpu, HF_NO_CPU);
    atomic_init(&r->put_cpu, HF_NO_CPU);
    atomic_init(&r->take_cpu, HF_NO_CPU);
}

static uint64_t size_of(size_t length) {
    return (sizeof(struct hf_record) + length + 7) & ~7ull;
}

static void copy_in(struct hf_ring *r, uint64_t at, const void *from, size_t n) {
    hf_round_in(r->bytes, r->capacity, at, from, n);
}

static void copy_out(struct hf_ring *r, uint64_t at, void *to, size_t n) {
    hf_round_out(r->bytes, r->capacity, at, to, n);
}

static bool has_room(struct hf_ring *r, size_t length) {
    /* acquire; pairs with the release of head in hf_ring_end: the bytes there are no longer read */
    uint64_t head = hf_load(&r->head, HF_MO(ring_freed, HF_ACQUIRE));
    return r->capacity - (hf_load(&r->tail, HF_RELAXED) - head) >= size_of(length);
}

int hf_ring_put(struct hf_ring *r, const struct hf_who *who, uint64_t tag, const void *data, size_t length) {
    if (length > UINT32_MAX - 64 || size_of(length) > r->capacity) return HF_WRONG;
    if (hf_load(&r->closed, HF_RELAXED)) return HF_CLOSED;
    hf_mutex_lock(&r->put, who);
    int result = HF_BUSY;
    if (hf_load(&r->closed, HF_RELAXED)) {
        result = HF_CLOSED;
    } else if (has_room(r, length)) {
        uint64_t tail = hf_load(&r->tail, HF_RELAXED);
        struct hf_record record = {(uint32_t)length, 0, tag};
        copy_in(r, tail, &record, sizeof record);
        copy_in(r, tail + sizeof record, data, length);
        HF_KILL(ring_written);
        hf_store(&r->records_in, hf_load(&r->records_in, HF_RELAXED) + 1, HF_RELAXED);
        /* release, the commit; pairs with the acquire in hf_ring_begin */
        hf_store(&r->tail, tail + size_of(length), HF_MO(ring_commit, HF_RELEASE));
        hf_store(&r->put_cpu, hf_cpu(), HF_RELAXED);
        result = HF_OK;
    }
    hf_mutex_unlock(&r->put);
    if (result == HF_OK) {
        HF_KILL(ring_committed);
        hf_news_tell(&r->puts, 1, HF_BROKEN_HERE(ring_wake_getter));
    }
    return result;
}

int hf_ring_begin(struct hf_ring *r, const struct hf_who *who, struct hf_record *record) {
    if (hf_load(&r->tail, HF_RELAXED) == hf_load(&r->head, HF_RELAXED))
        /* closed is written under `put` after the last commit, so look at the tail once more */
        return hf_load(&r->closed, HF_ACQUIRE) && hf_load(&r->tail, HF_RELAXED) == hf_load(&r->head, HF_RELAXED)
                   ? HF_CLOSED
                   : HF_BUSY;
    hf_mutex_lock(&r->take, who);
    uint64_t head = hf_load(&r->head, HF_RELAXED);
    if (hf_load(&r->tail, HF_MO(ring_seen, HF_ACQUIRE)) == head) {
        hf_mutex_unlock(&r->take);
        return HF_BUSY;
    }
    copy_out(r, head, record, sizeof *record);
    return HF_OK;
}

void hf_ring_copy(struct hf_ring *r, const struct hf_record *record, void *to) {
    copy_out(r, hf_load(&r->head, HF_RELAXED) + sizeof *record, to, record->length);
    HF_KILL(ring_copied);
}

void hf_ring_end(struct hf_ring *r, const struct hf_record *record, bool taken) {
    if (taken) {
        uint64_t head = hf_load(&r->head, HF_RELAXED);
        hf_store(&r->records_out, hf_load(&r->records_out, HF_RELAXED) + 1, HF_RELAXED);
        /* release; pairs with the acquire in has_room */
        hf_store(&r->head, head + size_of(record->length), HF_MO(ring_space, HF_RELEASE));
        hf_store(&r->take_cpu, hf_cpu(), HF_RELAXED);
    }
    hf_mutex_unlock(&r->take);
    if (!taken) return;
    HF_KILL(ring_taken);
    hf_news_tell(&r->takes, HF_ALL, HF_BROKEN_HERE(ring_wake_putter));
}

int hf_ring_wait_record(struct hf_ring *r, struct hf_patience *p) {
    uint32_t seen = hf_news_seen(&r->puts);
    if (hf_ring_used(r) != 0 || hf_load(&r->closed, HF_RELAXED)) return HF_OK;
    if (hf_spin(&r->puts.counter, seen, hf_load(&r->put_cpu, HF_RELAXED), HF_SPIN_NS)) return HF_OK;
    /* a tick needs no look at the dead: what they committed is there, what they did not is not */
    return hf_rested(hf_news_sleep(&r->puts, seen, p), p);
}

int hf_ring_wait_room(struct hf_ring *r, size_t length, struct hf_patience *p) {
    uint32_t seen = hf_news_seen(&r->takes);
    if (has_room(r, length) || hf_load(&r->closed, HF_RELAXED)) return HF_OK;
    if (hf_spin(&r->takes.counter, seen, hf_load(&r->take_cpu, HF_RELAXED), HF_SPIN_NS)) return HF_OK;
    return hf_rested(hf_news_sleep(&r->takes, seen, p), p);
}

void hf_ring_close(struct hf_ring *r, const struct hf_who *who) {
    hf_mutex_lock(&r->put, who);
    hf_store(&r->closed, 1, HF_RELEASE);
    hf_mutex_unlock(&r->put);
    hf_news_tell(&r->puts, HF_ALL, false);
    hf_news_tell(&r->takes, HF_ALL, false);
}

uint64_t hf_ring_records(struct hf_ring *r) {
    uint64_t out = hf_load(&r->records_out, HF_RELAXED);
    uint64_t in = hf_load(&r->records_in, HF_RELAXED);
    return in > out ? in - out : 0;
}
