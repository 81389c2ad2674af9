/* Histories of Lock and RLock: mutual exclusion, no lost update, no lost wake-up, and a holder's death told once. */
#include "explore.h"
#include "lock.h"

static struct hf_lock lock;
static unsigned plain, done;  /* guarded by the lock; what `plain` must be */
static int inside;            /* living fibers that believe to hold it */
static bool in[HX_FIBERS];
static unsigned told, expected, repaired;

static void reset_as(bool strict) {
    hf_lock_init(&lock, strict);
    plain = done = told = expected = repaired = 0;
    inside = 0;
    for (int i = 0; i < HX_FIBERS; i++) in[i] = false;
    hx_name(&lock, sizeof lock, "lock");
}
static void reset(void) {
    reset_as(false);
}
static void reset_strict(void) {
    reset_as(true);
}

static void died(int me) {
    if (in[me]) inside--;
    in[me] = false;
    uint32_t holder = hf_own_holder(&lock.own);
    if (holder == hx_who(me)->member) expected = 1;
}

static int take(int me, uint64_t deadline, bool signals) {
    if (hf_lock_try(&lock, hx_who(me))) return HF_OK;
    struct hf_patience p = hf_patience(deadline, signals);
    int r;
    do r = hf_lock_wait(&lock, hx_who(me), &p);
    while (r == HF_INTR);
    return r;
}

static void work(int me, int how) {
    if (how == HF_ABANDONED) told++;
    in[me] = true;
    hx_assert(++inside == 1);
    hx_assert(hf_lock_mine(&lock, hx_who(me)));
    hx_step();
    unsigned seen = plain;
    hx_step();
    plain = seen + 1;
    done++;
    hx_step();
    inside--;
    in[me] = false;
}

static void once(int me, uint64_t deadline, bool signals) {
    int r = take(me, deadline, signals);
    if (r == HF_TIMEOUT && deadline != HF_FOREVER) return;
    hx_assert(r == HF_OK || r == HF_ABANDONED);
    work(me, r);
    hx_assert(hf_lock_release(&lock) == HF_OK);
}

static void check(void) {
    hx_assert(plain == done);
    uint32_t holder = hf_own_holder(&lock.own);
    hx_assert(holder == 0 || (hx_any_dead() && expected == 1));
    hx_assert(told + (holder != 0) == expected);
    int r = hf_lock_try(&lock, hx_who(-1)) ? HF_OK : hf_lock_look(&lock, hx_who(-1));
    hx_assert(r == (holder != 0 ? HF_ABANDONED : HF_OK));
}

/* Three fibers take the lock once each. */
static void each_once(int me) {
    once(me, HF_FOREVER, false);
}
/* Twice each, through signals as the binding does it. */
static void each_twice(int me) {
    once(me, HF_FOREVER, true);
    once(me, HF_FOREVER, true);
}
/* The last one has little patience: a wake-up that reaches it as it gives up must not be lost to the others. */
static void one_impatient(int me) {
    once(me, me == 2 ? hf_now() + HF_MS : HF_FOREVER, false);
    if (me == 0) once(me, HF_FOREVER, false);
}

/* ---- strict: the death of a holder breaks it for everybody until one repairs it ---- */

static void strict(int me) {
    for (;;) {
        int r = take(me, HF_FOREVER, false);
        if (r == HF_BROKEN) {
            hx_assert(hx_any_dead());
            r = hf_lock_repair(&lock, hx_who(me));
            if (r == HF_BUSY) continue; /* somebody else did */
            repaired++;
        }
        hx_assert(r == HF_OK);
        work(me, r);
        hx_assert(hf_lock_release(&lock) == HF_OK);
        return;
    }
}

static void check_strict(void) {
    hx_assert(plain == done);
    uint32_t holder = hf_own_holder(&lock.own);
    hx_assert(holder == 0 || expected == 1);
    hx_assert(repaired + (holder != 0) == expected);
}

/* ---- not strict, but repaired by hand: the others must not see it broken ---- */

static void mended(int me) {
    if (me != 2) {
        once(me, HF_FOREVER, false);
        return;
    }
    if (hf_lock_repair(&lock, hx_who(me)) != HF_OK) return;
    work(me, HF_ABANDONED);
    hx_assert(hf_lock_release(&lock) == HF_OK);
}

/* ---- RLock ---- */

static void nested(int me) {
    const struct hf_who *who = hx_who(me);
    if (hf_rlock_again(&lock, who) == HF_OK) hx_fail("it is not ours yet");
    int r = take(me, HF_FOREVER, false);
    hx_assert(r == HF_OK || r == HF_ABANDONED);
    hx_assert(hf_rlock_again(&lock, who) == HF_OK);
    work(me, r);
    hx_assert(hf_rlock_release(&lock, who) == HF_OK);
    hx_assert(hf_lock_mine(&lock, who));
    hx_assert(hf_rlock_release(&lock, who) == HF_OK);
    hx_assert(hf_rlock_release(&lock, who) == HF_WRONG);
}

#define ALL (HX_PLAIN | HX_TICKS | HX_DEATH)
static const struct hx_history histories[] = {
    {"lock", 3, ALL, {3, 2, 2}, reset, each_once, died, check, {0}},
    {"lock_twice", 3, HX_PLAIN | HX_TICKS | HX_DEATH, {2, 2, 1}, reset, each_twice, died, check, {0}},
    {"lock_impatient", 3, ALL, {3, 2, 1}, reset, one_impatient, died, check, {0}},
    {"lock_one_process", 3, ALL, {3, 2, 2}, reset, each_once, died, check, {7, 7, 8}},
    {"lock_strict", 3, ALL, {2, 2, 2}, reset_strict, strict, died, check_strict, {0}},
    {"lock_mended", 3, HX_PLAIN | HX_DEATH, {2, 0, 2}, reset, mended, died, check, {0}},
    {"rlock", 3, ALL, {2, 2, 1}, reset, nested, died, check, {7, 7, 8}},
    {0},
};

int main(int argc, char **argv) {
    return hx_main(argc, argv, histories);
}
