/* The byte ring: a bounded queue of records for any number of producers and consumers, in commit order.
 *
 *        head (next to read)            tail (next to write)
 *          ▼                              ▼
 *   ░░░░░░░[len|0|tag|bytes..][len|0|tag|..]░░░░░░░░░░░░   positions only grow; place = position % capacity
 *
 * A record is 16 bytes of header (length, spare, tag) and the bytes, padded to 8. Producers stand under `put`,
 * consumers under `take`, so that the two sides do not wait for each other.
 *
 *   free ──copy in──▶ (written) ──tail store──▶ committed ──copy out──▶ (copied) ──head store──▶ free
 *
 * Who may die where: before the tail store the record does not exist; after it, it is committed. Before the head
 * store the record is still there for the next consumer; after it, it was the dead one's. Each side changes by
 * one store, so an abandoned lock needs no repair.
 *
 * Waking: each side tells its news (`puts`, `takes`; wait.h), and the other sleeps on it. Room is told to all
 * producers, since they may need different amounts.
 *
 * Prior work: M. Michael and M. Scott, two-lock queue (PODC 1996); Agrona's ring buffers for the record layout.
 */
#ifndef HF_RING_H
#define HF_RING_H

#include "owner.h"

struct hf_ring {
    struct hf_mutex put;  /*   0 */
    hf_a64 tail;          /*   8 */
    struct hf_news puts;  /*  16 what consumers sleep on */
    hf_a32 put_cpu;       /*  24 */
    hf_a32 closed;        /*  28 */
    uint64_t capacity;    /*  32 multiple of 8 */
    hf_a64 records_in;    /*  40 */
    uint64_t spare[2];    /*  48 */
    struct hf_mutex take; /*  64 a cache line of its own */
    hf_a64 head;          /*  72 */
    struct hf_news takes; /*  80 what producers sleep on */
    hf_a32 take_cpu;      /*  88 */
    hf_a32 spare2;        /*  92 */
    hf_a64 records_out;   /*  96 */
    uint64_t spare3[3];   /* 104 */
    unsigned char bytes[]; /* 128 */
};

struct hf_record {
    uint32_t length;
    uint32_t spare;
    uint64_t tag;
};

void hf_ring_init(struct hf_ring *r, uint64_t capacity);
/* HF_OK, HF_BUSY (no room now), HF_WRONG (can never fit), HF_CLOSED. */
int hf_ring_put(struct hf_ring *r, const struct hf_who *who, uint64_t tag, const void *data, size_t length);
/* Begin to take: HF_OK (the take lock is held: copy, then end), HF_BUSY (empty), HF_CLOSED (closed and empty). */
int hf_ring_begin(struct hf_ring *r, const struct hf_who *who, struct hf_record *record);
void hf_ring_copy(struct hf_ring *r, const struct hf_record *record, void *to);
/* End what begin began; taken: the record is ours, else it stays. */
void hf_ring_end(struct hf_ring *r, const struct hf_record *record, bool taken);
/* Wait until there may be something to take, or room for `length` bytes: HF_OK, HF_TIMEOUT, HF_INTR. */
int hf_ring_wait_record(struct hf_ring *r, struct hf_patience *p);
int hf_ring_wait_room(struct hf_ring *r, size_t length, struct hf_patience *p);
void hf_ring_close(struct hf_ring *r, const struct hf_who *who);

static inline uint64_t hf_ring_used(struct hf_ring *r) {
    uint64_t head = hf_load(&r->head, HF_ACQUIRE);
    return hf_load(&r->tail, HF_ACQUIRE) - head;
}
uint64_t hf_ring_records(struct hf_ring *r);

#endif
