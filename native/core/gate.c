#include "gate.h"

_Static_assert(offsetof(struct hf_gate, party) == 64, "layout of hf_gate");

void hf_gate_init(struct hf_gate *g, uint32_t parties) {
    *g = (struct hf_gate){.parties = parties};
    atomic_init(&g->guard.own.cpu, HF_NO_CPU);
}

static uint64_t bit(uint32_t round) {
    return 1ull << (round % 64);
}

/* Under the guard: end this round and wake everybody in it. */
static void end_round(struct hf_gate *g, bool opened) {
    uint32_t round = hf_load(&g->round, HF_RELAXED);
    uint64_t all = hf_load(&g->opened, HF_RELAXED);
    hf_store(&g->opened, opened ? all | bit(round) : all & ~bit(round), HF_RELAXED);
    HF_KILL(gate_outcome);
    if (HF_BROKEN_HERE(gate_arrived_last)) hf_store(&g->arrived, 0, HF_RELAXED);
    /* release; pairs with the acquire in hf_gate_wait */
    hf_store(&g->round, round + 1, HF_MO(gate_open, HF_RELEASE));
    HF_KILL(gate_opened);
    hf_store(&g->arrived, 0, HF_RELAXED); /* last: as long as it is not 0, the round may need ending */
    if (!HF_BROKEN_HERE(gate_wake)) hf_wake(&g->round, HF_ALL);
}

/* Under the guard. */
static void break_it(struct hf_gate *g, uint32_t casualty) {
    if (casualty != 0) hf_store(&g->casualty, casualty, HF_RELAXED);
    hf_store(&g->broken, 1, HF_RELEASE);
    HF_KILL(gate_broken);
    end_round(g, false);
}

/* Enter. If the last one inside died there, an arrival may be half-recorded or a round half-ended: while anybody is
 * counted, end it broken. */
static void enter(struct hf_gate *g, const struct hf_who *who) {
    bool died_inside = hf_mutex_lock(&g->guard, who) == HF_ABANDONED;
    if (HF_BROKEN_HERE(gate_mend) && hf_load(&g->broken, HF_RELAXED)) return;
    if (died_inside && hf_load(&g->arrived, HF_RELAXED) != 0) break_it(g, 0);
}

static bool record(struct hf_gate *g, const struct hf_who *who, uint32_t round) {
    struct hf_entry *e = hf_roster_find(who->session, &g->party, who->member);
    if (e == NULL) e = hf_roster_free(who->session, &g->party, g);
    if (e == NULL) return false;
    hf_store(&e->member, who->member, HF_RELAXED);
    hf_store(&e->word, round + 1 == 0 ? 1 : round + 1, HF_RELAXED);
    return true;
}

int hf_gate_arrive(struct hf_gate *g, const struct hf_who *who, uint32_t *round) {
    enter(g, who);
    bool broken = hf_load(&g->broken, HF_RELAXED) != 0;
    int index = broken ? HF_GATE_BROKEN : HF_GATE_FULL;
    *round = hf_load(&g->round, HF_RELAXED);
    uint32_t arrived = hf_load(&g->arrived, HF_RELAXED);
    if (!broken && arrived < g->parties) {
        hf_store(&g->arrived, arrived + 1, HF_RELAXED);
        HF_KILL(gate_counted);
        index = record(g, who, *round) ? (int)arrived : HF_GATE_NO_MEMORY;
        if (index == HF_GATE_NO_MEMORY) hf_store(&g->arrived, arrived, HF_RELAXED);
        hf_near_note(&g->near, who->member);
        HF_KILL(gate_arrived);
    }
    hf_mutex_unlock(&g->guard);
    return index;
}

bool hf_gate_open(struct hf_gate *g, const struct hf_who *who, uint32_t round) {
    enter(g, who);
    bool ours = hf_load(&g->round, HF_RELAXED) == round && !hf_load(&g->broken, HF_RELAXED);
    hf_near_note(&g->near, who->member);
    if (ours) end_round(g, true);
    hf_mutex_unlock(&g->guard);
    return ours;
}

/* Break the gate if a member of this round, or of the one before, was killed. Frees entries of those long gone. */
static void look_for_casualties(struct hf_gate *g, const struct hf_who *who, uint32_t round) {
    enter(g, who);
    uint32_t now = hf_load(&g->round, HF_RELAXED);
    uint32_t casualty = 0;
    struct hf_walk w = hf_walk_begin(&g->party);
    for (struct hf_entry *e; (e = hf_walk_next(who->session, &w)) != NULL;) {
        uint32_t last = hf_load(&e->word, HF_RELAXED);
        uint32_t member = hf_load(&e->member, HF_RELAXED);
        if (last == 0 || !hf_gone(who, member)) continue;
        bool here = last == now + 1; /* it stands counted in this very round */
        bool killed = hf_load(&e->data, HF_RELAXED) == member || hf_fate(who->session, member) == HF_DIED;
        if (here || (last == now && killed)) casualty = member;
        else hf_store(&e->word, 0, HF_RELAXED);
    }
    if (casualty != 0 && now == round && !hf_load(&g->broken, HF_RELAXED) && !HF_BROKEN_HERE(gate_casualty))
        break_it(g, casualty);
    hf_mutex_unlock(&g->guard);
}

int hf_gate_wait(struct hf_gate *g, const struct hf_who *who, uint32_t round, struct hf_patience *p) {
    for (;;) {
        /* acquire; pairs with the release in end_round */
        uint32_t now = hf_load(&g->round, HF_MO(gate_seen, HF_ACQUIRE));
        if (now != round) return hf_load(&g->opened, HF_RELAXED) & bit(round) ? HF_OK : HF_BROKEN;
        if (hf_spin(&g->round, round, hf_near_cpu(&g->near, who->member), HF_SPIN_NS)) continue;
        int r = hf_sleep(&g->round, round, p);
        if (r == HF_TIMEOUT || r == HF_INTR) return r;
        if (r != HF_TICK) continue;
        look_for_casualties(g, who, round);
        if (p->signals) return HF_INTR;
    }
}

bool hf_gate_abort(struct hf_gate *g, const struct hf_who *who, const uint32_t *round) {
    enter(g, who);
    bool on = round == NULL || hf_load(&g->round, HF_RELAXED) == *round;
    if (on) break_it(g, 0);
    hf_mutex_unlock(&g->guard);
    return on;
}

void hf_gate_note_killed(struct hf_gate *g, struct hf_session *session, const uint32_t killed[HF_SLOTS]) {
    struct hf_walk w = hf_walk_begin(&g->party);
    for (struct hf_entry *e; (e = hf_walk_next(session, &w)) != NULL;) {
        uint32_t member = hf_load(&e->member, HF_RELAXED);
        if (hf_load(&e->word, HF_RELAXED) != 0 && member != 0 && killed[member & (HF_SLOTS - 1)] == member)
            hf_store(&e->data, member, HF_RELAXED); /* the number itself: the entry may just be getting another owner */
    }
}

void hf_gate_reset(struct hf_gate *g, const struct hf_who *who) {
    enter(g, who);
    struct hf_walk w = hf_walk_begin(&g->party);
    for (struct hf_entry *e; (e = hf_walk_next(who->session, &w)) != NULL;) hf_store(&e->word, 0, HF_RELAXED);
    hf_store(&g->casualty, 0, HF_RELAXED);
    hf_store(&g->broken, 0, HF_RELAXED);
    if (hf_load(&g->arrived, HF_RELAXED) != 0) end_round(g, false);
    hf_mutex_unlock(&g->guard);
}
