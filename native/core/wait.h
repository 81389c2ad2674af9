/* How everything here waits: look, spin for a moment if that can help, sleep, and get up now and then to see
 * whether the one we wait for is still alive.
 *
 * Spinning helps only while the other side runs on another processor: on one processor both would burn their
 * whole budget (measured: 104 us a round trip instead of 4). So every primitive notes the processor on which
 * it was last changed, and a waiter compares. The budget is about one wake-up across processors.
 */
#ifndef HF_WAIT_H
#define HF_WAIT_H

#include "platform.h"

#define HF_SPIN_NS 25000ull
#define HF_FIRST_TICK (4 * HF_MS)
#define HF_LAST_TICK (40 * HF_MS)

struct hf_patience {
    uint64_t deadline; /* hf_now clock, or HF_FOREVER */
    uint64_t tick;     /* length of the next sleep between two looks at the living */
    bool signals;      /* return HF_INTR so that the caller can run signal handlers */
};

static inline struct hf_patience hf_patience(uint64_t deadline, bool signals) {
    return (struct hf_patience){deadline, HF_FIRST_TICK, signals};
}

/* The two members that were last here, and where they ran: member << 32 | cpu + 1. A note of one alone would not do
 * where the same member changes something and then waits: it would find its own processor and never spin. Hints: a
 * stale pair costs a spin or a sleep. */
struct hf_near {
    hf_a64 last[2];
};

static inline void hf_near_note(struct hf_near *n, uint32_t member) {
    uint64_t mine = (uint64_t)member << 32 | (uint64_t)(hf_cpu() + 1u);
    uint64_t last = hf_load(&n->last[0], HF_RELAXED);
    if (last == mine) return;
    if (last >> 32 != member) hf_store(&n->last[1], last, HF_RELAXED);
    hf_store(&n->last[0], mine, HF_RELAXED);
}

/* Where the last one that was not `member` ran; HF_NO_CPU if there was none. */
static inline uint32_t hf_near_cpu(struct hf_near *n, uint32_t member) {
    uint64_t last = hf_load(&n->last[0], HF_RELAXED);
    if (last >> 32 == member) last = hf_load(&n->last[1], HF_RELAXED);
    return (uint32_t)last - 1u;
}

/* Spin while *word == seen, if the last change came from another processor. True: it changed. */
bool hf_spin(hf_a32 *word, uint32_t seen, uint32_t other_cpu, uint64_t budget_ns);

/* Sleep while *word == seen. HF_OK: look again; HF_TICK: look whether somebody died; HF_TIMEOUT; HF_INTR. */
int hf_sleep(hf_a32 *word, uint32_t seen, struct hf_patience *p);

/* For waits whose caller looks again anyway: a tick says nothing by itself, but is a moment to run signal handlers. */
static inline int hf_rested(int result, const struct hf_patience *p) {
    return result == HF_TICK ? (p->signals ? HF_INTR : HF_OK) : result;
}

/* News: a counter that is raised whenever something changed, and a flag "somebody sleeps, or slept". A flag and not
 * a count, because a sleeper that is killed cannot uncount itself.
 *
 *   sleeper: seen = counter; look; flag = 1; counter still seen? sleep       (hf_news_seen, look, hf_news_sleep)
 *   teller:  change; counter + 1; flag? wake                                (hf_news_tell)
 *
 * Counter and flag are seq_cst, so one of the two sees the other (Dekker). A teller that wakes fewer than it may
 * lowers the flag, and then tells once more, to all: whoever raised the flag just before has an older `seen`. */
struct hf_news {
    hf_a32 counter;
    hf_a32 sleepers;
};

static inline uint32_t hf_news_seen(struct hf_news *n) {
    return hf_load(&n->counter, HF_SEQ_CST);
}
void hf_news_wake(struct hf_news *n, int count);
static inline void hf_news_tell(struct hf_news *n, int count, bool muted) {
    hf_add(&n->counter, 1, HF_SEQ_CST);
    if (HF_UNLIKELY(hf_load(&n->sleepers, HF_SEQ_CST) != 0) && !muted) hf_news_wake(n, count);
}
/* As hf_sleep. */
int hf_news_sleep(struct hf_news *n, uint32_t seen, struct hf_patience *p);

#endif
