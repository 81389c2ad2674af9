/* Threads, members and fates of the stress tests; see stress.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "stress.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMBERS 262144

bool st_deaths_order_nothing;
static hf_a32 dead[MEMBERS];
static hf_a32 next_member = 1;
static hf_a64 end;
static void (*the_body)(struct st_thread *t);

enum hf_fate hf_fate(struct hf_session *session, uint32_t member) {
    (void)session;
    hf_a32 *it = &dead[member % MEMBERS];
    bool gone = st_deaths_order_nothing ? atomic_load_explicit(it, HF_RELAXED) : atomic_load_explicit(it, HF_ACQUIRE);
    return gone ? HF_DIED : HF_LIVES;
}

/* ---- shared memory: what malloc gives, so that the sanitizers know what was freed. A table keeps it reachable, and
 * orders nothing. ---- */

#define EXTENTS 4096
static hf_a64 extents[EXTENTS];
static hf_a32 hand;
struct extent {
    uint64_t place; /* in the table */
    uint64_t unused;
};

void *hf_extend(struct hf_session *session, void *body, uint64_t *link, size_t nbytes) {
    (void)session, (void)body;
    struct extent *e = malloc(sizeof *e + nbytes);
    if (e == NULL) abort();
    for (unsigned tries = 0;; tries++) {
        st_check(tries < EXTENTS);
        uint64_t empty = 0;
        e->place = atomic_fetch_add_explicit(&hand, 1, HF_RELAXED) % EXTENTS;
        if (hf_cas(&extents[e->place], &empty, (uint64_t)(uintptr_t)e, HF_RELAXED)) break;
    }
    memset(e + 1, 0, nbytes < 4096 ? nbytes : 4096);
    if (nbytes > 4096) memset((char *)(e + 1) + 4096, 0xa5, nbytes - 4096); /* as the real one: not zeroed */
    *link = (uint64_t)(uintptr_t)(e + 1);
    return e + 1;
}

void hf_tidy(struct hf_session *session, const struct hf_who *who) {
    (void)session, (void)who;
}

void *hf_follow(struct hf_session *session, uint64_t link) {
    (void)session;
    return (void *)(uintptr_t)link;
}

void hf_retract(struct hf_session *session, uint64_t link) {
    struct extent *e = (struct extent *)hf_follow(session, link) - 1;
    hf_store(&extents[e->place], 0, HF_RELAXED);
    free(e);
}

unsigned st_extents(void) {
    unsigned n = 0;
    for (unsigned i = 0; i < EXTENTS; i++) n += hf_load(&extents[i], HF_RELAXED) != 0;
    return n;
}

void st_free_extents(void) {
    for (unsigned i = 0; i < EXTENTS; i++) free((void *)(uintptr_t)hf_swap(&extents[i], 0, HF_RELAXED));
}

/* ---- payload blocks: numbers from 1 on, each its own uid. Sent more often than received: it lives on ---- */

static struct {
    hf_a32 sent, received;
} payload[ST_PAYLOADS];

bool st_consigned(uint64_t offset) {
    return hf_load(&payload[offset].sent, HF_RELAXED) != hf_load(&payload[offset].received, HF_RELAXED);
}

void hf_consign(struct hf_session *session, uint64_t offset) {
    (void)session;
    if (offset == 0) return;
    hf_store(&payload[offset].sent, hf_load(&payload[offset].received, HF_RELAXED) + 1, HF_RELAXED);
}

void hf_dispose_block(struct hf_session *session, uint64_t offset, uint64_t uid) {
    (void)session;
    if (offset == 0) return;
    st_check(offset < ST_PAYLOADS && offset == uid);
    hf_store(&payload[offset].received, hf_load(&payload[offset].sent, HF_RELAXED), HF_RELAXED);
}

void hf_arrive(struct hf_session *session, const struct hf_who *who, uint64_t offset, uint64_t uid) {
    (void)who;
    hf_dispose_block(session, offset, uid);
}

/* ---- life and death ---- */

void st_reborn(struct st_thread *t) {
    uint32_t old = t->who.member;
    if (old != 0 && st_deaths_order_nothing) atomic_store_explicit(&dead[old], 1, HF_RELAXED);
    else if (old != 0) atomic_store_explicit(&dead[old], 1, HF_RELEASE);
    t->who.member = atomic_fetch_add_explicit(&next_member, 1, HF_RELAXED);
    t->who.thread = hf_thread();
    st_check(t->who.member < MEMBERS);
}

unsigned st_random(struct st_thread *t, unsigned below) {
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return (unsigned)(t->random >> 33) % below;
}

bool st_over(struct st_thread *t) {
    t->rounds++;
    return t->rounds % 16 == 0 && hf_now() >= atomic_load_explicit(&end, HF_RELAXED);
}

static void *start(void *argument) {
    struct st_thread *t = argument;
    st_reborn(t);
    the_body(t);
    return NULL;
}

unsigned long st_run(const char *name, int n, double seconds, void (*body)(struct st_thread *t)) {
    static pthread_t thread[ST_THREADS];
    static struct st_thread context[ST_THREADS];
    const char *scale = getenv("HF_STRESS_SCALE");
    if (scale != NULL) seconds *= atof(scale);
    alarm(60 + (unsigned)(4 * seconds)); /* the watchdog: a hang ends the program with SIGALRM */
    the_body = body;
    atomic_store(&end, hf_now() + (uint64_t)(seconds * 1e9));
    for (int i = 0; i < n; i++) {
        context[i] = (struct st_thread){.number = i, .random = 0x9e3779b97f4a7c15ull * (unsigned)(i + 1)};
        if (pthread_create(&thread[i], NULL, start, &context[i]) != 0) abort();
    }
    unsigned long rounds = 0;
    for (int i = 0; i < n; i++) {
        pthread_join(thread[i], NULL);
        rounds += context[i].rounds;
    }
    printf("ok   %s: %lu rounds\n", name, rounds);
    return rounds;
}

struct hf_who st_checker(void) {
    return (struct hf_who){NULL, MEMBERS - 1, hf_thread()};
}

void st_fail(const char *file, int line, const char *what) {
    fprintf(stderr, "FAIL %s:%d: %s does not hold\n", file, line, what);
    _exit(1);
}
