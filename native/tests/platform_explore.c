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

/* ---- shared memory: an arena that each schedule begins anew. What was freed is never used again, so that whoever
 * touches it is found out. ---- */

#define EXTENTS 64
static _Alignas(16) unsigned char arena[131072];
static uint64_t used;
static struct {
    uint64_t at, size;
    bool retracted;
} extents[EXTENTS];
static unsigned extended;
static struct {
    uint32_t sent, received;
} payload[HX_PAYLOADS];
bool hx_rung;

void hx_arena_reset(void) {
    memset(arena, 0, (size_t)used);
    used = 0;
    extended = 0;
    memset(payload, 0, sizeof payload);
    hx_rung = false;
}

static void garbage(uint64_t from, uint64_t to) {
    if (from < to) memset(arena + from, 0xa5, (size_t)(to - from));
}

void *hf_extend(struct hf_session *session, void *body, uint64_t *link, size_t nbytes) {
    (void)session, (void)body;
    hx_step();
    if (extended == EXTENTS || used + nbytes > sizeof arena) return NULL;
    void *at = arena + used;
    garbage(used + 4096, used + nbytes); /* as the real one, which zeroes no more than that */
    extents[extended].at = used;
    extents[extended].size = nbytes;
    extents[extended++].retracted = false;
    *link = used + 1;
    used += (nbytes + 15) & ~15ull;
    hx_step();
    return at;
}

void hf_tidy(struct hf_session *session, const struct hf_who *who) {
    (void)session, (void)who;
}

void *hf_follow(struct hf_session *session, uint64_t link) {
    (void)session;
    return link == 0 ? NULL : arena + link - 1;
}

void hf_retract(struct hf_session *session, uint64_t link) {
    (void)session;
    hx_step();
    for (unsigned i = 0; i < extended; i++) {
        if (extents[i].at != link - 1) continue;
        if (extents[i].retracted) hx_fail("a block is freed twice");
        extents[i].retracted = true;
        garbage(extents[i].at, extents[i].at + extents[i].size);
        hx_step();
        return;
    }
    hx_fail("a block is freed that there never was");
}

void hx_check_address(const volatile void *address) {
    const volatile unsigned char *a = address;
    if (a < arena || a >= arena + used) return;
    for (unsigned i = 0; i < extended; i++)
        if (extents[i].retracted && a >= arena + extents[i].at && a < arena + extents[i].at + extents[i].size)
            hx_fail("freed memory is used: block %u, byte %u", i, (unsigned)(a - arena - extents[i].at));
}

unsigned hx_extents(void) {
    unsigned n = 0;
    for (unsigned i = 0; i < extended; i++) n += !extents[i].retracted;
    return n;
}

/* ---- payload blocks: a number each, which is its uid too ---- */

bool hx_consigned(uint64_t offset) {
    return payload[offset].sent != payload[offset].received;
}

void hf_consign(struct hf_session *session, uint64_t offset) {
    (void)session;
    if (offset == 0) return;
    hx_step();
    payload[offset].sent = payload[offset].received + 1;
}

void hf_arrive(struct hf_session *session, const struct hf_who *who, uint64_t offset, uint64_t uid) {
    (void)who;
    if (offset == 0) return;
    hx_step();
    hf_dispose_block(session, offset, uid);
}

void hf_dispose_block(struct hf_session *session, uint64_t offset, uint64_t uid) {
    (void)session;
    if (offset == 0) return;
    if (offset >= HX_PAYLOADS || offset != uid) hx_fail("no such payload block: %llu", (unsigned long long)offset);
    payload[offset].received = payload[offset].sent;
}

/* ---- the bell: a descriptor that is rung or silent ---- */

void hf_bell_ring(int fd) {
    (void)fd;
    hx_step();
    hx_rung = true;
}

void hf_bell_hush(int fd) {
    (void)fd;
    hx_step();
    hx_rung = false;
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
