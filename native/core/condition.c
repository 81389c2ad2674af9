#include "condition.h"

_Static_assert(offsetof(struct hf_condition, list) == 40, "layout of hf_condition");

void hf_condition_init(struct hf_condition *c, uint64_t lock) {
    *c = (struct hf_condition){.lock = lock};
    atomic_init(&c->guard.own.cpu, HF_NO_CPU);
}

struct hf_entry *hf_condition_enter(struct hf_condition *c, const struct hf_who *who) {
    hf_mutex_lock(&c->guard, who); /* abandoned or not: every entry changes by one store, nothing to repair */
    struct hf_entry *e = hf_roster_free(who->session, &c->list, c);
    if (e != NULL) {
        hf_store(&e->member, who->member, HF_RELAXED);
        hf_store(&e->data, hf_add(&c->ticket, 1, HF_RELAXED), HF_RELAXED);
        HF_KILL(condition_entered);
        hf_store(&e->word, HF_C_WAITING, HF_RELEASE);
        HF_KILL(condition_waiting);
    }
    hf_mutex_unlock(&c->guard);
    return e;
}

/* Under the guard: the living waiter with the lowest ticket, freeing dead ones on the way. */
static struct hf_entry *first_in_line(struct hf_condition *c, const struct hf_who *who) {
    for (;;) {
        struct hf_entry *first = NULL;
        struct hf_walk w = hf_walk_begin(&c->list);
        for (struct hf_entry *e; (e = hf_walk_next(who->session, &w)) != NULL;)
            if (hf_load(&e->word, HF_RELAXED) == HF_C_WAITING &&
                (first == NULL || hf_load(&e->data, HF_RELAXED) < hf_load(&first->data, HF_RELAXED)))
                first = e;
        if (first == NULL || !hf_gone(who, hf_load(&first->member, HF_RELAXED))) return first;
        hf_store(&first->word, HF_C_FREE, HF_RELAXED);
    }
}

/* Under the guard. */
static uint32_t notify(struct hf_condition *c, const struct hf_who *who, uint32_t n) {
    uint32_t told = 0;
    hf_near_note(&c->near, who->member);
    while (told < n) {
        struct hf_entry *e = first_in_line(c, who);
        if (e == NULL) break;
        /* release; pairs with the acquire in hf_condition_wait */
        hf_store(&e->word, HF_C_NOTIFIED, HF_MO(condition_notify, HF_RELEASE));
        HF_KILL(condition_notified);
        if (!HF_BROKEN_HERE(condition_wake)) hf_wake(&e->word, 1);
        told++;
    }
    return told;
}

static bool lock_abandoned(struct hf_condition *c, const struct hf_who *who) {
    struct hf_lock *lock = hf_follow(who->session, c->lock);
    uint32_t holder = lock == NULL ? 0 : hf_own_holder(&lock->own);
    return holder == HF_NOBODY_YET || (holder != 0 && hf_gone(who, holder));
}

/* Notifies that dead waiters will not act on go to the living. */
static void pass_on(struct hf_condition *c, const struct hf_who *who) {
    hf_mutex_lock(&c->guard, who);
    struct hf_walk w = hf_walk_begin(&c->list);
    for (struct hf_entry *e; (e = hf_walk_next(who->session, &w)) != NULL;) {
        uint32_t state = hf_load(&e->word, HF_RELAXED);
        if (state == HF_C_FREE || !hf_gone(who, hf_load(&e->member, HF_RELAXED))) continue;
        /* first tell, then strike off: at worst told twice, never lost */
        if (state == HF_C_NOTIFIED && !HF_BROKEN_HERE(condition_pass_on)) notify(c, who, 1);
        hf_store(&e->word, HF_C_FREE, HF_RELAXED);
    }
    if (lock_abandoned(c, who)) notify(c, who, 1);
    hf_mutex_unlock(&c->guard);
}

int hf_condition_wait(struct hf_condition *c, struct hf_entry *e, const struct hf_who *who, struct hf_patience *p) {
    while (hf_load(&e->word, HF_MO(condition_seen, HF_ACQUIRE)) == HF_C_WAITING) {
        if (hf_spin(&e->word, HF_C_WAITING, hf_near_cpu(&c->near, who->member), HF_SPIN_NS)) continue;
        int r = hf_sleep(&e->word, HF_C_WAITING, p);
        if (r == HF_TIMEOUT || r == HF_INTR) return r;
        if (r != HF_TICK) continue;
        pass_on(c, who);
        if (p->signals) return HF_INTR;
    }
    return HF_OK;
}

bool hf_condition_leave(struct hf_condition *c, struct hf_entry *e, const struct hf_who *who, bool hand_over) {
    hf_mutex_lock(&c->guard, who);
    bool notified = hf_load(&e->word, HF_RELAXED) == HF_C_NOTIFIED;
    if (notified && hand_over) notify(c, who, 1);
    hf_store(&e->word, HF_C_FREE, HF_RELAXED);
    HF_KILL(condition_left);
    hf_mutex_unlock(&c->guard);
    return notified;
}

uint32_t hf_condition_notify(struct hf_condition *c, const struct hf_who *who, uint32_t n) {
    hf_mutex_lock(&c->guard, who);
    uint32_t told = notify(c, who, n);
    hf_mutex_unlock(&c->guard);
    return told;
}

uint32_t hf_condition_count(struct hf_condition *c, const struct hf_who *who) {
    uint32_t n = 0;
    hf_mutex_lock(&c->guard, who);
    struct hf_walk w = hf_walk_begin(&c->list);
    for (struct hf_entry *e; (e = hf_walk_next(who->session, &w)) != NULL;)
        if (hf_load(&e->word, HF_RELAXED) == HF_C_WAITING) n++;
    hf_mutex_unlock(&c->guard);
    return n;
}
