/* Histories of Condition, with a lock around it as a user has: no notify is lost, not even to a dead waiter, and
 * notify(n) reaches exactly n living ones. */
#include "condition.h"
#include "explore.h"
#include "lock.h"

static struct hf_lock lock;
static struct hf_condition cond;
static unsigned items;      /* guarded by the lock */
static bool over;           /* likewise: waiters may go home */
static bool awake[HX_FIBERS], entered[HX_FIBERS];
static bool taken;          /* somebody, perhaps dead by now, took the one item */
static struct hf_entry *entry[HX_FIBERS];
static bool died_acting;    /* the dead one had been told and was off the list: its user's critical section */

static void reset(void) {
    hf_lock_init(&lock, false);
    hf_condition_init(&cond, 0);
    items = 0;
    over = taken = died_acting = false;
    for (int i = 0; i < HX_FIBERS; i++) {
        awake[i] = entered[i] = false;
        entry[i] = NULL;
    }
    hx_name(&lock, sizeof lock, "lock");
    hx_name(&cond, sizeof cond, "condition");
}

static void died(int me) {
    bool holds = hf_own_holder(&lock.own) == hx_who(me)->member;
    if (entry[me] != NULL && holds && hf_load(&entry[me]->word, HF_RELAXED) == HF_C_FREE) died_acting = true;
}

static void enter(int me) {
    if (hf_lock_try(&lock, hx_who(me))) return;
    struct hf_patience p = hf_patience(HF_FOREVER, false);
    int r = hf_lock_wait(&lock, hx_who(me), &p);
    hx_assert(r == HF_OK || r == HF_ABANDONED);
}
static void leave(void) {
    hx_assert(hf_lock_release(&lock) == HF_OK);
}

/* What Condition.wait does; the lock is held before and after. HF_OK or HF_TIMEOUT. */
static int wait_once(int me, uint64_t deadline) {
    const struct hf_who *who = hx_who(me);
    struct hf_patience p = hf_patience(deadline, true);
    struct hf_entry *e = hf_condition_enter(&cond, who);
    hx_assert(e != NULL);
    entry[me] = e;
    entered[me] = true;
    leave();
    int r;
    do r = hf_condition_wait(&cond, e, who, &p);
    while (r == HF_INTR);
    enter(me);
    bool notified = hf_condition_leave(&cond, e, who, false);
    return notified ? HF_OK : r;
}

/* ---- one item, two waiters; the one that takes it sends the other home ---- */

static void take_or_go(int me) {
    uint64_t deadline = hf_now() + 300 * HF_MS;
    enter(me);
    int r = HF_OK;
    while (items == 0 && !over && r == HF_OK) r = wait_once(me, deadline);
    /* asleep till the end beside an item: the notify is lost, unless its producer died before it could
     * tell, or a waiter as it acted on it */
    hx_assert(r == HF_OK || items == 0 || hx_dead(0) || died_acting);
    if (items != 0) {
        items--;
        taken = true;
        hx_step();
        over = true;
        hf_condition_notify(&cond, hx_who(me), UINT32_MAX);
    } else if (!over) {
        /* the producer is dead, or a waiter took the item and died before it could send us home */
        hx_assert(r == HF_TIMEOUT && hx_any_dead() && (taken || hx_dead(0) || died_acting));
    }
    leave();
}

static void one_item(int me) {
    if (me != 0) {
        take_or_go(me);
        return;
    }
    enter(me);
    items++;
    hf_condition_notify(&cond, hx_who(me), 1);
    leave();
}

/* ---- two items, two notifies ---- */

static void consume(int me, uint64_t deadline) {
    enter(me);
    int r = HF_OK;
    while (items == 0 && r == HF_OK) r = wait_once(me, deadline);
    hx_assert(r == HF_OK || items == 0 || hx_dead(0) || died_acting);
    if (items != 0) items--;
    else hx_assert(r == HF_TIMEOUT && hx_dead(0));
    leave();
}
static void two_items(int me) {
    if (me != 0) {
        consume(me, hf_now() + 300 * HF_MS);
        return;
    }
    for (int i = 0; i < 2; i++) {
        enter(me);
        items++;
        hf_condition_notify(&cond, hx_who(me), 1);
        leave();
    }
}
static void at_once(int me) {
    if (me != 0) {
        consume(me, hf_now() + 300 * HF_MS);
        return;
    }
    enter(me);
    items += 2;
    hf_condition_notify(&cond, hx_who(me), 2);
    leave();
}

/* ---- an impatient waiter that was told as it gave up, and does not act on it, passes the notify on ---- */

static void impatient(int me) {
    if (me == 0) {
        enter(me);
        items++;
        hf_condition_notify(&cond, hx_who(me), 1);
        leave();
    } else if (me == 1) {
        consume(me, HF_FOREVER);
    } else {
        const struct hf_who *who = hx_who(me);
        struct hf_patience p = hf_patience(hf_now() + HF_MS, false);
        enter(me);
        struct hf_entry *e = hf_condition_enter(&cond, who);
        leave();
        hf_condition_wait(&cond, e, who, &p);
        hf_condition_leave(&cond, e, who, true);
    }
}

/* ---- exactly n ---- */

static bool both_entered(void) {
    return (entered[1] || hx_dead(1)) && (entered[2] || hx_dead(2));
}
static unsigned living(void) {
    return (unsigned)!hx_dead(1) + (unsigned)!hx_dead(2);
}
static void exactly(int me) {
    if (me != 0) {
        enter(me);
        int r = wait_once(me, hf_now() + 300 * HF_MS);
        hx_assert(r == HF_OK || (r == HF_TIMEOUT && hx_dead(0)));
        awake[me] = true;
        leave();
        return;
    }
    hx_until(both_entered);
    enter(me);
    unsigned alive = living();
    uint32_t told = hf_condition_notify(&cond, hx_who(me), 1);
    hx_assert(told == (alive != 0));
    leave();
    hx_until_quiet();
    unsigned up = (unsigned)(awake[1] && !hx_dead(1)) + (unsigned)(awake[2] && !hx_dead(2));
    if (!hx_any_dead()) hx_assert(up == 1);
    enter(me);
    told = hf_condition_notify(&cond, hx_who(me), 5);
    if (!hx_any_dead()) hx_assert(told == 1);
    leave();
}

static void check(void) {
    hf_condition_notify(&cond, hx_who(-1), UINT32_MAX); /* finds nobody alive */
    hx_assert(hf_condition_count(&cond, hx_who(-1)) == 0);
}

#define ALL (HX_PLAIN | HX_TICKS | HX_DEATH)
static const struct hx_history histories[] = {
    {"condition_one_item", 3, ALL, {2, 2, 1}, reset, one_item, died, check, {0}},
    {"condition_two_items", 3, ALL, {2, 2, 1}, reset, two_items, died, check, {0}},
    {"condition_at_once", 3, ALL, {2, 2, 1}, reset, at_once, died, check, {0}},
    {"condition_impatient", 3, HX_PLAIN | HX_TICKS, {2, 2, 0}, reset, impatient, died, check, {0}},
    {"condition_exactly", 3, ALL, {2, 2, 1}, reset, exactly, died, check, {0}},
    {0},
};

int main(int argc, char **argv) {
    return hx_main(argc, argv, histories);
}
