#include "lock.h"

_Static_assert(sizeof(struct hf_lock) == 40, "layout of hf_lock");
_Static_assert(offsetof(struct hf_lock, thread) == 8, "layout of hf_lock");
_Static_assert(offsetof(struct hf_lock, waited_from) == 32, "layout of hf_lock");

void hf_lock_init(struct hf_lock *l, bool strict) {
    *l = (struct hf_lock){.strict = strict};
    atomic_init(&l->own.cpu, HF_NO_CPU);
}

static int taken(struct hf_lock *l, const struct hf_who *who, int how, uint32_t dead) {
    if (how == HF_ABANDONED) {
        HF_KILL(lock_takeover);
        hf_store(&l->dead, dead, HF_RELAXED);
    }
    if (how == HF_BROKEN && dead != 0) hf_store(&l->dead, dead, HF_RELAXED);
    if (how == HF_OK || how == HF_ABANDONED) hf_lock_note(l, who);
    return how;
}

int hf_lock_look(struct hf_lock *l, const struct hf_who *who) {
    uint32_t dead = 0;
    int r = hf_own_look(&l->own, who, l->strict != 0, &dead);
    return taken(l, who, r, dead);
}

int hf_lock_wait(struct hf_lock *l, const struct hf_who *who, struct hf_patience *p) {
    uint32_t dead = 0;
    if (hf_add(&l->waiting, 1, HF_RELAXED) == 0) hf_store(&l->waited_from, hf_now(), HF_RELAXED);
    int r = hf_own_wait(&l->own, who, p, l->strict != 0, &dead);
    /* A waiter that was killed stays counted until a release finds nobody asleep; hence the floor at zero. */
    uint32_t n = hf_load(&l->waiting, HF_RELAXED);
    while (n != 0 && !hf_cas(&l->waiting, &n, n - 1, HF_RELAXED)) {}
    if (n > 1 && (r == HF_OK || r == HF_ABANDONED)) hf_store(&l->waited_from, hf_now(), HF_RELAXED);
    return taken(l, who, r, dead);
}

static void forget(struct hf_lock *l) {
    hf_store(&l->thread, 0, HF_RELAXED);
    HF_KILL(lock_untracked);
    hf_own_release(&l->own);
}

int hf_lock_release(struct hf_lock *l) {
    uint32_t word = hf_load(&l->own.word, HF_RELAXED);
    uint32_t holder = word & HF_MEMBER_MASK;
    if (holder == 0 || holder == HF_NOBODY_YET) return HF_WRONG;
    if (HF_UNLIKELY(hf_load(&l->waited_from, HF_RELAXED) != 0)) {
        hf_store(&l->waited_from, 0, HF_RELAXED);
        if (!(word & HF_WAITERS)) hf_store(&l->waiting, 0, HF_RELAXED);
    }
    forget(l);
    return HF_OK;
}

int hf_lock_repair(struct hf_lock *l, const struct hf_who *who) {
    uint32_t dead = 0;
    int r = hf_own_look(&l->own, who, l->strict != 0, &dead);
    if (r == HF_OK) { /* it was free: nothing to repair */
        hf_own_release(&l->own);
        return HF_BUSY;
    }
    if (dead != 0) hf_store(&l->dead, dead, HF_RELAXED);
    r = r == HF_ABANDONED ? HF_OK : hf_own_repair(&l->own, who);
    if (r == HF_OK) hf_lock_note(l, who);
    return r;
}

int hf_rlock_release(struct hf_lock *l, const struct hf_who *who) {
    if (!hf_lock_mine(l, who)) return HF_WRONG;
    uint32_t depth = hf_load(&l->depth, HF_RELAXED);
    if (depth > 1) {
        hf_store(&l->depth, depth - 1, HF_RELAXED);
        return HF_OK;
    }
    return hf_lock_release(l);
}
