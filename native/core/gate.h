/* A gate: the meeting point under a barrier. `parties` arrive, the last one opens it, all go on.
 *
 *   round r:  filling ──last arrival──▶ the last one runs its action ──open──▶ round r + 1, filling
 *                │                                │
 *                └──── reset, abort, a death ─────┴──▶ the round ends without being opened
 *
 * `round` is what waiters sleep on. How each of the last 64 rounds ended stands in `opened` (one bit a round,
 * 1 = opened), so that a waiter that wakes late still learns the truth about its own round. `broken` stays
 * until reset.
 *
 * The roster has one entry per member that took part, with the round it last arrived for (plus 1) as its word.
 * An entry's `data` is the member number once more if that member was killed and its slot cleared since.
 * A waiter's tick breaks the gate if a member that took part in this round or the one before was *killed*: with
 * it missing the round may never fill. A member that left the session in good order breaks nothing.
 *
 * Who may die where, all under the guard: an arrival may be counted but not recorded, an outcome written but the
 * round not advanced, the round advanced but `arrived` not cleared. In each of them `arrived` is not 0, and the next
 * to enter finds the guard abandoned and ends the round as broken.
 */
#ifndef HF_GATE_H
#define HF_GATE_H

#include "owner.h"
#include "roster.h"

struct hf_gate {
    struct hf_mutex guard;  /*  0 */
    hf_a32 round;           /*  8 */
    hf_a32 arrived;         /* 12 in this round */
    hf_a32 broken;          /* 16 */
    hf_a32 casualty;        /* 20 the member whose death broke it */
    hf_a64 opened;          /* 24 */
    uint32_t parties;       /* 32 */
    uint32_t spare[3];      /* 36 */
    struct hf_near near;    /* 48 */
    struct hf_roster party; /* 64 */
};

#define HF_GATE_BROKEN (-1)
#define HF_GATE_NO_MEMORY (-2)
#define HF_GATE_FULL (-3) /* all parties are in and the last one has not opened yet: wait for `round`, come again */

void hf_gate_init(struct hf_gate *g, uint32_t parties);
/* Our index (parties - 1: last, must open), or one of the three above; *round says which round. */
int hf_gate_arrive(struct hf_gate *g, const struct hf_who *who, uint32_t *round);
/* The last one opens. False if the round ended otherwise meanwhile. */
bool hf_gate_open(struct hf_gate *g, const struct hf_who *who, uint32_t round);
/* HF_OK opened, HF_BROKEN, HF_TIMEOUT, HF_INTR. */
int hf_gate_wait(struct hf_gate *g, const struct hf_who *who, uint32_t round, struct hf_patience *p);
/* Break it; with `round`, only if that round is still on. True if it was done. */
bool hf_gate_abort(struct hf_gate *g, const struct hf_who *who, const uint32_t *round);
void hf_gate_reset(struct hf_gate *g, const struct hf_who *who);
/* Before the slots of killed members get new tenants: remember here which parties they were. killed[slot]: member. */
void hf_gate_note_killed(struct hf_gate *g, struct hf_session *session, const uint32_t killed[HF_SLOTS]);

#endif
