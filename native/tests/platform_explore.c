/* The platform as the explorer models it: a virtual clock, sleeping and waking of fibers, who is dead. */
#include "explore.h"

#include <stdio.h>
#include <string.h>

uint64_t hf_now(void) {
    return hx.now;
}

uint32_t hf_cpu(void) {
    return HF_NO_CPU;
}

uint32_t hf_thread(void) {
    return hx_who(hx.current)->thread;
}

void hf_forget_thread(void) {}

bool hf_is_main_thread(void) {
    return false;
}

int hf_park(hf_a32 *word, uint32_t expected, uint64_t deadline) {
    hf_step(__FILE__, __LINE__, word);
    if (atomic_load(word) != expected) return HF_OK;
    if (hx.current < 0) { /* the checker is alone: nobody will wake it */
        if (deadline == HF_FOREVER) hx_fail("the checker would sleep for ever");
        hx.now = deadline;
        return HF_TIMEOUT;
    }
    struct hx_fiber *f = &hx.fiber[hx.current];
    f->word = word;
    f->deadline = deadline;
    f->since = ++hx.sleeps;
    f->result = HF_OK;
    hx_trace("falls asleep");
    hx_block(HX_PARKED);
    return f->result;
}

int hf_wake(hf_a32 *word, int n) {
    hf_step(__FILE__, __LINE__, word);
    int woken = 0;
    while (woken < n) {
        struct hx_fiber *first = NULL;
        for (int i = 0; i < hx.history->fibers; i++) {
            struct hx_fiber *f = &hx.fiber[i];
            if (f->state == HX_PARKED && f->word == word && (first == NULL || f->since < first->since)) first = f;
        }
        if (first == NULL) break;
        hx_trace("wakes fiber %d", (int)(first - hx.fiber));
        first->state = HX_RUNNABLE;
        woken++;
    }
    return woken;
}

enum hf_fate hf_fate(struct hf_session *session, uint32_t member) {
    (void)session;
    for (int i = 0; i < hx.history->fibers; i++)
        if (hx.fiber[i].who.member == member && hx.fiber[i].state == HX_GONE) return HF_DIED;
    return HF_LIVES;
}

uint64_t hf_process_start(int32_t pid) {
    return (uint64_t)pid;
}

/* ---- shared memory: an arena that each schedule begins anew ---- */

static _Alignas(16) unsigned char arena[65536];
static uint64_t used;

void hx_arena_reset(void) {
    memset(arena, 0, (size_t)used);
    used = 0;
}

void *hf_extend(struct hf_session *session, void *body, uint64_t *link, size_t nbytes) {
    (void)session, (void)body;
    if (used + nbytes > sizeof arena) return NULL;
    void *at = arena + used;
    *link = used + 1;
    used += (nbytes + 15) & ~15ull;
    return at;
}

void *hf_follow(struct hf_session *session, uint64_t link) {
    (void)session;
    return link == 0 ? NULL : arena + link - 1;
}

/* ---- names for the trace ---- */

static struct {
    const unsigned char *at;
    size_t size;
    const char *name;
} names[8];

void hx_name(const void *at, size_t size, const char *name) {
    for (unsigned i = 0; i < 8; i++) {
        if (names[i].at != NULL && names[i].at != at) continue;
        names[i].at = at;
        names[i].size = size;
        names[i].name = name;
        return;
    }
}

void hx_locate(const volatile void *address, char *text, size_t size) {
    const volatile unsigned char *a = address;
    for (unsigned i = 0; i < 8; i++)
        if (names[i].at != NULL && a >= names[i].at && a < names[i].at + names[i].size)
            snprintf(text, size, "%s+%zu (%u)", names[i].name, (size_t)(a - names[i].at),
                     *(const volatile unsigned *)(const volatile void *)a);
}
