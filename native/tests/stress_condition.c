/* Condition under stress: every item that was notified is consumed although waiters die, and what was written before
 * a notify is seen by the waiter it reached. */
#include "condition.h"
#include "lock.h"
#include "stress.h"

#include <sched.h>

static struct hf_lock lock;
static struct hf_condition cond;
static unsigned long items, made, eaten; /* guarded by the lock */
static bool stop;                        /* likewise */

static void enter(struct st_thread *t) {
    if (hf_lock_try(&lock, &t->who)) return;
    struct hf_patience p = hf_patience(HF_FOREVER, false);
    int r = hf_lock_wait(&lock, &t->who, &p);
    st_check(r == HF_OK || r == HF_ABANDONED);
}
static void leave(void) {
    st_check(hf_lock_release(&lock) == HF_OK);
}

static void wait_once(struct st_thread *t) {
    struct hf_entry *e = hf_condition_enter(&cond, &t->who);
    st_check(e != NULL);
    leave();
    if (st_random(t, 500) == 0) st_reborn(t); /* dies on the list: whatever it is told must reach another */
    else {
        struct hf_patience p = hf_patience(st_random(t, 8) ? HF_FOREVER : hf_now() + 20000, false);
        hf_condition_wait(&cond, e, &t->who, &p);
        enter(t);
        hf_condition_leave(&cond, e, &t->who, false);
        return;
    }
    enter(t);
}

static void produce(struct st_thread *t) {
    while (!st_over(t)) {
        enter(t);
        if (items < 4) {
            items++;
            made++;
            hf_condition_notify(&cond, &t->who, 1);
        }
        leave();
        sched_yield();
    }
    enter(t);
    stop = true;
    hf_condition_notify(&cond, &t->who, UINT32_MAX);
    leave();
}

static void consume(struct st_thread *t) {
    for (;;) {
        enter(t);
        while (items == 0 && !stop) wait_once(t);
        if (items == 0) break;
        items--;
        eaten++;
        t->rounds++;
        leave();
    }
    leave();
}

static void work(struct st_thread *t) {
    if (t->number == 0) produce(t);
    else consume(t);
}

/* ---- a letter that is read as soon as the wait is over, before any lock orders it ---- */

static unsigned long letter;
static hf_a32 ready, last;
static void post(struct st_thread *t) {
    if (t->number == 0) {
        while (!atomic_load_explicit(&last, HF_RELAXED)) {
            while (!atomic_exchange_explicit(&ready, 0, HF_RELAXED)) sched_yield();
            hf_condition_notify(&cond, &t->who, 0); /* after the reader's last look at the letter */
            if (st_over(t)) atomic_store_explicit(&last, 1, HF_RELAXED);
            letter++;
            st_check(hf_condition_notify(&cond, &t->who, 1) == 1);
        }
        return;
    }
    unsigned long n = 0;
    while (!atomic_load_explicit(&last, HF_RELAXED)) {
        struct hf_patience p = hf_patience(HF_FOREVER, false);
        struct hf_entry *e = hf_condition_enter(&cond, &t->who);
        atomic_store_explicit(&ready, 1, HF_RELAXED);
        st_check(hf_condition_wait(&cond, e, &t->who, &p) == HF_OK);
        st_check(letter == ++n);
        st_check(hf_condition_leave(&cond, e, &t->who, false));
    }
}

int main(void) {
    hf_lock_init(&lock, false);
    hf_condition_init(&cond, 0);
    st_run("stress_condition letter", 2, 1, post);
    st_run("stress_condition", 4, 1.2, work);
    st_check(items == 0 && made == eaten);
    return 0;
}
