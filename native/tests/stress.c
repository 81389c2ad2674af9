/* Threads, members and fates of the stress tests; see stress.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "stress.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
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

static unsigned char arena[1 << 20];
static hf_a64 used;

void *hf_extend(struct hf_session *session, void *body, uint64_t *link, size_t nbytes) {
    (void)session, (void)body;
    uint64_t at = atomic_fetch_add_explicit(&used, (nbytes + 15) & ~15ull, HF_RELAXED);
    if (at + nbytes > sizeof arena) return NULL;
    *link = at + 1;
    return arena + at;
}

void *hf_follow(struct hf_session *session, uint64_t link) {
    (void)session;
    return link == 0 ? NULL : arena + link - 1;
}

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
