/* Semaphore: permits, and who holds how many, so that a dead process's permits come back.
 *
 * All changes stand under `guard`; `value` may be read without it. The roster has one entry per member that
 * holds permits; its word is the number it holds.
 *
 * What a death gives back. A permit may be released by another process than the one that took it, and a
 * semaphore may be a mere signal (initial value 0), so "what the dead one took" is the wrong amount. The rule:
 * after striking the dead off the roster, the value is raised until
 *         value + held by the living >= initial
 * which gives a resource its permits back, gives a signal nothing, and also mends a process that died between
 * lowering the value and recording itself. Permits given back this way are remembered in `written_off`: if a
 * helper of the dead process later releases one of them all the same, that release raises nothing.
 *
 * Who may die where: take lowers the value, then records the holder; give strikes the holder off, then raises
 * the value. Between the two, value + held is one short, and the rule above mends it.
 */
#ifndef HF_SEMAPHORE_H
#define HF_SEMAPHORE_H

#include "owner.h"
#include "roster.h"

struct hf_semaphore {
    struct hf_mutex guard; /*  0 */
    hf_a32 value;          /*  8 */
    struct hf_news news;   /* 12 of releases: what waiters sleep on */
    hf_a32 cpu;            /* 20 where it was last released; a hint */
    uint32_t initial;      /* 24 */
    uint32_t bounded;      /* 28 */
    hf_a32 written_off;    /* 32 */
    hf_a32 spare;          /* 36 */
    hf_a64 looked;         /* 40 when a try that failed last looked for dead holders */
    struct hf_roster held; /* 48 */
};

void hf_semaphore_init(struct hf_semaphore *s, uint32_t value, bool bounded);
/* HF_OK, HF_BUSY (no permit), HF_NOMEM (no room to record the holder; nothing taken). */
int hf_semaphore_try(struct hf_semaphore *s, const struct hf_who *who);
/* HF_OK, HF_TIMEOUT, HF_INTR, HF_NOMEM. */
int hf_semaphore_wait(struct hf_semaphore *s, const struct hf_who *who, struct hf_patience *p);
/* HF_OK, or HF_WRONG if that would pass the bound (or 2^31 - 1). */
int hf_semaphore_release(struct hf_semaphore *s, const struct hf_who *who, uint32_t n);
/* Strike dead holders off and refill. True if a permit came back. */
bool hf_semaphore_reap(struct hf_semaphore *s, const struct hf_who *who);

#endif
