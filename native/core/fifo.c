#include "fifo.h"

#include <string.h>

#include "round.h"

_Static_assert(offsetof(struct hf_segment, head) == 64, "layout of hf_segment");
_Static_assert(offsetof(struct hf_segment, bytes) == 128, "layout of hf_segment");
_Static_assert(sizeof(struct hf_slip) == 8, "layout of hf_slip");

#define FIRST 2u        /* link of the segment in the queue's own block; no real link has this value */
#ifdef HF_TINY_SEGMENTS /* tests: grow and shrink all the time */
#define SMALL_STEP 512u
#define MIDDLE_STEP 1024u
#define LARGE_STEP 2048u
#else
#define SMALL_STEP 16384u
#define MIDDLE_STEP 65536u
#define LARGE_STEP 262144u
#endif
#define BLOCK_HEAD 192u /* of the block a segment lies in: so that the whole fills its class or its chunks */

struct outside { uint64_t block, uid, bytes; };

static struct hf_segment *segment_at(struct hf_queue *q, struct hf_session *s, uint64_t link) {
    return link == FIRST ? (struct hf_segment *)(void *)((char *)q + HF_QUEUE_STORE_AT) : hf_follow(s, link);
}

static struct hf_segment *last_of(struct hf_queue *q, const struct hf_who *who) {
    return segment_at(q, who->session, hf_load(&q->put.segment, HF_RELAXED));
}

static struct hf_segment *first_of(struct hf_queue *q, const struct hf_who *who) {
    return segment_at(q, who->session, hf_load(&q->take.segment, HF_RELAXED));
}

static void empty_segment(struct hf_segment *segment, uint64_t capacity) {
    hf_store(&segment->tail, 0, HF_RELAXED);
    hf_store(&segment->head, 0, HF_RELAXED);
    hf_store(&segment->next, 0, HF_RELAXED);
    segment->capacity = capacity & ~7ull;
}

void hf_fifo_init(struct hf_queue *q, uint64_t nbytes) {
    struct hf_segment *first = segment_at(q, NULL, FIRST);
    empty_segment(first, nbytes - HF_QUEUE_STORE_AT - sizeof *first);
    hf_store(&q->put.segment, FIRST, HF_RELAXED);
    hf_store(&q->take.segment, FIRST, HF_RELAXED);
}

/* ---- bytes ---- */

static void copy_in(struct hf_segment *segment, uint64_t at, const void *from, size_t n) {
    hf_round_in(segment->bytes, segment->capacity, at, from, n);
}

static void copy_out(const struct hf_segment *segment, uint64_t at, void *to, size_t n) {
    hf_round_out(segment->bytes, segment->capacity, at, to, n);
}

static uint64_t size_of(uint64_t length, bool outside) {
    return (sizeof(struct hf_slip) + (outside ? sizeof(struct outside) : 0) + length + 7) & ~7ull;
}

static uint64_t size_in(const struct hf_item *item) {
    return size_of(item->length, item->block != 0);
}

uint64_t hf_fifo_weight(const struct hf_item *item) {
    return size_in(item) + item->outside;
}

static void write_record(struct hf_segment *segment, uint64_t at, const struct hf_item *item) {
    bool outside = item->block != 0;
    struct hf_slip slip = {item->length, item->kind | (outside ? HF_OUTSIDE : 0)};
    copy_in(segment, at, &slip, sizeof slip);
    at += sizeof slip;
    if (outside) {
        struct outside o = {item->block, item->block_uid, item->outside};
        copy_in(segment, at, &o, sizeof o);
        at += sizeof o;
    }
    copy_in(segment, at, item->data, item->length);
}

/* ---- putting ---- */

static uint64_t larger_than(uint64_t capacity, uint64_t need) {
    uint64_t head = BLOCK_HEAD + sizeof(struct hf_segment);
    if (capacity < SMALL_STEP - head && need <= SMALL_STEP - head) return SMALL_STEP - BLOCK_HEAD;
    if (capacity < MIDDLE_STEP - head && need <= MIDDLE_STEP - head) return MIDDLE_STEP - BLOCK_HEAD;
    return LARGE_STEP - BLOCK_HEAD;
}

/* Link a segment behind the last one. */
static void link_next(struct hf_queue *q, struct hf_segment *last, uint64_t link) {
    /* release, the commit; pairs with the acquire in `find`: the segment is empty, and the last one's tail is final */
    hf_store(&last->next, link, HF_RELEASE);
    HF_KILL(fifo_linked);
    hf_store(&q->put.segment, link, HF_RELEASE);
    hf_store(&q->put.beside, 0, HF_RELEASE);
    q->put.seen = 0;
}

/* A segment of its own for what comes; a death before it is linked leaves it to the next one who needs a segment. */
static bool grow(struct hf_queue *q, const struct hf_who *who, struct hf_segment *last, uint64_t need) {
    uint64_t link = hf_load(&q->put.beside, HF_RELAXED);
    struct hf_segment *fresh = link == 0 ? NULL : hf_follow(who->session, link);
    if (fresh == NULL || fresh->capacity < need) {
        uint64_t bytes = larger_than(last->capacity, need), made = 0;
        fresh = hf_extend(who->session, q, &made, bytes);
        if (fresh == NULL) return false;
        empty_segment(fresh, bytes - sizeof *fresh);
        hf_store(&q->put.beside, made, HF_RELEASE); /* one that was too small goes with the queue */
        link = made;
        HF_KILL(fifo_ready);
    }
    link_next(q, last, link);
    return true;
}

static bool has_room(struct hf_queue *q, struct hf_segment *last, uint64_t tail, uint64_t size) {
    if (HF_LIKELY(last->capacity - (tail - q->put.seen) >= size)) return true;
    /* acquire; pairs with the release of head in hf_fifo_end: the bytes there are no longer read */
    q->put.seen = hf_load(&last->head, HF_MO(fifo_freed, HF_ACQUIRE));
    return last->capacity - (tail - q->put.seen) >= size;
}

/* Write as many as there is room for in this segment, and commit them together. */
static int write_run(struct hf_queue *q, const struct hf_who *who, struct hf_segment *last, const struct hf_item *items,
                     uint32_t n, uint32_t *put) {
    uint64_t tail = hf_load(&last->tail, HF_RELAXED), at = tail, weight = 0;
    uint32_t k = 0;
    int r = HF_OK;
    for (; k < n && (k == 0 || items[k].block == 0); k++) {
        uint64_t size = size_in(&items[k]);
        if (!has_room(q, last, at, size)) break;
        if (k != 0 && (r = hf_queue_room_for(q, k + 1, weight + hf_fifo_weight(&items[k]))) != HF_OK) break;
        write_record(last, at, &items[k]);
        weight += hf_fifo_weight(&items[k]);
        at += size;
        if (items[k].block != 0) {
            k++;
            break;
        }
    }
    if (k == 0) return HF_OK; /* not here: a larger segment */
    HF_KILL(fifo_written);
    hf_side_intend(&q->put, k, weight, at, items[0].block, items[0].block_uid);
    hf_consign(who->session, items[0].block);
    HF_KILL(fifo_intended);
    /* release, the commit; pairs with the acquire of tail in `find` */
    hf_store(&last->tail, at, HF_MO(fifo_commit, HF_RELEASE));
    HF_KILL(fifo_committed);
    hf_side_done(&q->put);
    *put += k;
    return r;
}

static int put_all(struct hf_queue *q, const struct hf_who *who, const struct hf_item *items, uint32_t n, uint32_t *put,
                   int bell) {
    while (*put < n) {
        const struct hf_item *next = &items[*put];
        int r = hf_queue_room(q, hf_fifo_weight(next));
        if (r == HF_OK) r = hf_queue_ring(q, bell);
        if (r != HF_OK) return r;
        struct hf_segment *last = last_of(q, who);
        uint32_t before = *put;
        r = write_run(q, who, last, next, n - before, put);
        if (r != HF_OK) return r;
        if (*put == before && !grow(q, who, last, size_in(next))) return HF_NOMEM;
    }
    return HF_OK;
}

int hf_fifo_put(struct hf_queue *q, const struct hf_who *who, const struct hf_item *items, uint32_t n, uint32_t *put,
                int bell) {
    *put = 0;
    if (hf_load(&q->closed, HF_RELAXED) != 0) return HF_CLOSED;
    hf_queue_enter_put(q, who);
    int r = put_all(q, who, items, n, put, bell);
    hf_store(&q->put.cpu, hf_cpu(), HF_RELAXED);
    hf_mutex_unlock(&q->put.lock);
    if (*put == 0) return r;
    HF_KILL(fifo_put);
    hf_news_tell(&q->put.news, (int)*put, HF_BROKEN_HERE(queue_wake_getter));
    return r;
}

void hf_fifo_mend_put(struct hf_queue *q, const struct hf_who *who) {
    struct hf_segment *last = last_of(q, who);
    bool committed = hf_load(&last->tail, HF_RELAXED) == q->put.position;
    if (hf_load(&q->put.intent, HF_RELAXED) != 0 && !committed) /* first: should we die too, the intent still tells */
        hf_arrive(who->session, who, q->put.block, q->put.block_uid);
    hf_side_mend(&q->put, committed);
    uint64_t next = hf_load(&last->next, HF_RELAXED);
    if (next != 0) hf_store(&q->put.segment, next, HF_RELEASE);
    if (hf_load(&q->put.beside, HF_RELAXED) == hf_load(&q->put.segment, HF_RELAXED))
        hf_store(&q->put.beside, 0, HF_RELEASE);
    q->put.seen = hf_load(&last_of(q, who)->head, HF_ACQUIRE);
}

/* ---- taking ---- */

static void note_size(struct hf_queue *q, const struct hf_who *who) {
    bool large = hf_load(&q->take.segment, HF_RELAXED) != FIRST && first_of(q, who)->capacity > MIDDLE_STEP;
    hf_store(&q->large, large, HF_RELAXED);
}

/* Leave an empty segment for its successor. A death between the last two leaves the old one to the queue's end. */
static void advance(struct hf_queue *q, const struct hf_who *who, uint64_t next) {
    uint64_t old = hf_load(&q->take.segment, HF_RELAXED);
    /* Whoever linked the successor may have died before it became the one to write to: no producer may look for it in
     * freed memory. acquire; pairs with the release in link_next. */
    if (HF_UNLIKELY(hf_load(&q->put.segment, HF_ACQUIRE) == old)) {
        hf_queue_enter_put(q, who);
        hf_mutex_unlock(&q->put.lock);
    }
    hf_store(&q->take.beside, old == FIRST ? 0 : old, HF_RELEASE);
    hf_store(&q->take.segment, next, HF_RELEASE);
    HF_KILL(fifo_advanced);
    q->take.seen = 0;
    note_size(q, who);
    hf_store(&q->take.beside, 0, HF_RELEASE);
    if (old != FIRST) hf_retract(who->session, old);
}

/* Under the take lock: nothing was found. Is somebody about to put, or did somebody die doing so? And a large segment
 * that stands empty is exchanged for the first, small one. True: look again. */
static bool look_closer(struct hf_queue *q, const struct hf_who *who, struct hf_segment *segment) {
    hf_queue_enter_put(q, who);
    bool again = hf_load(&segment->tail, HF_RELAXED) != hf_load(&segment->head, HF_RELAXED) ||
                 hf_load(&segment->next, HF_RELAXED) != 0;
    if (!again && hf_load(&q->large, HF_RELAXED) && hf_load(&q->put.beside, HF_RELAXED) == 0) {
        struct hf_segment *small = segment_at(q, who->session, FIRST);
        empty_segment(small, small->capacity);
        link_next(q, segment, FIRST);
        again = true;
    }
    hf_mutex_unlock(&q->put.lock);
    return again;
}

/* Under the take lock: HF_OK, the cursor at the oldest record; HF_BUSY: there is none. */
static int find(struct hf_queue *q, const struct hf_who *who, struct hf_cursor *c) {
    for (;;) {
        struct hf_segment *segment = first_of(q, who);
        uint64_t head = hf_load(&segment->head, HF_RELAXED);
        /* acquire; pairs with the release of tail in write_run: the bytes are there */
        if (q->take.seen <= head) q->take.seen = hf_load(&segment->tail, HF_MO(fifo_seen, HF_ACQUIRE));
        if (q->take.seen != head) {
            *c = (struct hf_cursor){.segment = segment, .at = head, .tail = q->take.seen};
            return HF_OK;
        }
        uint64_t next = hf_load(&segment->next, HF_ACQUIRE);
        if (next == 0) {
            if (look_closer(q, who, segment)) continue;
            return HF_BUSY;
        }
        /* nothing more is written to one that has a successor, so only now the tail is final */
        if (hf_load(&segment->tail, HF_ACQUIRE) == head || HF_BROKEN_HERE(fifo_final_tail)) advance(q, who, next);
    }
}

/* Under the take lock, so that nobody is about to take, who might yet die and leave it. */
static int nothing(struct hf_queue *q) {
    return hf_load(&q->closed, HF_ACQUIRE) && hf_queue_size(q) == 0 ? HF_CLOSED : HF_BUSY;
}

int hf_fifo_begin(struct hf_queue *q, const struct hf_who *who, struct hf_seat *seat, struct hf_cursor *c) {
    uint32_t closed = hf_load(&q->closed, HF_ACQUIRE);
    if (closed == 2) return HF_CLOSED;
    /* an intent means that somebody takes this moment, or died taking: then only a look under the lock tells */
    if (closed == 0 && hf_load(&q->more, HF_RELAXED) == 0 &&
        hf_load(&q->put.count, HF_ACQUIRE) == hf_load(&q->take.count, HF_ACQUIRE) &&
        hf_load(&q->take.intent, HF_RELAXED) == 0 && hf_load(&q->large, HF_RELAXED) == 0)
        return HF_BUSY;
    hf_queue_enter_take(q, who);
    int r = find(q, who, c);
    if (r == HF_OK && hf_queue_seat(q, who, seat) == NULL) r = HF_NOMEM;
    if (r == HF_BUSY) {
        hf_store(&q->more, 0, HF_RELAXED);
        r = nothing(q);
    }
    if (r != HF_OK) hf_mutex_unlock(&q->take.lock);
    return r;
}

bool hf_fifo_look(const struct hf_cursor *c, struct hf_found *f) {
    if (c->at == c->tail) return false;
    struct hf_slip slip;
    struct outside o = {0, 0, 0};
    copy_out(c->segment, c->at, &slip, sizeof slip);
    f->at = c->at + sizeof slip;
    if (HF_UNLIKELY(slip.kind & HF_OUTSIDE)) {
        copy_out(c->segment, f->at, &o, sizeof o);
        f->at += sizeof o;
    }
    f->length = slip.length;
    f->kind = slip.kind & ~HF_OUTSIDE;
    f->block = o.block;
    f->block_uid = o.uid;
    f->outside = o.bytes;
    return true;
}

void hf_fifo_copy(const struct hf_cursor *c, const struct hf_found *f, void *to) {
    copy_out(c->segment, f->at, to, f->length);
}

bool hf_fifo_pass(struct hf_cursor *c, const struct hf_found *f) {
    if (c->block != 0 || (f->block != 0 && c->n != 0)) return false;
    uint64_t size = size_of(f->length, f->block != 0);
    c->at += size;
    c->bytes += size + f->outside;
    c->n++;
    c->block = f->block;
    c->block_uid = f->block_uid;
    return true;
}

/* Under the take lock. */
static void take(struct hf_queue *q, const struct hf_who *who, const struct hf_cursor *c) {
    hf_side_intend(&q->take, c->n, c->bytes, c->at, c->block, c->block_uid);
    HF_KILL(fifo_copied);
    /* release, the commit; pairs with the acquire of head in has_room */
    hf_store(&c->segment->head, c->at, HF_MO(fifo_space, HF_RELEASE));
    HF_KILL(fifo_taken);
    hf_arrive(who->session, who, c->block, c->block_uid);
    hf_side_done(&q->take);
}

void hf_fifo_end(struct hf_queue *q, const struct hf_who *who, const struct hf_seat *seat, const struct hf_cursor *c) {
    if (c->n == 0) {
        hf_mutex_unlock(&q->take.lock);
        return;
    }
    hf_queue_charge(seat->entry, c->n); /* before the commit: settling asks only what the living have at most */
    take(q, who, c);
    if (hf_load(&q->more, HF_RELAXED) != (c->at != c->tail)) hf_store(&q->more, c->at != c->tail, HF_RELAXED);
    hf_store(&q->take.cpu, hf_cpu(), HF_RELAXED);
    hf_mutex_unlock(&q->take.lock);
    HF_KILL(fifo_given);
    hf_news_tell(&q->take.news, HF_ALL, HF_BROKEN_HERE(queue_wake_putter));
}

void hf_fifo_mend_take(struct hf_queue *q, const struct hf_who *who) {
    struct hf_segment *first = first_of(q, who);
    bool committed = hf_load(&first->head, HF_RELAXED) == q->take.position;
    if (hf_load(&q->take.intent, HF_RELAXED) != 0 && committed)
        hf_arrive(who->session, who, q->take.block, q->take.block_uid);
    if (hf_side_mend(&q->take, committed) != 0 && !committed) { /* what producers have seen is too much */
        hf_queue_enter_put(q, who);
        q->put.seen_count = hf_load(&q->take.count, HF_RELAXED);
        q->put.seen_bytes = hf_load(&q->take.bytes, HF_RELAXED);
        hf_mutex_unlock(&q->put.lock);
    }
    uint64_t old = hf_load(&q->take.beside, HF_RELAXED);
    hf_store(&q->take.beside, 0, HF_RELEASE);
    if (old != 0 && old != hf_load(&q->take.segment, HF_RELAXED)) hf_retract(who->session, old);
    note_size(q, who);
    q->take.seen = hf_load(&first->head, HF_RELAXED); /* so that the tail is looked at anew */
}

/* ---- throwing away ---- */

uint64_t hf_fifo_clear(struct hf_queue *q, const struct hf_who *who) {
    struct hf_found f;
    for (uint64_t n = 0;;) {
        struct hf_segment *segment = first_of(q, who);
        uint64_t head = hf_load(&segment->head, HF_RELAXED), tail = hf_load(&segment->tail, HF_ACQUIRE);
        uint64_t next = hf_load(&segment->next, HF_RELAXED);
        if (head == tail && next == 0) return n;
        if (head == tail) {
            advance(q, who, next);
            continue;
        }
        struct hf_cursor c = {.segment = segment, .at = head, .tail = tail};
        while (hf_fifo_look(&c, &f) && hf_fifo_pass(&c, &f)) {}
        take(q, who, &c);
        n += c.n;
    }
}

/* Nobody uses the queue any more, so nothing need be left in order; only the payload blocks must go. A put that was not
 * committed, or a take that was, may have left one too. Done again if the first one to do it died: the segments are freed
 * only when the last store here says that they are not looked at any more. */
void hf_fifo_dispose(struct hf_session *s, struct hf_queue *q) {
    struct hf_found f;
    if (hf_load(&q->put.intent, HF_RELAXED) != 0) hf_dispose_block(s, q->put.block, q->put.block_uid);
    if (hf_load(&q->take.intent, HF_RELAXED) != 0) hf_dispose_block(s, q->take.block, q->take.block_uid);
    for (uint64_t link = hf_load(&q->take.segment, HF_RELAXED); link != 0;) {
        struct hf_segment *segment = segment_at(q, s, link);
        struct hf_cursor c = {.segment = segment, .at = hf_load(&segment->head, HF_RELAXED),
                              .tail = hf_load(&segment->tail, HF_ACQUIRE)};
        while (hf_fifo_look(&c, &f)) {
            hf_dispose_block(s, f.block, f.block_uid);
            c.block = 0;
            c.n = 0;
            hf_fifo_pass(&c, &f);
        }
        link = hf_load(&segment->next, HF_RELAXED);
    }
    hf_store(&q->put.intent, 0, HF_RELEASE);
    hf_store(&q->take.intent, 0, HF_RELEASE);
    hf_store(&q->take.segment, 0, HF_RELEASE);
}
