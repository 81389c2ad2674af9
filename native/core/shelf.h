/* The ordered store: every item lies in a block of its own and is found through an index.
 *
 *   being made ──▶ queued ──▶ taken ──▶ being freed        (release; a dead taker, without redeliver)
 *                    ▲          │  │
 *                    └──────────┘  └──▶ dead letter ◀──▶ letter read ──▶ being freed
 *                  given back, or its taker died
 *
 * Each arrow is one store of the item's state: the commit. The state also says how often the item was handed out. What
 * else is known - the index, the counts, the chain of dead letters - is made anew from the list of all items when
 * somebody died in here; the list itself is whole after every store.
 *
 *   index    [ heap of the queued, best first  ──▶ ......... ◀──  taken and read, in no order ]
 *
 * See queue.h for what is common; all here stands under put.lock (take.lock is not used). Counts are raised before a
 * commit and lowered after it, so whoever looks without the lock never misses an item. */
#ifndef HF_SHELF_H
#define HF_SHELF_H

#include "queue.h"

/* At HF_QUEUE_STORE_AT. The link of the index is put.segment. */
struct hf_shelf {
    hf_a64 items;         /*  0 first of the list of all items: the newest */
    uint64_t all;         /*  8 in the list */
    uint64_t next;        /* 16 serial */
    uint64_t queued;      /* 24 in the heap */
    hf_a64 leased;        /* 32 taken items, and dead letters that somebody reads */
    hf_a64 letters;       /* 40 dead letters, with those that somebody reads */
    uint64_t read;        /* 48 of those, the latter */
    uint64_t first, last; /* 56 chain of the former */
    hf_a64 looked;        /* 72 when dead takers were last looked for */
};

/* What a consumer got: it lies still, in shared memory, until the lease is given back. */
struct hf_lease {
    uint64_t lease;      /* stands for the item: 0 none */
    const void *data;
    uint32_t length, kind;
    uint32_t deliveries; /* how often it was handed out, this time included */
    uint64_t block, block_uid, outside;
    uint64_t serial;     /* of the put: never the same twice in a queue */
};

void hf_shelf_init(struct hf_queue *q, uint64_t nbytes);
/* As hf_fifo_put for one item. */
int hf_shelf_put(struct hf_queue *q, const struct hf_who *who, const struct hf_item *item, int bell);
/* Take the first (dead: the first of the dead letters). HF_OK, HF_BUSY, HF_CLOSED, HF_NOMEM. Looks for dead takers now
 * and then, and always if `look`, or before it says HF_CLOSED. */
int hf_shelf_take(struct hf_queue *q, const struct hf_who *who, struct hf_seat *seat, bool dead, bool look,
                  struct hf_lease *out);
/* Without redeliver, and for dead letters: the caller has read it (and holds a reference of its own to its block). With
 * redeliver: it is finished, as hf_queue_done counts. HF_OK, or HF_WRONG if the lease is not (or no longer) ours. */
int hf_shelf_release(struct hf_queue *q, const struct hf_who *who, const struct hf_seat *seat, uint64_t lease,
                     uint64_t serial);
/* Put it back unfinished, where it was in the order, and as if it had not been handed out (the caller could not read
 * it). A dead letter goes back to the dead letters. */
int hf_shelf_return(struct hf_queue *q, const struct hf_who *who, const struct hf_seat *seat, uint64_t lease,
                    uint64_t serial);
uint64_t hf_shelf_dead_letters(struct hf_queue *q);
/* Look for dead takers, if nobody did for a while. */
void hf_shelf_look(struct hf_queue *q, const struct hf_who *who);

/* For queue.c, under put.lock. */
void hf_shelf_mend(struct hf_queue *q, const struct hf_who *who);
/* Items whose takers are gone: back, or to the dead letters, or (without redeliver) freed. How many may be taken now
 * that could not be before, dead letters included. */
uint32_t hf_shelf_reclaim(struct hf_queue *q, const struct hf_who *who);
/* Throw away what is queued. How many the caller has to count as finished (with redeliver it is done here). */
uint64_t hf_shelf_clear(struct hf_queue *q, const struct hf_who *who);
void hf_shelf_dispose(struct hf_session *s, struct hf_queue *q);
uint64_t hf_shelf_weight(const struct hf_item *item);

#endif
