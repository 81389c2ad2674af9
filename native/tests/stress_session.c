/* The arena under stress: four threads that act for nine members of one arena make, send, find, name and drop blocks,
 * grow semaphores, trim and sweep; in the end nothing is left and every list is whole.
 *
 * What ThreadSanitizer can tell. Eight of the nine members are made to share one mapping, so that accesses of
 * different members meet at one address: the order that the session's guard gives is proved between members, not
 * only between threads of one. The ninth has a mapping of its own, as every real process has; ThreadSanitizer does
 * not relate two mappings of one page, so there only the patterns and the audit object.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "arena.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define THREADS 4
#define TOGETHER 8
#define MEMBERS (TOGETHER + 1)

static struct hf_session *session[MEMBERS];
static char *own_mapping[MEMBERS];
static ar_mail mail[AR_MAIL];
static hf_a64 end;
static struct ar_actor actor[THREADS];

static void open_all(void) {
    session[0] = ar_open(256 << 20, 8 << 20);
    for (int i = 1; i < MEMBERS; i++) {
        session[i] = ar_again(session[0]);
        own_mapping[i] = session[i]->base;
        if (i >= TOGETHER) continue;
        session[i]->base = session[0]->base;
        session[i]->header = session[0]->header;
    }
    for (int i = 0; i < MEMBERS; i++) ar_who(session[i]);
}

static void close_all(void) {
    for (int i = MEMBERS - 1; i >= 0; i--) {
        ar_must(session[i]->handles.next == &session[i]->handles && session[i]->graves == NULL);
        if (i != 0) session[i]->base = own_mapping[i];
        if (i != 0) session[i]->header = (struct hf_header *)(void *)own_mapping[i];
        hf_session_close(session[i]);
    }
}

static void *work(void *argument) {
    struct ar_actor *a = argument;
    while (a->steps % 16 != 0 || hf_now() < hf_load(&end, HF_RELAXED)) ar_step(a);
    ar_drop_all(a);
    return NULL;
}

static unsigned long run(double seconds, bool forks) {
    pthread_t thread[THREADS];
    unsigned long steps = 0;
    hf_store(&end, hf_now() + (uint64_t)(seconds * 1e9 * ar_scale()), HF_RELAXED);
    for (int i = 0; i < THREADS; i++) {
        actor[i] = (struct ar_actor){.sessions = session, .count = MEMBERS, .family = TOGETHER, .mail = mail};
        actor[i].counted = true;
        actor[i].forks = actor[i].modest = forks;
        actor[i].random = 0x9e3779b97f4a7c15ull * (unsigned)(i + 1);
        ar_must(pthread_create(&thread[i], NULL, work, &actor[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        steps += actor[i].steps;
    }
    ar_take_mail(&actor[0]);
    return steps;
}

static uint64_t blocks_left(void) {
    struct hf_who who = ar_who(session[0]);
    struct hf_stats stats;
    hf_session_stats(session[0], &who, &stats);
    struct ar_census census = ar_audit(session[0]);
    ar_must(census.blocks == stats.blocks);
    ar_must(stats.repairs == 0 && stats.members == MEMBERS && census.pending == 0);
    return stats.blocks;
}

/* After a fork, references are dropped a second later, with the next block: until then they are rightly there. */
static void wait_for_graves(void) {
    for (int i = 0; i < MEMBERS;) {
        struct ar_actor one = {.sessions = &session[i], .count = 1, .family = 1, .modest = true, .random = 1};
        ar_make(&one, &one.held[0], 100);
        ar_drop_all(&one);
        if (session[i]->graves == NULL) i++;
        else usleep(10000);
    }
}

int main(void) {
    alarm(100);
    open_all();
    unsigned long steps = run(2.5, false);
    ar_must(blocks_left() == 0);
    printf("ok   stress_session: %lu actions\n", steps);
    strcpy(ar_about, ", while forking");
    steps = run(0.7, true);
    wait_for_graves();
    ar_must(blocks_left() == 0);
    printf("ok   stress_session forking: %lu actions\n", steps);
    close_all();
    return 0;
}
