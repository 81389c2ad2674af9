#include "wait.h"

bool hf_spin(hf_a32 *word, uint32_t seen, uint32_t other_cpu, uint64_t budget_ns) {
#ifdef HF_EXPLORE
    (void)word, (void)seen, (void)other_cpu, (void)budget_ns;
    return false;
#else
    if (other_cpu == HF_NO_CPU || other_cpu == hf_cpu()) return false;
    uint64_t end = 0;
    for (unsigned i = 1;; i++) {
        if (hf_load(word, HF_RELAXED) != seen) return true;
        hf_pause();
        if (i % 32 != 0) continue;
        uint64_t now = hf_now();
        if (end == 0) end = now + budget_ns;
        if (now >= end || other_cpu == hf_cpu()) return false;
    }
#endif
}

int hf_sleep(hf_a32 *word, uint32_t seen, struct hf_patience *p) {
    uint64_t now = hf_now();
    if (now >= p->deadline) return HF_TIMEOUT;
    uint64_t until = now + p->tick;
    bool last = until >= p->deadline;
    int r = hf_park(word, seen, last ? p->deadline : until);
    if (r == HF_OK) return HF_OK;
    if (r == HF_INTR) return p->signals ? HF_INTR : HF_TICK;
    /* The deadline is checked at the next call: first look whether a death has made the wait unnecessary. */
    p->tick = p->tick * 2 > HF_LAST_TICK ? HF_LAST_TICK : p->tick * 2;
    return HF_TICK;
}

void hf_news_wake(struct hf_news *n, int count) {
    if (hf_wake(&n->counter, count) >= count) return; /* others may still sleep: the flag stays */
    hf_store(&n->sleepers, 0, HF_SEQ_CST);
    if (HF_BROKEN_HERE(news_again)) return;
    hf_add(&n->counter, 1, HF_SEQ_CST);
    hf_wake(&n->counter, HF_ALL);
}

int hf_news_sleep(struct hf_news *n, uint32_t seen, struct hf_patience *p) {
    hf_store(&n->sleepers, 1, HF_SEQ_CST);
    if (hf_load(&n->counter, HF_SEQ_CST) != seen) return HF_OK;
    return hf_sleep(&n->counter, seen, p);
}
