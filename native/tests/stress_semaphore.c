/* Semaphore under stress: never more living holders than permits, a death's permits come back, value + held =
 * initial in the end; with one permit it guards plain memory. */
#include "semaphore.h"
#include "stress.h"

static struct hf_semaphore one, two;
static unsigned long plain; /* guarded by `one` */
static hf_a64 done;
static hf_a32 inside;

static int take(struct hf_semaphore *s, struct st_thread *t) {
    int r = hf_semaphore_try(s, &t->who);
    if (r != HF_BUSY) return r;
    bool patient = st_random(t, 8) != 0;
    struct hf_patience p = hf_patience(patient ? HF_FOREVER : hf_now() + 20000, false);
    r = hf_semaphore_wait(s, &t->who, &p);
    return r == HF_TIMEOUT && !patient ? HF_BUSY : r;
}

static void hold_two(struct st_thread *t) {
    int r = take(&two, t);
    if (r == HF_BUSY) return;
    st_check(r == HF_OK);
    st_check(atomic_fetch_add_explicit(&inside, 1, HF_RELAXED) < 2);
    atomic_fetch_sub_explicit(&inside, 1, HF_RELAXED);
    if (st_random(t, 2000) == 0) st_reborn(t);
    else st_check(hf_semaphore_release(&two, &t->who, 1) == HF_OK);
}

static void hold_one(struct st_thread *t) {
    int r = take(&one, t);
    if (r == HF_BUSY) return;
    st_check(r == HF_OK);
    plain++;
    atomic_fetch_add_explicit(&done, 1, HF_RELAXED);
    st_check(hf_semaphore_release(&one, &t->who, 1) == HF_OK);
}

static void work(struct st_thread *t) {
    while (!st_over(t)) {
        hold_one(t);
        hold_two(t);
    }
}

/* A signal: half of the threads release, half take; each permit reaches one taker. */
static struct hf_semaphore signal;
static hf_a64 given, got;
static void pass(struct st_thread *t) {
    while (!st_over(t)) {
        if (t->number % 2 == 0) {
            unsigned n = 1 + st_random(t, 3);
            if (atomic_load_explicit(&given, HF_RELAXED) > atomic_load_explicit(&got, HF_RELAXED) + 50) continue;
            atomic_fetch_add_explicit(&given, n, HF_RELAXED);
            st_check(hf_semaphore_release(&signal, &t->who, n) == HF_OK);
        } else {
            struct hf_patience p = hf_patience(hf_now() + 5 * HF_MS, false);
            int r = hf_semaphore_wait(&signal, &t->who, &p);
            st_check(r == HF_OK || r == HF_TIMEOUT);
            if (r == HF_OK) atomic_fetch_add_explicit(&got, 1, HF_RELAXED);
        }
    }
}

int main(void) {
    hf_semaphore_init(&one, 1, true);
    hf_semaphore_init(&two, 2, true);
    st_run("stress_semaphore", 4, 1.5, work);
    struct hf_who who = st_checker();
    hf_semaphore_reap(&two, &who);
    st_check(plain == done && one.value == 1 && two.value == 2);
    hf_semaphore_init(&signal, 0, false);
    st_run("stress_semaphore signal", 4, 0.7, pass);
    st_check(given == got + signal.value);
    return 0;
}
