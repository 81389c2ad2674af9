/* Histories of Event: no set is lost, a set that is cleared at once still wakes, a setter's death loses nothing
 * once the flag was up. */
#include "event.h"
#include "explore.h"

static struct hf_event event;
static bool ready[HX_FIBERS]; /* waiters that know their round */
static bool raised;        /* a set has begun and did reach the flag */
static unsigned payload;   /* plain; written before the set */

static void reset(void) {
    hf_event_init(&event);
    payload = 0;
    for (int i = 0; i < HX_FIBERS; i++) ready[i] = false;
    raised = false;
    hx_name(&event, sizeof event, "event");
}

/* A setter that died after the flag went up has still set it. */
static void died(int me) {
    (void)me;
    if (hf_event_round(&event) != 0) raised = true;
}

static int wait_for(uint32_t round, uint64_t patience) {
    uint64_t deadline = patience == HF_FOREVER ? HF_FOREVER : hf_now() + patience;
    struct hf_patience p = hf_patience(deadline, true);
    int r;
    do r = hf_event_wait(&event, round, &p);
    while (r == HF_INTR);
    return r;
}

static bool ready_or_dead(int i) {
    return ready[i] || hx_dead(i);
}
static bool both_ready(void) {
    return ready_or_dead(1) && ready_or_dead(2);
}
static bool last_ready(void) {
    return ready_or_dead(2);
}
static void set(void) {
    payload++;
    hf_event_set(&event);
    raised = true;
}

/* Begin to wait, then tell the setter, then sleep: the set must reach us, come what may. */
static void waiter(int me) {
    uint32_t round = hf_event_round(&event);
    ready[me] = true;
    int r = wait_for(round, 300 * HF_MS);
    if (r == HF_TIMEOUT) hx_assert(hx_dead(0) && !raised);
    else hx_assert(r == HF_OK && payload != 0);
}

static void pulse(int me) {
    if (me != 0) {
        waiter(me);
        return;
    }
    hx_until(both_ready);
    set();
    hf_event_clear(&event);
}

/* No hand-shake: whoever comes before, during or after the set gets through, since nobody clears. */
static void latch(int me) {
    if (me == 0) set();
    else if (wait_for(hf_event_round(&event), 300 * HF_MS) == HF_TIMEOUT) hx_assert(hx_dead(0) && !raised);
    else hx_assert(payload == 1);
}

/* Two setters, both of which clear, and one waiter. */
static void two_setters(int me) {
    if (me == 2) {
        waiter(me);
        return;
    }
    hx_until(last_ready);
    hf_event_clear(&event);
    set();
    if (me == 1) hf_event_clear(&event);
}

/* Ping-pong through one event: each side clears what the other set. */
static unsigned ball;
static void reset_rally(void) {
    reset();
    ball = 0;
}
static void rally(int me) {
    for (unsigned i = 0; i < 2; i++) {
        if (me == 0) {
            ball++;
            hf_event_set(&event);
        } else {
            while (!hf_event_is_set(&event)) hx_assert(wait_for(hf_event_round(&event), HF_FOREVER) == HF_OK);
            hx_assert(ball > 0);
            hf_event_clear(&event);
            if (ball == 2) return;
        }
    }
}

/* A waiter with little patience does not take the wake-up away from the other. */
static void impatient(int me) {
    if (me == 0) {
        hx_until(both_ready);
        set();
        hf_event_clear(&event);
        return;
    }
    uint32_t round = hf_event_round(&event);
    ready[me] = true;
    int r = wait_for(round, me == 1 ? HF_MS : HF_FOREVER);
    hx_assert(r == HF_OK || (me == 1 && r == HF_TIMEOUT));
}

#define ALL (HX_PLAIN | HX_TICKS | HX_DEATH)
static const struct hx_history histories[] = {
    {"event_pulse", 3, ALL, {4, 3, 3}, reset, pulse, died, NULL, {0}},
    {"event_latch", 3, ALL, {4, 3, 3}, reset, latch, died, NULL, {0}},
    {"event_two_setters", 3, HX_PLAIN | HX_TICKS, {3, 3, 0}, reset, two_setters, died, NULL, {0}},
    {"event_rally", 2, HX_PLAIN | HX_TICKS, {4, 3, 0}, reset_rally, rally, died, NULL, {0}},
    {"event_impatient", 3, HX_PLAIN | HX_TICKS, {4, 3, 0}, reset, impatient, died, NULL, {0}},
    {0},
};

int main(int argc, char **argv) {
    return hx_main(argc, argv, histories);
}
