/* Histories of Semaphore: never more holders among the living than permits, the dead's permits come back, and in
 * the end value + held = initial. */
#include "explore.h"
#include "semaphore.h"

static struct hf_semaphore sem;
static unsigned permits;      /* that there are */
static int holders;           /* living fibers that hold one */
static unsigned holds[HX_FIBERS];
static unsigned got;          /* permits that reached a living fiber, in the signal histories */

static void reset_with(unsigned value, bool bounded) {
    hf_semaphore_init(&sem, value, bounded);
    permits = value;
    holders = 0;
    got = 0;
    for (int i = 0; i < HX_FIBERS; i++) holds[i] = 0;
    hx_name(&sem, sizeof sem, "semaphore");
}
static void reset_one(void) {
    reset_with(1, true);
}
static void reset_two(void) {
    reset_with(2, true);
}
static void reset_signal(void) {
    reset_with(0, false);
}

static void died(int me) {
    holders -= (int)holds[me];
    holds[me] = 0;
}

static int take(int me, uint64_t deadline) {
    struct hf_patience p = hf_patience(deadline, true);
    int r = hf_semaphore_try(&sem, hx_who(me));
    if (r != HF_BUSY) return r;
    do r = hf_semaphore_wait(&sem, hx_who(me), &p);
    while (r == HF_INTR);
    return r;
}

static void hold(int me, uint64_t deadline) {
    int r = take(me, deadline);
    if (r == HF_TIMEOUT && deadline != HF_FOREVER) return;
    hx_assert(r == HF_OK);
    holds[me] = 1;
    hx_assert((unsigned)++holders <= permits);
    hx_step();
    holders--;
    holds[me] = 0;
    hx_assert(hf_semaphore_release(&sem, hx_who(me), 1) == HF_OK);
}

static uint32_t held(void) {
    uint32_t n = 0;
    struct hf_walk w = hf_walk_begin(&sem.held);
    for (struct hf_entry *e; (e = hf_walk_next(NULL, &w)) != NULL;) n += hf_load(&e->word, HF_RELAXED);
    return n;
}

static void check(void) {
    hf_semaphore_reap(&sem, hx_who(-1));
    hx_assert(hf_load(&sem.value, HF_RELAXED) == sem.initial);
    hx_assert(held() == 0);
}

static void once(int me) {
    hold(me, HF_FOREVER);
}
static void twice(int me) {
    hold(me, HF_FOREVER);
    if (me != 2) hold(me, HF_FOREVER);
}
static void impatient(int me) {
    hold(me, me == 2 ? hf_now() + HF_MS : HF_FOREVER);
}
/* One waiter comes again and again while another sleeps: its own coming and going must not hide the sleeper. */
static void busy_neighbour(int me) {
    hold(me, HF_FOREVER);
    hold(me, HF_FOREVER);
}

/* ---- a signal: nothing at first, one fiber releases for the others ---- */

static void collect(int me) {
    int r = take(me, hf_now() + 300 * HF_MS);
    if (r == HF_TIMEOUT) {
        hx_assert(hx_any_dead());
        hx_assert(hf_load(&sem.value, HF_RELAXED) == 0); /* nobody sleeps while there is a permit */
    } else {
        hx_assert(r == HF_OK);
        got++;
    }
}
static void signal_both(int me) {
    if (me == 0) hx_assert(hf_semaphore_release(&sem, hx_who(me), 2) == HF_OK);
    else collect(me);
}
static void signal_each(int me) {
    if (me != 0) {
        collect(me);
        return;
    }
    hx_assert(hf_semaphore_release(&sem, hx_who(me), 1) == HF_OK);
    hx_assert(hf_semaphore_release(&sem, hx_who(me), 1) == HF_OK);
}
static void check_signal(void) {
    if (!hx_any_dead()) hx_assert(got == 2 && hf_load(&sem.value, HF_RELAXED) == 0);
    hf_semaphore_reap(&sem, hx_who(-1));
    hx_assert(got + hf_load(&sem.value, HF_RELAXED) <= 2);
}

/* ---- taken here, released there ---- */

static bool handed;
static bool is_handed(void) {
    return handed || hx_dead(0);
}
static void reset_handed(void) {
    reset_with(1, true);
    handed = false;
}
static void hand_over(int me) {
    if (me == 0) {
        hx_assert(take(me, HF_FOREVER) == HF_OK);
        handed = true;
        hx_step();
    } else if (me == 1) {
        hx_until(is_handed);
        if (handed) hx_assert(hf_semaphore_release(&sem, hx_who(me), 1) == HF_OK);
    } else {
        hx_assert(take(me, HF_FOREVER) == HF_OK);
        hx_step();
        hx_assert(hf_semaphore_release(&sem, hx_who(me), 1) == HF_OK);
    }
}
static void check_handed(void) {
    hf_semaphore_reap(&sem, hx_who(-1));
    /* a helper that died before it released leaves the permit with the living one that handed it over */
    if (!hx_dead(1)) hx_assert(hf_load(&sem.value, HF_RELAXED) == 1);
    hx_assert(hf_load(&sem.value, HF_RELAXED) <= 1);
}
static void hand_over_alive(int me) {
    if (me == 2) {
        int r = take(me, hf_now() + 300 * HF_MS); /* no permit will come if the helper died */
        if (r == HF_TIMEOUT) hx_assert(hx_dead(1));
        else hx_assert(r == HF_OK && hf_semaphore_release(&sem, hx_who(me), 1) == HF_OK);
        return;
    }
    hand_over(me);
}

#define ALL (HX_PLAIN | HX_TICKS | HX_DEATH)
static const struct hx_history histories[] = {
    {"semaphore", 3, ALL, {2, 2, 1}, reset_one, once, died, check, {0}},
    {"semaphore_two", 3, ALL, {2, 2, 1}, reset_two, twice, died, check, {0}},
    {"semaphore_one_process", 3, ALL, {2, 2, 1}, reset_two, twice, died, check, {7, 7, 8}},
    {"semaphore_impatient", 3, ALL, {2, 2, 1}, reset_one, impatient, died, check, {0}},
    {"semaphore_busy_neighbour", 3, HX_PLAIN, {2, 0, 0}, reset_one, busy_neighbour, died, check, {0}},
    {"semaphore_signal_both", 3, ALL, {3, 2, 1}, reset_signal, signal_both, died, check_signal, {0}},
    {"semaphore_signal_each", 3, ALL, {3, 2, 1}, reset_signal, signal_each, died, check_signal, {0}},
    {"semaphore_handed", 3, HX_DEATH, {0, 0, 2}, reset_handed, hand_over_alive, died, check_handed, {0}},
    {0},
};

int main(int argc, char **argv) {
    return hx_main(argc, argv, histories);
}
