/* Lock and RLock: an owner word, plus who exactly and how often.
 *
 * Invariants: `thread` is written only by the holder of the word; it is the member number and the kernel's
 * thread id together, so that no thread of another process, and no forked twin, can find itself in it.
 * `depth` counts the holder's acquisitions (1 for a plain Lock).
 *
 * Who may die where: between taking the word and writing `thread`, or between clearing `thread` and freeing
 * the word: the word alone decides who holds it, and a takeover writes both anew.
 */
#ifndef HF_LOCK_H
#define HF_LOCK_H

#include "owner.h"

struct hf_lock {
    struct hf_own own;  /*  0 */
    hf_a64 thread;      /*  8 */
    hf_a32 depth;       /* 16 */
    uint32_t strict;    /* 20 fixed when made: a dead holder breaks the lock instead of passing it on */
    hf_a32 waiting;     /* 24 threads asleep; a hint for people: a killed one stays counted until it is free */
    hf_a32 dead;        /* 28 the last member it was taken over from */
    hf_a64 waited_from; /* 32 when the first waiter of this tenure began, 0 if none; a hint for people */
};

static inline uint64_t hf_self(const struct hf_who *who) {
    return (uint64_t)who->member << 32 | who->thread;
}

static inline bool hf_lock_mine(struct hf_lock *l, const struct hf_who *who) {
    /* relaxed: only this very thread ever writes this very value */
    return hf_load(&l->thread, HF_RELAXED) == hf_self(who);
}

static inline void hf_lock_note(struct hf_lock *l, const struct hf_who *who) {
    HF_KILL(lock_taken);
    hf_store(&l->thread, hf_self(who), HF_RELAXED);
    hf_store(&l->depth, 1, HF_RELAXED);
}

static inline bool hf_lock_try(struct hf_lock *l, const struct hf_who *who) {
    if (!hf_own_try(&l->own, who->member)) return false;
    hf_lock_note(l, who);
    return true;
}

void hf_lock_init(struct hf_lock *l, bool strict);
/* HF_OK, HF_ABANDONED, HF_BROKEN, HF_BUSY. */
int hf_lock_look(struct hf_lock *l, const struct hf_who *who);
/* HF_OK, HF_ABANDONED, HF_BROKEN, HF_TIMEOUT, HF_INTR. */
int hf_lock_wait(struct hf_lock *l, const struct hf_who *who, struct hf_patience *p);
/* Free it, whoever holds it. HF_OK, or HF_WRONG if nobody does. */
int hf_lock_release(struct hf_lock *l);
/* Take a broken lock, or one whose holder is dead. HF_OK, or HF_BUSY if it is neither. */
int hf_lock_repair(struct hf_lock *l, const struct hf_who *who);

/* Once more by its holder; HF_OK, HF_WRONG if the count is at its end, HF_BUSY if we are not the holder. */
static inline int hf_rlock_again(struct hf_lock *l, const struct hf_who *who) {
    if (!hf_lock_mine(l, who)) return HF_BUSY;
    uint32_t depth = hf_load(&l->depth, HF_RELAXED);
    if (depth == UINT32_MAX) return HF_WRONG;
    hf_store(&l->depth, depth + 1, HF_RELAXED);
    HF_KILL(rlock_depth);
    return HF_OK;
}
/* HF_OK, or HF_WRONG if the caller is not the holder. */
int hf_rlock_release(struct hf_lock *l, const struct hf_who *who);

#endif
