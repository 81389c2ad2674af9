/* The shelf's items and its index: for shelf.c and shelf_index.c alone. Everything here stands under put.lock. */
#ifndef HF_SHELF_INDEX_H
#define HF_SHELF_INDEX_H

#include "shelf.h"

enum state { MAKING = 0, QUEUED, TAKEN, LETTER, READ, FREEING };
#define STATE 7u
#define ONCE 8u /* one delivery, in the word that holds the state */

struct shelved {
    hf_a32 state;       /*  0 enum state, and deliveries times ONCE */
    uint32_t member;    /*  4 TAKEN, READ: by whom */
    uint32_t kind;      /*  8 */
    uint32_t length;    /* 12 */
    uint32_t key_length; /* 16 */
    uint32_t spare;     /* 20 */
    uint64_t serial;    /* 24 */
    uint64_t block, block_uid, outside; /* 32 */
    hf_a64 next;        /* 56 in the list of all items */
    uint64_t previous;  /* 64 a hint that mending makes good */
    uint64_t place;     /* 72 TAKEN, READ: in the index, counted from its end */
    uint64_t after;     /* 80 LETTER: next in the chain */
    unsigned char bytes[]; /* 88 data, then key */
};

struct index {
    uint64_t capacity; /* never less than the items in the list */
    uint64_t link[];
};

static inline struct hf_shelf *shelf_of(struct hf_queue *q) {
    return (struct hf_shelf *)(void *)((char *)q + HF_QUEUE_STORE_AT);
}

static inline struct shelved *item_at(const struct hf_who *who, uint64_t link) {
    return hf_follow(who->session, link);
}

static inline struct index *index_of(struct hf_queue *q, const struct hf_who *who) {
    return hf_follow(who->session, hf_load(&q->put.segment, HF_RELAXED));
}

static inline enum state state_of(struct shelved *item) {
    /* acquire; pairs with the releases below where the last one in here died, so that no lock orders its stores */
    return (enum state)(hf_load(&item->state, HF_ACQUIRE) & STATE);
}

static inline uint32_t deliveries_of(struct shelved *item) {
    return hf_load(&item->state, HF_RELAXED) / ONCE;
}

/* The commit of every change but a put. */
static inline void become(struct shelved *item, enum state state, uint32_t deliveries) {
    hf_store(&item->state, deliveries * ONCE + (uint32_t)state, HF_RELEASE);
}

static inline uint64_t weight_of(const struct shelved *item) {
    return sizeof *item + item->length + item->key_length + item->outside;
}

/* ---- the index: its heap, and who has leases ---- */

/* Room for one item more: false, no memory. */
bool hf_index_reserve(struct hf_queue *q, const struct hf_who *who);
void hf_index_push(struct hf_queue *q, const struct hf_who *who, uint64_t link);
/* The first, taken off; what it is stands in link[0] before. */
uint64_t hf_index_pop(struct hf_queue *q, const struct hf_who *who);
void hf_index_lease(struct hf_queue *q, const struct hf_who *who, uint64_t link);
void hf_index_strike(struct hf_queue *q, const struct hf_who *who, const struct shelved *item);

/* ---- items ---- */

/* Free an item that is in no index any more, and its payload. */
void hf_shelf_discard(struct hf_queue *q, const struct hf_who *who, uint64_t link);
/* Into the chain of dead letters, the oldest first. */
void hf_shelf_chain(struct hf_queue *q, const struct hf_who *who, uint64_t link);
/* So many more are out; fewer, if they came back. */
void hf_shelf_count_out(struct hf_queue *q, uint64_t n, uint64_t bytes);
/* Bring q->done up to date. */
void hf_shelf_count_done(struct hf_queue *q);

#endif
