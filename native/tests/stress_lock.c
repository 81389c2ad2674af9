/* Lock under stress: no update of plain memory is lost, and each death of a holder is told exactly once. */
#include "lock.h"
#include "stress.h"

static struct hf_lock lock;
static unsigned long plain; /* guarded by the lock */
static hf_a64 done, told, deaths, broken;

static int take(struct st_thread *t) {
    if (hf_lock_try(&lock, &t->who)) return HF_OK;
    unsigned how = st_random(t, 8);
    if (how < 3) return hf_lock_look(&lock, &t->who);
    bool patient = how != 3;
    struct hf_patience p = hf_patience(patient ? HF_FOREVER : hf_now() + 20000, how == 4);
    int r;
    do r = hf_lock_wait(&lock, &t->who, &p);
    while (r == HF_INTR);
    return r == HF_TIMEOUT && !patient ? HF_BUSY : r;
}

/* Die holding it, without having touched what it guards: the next one must see what the one before wrote. */
static void die(struct st_thread *t) {
    atomic_fetch_add_explicit(&deaths, 1, HF_RELAXED);
    st_reborn(t);
}

static void work(struct st_thread *t) {
    while (!st_over(t)) {
        int r = take(t);
        if (r == HF_BUSY) continue;
        st_check(r == HF_OK || r == HF_ABANDONED);
        if (r == HF_ABANDONED) atomic_fetch_add_explicit(&told, 1, HF_RELAXED);
        st_check(hf_lock_mine(&lock, &t->who));
        if (st_random(t, 400) == 0) {
            die(t);
            continue;
        }
        plain++;
        atomic_fetch_add_explicit(&done, 1, HF_RELAXED);
        if (st_random(t, 4) == 0) {
            st_check(hf_rlock_again(&lock, &t->who) == HF_OK);
            st_check(hf_rlock_release(&lock, &t->who) == HF_OK);
        }
        st_check(hf_rlock_release(&lock, &t->who) == HF_OK);
    }
}

static void finish(void) {
    struct hf_who who = st_checker();
    int r = hf_lock_look(&lock, &who);
    if (r == HF_ABANDONED) told++;
    st_check(r == HF_OK || r == HF_ABANDONED);
    st_check(plain == done && told == deaths);
}

/* The same with a lock that breaks: whoever finds it broken repairs it, and only one succeeds per death. */
static void work_strict(struct st_thread *t) {
    while (!st_over(t)) {
        int r = take(t);
        if (r == HF_BUSY) continue;
        if (r == HF_BROKEN) {
            if (hf_lock_repair(&lock, &t->who) != HF_OK) continue;
            atomic_fetch_add_explicit(&broken, 1, HF_RELAXED);
        } else {
            st_check(r == HF_OK);
        }
        if (st_random(t, 400) == 0) {
            die(t);
            continue;
        }
        plain++;
        atomic_fetch_add_explicit(&done, 1, HF_RELAXED);
        st_check(hf_lock_release(&lock) == HF_OK);
    }
}

int main(void) {
    st_deaths_order_nothing = true;
    hf_lock_init(&lock, false);
    st_run("stress_lock", 4, 1.5, work);
    finish();
    st_deaths_order_nothing = false;
    hf_lock_init(&lock, true);
    plain = 0;
    done = told = deaths = broken = 0;
    st_run("stress_lock strict", 4, 1, work_strict);
    struct hf_who who = st_checker();
    int r = hf_lock_repair(&lock, &who); /* HF_BUSY: nobody died last */
    st_check(plain == done && broken + (r == HF_OK) == deaths);
    return 0;
}
