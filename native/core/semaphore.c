#include "semaphore.h"

_Static_assert(offsetof(struct hf_semaphore, held) == 48, "layout of hf_semaphore");

#define MAX_VALUE 0x7fffffffu
#define LOOK_EVERY (5 * HF_MS)

void hf_semaphore_init(struct hf_semaphore *s, uint32_t value, bool bounded) {
    *s = (struct hf_semaphore){.initial = value, .bounded = bounded};
    atomic_init(&s->guard.own.cpu, HF_NO_CPU);
    atomic_init(&s->cpu, HF_NO_CPU);
    atomic_init(&s->value, value);
}

/* Under the guard. */
static void raise(struct hf_semaphore *s, uint32_t n) {
    hf_add(&s->value, n, HF_RELEASE);
    hf_store(&s->cpu, hf_cpu(), HF_RELAXED);
    HF_KILL(semaphore_raised);
}

/* After the guard is given up: let waiters know. */
static void tell(struct hf_semaphore *s, uint32_t n) {
    hf_news_tell(&s->news, n > (uint32_t)HF_ALL ? HF_ALL : (int)n, HF_BROKEN_HERE(semaphore_wake));
}

/* Under the guard. True if permits came back. */
static bool refill(struct hf_semaphore *s, const struct hf_who *who) {
    uint64_t living = 0;
    struct hf_walk w = hf_walk_begin(&s->held);
    for (struct hf_entry *e; (e = hf_walk_next(who->session, &w)) != NULL;) {
        uint32_t count = hf_load(&e->word, HF_RELAXED);
        if (count == 0) continue;
        if (hf_gone(who, hf_load(&e->member, HF_RELAXED)))
            hf_store(&e->word, 0, HF_RELAXED);
        else
            living += count;
    }
    HF_KILL(semaphore_refill);
    uint64_t have = hf_load(&s->value, HF_RELAXED) + living;
    if (have >= s->initial || HF_BROKEN_HERE(semaphore_refill)) return false;
    uint32_t short_of = s->initial - (uint32_t)have;
    hf_add(&s->written_off, short_of, HF_RELAXED);
    raise(s, short_of);
    return true;
}

/* Enter; if the last one inside died there, put right what it left. */
static void enter(struct hf_semaphore *s, const struct hf_who *who) {
    if (hf_mutex_lock(&s->guard, who) == HF_ABANDONED) refill(s, who);
}

bool hf_semaphore_reap(struct hf_semaphore *s, const struct hf_who *who) {
    enter(s, who);
    bool back = refill(s, who);
    hf_mutex_unlock(&s->guard);
    if (back) tell(s, MAX_VALUE);
    return back;
}

/* Under the guard. */
static int take(struct hf_semaphore *s, const struct hf_who *who) {
    uint32_t value = hf_load(&s->value, HF_RELAXED);
    if (value == 0) return HF_BUSY;
    struct hf_entry *e = hf_roster_find(who->session, &s->held, who->member);
    if (e == NULL) e = hf_roster_free(who->session, &s->held, s);
    if (e == NULL) return HF_NOMEM;
    hf_store(&s->value, value - 1, HF_RELAXED);
    HF_KILL(semaphore_taken);
    hf_store(&e->member, who->member, HF_RELAXED);
    hf_store(&e->word, hf_load(&e->word, HF_RELAXED) + 1, HF_RELAXED);
    HF_KILL(semaphore_held);
    return HF_OK;
}

static int try_once(struct hf_semaphore *s, const struct hf_who *who) {
    if (hf_load(&s->value, HF_RELAXED) == 0) return HF_BUSY;
    enter(s, who);
    int r = take(s, who);
    hf_mutex_unlock(&s->guard);
    return r;
}

int hf_semaphore_try(struct hf_semaphore *s, const struct hf_who *who) {
    int r = try_once(s, who);
    if (r != HF_BUSY) return r;
    uint64_t now = hf_now();
    if (now - hf_load(&s->looked, HF_RELAXED) < LOOK_EVERY) return HF_BUSY;
    hf_store(&s->looked, now, HF_RELAXED);
    return hf_semaphore_reap(s, who) ? try_once(s, who) : HF_BUSY;
}

static int sleep_for_news(struct hf_semaphore *s, struct hf_patience *p) {
    uint32_t seen = hf_news_seen(&s->news);
    if (hf_load(&s->value, HF_RELAXED) != 0) return HF_OK;
    if (hf_spin(&s->value, 0, hf_load(&s->cpu, HF_RELAXED), HF_SPIN_NS)) return HF_OK;
    return hf_news_sleep(&s->news, seen, p);
}

int hf_semaphore_wait(struct hf_semaphore *s, const struct hf_who *who, struct hf_patience *p) {
    for (;;) {
        int r = try_once(s, who);
        if (r != HF_BUSY) return r;
        r = sleep_for_news(s, p);
        if (r == HF_TIMEOUT || r == HF_INTR) return r;
        if (r != HF_TICK) continue;
        hf_semaphore_reap(s, who);
        if (p->signals) return HF_INTR;
    }
}

/* Under the guard: strike up to n permits off our entry; what is left was taken by others. */
static uint32_t unhold(struct hf_semaphore *s, const struct hf_who *who, uint32_t n) {
    struct hf_entry *e = hf_roster_find(who->session, &s->held, who->member);
    if (e == NULL) return n;
    uint32_t count = hf_load(&e->word, HF_RELAXED);
    uint32_t mine = count < n ? count : n;
    hf_store(&e->word, count - mine, HF_RELAXED);
    HF_KILL(semaphore_unheld);
    return n - mine;
}

/* Under the guard: of n permits released for others, strike off what the living others hold, and return how many
 * were written off at a death already. */
static uint32_t settle(struct hf_semaphore *s, const struct hf_who *who, uint32_t n) {
    struct hf_walk w = hf_walk_begin(&s->held);
    for (struct hf_entry *e; n != 0 && (e = hf_walk_next(who->session, &w)) != NULL;) {
        uint32_t count = hf_load(&e->word, HF_RELAXED);
        uint32_t some = count < n ? count : n;
        if (some != 0) hf_store(&e->word, count - some, HF_RELAXED);
        n -= some;
    }
    uint32_t debt = hf_load(&s->written_off, HF_RELAXED);
    uint32_t forgiven = debt < n ? debt : n;
    if (forgiven != 0) hf_store(&s->written_off, debt - forgiven, HF_RELAXED);
    return forgiven;
}

int hf_semaphore_release(struct hf_semaphore *s, const struct hf_who *who, uint32_t n) {
    enter(s, who);
    uint64_t after = (uint64_t)hf_load(&s->value, HF_RELAXED) + n;
    if (after > MAX_VALUE || (s->bounded && after > s->initial + (uint64_t)hf_load(&s->written_off, HF_RELAXED))) {
        hf_mutex_unlock(&s->guard);
        return HF_WRONG;
    }
    uint32_t others = unhold(s, who, n);
    if (others != 0) n -= settle(s, who, others);
    if (n != 0) raise(s, n);
    hf_mutex_unlock(&s->guard);
    if (n != 0) tell(s, n);
    return HF_OK;
}
