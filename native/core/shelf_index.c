#include "shelf_index.h"

#include <string.h>

_Static_assert(offsetof(struct shelved, bytes) == 88, "layout of an item on the shelf");
_Static_assert(sizeof(struct hf_shelf) == 80, "layout of hf_shelf");

#define FIRST_INDEX 62u /* links: with the heads of index and block, a block of 1 KiB less a little */
#define KEPT_INDEX 4096u

/* ---- the index ---- */

static bool before(struct hf_queue *q, const struct hf_who *who, uint64_t a, uint64_t b) {
    struct shelved *x = item_at(who, a), *y = item_at(who, b);
    if (q->flavour == HF_LIFO) { /* what a dead taker had comes first; by its serial it would wait for all put since */
        bool again = deliveries_of(x) != 0;
        if (again != (deliveries_of(y) != 0)) return again;
        return x->serial > y->serial;
    }
    if (q->flavour == HF_PRIORITY) {
        uint32_t n = x->key_length < y->key_length ? x->key_length : y->key_length;
        int c = n == 0 ? 0 : memcmp(x->bytes + x->length, y->bytes + y->length, n);
        if (c != 0) return c < 0;
        if (x->key_length != y->key_length) return x->key_length < y->key_length;
    }
    return x->serial < y->serial;
}

static void sift_up(struct hf_queue *q, const struct hf_who *who, uint64_t at) {
    uint64_t *heap = index_of(q, who)->link, link = heap[at];
    for (; at != 0 && before(q, who, link, heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = link;
}

static void sift_down(struct hf_queue *q, const struct hf_who *who, uint64_t at) {
    uint64_t *heap = index_of(q, who)->link, link = heap[at], n = shelf_of(q)->queued;
    for (uint64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(q, who, heap[child + 1], heap[child])) child++;
        if (!before(q, who, heap[child], link)) break;
        heap[at] = heap[child];
    }
    heap[at] = link;
}

void hf_index_push(struct hf_queue *q, const struct hf_who *who, uint64_t link) {
    struct hf_shelf *s = shelf_of(q);
    index_of(q, who)->link[s->queued++] = link;
    sift_up(q, who, s->queued - 1);
}

uint64_t hf_index_pop(struct hf_queue *q, const struct hf_who *who) {
    struct hf_shelf *s = shelf_of(q);
    uint64_t *heap = index_of(q, who)->link, link = heap[0];
    heap[0] = heap[--s->queued];
    if (s->queued != 0) sift_down(q, who, 0);
    return link;
}

void hf_index_lease(struct hf_queue *q, const struct hf_who *who, uint64_t link) {
    struct index *index = index_of(q, who);
    uint64_t place = hf_add(&shelf_of(q)->leased, 1, HF_RELAXED) + 1;
    index->link[index->capacity - place] = link;
    item_at(who, link)->place = place;
}

/* The last one takes its place. */
void hf_index_strike(struct hf_queue *q, const struct hf_who *who, const struct shelved *item) {
    struct index *index = index_of(q, who);
    uint64_t *end = index->link + index->capacity, place = item->place;
    uint64_t last = *(end - hf_load(&shelf_of(q)->leased, HF_RELAXED));
    *(end - place) = last;
    item_at(who, last)->place = place;
    hf_sub(&shelf_of(q)->leased, 1, HF_RELAXED);
}

/* Room in the index for one item more. A death before the old one is freed leaves it to the queue's end. */
bool hf_index_reserve(struct hf_queue *q, const struct hf_who *who) {
    struct hf_shelf *s = shelf_of(q);
    struct index *old = index_of(q, who), *index;
    if (HF_LIKELY(old != NULL && s->all < old->capacity)) return true;
    uint64_t capacity = old == NULL ? FIRST_INDEX : 2 * old->capacity, link = 0;
    index = hf_extend(who->session, q, &link, sizeof *index + capacity * sizeof index->link[0]);
    if (index == NULL) return false;
    index->capacity = capacity;
    if (old != NULL) {
        uint64_t n = hf_load(&s->leased, HF_RELAXED);
        memcpy(index->link, old->link, s->queued * sizeof old->link[0]);
        memcpy(index->link + capacity - n, old->link + old->capacity - n, n * sizeof old->link[0]);
    }
    uint64_t was = hf_load(&q->put.segment, HF_RELAXED);
    hf_store(&q->put.segment, link, HF_RELEASE);
    if (was != 0) hf_retract(who->session, was);
    return true;
}

/* ---- the list of all items, and the chain of dead letters ---- */

static void unlink_item(struct hf_queue *q, const struct hf_who *who, struct shelved *item) {
    struct hf_shelf *s = shelf_of(q);
    uint64_t next = hf_load(&item->next, HF_RELAXED);
    hf_store(item->previous == 0 ? &s->items : &item_at(who, item->previous)->next, next, HF_RELEASE);
    if (next != 0) item_at(who, next)->previous = item->previous;
    s->all--;
}

/* An item that is in no index any more. Its block first: mending finds both by the item. */
void hf_shelf_discard(struct hf_queue *q, const struct hf_who *who, uint64_t link) {
    struct shelved *item = item_at(who, link);
    hf_arrive(who->session, who, item->block, item->block_uid);
    unlink_item(q, who, item);
    hf_retract(who->session, link);
    uint64_t index = hf_load(&q->put.segment, HF_RELAXED);
    if (shelf_of(q)->all != 0 || index_of(q, who)->capacity < KEPT_INDEX) return;
    hf_store(&q->put.segment, 0, HF_RELEASE); /* nothing is left: a large index goes too */
    hf_retract(who->session, index);
    hf_tidy(who->session, who);
}

/* Mostly at the end: a dead member's items come in any order. */
void hf_shelf_chain(struct hf_queue *q, const struct hf_who *who, uint64_t link) {
    struct hf_shelf *s = shelf_of(q);
    struct shelved *item = item_at(who, link), *last = s->first == 0 ? NULL : item_at(who, s->last);
    uint64_t *at = last != NULL && last->serial < item->serial ? &last->after : &s->first;
    while (*at != 0 && item_at(who, *at)->serial < item->serial) at = &item_at(who, *at)->after;
    item->after = *at;
    *at = link;
    if (item->after == 0) s->last = link;
}

/* ---- counting ---- */

/* What producers have seen of it must not be more than there is: an item that came back takes room again. */
void hf_shelf_count_out(struct hf_queue *q, uint64_t n, uint64_t bytes) {
    uint64_t count = hf_load(&q->take.count, HF_RELAXED) + n, all = hf_load(&q->take.bytes, HF_RELAXED) + bytes;
    hf_store(&q->take.bytes, all, HF_RELEASE);
    hf_store(&q->take.count, count, HF_RELEASE);
    q->put.seen_count = count;
    q->put.seen_bytes = all;
}

/* With redeliver everything that is neither queued nor taken is finished, and only here it is counted: so a death
 * cannot lose a count, and nobody counts twice. */
void hf_shelf_count_done(struct hf_queue *q) {
    struct hf_shelf *s = shelf_of(q);
    if (!q->redeliver) return;
    uint64_t done = hf_load(&q->done, HF_RELAXED), taken = hf_load(&s->leased, HF_RELAXED) - s->read;
    uint64_t finished = hf_load(&q->put.count, HF_RELAXED) - s->queued - taken;
    if (finished > done) hf_queue_finish(q, finished - done);
}

/* ---- mending ---- */

/* Put an item where its state says it belongs. */
static void sort_in(struct hf_queue *q, const struct hf_who *who, uint64_t link, uint64_t *bytes) {
    struct hf_shelf *s = shelf_of(q);
    struct shelved *item = item_at(who, link);
    enum state state = state_of(item);
    if (state == QUEUED) {
        index_of(q, who)->link[s->queued++] = link;
        *bytes += weight_of(item);
    } else if (state == TAKEN || state == READ) {
        hf_index_lease(q, who, link);
        s->read += state == READ;
    } else if (state == LETTER) { /* the list has the newest first, the chain the oldest */
        item->after = s->first;
        if (s->first == 0) s->last = link;
        s->first = link;
    }
    if (state == LETTER || state == READ) hf_add(&s->letters, 1, HF_RELAXED);
}

/* Free what was not finished, and make the list good. */
static void mend_list(struct hf_queue *q, const struct hf_who *who) {
    struct hf_shelf *s = shelf_of(q);
    uint64_t previous = 0, next;
    s->all = 1; /* so that the index stays meanwhile */
    for (uint64_t link = hf_load(&s->items, HF_RELAXED); link != 0; link = next) {
        struct shelved *item = item_at(who, link);
        next = hf_load(&item->next, HF_RELAXED);
        item->previous = previous;
        s->all++;
        if (state_of(item) == MAKING || state_of(item) == FREEING) hf_shelf_discard(q, who, link);
        else previous = link;
    }
    s->all--;
}

void hf_shelf_mend(struct hf_queue *q, const struct hf_who *who) {
    struct hf_shelf *s = shelf_of(q);
    uint64_t bytes = 0;
    if (hf_load(&q->put.intent, HF_RELAXED) != 0)
        hf_side_mend(&q->put, state_of(item_at(who, q->put.position)) != MAKING);
    if (HF_BROKEN_HERE(shelf_mend)) return;
    mend_list(q, who);
    s->queued = s->read = s->first = s->last = 0;
    hf_store(&s->leased, 0, HF_RELAXED);
    hf_store(&s->letters, 0, HF_RELAXED);
    for (uint64_t link = hf_load(&s->items, HF_RELAXED); link != 0;) {
        sort_in(q, who, link, &bytes);
        link = hf_load(&item_at(who, link)->next, HF_RELAXED);
    }
    for (uint64_t i = s->queued / 2; i-- > 0;) sift_down(q, who, i);
    hf_shelf_count_out(q, hf_load(&q->put.count, HF_RELAXED) - s->queued - hf_load(&q->take.count, HF_RELAXED),
                       hf_load(&q->put.bytes, HF_RELAXED) - bytes - hf_load(&q->take.bytes, HF_RELAXED));
    hf_shelf_count_done(q);
}
