/* First in, first out: a chain of byte rings.
 *
 *    take.segment                      put.segment
 *         ▼                                 ▼
 *     ┌───────┐ next ┌───────┐ next  ┌───────────┐
 *     │ 3 KiB ├─────▶│ 16 KiB├──────▶│ 64 KiB    │      positions only grow; place = position % capacity
 *     └───────┘      └───────┘       └───────────┘
 *
 * Producers write to the last ring, round and round; when it is full they link a larger one behind it (up to 256 KiB)
 * and never come back. Consumers read the first ring until it is empty and has a successor, then free it. So a queue that
 * is kept up with stays in its few warm kilobytes, and one that is not grows, up to max_bytes, and shrinks again. The
 * first ring lies in the queue's own block and is never freed.
 *
 *   record   free ──copy in──▶ (written) ──tail store──▶ committed ──copy out──▶ (copied) ──head store──▶ free
 *   segment  ready (put.beside) ──last.next store──▶ in use ──take.segment store──▶ to be freed (take.beside) ──▶ gone
 *
 * Each arrow is one store; queue.h says how the counts follow. Prior work: as ring.h.
 */
#ifndef HF_FIFO_H
#define HF_FIFO_H

#include "queue.h"

struct hf_segment {
    hf_a64 tail;       /*   0 next to write */
    hf_a64 next;       /*   8 link, 0: none yet */
    uint64_t capacity; /*  16 multiple of 8 */
    uint64_t spare[5]; /*  24 */
    hf_a64 head;       /*  64 next to read, on a line of its own */
    uint64_t spare2[7]; /* 72 */
    unsigned char bytes[]; /* 128 */
};

/* Before each record's bytes, which are padded to 8. */
struct hf_slip {
    uint32_t length; /* of the bytes, without the 16 of an outside */
    uint32_t kind;   /* the caller's, and HF_OUTSIDE */
};
#define HF_OUTSIDE 0x80000000u /* 24 bytes follow first: block, uid, bytes in it */

#define HF_FIFO_LONGEST 32768u /* bytes of one record; longer ones travel in a block */

/* Where a consumer is between begin and end. */
struct hf_cursor {
    struct hf_segment *segment;
    uint64_t at;     /* position of the next record */
    uint64_t tail;   /* up to here they are committed */
    uint32_t n;      /* records passed */
    uint64_t bytes;  /* and their bytes */
    uint64_t block, block_uid; /* of the one that has a block */
};

/* A record as the cursor sees it. */
struct hf_found {
    uint32_t length, kind;
    uint64_t block, block_uid, outside;
    uint64_t at; /* of its bytes */
};

void hf_fifo_init(struct hf_queue *q, uint64_t nbytes);
/* Put items[0..n) in this order, as many as there is room for: *put of them. HF_OK (all), HF_BUSY, HF_WRONG, HF_CLOSED,
 * HF_NOMEM, HF_BELL: why not all. An item with a block comes alone. */
int hf_fifo_put(struct hf_queue *q, const struct hf_who *who, const struct hf_item *items, uint32_t n, uint32_t *put,
                int bell);
/* Begin to take: HF_OK (the take lock is held: next, copy, ..., end), HF_BUSY (empty), HF_CLOSED (for ever),
 * HF_NOMEM. */
int hf_fifo_begin(struct hf_queue *q, const struct hf_who *who, struct hf_seat *seat, struct hf_cursor *c);
/* The record at the cursor, without passing it; false: no more in reach. */
bool hf_fifo_look(const struct hf_cursor *c, struct hf_found *f);
void hf_fifo_copy(const struct hf_cursor *c, const struct hf_found *f, void *to);
/* Pass it: it will be taken. False: one with a block is taken alone. */
bool hf_fifo_pass(struct hf_cursor *c, const struct hf_found *f);
/* End what begin began; what was passed is ours. The caller holds a reference of its own to the block, if there is one. */
void hf_fifo_end(struct hf_queue *q, const struct hf_who *who, const struct hf_seat *seat, const struct hf_cursor *c);

/* For queue.c, under the side's lock. */
void hf_fifo_mend_put(struct hf_queue *q, const struct hf_who *who);
void hf_fifo_mend_take(struct hf_queue *q, const struct hf_who *who);
/* For queue.c, under both: throw everything away; how many items. */
uint64_t hf_fifo_clear(struct hf_queue *q, const struct hf_who *who);
void hf_fifo_dispose(struct hf_session *s, struct hf_queue *q);
/* Bytes an item takes of max_bytes. */
uint64_t hf_fifo_weight(const struct hf_item *item);

#endif
