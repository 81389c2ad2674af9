/* Histories of a gate (Barrier): a round opens for all or breaks for all, a casualty breaks it for the living,
 * reset lets it be used again. */
#include "explore.h"
#include "gate.h"

#define ROUNDS 3
enum outcome { NONE, OPENED, BROKEN };

static struct hf_gate gate;
static enum outcome outcome[ROUNDS][HX_FIBERS];
static unsigned index_seen[ROUNDS]; /* bit set of the indexes given out */
static unsigned rounds;             /* each fiber goes through */
static bool arrived[HX_FIBERS];
static int index_of[HX_FIBERS];     /* what arrive said last */
static uint32_t waits[HX_FIBERS];   /* the round it is counted in, plus 1, until it is told how that ended */
static bool seen_dying;             /* the dead one stood inside while others waited, or took part in this round
                                     * or the one before */

static void reset_to(unsigned parties, unsigned n) {
    hf_gate_init(&gate, parties);
    rounds = n;
    seen_dying = false;
    for (int i = 0; i < HX_FIBERS; i++) arrived[i] = waits[i] = 0;
    for (unsigned r = 0; r < ROUNDS; r++) {
        index_seen[r] = 0;
        for (int i = 0; i < HX_FIBERS; i++) outcome[r][i] = NONE;
    }
    hx_name(&gate, sizeof gate, "gate");
}
static void reset_one(void) {
    reset_to(3, 1);
}
static void reset_two(void) {
    reset_to(3, 2);
}
static void reset_pair(void) {
    reset_to(2, 2);
}

static void died(int me) {
    uint32_t member = hx_who(me)->member;
    struct hf_entry *e = hf_roster_find(NULL, &gate.party, member);
    uint32_t round = hf_load(&gate.round, HF_RELAXED);
    uint32_t last = e != NULL ? hf_load(&e->word, HF_RELAXED) : 0;
    bool others = false;
    for (int i = 0; i < HX_FIBERS; i++) others |= i != me && waits[i] == round + 1;
    bool inside = hf_own_holder(&gate.guard.own) == member;
    if ((inside && others) || (last != 0 && last >= round)) seen_dying = true;
}

/* Through the gate once: HF_OK, HF_BROKEN, or HF_TIMEOUT after a death that nobody at the gate can know of: its
 * victim had not come yet. *round and the index are noted. */
static int pass(int me, uint64_t deadline, uint32_t *round) {
    const struct hf_who *who = hx_who(me);
    struct hf_patience p = hf_patience(deadline, true);
    int index, r;
    while ((index = hf_gate_arrive(&gate, who, round)) == HF_GATE_FULL) {
        do r = hf_gate_wait(&gate, who, *round, &p);
        while (r == HF_INTR);
        if (r == HF_TIMEOUT) return r;
    }
    arrived[me] = true;
    index_of[me] = index;
    if (index == HF_GATE_BROKEN) return HF_BROKEN;
    hx_assert(index >= 0 && *round < ROUNDS && !(index_seen[*round] & 1u << index));
    index_seen[*round] |= 1u << index;
    if ((uint32_t)index == gate.parties - 1) {
        hx_step(); /* its action */
        return hf_gate_open(&gate, who, *round) ? HF_OK : HF_BROKEN;
    }
    waits[me] = *round + 1;
    do r = hf_gate_wait(&gate, who, *round, &p);
    while (r == HF_INTR);
    waits[me] = 0;
    return r;
}

static int pass_patiently(int me, uint32_t *round) {
    int r = pass(me, hf_now() + 300 * HF_MS, round);
    if (r != HF_TIMEOUT) return r;
    hx_assert(hx_any_dead() && !seen_dying);
    hf_gate_abort(&gate, hx_who(me), NULL);
    return HF_BROKEN;
}

static void note(int me, uint32_t round, int how) {
    outcome[round][me] = how == HF_OK ? OPENED : BROKEN;
}

/* ---- all meet, once or twice ---- */

static void meet(int me) {
    for (unsigned i = 0; i < rounds; i++) {
        uint32_t round = ROUNDS;
        int r = pass_patiently(me, &round);
        hx_assert(r == HF_OK || (r == HF_BROKEN && hx_any_dead()));
        if (index_of[me] >= 0) note(me, round, r);
        if (r == HF_BROKEN) return;
    }
}

static void check(void) {
    for (unsigned r = 0; r < rounds; r++) {
        unsigned opened = 0, broken = 0;
        for (int i = 0; i < HX_FIBERS; i++) {
            opened += outcome[r][i] == OPENED;
            broken += outcome[r][i] == BROKEN;
        }
        hx_assert(opened == 0 || broken == 0);
        if (!hx_any_dead()) hx_assert(opened == gate.parties && index_seen[r] == (1u << gate.parties) - 1);
    }
}

/* ---- four threads at a gate for two: each gets through, in two rounds ---- */

static void reset_crowd(void) {
    reset_to(2, 1);
}
static void check_crowd(void) {
    for (unsigned r = 0; r < 2; r++) {
        unsigned opened = 0;
        for (int i = 0; i < HX_FIBERS; i++) opened += outcome[r][i] == OPENED;
        hx_assert(opened == 2 && index_seen[r] == 3);
    }
}

/* ---- somebody outside resets or aborts while two wait for a third ---- */

static bool two_wait(void) {
    return (arrived[0] || hx_dead(0)) && (arrived[1] || hx_dead(1));
}
static void resetting(int me) {
    uint32_t round;
    if (me == 2) {
        hx_until(two_wait);
        hf_gate_reset(&gate, hx_who(me));
        seen_dying = false; /* a reset forgets who took part, the dead among them */
    } else {
        int r = pass_patiently(me, &round);
        hx_assert(r == HF_BROKEN);
        if (hx_any_dead()) return;
    }
    int r = pass_patiently(me, &round);
    hx_assert(r == HF_OK || hx_any_dead());
}
static void aborting(int me) {
    uint32_t round;
    if (me == 2) {
        hx_until(two_wait);
        hx_assert(hf_gate_abort(&gate, hx_who(me), NULL));
        return;
    }
    int r = pass_patiently(me, &round);
    hx_assert(r == HF_BROKEN);
    if (!hx_any_dead()) hx_assert(hf_load(&gate.broken, HF_RELAXED) == 1);
}

/* ---- a waiter with little patience breaks it; the others must hear of it ---- */

static void impatient(int me) {
    const struct hf_who *who = hx_who(me);
    uint32_t round;
    int r = pass(me, me == 0 ? hf_now() + HF_MS : HF_FOREVER, &round);
    if (r == HF_TIMEOUT && index_of[me] >= 0) { /* unless the round ended just now, it ends broken */
        struct hf_patience p = hf_patience(hf_now() + HF_MS, false);
        r = hf_gate_abort(&gate, who, &round) ? HF_BROKEN : hf_gate_wait(&gate, who, round, &p);
    }
    hx_assert(r == HF_OK || r == HF_BROKEN);
    if (index_of[me] >= 0) note(me, round, r);
}
static void check_impatient(void) {
    unsigned opened = 0;
    for (int i = 0; i < HX_FIBERS; i++) opened += outcome[0][i] == OPENED;
    hx_assert(opened == 0 || opened == 3);
}

/* ---- a wedged gate after a death can be used again after a reset ---- */

static void check_usable(void) {
    check();
    const struct hf_who *who = hx_who(-1);
    uint32_t round;
    hf_gate_reset(&gate, who);
    for (unsigned i = 0; i < gate.parties; i++) hx_assert(hf_gate_arrive(&gate, who, &round) == (int)i);
    hx_assert(hf_gate_open(&gate, who, round));
}

#define ALL (HX_PLAIN | HX_TICKS | HX_DEATH)
static const struct hx_history histories[] = {
    {"gate", 3, ALL, {2, 2, 1}, reset_one, meet, died, check_usable, {0}},
    {"gate_twice", 3, ALL, {2, 1, 1}, reset_two, meet, died, check_usable, {0}},
    {"gate_pair_twice", 2, ALL, {3, 2, 2}, reset_pair, meet, died, check_usable, {0}},
    {"gate_one_process", 3, ALL, {2, 1, 1}, reset_two, meet, died, check_usable, {7, 7, 8}},
    {"gate_crowd", 4, HX_PLAIN | HX_TICKS, {2, 1, 0}, reset_crowd, meet, died, check_crowd, {0}},
    {"gate_reset", 3, ALL, {2, 1, 1}, reset_one, resetting, died, NULL, {0}},
    {"gate_abort", 3, ALL, {2, 2, 1}, reset_one, aborting, died, NULL, {0}},
    {"gate_impatient", 3, HX_PLAIN | HX_TICKS, {2, 2, 0}, reset_one, impatient, died, check_impatient, {0}},
    {0},
};

int main(int argc, char **argv) {
    return hx_main(argc, argv, histories);
}
