/* The owner word: a lock that knows which process holds it and can be taken from the dead.
 *
 *   31        30 .................. 0
 *   waiters   member that holds it, 0 if free, HF_NOBODY_YET if broken (strict locks only)
 *
 *   free ──cas──▶ held by me ──swap──▶ free            (hf_own_try, hf_own_release)
 *   held ──cas──▶ held + waiters                       (a waiter, before it sleeps)
 *   held by a dead member ──cas──▶ held by me          (takeover; HF_ABANDONED tells the taker)
 *   held by a dead member ──cas──▶ broken              (strict: nobody may go on before hf_own_repair)
 *   broken ──cas──▶ held by me                         (hf_own_repair)
 *
 * Who may die where: the word is the whole state, so there is no half-way. Dead before the cas: nothing
 * happened. Dead while holding: the next waiter's tick takes over. Dead between the swap that frees the word
 * and the wake-up: sleepers find it free at their next tick.
 *
 * Prior work: U. Drepper, "Futexes Are Tricky" (2011), mutex 2 (a taker that has slept keeps the waiters bit,
 * because it cannot know whether others still sleep); robust mutexes of POSIX.1-2008, which tie ownership to a
 * thread and a kernel list, where this ties it to a process and a table that any process can read.
 */
#ifndef HF_OWNER_H
#define HF_OWNER_H

#include "killpoints.h"
#include "wait.h"
#include "who.h"

struct hf_own {
    hf_a32 word;
    hf_a32 cpu; /* where it was last taken; a hint */
};

static inline bool hf_own_try(struct hf_own *own, uint32_t member) {
    uint32_t free = 0;
    /* acquire; pairs with the release in hf_own_release: we see what the last holder wrote */
    if (!hf_cas(&own->word, &free, member, HF_MO(lock_acquire, HF_ACQUIRE))) return false;
    hf_store(&own->cpu, hf_cpu(), HF_RELAXED);
    return true;
}

static inline uint32_t hf_own_holder(struct hf_own *own) {
    return hf_load(&own->word, HF_RELAXED) & HF_MEMBER_MASK;
}

/* Wait for it. HF_OK, HF_ABANDONED (ours, *dead says from whom), HF_BROKEN, HF_TIMEOUT, HF_INTR. */
int hf_own_wait(struct hf_own *own, const struct hf_who *who, struct hf_patience *p, bool strict, uint32_t *dead);
/* One look without waiting: HF_OK, HF_ABANDONED, HF_BROKEN or HF_BUSY. */
int hf_own_look(struct hf_own *own, const struct hf_who *who, bool strict, uint32_t *dead);
/* Take a broken word. HF_OK, or HF_BUSY if it is not (or no longer) broken. */
int hf_own_repair(struct hf_own *own, const struct hf_who *who);
/* Free it and wake one sleeper. The caller must be the holder. */
void hf_own_wake(struct hf_own *own);
static inline void hf_own_release(struct hf_own *own) {
    /* release; pairs with the acquire in hf_own_try and hf_own_wait */
    if (HF_UNLIKELY(hf_swap(&own->word, 0, HF_MO(lock_release, HF_RELEASE)) & HF_WAITERS)) hf_own_wake(own);
}

/* ---- the internal lock: short, never held across a wait, never broken ---- */

struct hf_mutex {
    struct hf_own own;
};

int hf_mutex_wait(struct hf_mutex *m, const struct hf_who *who);

/* HF_OK, or HF_ABANDONED: ours, but the last holder died inside; the caller repairs what it guards. */
static inline int hf_mutex_lock(struct hf_mutex *m, const struct hf_who *who) {
    int r = HF_LIKELY(hf_own_try(&m->own, who->member)) ? HF_OK : hf_mutex_wait(m, who);
    HF_KILL(mutex_taken);
    return r;
}

static inline void hf_mutex_unlock(struct hf_mutex *m) {
    hf_own_release(&m->own);
    HF_KILL(mutex_released);
}

#endif
