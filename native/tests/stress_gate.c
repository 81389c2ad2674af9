/* A gate under stress: whatever a party wrote before it arrived is seen by all after the gate, the opener's action
 * too; a death breaks it for the others, and a reset makes it whole. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "gate.h"
#include "stress.h"

#include <pthread.h>

#define PARTIES 3
#define DIES_EVERY 400

static struct hf_gate in, out;
static unsigned long word[PARTIES], action; /* plain */
static pthread_barrier_t aside;             /* only after a death */
static hf_a32 stop;

static int pass(struct hf_gate *g, struct st_thread *t, bool acts) {
    uint32_t round;
    int index = hf_gate_arrive(g, &t->who, &round);
    if (index == HF_GATE_BROKEN) return HF_BROKEN;
    st_check(index >= 0 && index < PARTIES);
    if (index == PARTIES - 1) {
        if (acts) action++;
        return hf_gate_open(g, &t->who, round) ? HF_OK : HF_BROKEN;
    }
    struct hf_patience p = hf_patience(HF_FOREVER, false);
    return hf_gate_wait(g, &t->who, round, &p);
}

/* One of us dies instead of coming; the others hear of it. Then the first one resets and all go on. */
static void casualty(struct st_thread *t, unsigned long n) {
    if (n / DIES_EVERY % PARTIES == (unsigned long)t->number) st_reborn(t);
    else st_check(pass(&in, t, false) == HF_BROKEN);
    pthread_barrier_wait(&aside);
    if (t->number == 0) hf_gate_reset(&in, &t->who);
    pthread_barrier_wait(&aside);
}

static void work(struct st_thread *t) {
    for (unsigned long n = 1;; n++) {
        if (n % DIES_EVERY == 0) casualty(t, n);
        word[t->number] = n;
        if (t->number == 0 && st_over(t)) atomic_store_explicit(&stop, 1, HF_RELAXED);
        st_check(pass(&in, t, true) == HF_OK);
        for (int i = 0; i < PARTIES; i++) st_check(word[i] == n);
        st_check(action == n);
        bool last = atomic_load_explicit(&stop, HF_RELAXED) != 0; /* the same for all: nobody writes it here */
        st_check(pass(&out, t, false) == HF_OK);
        if (last) return;
    }
}

int main(void) {
    pthread_barrier_init(&aside, NULL, PARTIES);
    hf_gate_init(&in, PARTIES);
    hf_gate_init(&out, PARTIES);
    st_run("stress_gate", PARTIES, 1.5, work);
    return 0;
}
