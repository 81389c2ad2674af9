/* Event under stress: what was written before a set is seen after the wait, and no set is lost. */
#include "event.h"
#include "stress.h"

static struct {
    struct hf_event there, back;
    unsigned long ball; /* plain: belongs to whoever was told last */
    hf_a32 stop;
} court[2];

static void wait_for(struct hf_event *e, struct st_thread *t) {
    struct hf_patience p = hf_patience(HF_FOREVER, false);
    if (st_random(t, 2) == 0)
        for (int i = 0; i < 200; i++)
            if (hf_event_is_set(e)) return;
    while (!hf_event_is_set(e)) st_check(hf_event_wait(e, hf_event_round(e), &p) == HF_OK);
}

/* Two threads play a ball to and fro; the ball is touched before the clear, so that only set and wait order it. */
static void rally(struct st_thread *t) {
    int at = t->number / 2;
    bool serves = t->number % 2 == 0;
    struct hf_event *mine = serves ? &court[at].back : &court[at].there;
    struct hf_event *theirs = serves ? &court[at].there : &court[at].back;
    for (bool first = serves, last = false;; first = false) {
        if (!first) {
            wait_for(mine, t);
            court[at].ball++;
            hf_event_clear(mine);
            if (serves && last) return;
            if (!serves) last = atomic_load_explicit(&court[at].stop, HF_RELAXED) != 0; /* this ball is the last */
        }
        if (serves && st_over(t)) {
            last = true;
            atomic_store_explicit(&court[at].stop, 1, HF_RELAXED);
        }
        court[at].ball++;
        hf_event_set(theirs);
        if (!serves && last) return;
    }
}

/* Pulses: the flag goes down at once; a waiter that had begun gets through all the same. */
static struct hf_event pulse;
static hf_a32 waiting[ST_THREADS];
static hf_a32 stop;
static void pulses(struct st_thread *t) {
    if (t->number != 0) {
        struct hf_patience p = hf_patience(HF_FOREVER, false);
        while (!atomic_load_explicit(&stop, HF_RELAXED)) {
            uint32_t round = hf_event_round(&pulse);
            atomic_store_explicit(&waiting[t->number], 1, HF_RELEASE);
            st_check(hf_event_wait(&pulse, round, &p) == HF_OK);
            t->rounds++;
        }
        return;
    }
    while (!st_over(t)) {
        for (int i = 1; i < 3; i++)
            while (atomic_exchange_explicit(&waiting[i], 0, HF_ACQUIRE) == 0) hf_pause();
        hf_event_set(&pulse);
        hf_event_clear(&pulse);
    }
    atomic_store_explicit(&stop, 1, HF_RELAXED);
    hf_event_set(&pulse); /* and stays up, for whoever had not seen the stop */
}

int main(void) {
    for (int i = 0; i < 2; i++) {
        hf_event_init(&court[i].there);
        hf_event_init(&court[i].back);
    }
    st_run("stress_event", 4, 1.2, rally);
    hf_event_init(&pulse);
    st_run("stress_event pulse", 3, 0.8, pulses);
    return 0;
}
