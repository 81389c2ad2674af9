#include "owner.h"

/* The word says `word`; its holder died. Ours on success. */
static int take_over(struct hf_own *own, const struct hf_who *who, uint32_t word, bool strict, uint32_t *dead) {
    uint32_t next = strict ? HF_NOBODY_YET : who->member | HF_WAITERS;
    /* acquire: what the dead holder wrote happened before its death, and so before we saw it dead */
    if (!hf_cas(&own->word, &word, next, HF_MO(lock_takeover, HF_ACQUIRE))) return HF_BUSY;
    *dead = word & HF_MEMBER_MASK;
    if (strict) {
        hf_wake(&own->word, HF_ALL);
        return HF_BROKEN;
    }
    hf_store(&own->cpu, hf_cpu(), HF_RELAXED);
    return HF_ABANDONED;
}

int hf_own_look(struct hf_own *own, const struct hf_who *who, bool strict, uint32_t *dead) {
    if (hf_own_try(own, who->member)) return HF_OK;
    uint32_t word = hf_load(&own->word, HF_RELAXED);
    uint32_t holder = word & HF_MEMBER_MASK;
    if (holder == HF_NOBODY_YET) return HF_BROKEN;
    if (holder == 0 || !hf_gone(who, holder)) return HF_BUSY;
    return take_over(own, who, word, strict, dead);
}

/* Try to take a word seen free. A taker that has slept keeps the waiters bit: others may sleep still. */
static bool take_free(struct hf_own *own, const struct hf_who *who, uint32_t word, uint32_t keep) {
    if (!hf_cas(&own->word, &word, who->member | keep | (word & HF_WAITERS), HF_MO(lock_acquire, HF_ACQUIRE)))
        return false;
    hf_store(&own->cpu, hf_cpu(), HF_RELAXED);
    return true;
}

int hf_own_wait(struct hf_own *own, const struct hf_who *who, struct hf_patience *p, bool strict, uint32_t *dead) {
    uint32_t keep = 0;
    for (;;) {
        uint32_t word = hf_load(&own->word, HF_RELAXED);
        uint32_t holder = word & HF_MEMBER_MASK;
        if (holder == 0) {
            if (take_free(own, who, word, keep)) return HF_OK;
            continue;
        }
        if (holder == HF_NOBODY_YET) return HF_BROKEN;
        /* A holder in this process may need the GIL that our caller just gave up: sleep, do not spin. */
        uint32_t cpu = holder == who->member ? HF_NO_CPU : hf_load(&own->cpu, HF_RELAXED);
        if (hf_spin(&own->word, word, cpu, HF_SPIN_NS)) continue;
        if (!(word & HF_WAITERS) && !HF_BROKEN_HERE(lock_waiters_bit)) {
            if (!hf_cas(&own->word, &word, word | HF_WAITERS, HF_RELAXED)) continue;
            word |= HF_WAITERS;
        }
        keep = HF_WAITERS;
        int r = hf_sleep(&own->word, word, p);
        if (r == HF_OK) continue;
        if (r == HF_TIMEOUT || r == HF_INTR) return r;
        word = hf_load(&own->word, HF_RELAXED);
        holder = word & HF_MEMBER_MASK;
        if (holder != 0 && holder != HF_NOBODY_YET && hf_gone(who, holder)) {
            r = take_over(own, who, word, strict, dead);
            if (r != HF_BUSY) return r;
        }
        if (p->signals) return HF_INTR;
    }
}

int hf_own_repair(struct hf_own *own, const struct hf_who *who) {
    uint32_t word = HF_NOBODY_YET;
    if (!hf_cas(&own->word, &word, who->member, HF_ACQUIRE)) return HF_BUSY;
    hf_store(&own->cpu, hf_cpu(), HF_RELAXED);
    return HF_OK;
}

void hf_own_wake(struct hf_own *own) {
    HF_KILL(lock_released);
    if (!HF_BROKEN_HERE(lock_wake)) hf_wake(&own->word, 1);
}

int hf_mutex_wait(struct hf_mutex *m, const struct hf_who *who) {
    struct hf_patience p = hf_patience(HF_FOREVER, false);
    uint32_t dead;
    return hf_own_wait(&m->own, who, &p, false, &dead);
}
