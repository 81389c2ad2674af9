#include "event.h"

_Static_assert(sizeof(struct hf_event) == 8, "layout of hf_event");

void hf_event_init(struct hf_event *e) {
    atomic_init(&e->word, 0);
    atomic_init(&e->cpu, HF_NO_CPU);
}

void hf_event_set(struct hf_event *e) {
    uint32_t word = hf_load(&e->word, HF_RELAXED);
    uint32_t next;
    do {
        next = ((word & ~HF_EVENT_WAITERS) | HF_EVENT_UP) + (HF_BROKEN_HERE(event_epoch) ? 0 : HF_EVENT_RAISED);
        /* release; pairs with the acquire in hf_event_is_set and hf_event_wait */
    } while (!hf_cas(&e->word, &word, next, HF_MO(event_set, HF_RELEASE)));
    hf_store(&e->cpu, hf_cpu(), HF_RELAXED);
    HF_KILL(event_set);
    if ((word & HF_EVENT_WAITERS) && !HF_BROKEN_HERE(event_wake)) hf_wake(&e->word, HF_ALL);
}

void hf_event_clear(struct hf_event *e) {
    hf_and(&e->word, ~HF_EVENT_UP, HF_ACQ_REL);
}

int hf_event_wait(struct hf_event *e, uint32_t round, struct hf_patience *p) {
    for (;;) {
        uint32_t word = hf_load(&e->word, HF_MO(event_seen, HF_ACQUIRE));
        if ((word & HF_EVENT_UP) || word / HF_EVENT_RAISED != round) return HF_OK;
        if (hf_spin(&e->word, word, hf_load(&e->cpu, HF_RELAXED), HF_SPIN_NS)) continue;
        if (!(word & HF_EVENT_WAITERS)) {
            if (!hf_cas(&e->word, &word, word | HF_EVENT_WAITERS, HF_RELAXED)) continue;
            word |= HF_EVENT_WAITERS;
        }
        int r = hf_sleep(&e->word, word, p);
        if (r == HF_TIMEOUT || r == HF_INTR) return r;
        if (r == HF_TICK && p->signals) return HF_INTR;
    }
}
