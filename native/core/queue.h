/* Queues: what the two kinds of store have in common, and who took what.
 *
 *   fifo.c    first in, first out: a chain of byte rings; nothing is kept of what was taken
 *   shelf.c   by key: last in first out, priorities, and whatever must be delivered again if its taker dies
 *
 * The body of a queue's block is a struct hf_queue. Each side counts what passed it since the queue was made; a count is
 * raised before the change it counts is committed, under an *intent* that says what it was before, so that whoever takes
 * the side's lock from a dead member can tell whether the change happened and set the count right:
 *
 *   intent set ──▶ count raised ──▶ COMMIT (one store) ──▶ intent cleared
 *
 *   queued = in - out        unfinished = in - done
 *
 * Who may die where: a producer before its commit has put nothing; after it, the item is there, and only a wake-up may
 * be missing, which the sleepers' ticks make good. A consumer before its commit has taken nothing; after it, the item
 * was its. What a dead consumer took and did not finish is settled by `hf_queue_settle` for those who wait in join.
 *
 * Locks are taken in the order take, put, session guard.
 */
#ifndef HF_QUEUE_H
#define HF_QUEUE_H

#include "owner.h"
#include "roster.h"

enum hf_flavour { HF_FIFO = 0, HF_LIFO = 1, HF_PRIORITY = 2 };

/* One side: producers or consumers. Two lines of its own, so that the sides do not disturb each other. */
struct hf_side {
    struct hf_mutex lock; /*   0 */
    hf_a64 count;         /*   8 items that passed */
    hf_a64 bytes;         /*  16 and their bytes, with those in blocks beside */
    struct hf_news news;  /*  24 what the other side sleeps on */
    hf_a32 cpu;           /*  32 where it last changed; a hint */
    hf_a32 intent;        /*  36 items of the change in progress, 0: none. The fields of an intent follow */
    uint64_t position;    /*  40 position that the commit will store */
    uint64_t was_count;   /*  48 */
    uint64_t was_bytes;   /*  56 */
    uint64_t more_bytes;  /*  64 */
    uint64_t block;       /*  72 payload block that changes hands, 0: none */
    uint64_t block_uid;   /*  80 */
    hf_a64 segment;       /*  88 fifo: link to the segment in use. shelf, put side: to the index */
    hf_a64 beside;        /*  96 fifo: link to a segment ready for use (put), or to be freed (take) */
    uint64_t seen;        /* 104 fifo: the other side's position in this segment, as last seen */
    uint64_t seen_count;  /* 112 the other side's counts, as last seen (put side) */
    uint64_t seen_bytes;  /* 120 */
};

/* A file descriptor that is readable while there are items (a FIFO that somebody polls): `wanted` once somebody asked for
 * it. Rung before the commit and hushed only under the producers' lock with nothing queued, so that "there are items"
 * always means "rung"; a byte too many costs a look. */
struct hf_bell {
    hf_a32 wanted;
    hf_a32 rung; /* 0 no, 1 yes, HF_PERHAPS: somebody died ringing or hushing. Rung again, and hushed, in doubt */
};
#define HF_PERHAPS 2u

struct hf_queue {
    uint32_t flavour;        /*   0 enum hf_flavour */
    uint32_t redeliver;      /*   4 shelf: a dead taker's items come back */
    uint32_t max_deliveries; /*   8 0: no limit */
    hf_a32 closed;           /*  12 0 open, 1 nothing may be put, 2 nor taken */
    hf_a64 maxsize;          /*  16 items, 0: no limit */
    uint64_t max_bytes;      /*  24 */
    struct hf_bell bell;     /*  32 */
    hf_a64 done;             /*  40 items finished, or given up for a dead taker */
    hf_a64 written_off;      /*  48 of those given up, how many nobody has called done since */
    struct hf_news dones;    /*  56 told when nothing is unfinished */
    struct hf_roster takers; /*  64 per member that took something: data = taken - finished by itself */
    hf_a32 large;            /* 168 fifo: the segment at the taking end is larger than an idle queue should keep */
    hf_a32 kept;             /* 172 lives on without anybody who holds it: it has a name */
    hf_a32 more;             /* 176 fifo: the last taker saw more: the next one need not ask the producers' counts */
    hf_a32 spare;            /* 180 */
    hf_a64 foreign;          /* 184 items that were finished by members who had not taken them */
    uint64_t spare2[8];      /* 192 */
    struct hf_side put;      /* 256 */
    struct hf_side take;     /* 384 */
    /* 512: fifo: the first segment; shelf: struct hf_shelf */
};
#define HF_QUEUE_STORE_AT 512u

/* What a producer hands over. */
struct hf_item {
    const void *data;
    uint32_t length;
    uint32_t kind;      /* the caller's: how to read the bytes */
    uint64_t block;     /* offset of a payload block of the caller's, 0: none. The queue keeps it until it is taken */
    uint64_t block_uid;
    uint64_t outside;   /* bytes in it */
    const void *key;    /* shelf: bytes whose order is the items' order */
    uint32_t key_length;
};

/* A member's entry in the roster of takers, looked up once per member and handle. */
struct hf_seat {
    uint32_t member;
    struct hf_entry *entry;
};

/* What hf_queue_settle found: members that are gone and had not finished what they took. */
struct hf_loss {
    uint32_t members;  /* how many; the first HF_LOSS_NAMED of them below */
    uint64_t items;    /* written off in all */
    struct {
        uint32_t member;
        uint64_t items;
    } of[8];
};
#define HF_LOSS_NAMED 8u

struct hf_queue_config {
    uint32_t flavour, redeliver, max_deliveries, kept;
    uint64_t maxsize, max_bytes;
    uint64_t nbytes; /* of the whole body */
};

void hf_queue_init(struct hf_queue *q, const struct hf_queue_config *how);
static inline bool hf_queue_on_shelf(const struct hf_queue *q) {
    return q->flavour != HF_FIFO || q->redeliver;
}

/* Both before the lock is released again: enter a side, putting right what a dead member left there. */
void hf_queue_enter_put(struct hf_queue *q, const struct hf_who *who);
void hf_queue_enter_take(struct hf_queue *q, const struct hf_who *who);

/* The steps of a change, under the side's lock; block: what changes hands with it, or 0. */
static inline void hf_side_intend(struct hf_side *side, uint32_t n, uint64_t bytes, uint64_t position, uint64_t block,
                                  uint64_t block_uid) {
    side->was_count = hf_load(&side->count, HF_RELAXED);
    side->was_bytes = hf_load(&side->bytes, HF_RELAXED);
    side->more_bytes = bytes;
    side->position = position;
    side->block = block;
    side->block_uid = block_uid;
    hf_store(&side->intent, n, HF_RELEASE);
    hf_store(&side->bytes, side->was_bytes + bytes, HF_RELEASE);
    hf_store(&side->count, side->was_count + n, HF_RELEASE);
}
static inline void hf_side_done(struct hf_side *side) {
    hf_store(&side->intent, 0, HF_RELEASE);
}
/* The last one in here died: make the counts say what happened. Returns the intent's items, 0: there was none. */
static inline uint32_t hf_side_mend(struct hf_side *side, bool committed) {
    uint32_t n = hf_load(&side->intent, HF_RELAXED);
    if (n == 0) return 0;
    hf_store(&side->bytes, side->was_bytes + (committed ? side->more_bytes : 0), HF_RELEASE);
    hf_store(&side->count, side->was_count + (committed ? n : 0), HF_RELEASE);
    hf_store(&side->intent, 0, HF_RELEASE);
    return n;
}

static inline uint64_t hf_queue_size(struct hf_queue *q) {
    uint64_t out = hf_load(&q->take.count, HF_ACQUIRE), in = hf_load(&q->put.count, HF_ACQUIRE);
    return in > out ? in - out : 0;
}
static inline uint64_t hf_queue_unfinished(struct hf_queue *q) {
    uint64_t done = hf_load(&q->done, HF_ACQUIRE), in = hf_load(&q->put.count, HF_ACQUIRE);
    return in > done ? in - done : 0;
}
static inline uint64_t hf_queue_bytes(struct hf_queue *q) {
    uint64_t out = hf_load(&q->take.bytes, HF_ACQUIRE), in = hf_load(&q->put.bytes, HF_ACQUIRE);
    return in > out ? in - out : 0;
}

/* Under the put lock: is there room for n items more, of `bytes` in all? HF_OK, HF_BUSY, HF_WRONG (never), HF_CLOSED. */
int hf_queue_room_for(struct hf_queue *q, uint32_t n, uint64_t bytes);
static inline int hf_queue_room(struct hf_queue *q, uint64_t bytes) {
    return hf_queue_room_for(q, 1, bytes);
}
/* The same without the lock, as it seems. */
bool hf_queue_may_fit(struct hf_queue *q, uint64_t bytes);
/* Wait until there may be an item, or room for `bytes`: HF_OK, HF_TIMEOUT, HF_INTR. A tick is HF_OK: look again. */
int hf_queue_wait_item(struct hf_queue *q, struct hf_patience *p);
int hf_queue_wait_room(struct hf_queue *q, uint64_t bytes, struct hf_patience *p);

/* This member's entry; NULL: no memory. Under the take lock (shelf: the put lock). */
struct hf_entry *hf_queue_seat(struct hf_queue *q, const struct hf_who *who, struct hf_seat *seat);
/* Our member took, or finished (n < 0), this many more. */
static inline void hf_queue_charge(struct hf_entry *e, int64_t n) {
    hf_add(&e->data, (uint64_t)n, HF_RELAXED);
}
/* One more is finished: HF_OK, or HF_WRONG if nothing is unfinished. */
int hf_queue_done(struct hf_queue *q, const struct hf_who *who, const struct hf_seat *seat);
/* `n` more are finished, whoever took them; wakes those in join if that was all. */
void hf_queue_finish(struct hf_queue *q, uint64_t n);
/* Give up what members that are gone took and did not finish. */
void hf_queue_settle(struct hf_queue *q, const struct hf_who *who, struct hf_loss *loss);
/* Wait until something may have been finished: HF_OK (look), HF_TICK (settle, then look), HF_TIMEOUT, HF_INTR. */
int hf_queue_wait_done(struct hf_queue *q, struct hf_patience *p);

/* how: 1 nothing may be put any more, 2 nor taken, and what is queued is thrown away. */
void hf_queue_shut(struct hf_queue *q, const struct hf_who *who, uint32_t how);
/* Wake all who wait here, to look around. */
void hf_queue_nudge(struct hf_queue *q);
/* Hush the bell if nothing is queued. */
void hf_queue_hush(struct hf_queue *q, const struct hf_who *who, int fd);
/* From now on every put rings: readable at once if something is queued. */
void hf_queue_want_bell(struct hf_queue *q, const struct hf_who *who, int fd);
/* Under the put lock, before a commit: HF_OK, or HF_BELL if the caller must bring the descriptor. */
int hf_queue_ring(struct hf_queue *q, int fd);

/* The block goes, under the session's guard: let go of the payload blocks of what is still queued. */
void hf_queue_dispose(struct hf_session *s, struct hf_queue *q);

#endif
