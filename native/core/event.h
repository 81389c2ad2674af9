/* Event: a flag, and a count of how often it was raised.
 *
 *   31 ............. 2   1         0
 *   times raised         waiters   up
 *
 * The count lets a waiter return true although the flag was lowered again before it woke (bpo-1175 / gh-57711).
 * Raising is one cas and at most one wake-up, so it may be done from a signal handler that interrupted set().
 * Who may die where: a setter between the cas and the wake-up; sleepers see the flag at their next tick.
 */
#ifndef HF_EVENT_H
#define HF_EVENT_H

#include "killpoints.h"
#include "wait.h"

#define HF_EVENT_UP 1u
#define HF_EVENT_WAITERS 2u
#define HF_EVENT_RAISED 4u

struct hf_event {
    hf_a32 word;
    hf_a32 cpu; /* where it was last raised; a hint */
};

void hf_event_init(struct hf_event *e);
static inline bool hf_event_is_set(struct hf_event *e) {
    /* acquire; pairs with the release in hf_event_set */
    return (hf_load(&e->word, HF_MO(event_seen, HF_ACQUIRE)) & HF_EVENT_UP) != 0;
}
void hf_event_set(struct hf_event *e);
void hf_event_clear(struct hf_event *e);
/* Start of a wait: which raise we must see. */
static inline uint32_t hf_event_round(struct hf_event *e) {
    return hf_load(&e->word, HF_RELAXED) / HF_EVENT_RAISED;
}
/* HF_OK once it is up or was raised after `round`; HF_TIMEOUT; HF_INTR. */
int hf_event_wait(struct hf_event *e, uint32_t round, struct hf_patience *p);

#endif
