/* The waiting list of a condition. The lock around it is the user's; this list has a small one of its own.
 *
 * An entry's word:
 *     FREE ──enter──▶ WAITING ──notify──▶ NOTIFIED ──leave──▶ FREE
 *                        └──────leave (timed out)──────────────▶ FREE
 * `data` is the ticket: notify takes the lowest ones first. A waiter leaves after it holds the user's lock
 * again, so an entry that is NOTIFIED while its process is dead is a notify that nobody acted on: any
 * other waiter's tick frees it and hands the notify to the next in line. So no notify is lost to the dead.
 *
 * One that dies after it left the list, and before it acted, dies holding the user's lock: so a tick that finds the
 * lock's holder dead tells the next in line too. That one takes the lock over, is warned, and looks.
 *
 * Who may die where: entering, before the word is written: the entry is still free. Notifying, between the
 * word and the wake-up: the sleeper sees it at its next tick.
 */
#ifndef HF_CONDITION_H
#define HF_CONDITION_H

#include "lock.h"
#include "roster.h"

enum hf_waiter_state { HF_C_FREE = 0, HF_C_WAITING = 1, HF_C_NOTIFIED = 2 };

struct hf_condition {
    struct hf_mutex guard; /*  0 */
    hf_a64 ticket;         /*  8 */
    struct hf_near near;   /* 16 */
    uint64_t lock;         /* 32 link to the hf_lock around it, 0 if that is not one of ours; fixed when made */
    struct hf_roster list; /* 40 */
};

void hf_condition_init(struct hf_condition *c, uint64_t lock);
/* Put ourselves on the list; NULL: no memory. */
struct hf_entry *hf_condition_enter(struct hf_condition *c, const struct hf_who *who);
/* Until our entry is notified: HF_OK, HF_TIMEOUT, HF_INTR. */
int hf_condition_wait(struct hf_condition *c, struct hf_entry *e, const struct hf_who *who, struct hf_patience *p);
/* Off the list; true if it had been notified. pass_on: the waiter will not act on it, so tell the next one. */
bool hf_condition_leave(struct hf_condition *c, struct hf_entry *e, const struct hf_who *who, bool pass_on);
/* Notify up to n living waiters, the longest waiting first; how many. */
uint32_t hf_condition_notify(struct hf_condition *c, const struct hf_who *who, uint32_t n);
uint32_t hf_condition_count(struct hf_condition *c, const struct hf_who *who);

#endif
