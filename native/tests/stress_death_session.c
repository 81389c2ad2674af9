/* Real deaths in the arena: processes that make, send, find, name and drop blocks are killed with SIGKILL, at random
 * instants and at every kill point of the arena. The survivor goes on; a second after the last death, what it holds is
 * all that is left, and every list is whole.
 *
 * Also here, because they need real processes: what a fork takes over, and slots of the process table used again.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "arena.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 4
#define SUCCESSORS 1500

static struct hf_session *session;
static ar_mail *mail;
static struct ar_actor survivor;

static struct ar_actor new_actor(uint64_t seed) {
    return (struct ar_actor){.sessions = &session, .count = 1, .family = 1, .mail = mail, .modest = true,
                             .random = seed * 0x9e3779b97f4a7c15ull | 1};
}

static void bury(pid_t pid, bool killed) {
    int status;
    pid_t r;
    do r = waitpid(pid, &status, 0);
    while (r < 0 && errno == EINTR);
    ar_must(r == pid);
    if (killed) ar_must(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    else ar_must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static struct hf_stats stats_now(void) {
    struct hf_who who = ar_who(session);
    struct hf_stats stats;
    hf_session_stats(session, &who, &stats);
    return stats;
}

/* Blocks, each counted once: a process may hold several handles of one. */
static uint64_t held_by(struct ar_actor *a) {
    uint64_t n = 0;
    for (int i = 0; i < AR_HELD; i++) {
        struct ar_held *it = &a->held[i];
        bool counted = false;
        for (int k = 0; k < i; k++) counted |= a->held[k].used && a->held[k].handle.uid == it->handle.uid;
        if (!it->used || counted) continue;
        n++;
        for (int k = 0; k < AR_CHILDREN; k++) n += it->child[k] != NULL;
    }
    return n;
}

/* The dead are swept a second after they were seen dead, our own references a second after the last fork. A slot that
 * stays occupied by the dead, or a block that nobody holds, hangs this for good: the watchdog ends it. */
static void until_only(uint64_t blocks) {
    struct hf_who who = ar_who(session);
    for (;; usleep(20000)) {
        hf_sweep(session, &who);
        struct ar_actor one = new_actor(1); /* makes the session drop what it put off */
        ar_make(&one, &one.held[0], 100);
        ar_drop_all(&one);
        uint64_t dead = 0;
        for (unsigned i = 0; i < HF_SLOTS; i++)
            dead += (session->header->slot[i].state & HF_SLOT_STATE) > HF_SLOT_ALIVE;
        struct hf_stats stats = stats_now();
        ar_must(stats.blocks >= blocks);
        if (session->graves == NULL && dead == 0 && stats.members == 1 && stats.blocks == blocks) return;
    }
}

/* ------------------------------------------------------------------------------------------------ random instants */

static pid_t spawn_worker(uint64_t seed) {
    pid_t pid = fork();
    ar_must(pid >= 0);
    if (pid != 0) return pid;
    alarm(60);
    struct ar_actor a = new_actor(seed);
    ar_who(session); /* joins, and takes over what the survivor holds: the fork copied its handles */
    for (;;) ar_step(&a);
}

static unsigned kill_at_random(double seconds) {
    uint64_t end = hf_now() + (uint64_t)(seconds * 1e9 * ar_scale()), seed = 1;
    pid_t pid[WORKERS];
    for (int i = 0; i < WORKERS; i++) pid[i] = spawn_worker(seed++);
    unsigned deaths = 0;
    for (; hf_now() < end; deaths++) {
        for (unsigned n = ar_random(&survivor, 40); n > 0; n--) ar_step(&survivor);
        usleep(ar_random(&survivor, 4000)); /* the random instant; nothing is ordered by it */
        unsigned victim = ar_random(&survivor, WORKERS);
        kill(pid[victim], SIGKILL);
        bury(pid[victim], true);
        if (deaths % 8 == 0) ar_audit(session);
        pid[victim] = spawn_worker(seed++);
    }
    for (int i = 0; i < WORKERS; i++) kill(pid[i], SIGKILL);
    for (int i = 0; i < WORKERS; i++) bury(pid[i], true);
    ar_audit(session);
    return deaths + WORKERS;
}

/* ----------------------------------------------------------------------------------------------------- kill points */

static bool in_arena(const char *point) {
    static const char *const parts[] = {"mutex_", "alloc_", "free_", "ref_", "join_", "sweep_"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strncmp(point, parts[i], strlen(parts[i])) == 0) return true;
    return false;
}

/* Everything that reaches a point of the arena. */
static void live_and_die(const char *point, long skip) {
    alarm(30);
    struct ar_actor a = new_actor((uint64_t)skip + 7);
    bool join = strncmp(point, "join_", 5) == 0, chunks = strcmp(point, "alloc_chunk") == 0;
    if (!join) ar_who(session);
    ar_must(hf_kill_arm(point, skip) == 0);
    if (join) ar_who(session);
    for (int i = 0; i < 4000; i++) {
        if (i == 0) ar_make_family(&a, &a.held[0]);
        if (i == 0 && a.held[0].used) ar_drop(&a.held[0]); /* the first free is that of a block with children */
        if (chunks) ar_make(&a, calloc(1, sizeof a.held[0]), 20000); /* and keeps it: two fill a chunk */
        else ar_step(&a);
    }
    ar_fail(__FILE__, __LINE__, point); /* still alive: the point was not reached */
}

static unsigned kill_at(const char *point) {
    static const long skips[] = {0, 1, 2, 5, 17, 60};
    unsigned deaths = 0;
    bool join = strncmp(point, "join_", 5) == 0, guarded = !join && strcmp(point, "mutex_released") != 0;
    for (size_t i = 0; i < sizeof skips / sizeof *skips; i++) {
        if (join && i > 0) break; /* nobody joins twice */
        uint64_t repairs = stats_now().repairs;
        snprintf(ar_about, sizeof ar_about, ", after a death at %s:%ld", point, skips[i]);
        pid_t pid = fork();
        ar_must(pid >= 0);
        if (pid == 0) live_and_die(point, skips[i]);
        bury(pid, true);
        deaths++;
        ar_audit(session); /* enters, and so repairs */
        ar_must(stats_now().repairs == repairs + guarded);
        for (int n = 0; n < 20; n++) ar_step(&survivor);
    }
    return deaths;
}

/* A sweep is only killed in the middle if there are dead to sweep, with references of their own. */
static unsigned kill_sweepers(void) {
    unsigned deaths = 0;
    for (int i = 0; i < 3; i++) { /* the first is swept by others, who die of it */
        pid_t pid = fork();
        ar_must(pid >= 0);
        if (pid == 0) {
            struct ar_actor a = new_actor((uint64_t)i + 99);
            for (int n = 0; n < 60; n++) ar_step(&a);
            kill(getpid(), SIGKILL);
        }
        bury(pid, true);
        deaths++;
    }
    for (int i = 0; i < WORKERS; i++) { /* who is armed outlives the second in which nobody may be swept */
        uint64_t repairs = stats_now().repairs;
        pid_t pid = fork();
        ar_must(pid >= 0);
        if (pid == 0) {
            alarm(30);
            struct hf_who who = ar_who(session);
            ar_must(hf_kill_arm("sweep_half", i * 2) == 0);
            for (;; usleep(10000)) hf_sweep(session, &who);
        }
        bury(pid, true);
        deaths++;
        ar_audit(session);
        ar_must(stats_now().repairs == repairs + 1);
    }
    return deaths;
}

/* A place without a kill point: a run is claimed, its block is blank, not even of a type. Its chunks must come back. */
static unsigned leave_blank_run(void) {
    pid_t pid = fork();
    ar_must(pid >= 0);
    if (pid == 0) {
        struct hf_who who = ar_who(session);
        hf_enter(session, &who);
        uint64_t first = hf_chunks_find(session, 10);
        ar_must(first != UINT64_MAX && hf_chunks_commit(session, first, 10));
        hf_chunk_set(session, first, HF_CHUNK_RUN, 10);
        memset(session->base + hf_chunk_at(session, first), 0, HF_BODY_AT);
        kill(getpid(), SIGKILL);
    }
    bury(pid, true);
    ar_audit(session);
    return 1;
}

static unsigned kill_everywhere(void) {
    unsigned deaths = leave_blank_run();
    for (int i = 0; i < HF_K_COUNT; i++) {
        const char *point = hf_kill_name(i);
        if (in_arena(point) && strcmp(point, "sweep_half") != 0) deaths += kill_at(point);
    }
    ar_about[0] = 0;
    return deaths + kill_sweepers();
}

/* ------------------------------------------------------------------------------------------------------------ fork */

/* What the parent holds at a fork, the child holds too, though the parent drops it at once; what the child alone holds
 * is freed when it is dead. */
static void adopt(void) {
    uint64_t before = held_by(&survivor);
    struct ar_actor parent = new_actor(5);
    for (int i = 0; i < AR_HELD; i++) ar_make(&parent, &parent.held[i], 1000u * (unsigned)(1 + i * i));
    ar_must(held_by(&parent) == AR_HELD);
    int go[2];
    ar_must(pipe(go) == 0);
    pid_t pid = fork();
    ar_must(pid >= 0);
    if (pid == 0) {
        char byte;
        close(go[1]);
        ar_must(read(go[0], &byte, 1) == 0); /* the parent has dropped everything */
        ar_who(session);
        for (int i = 0; i < AR_HELD; i++) ar_check(&parent.held[i]);
        usleep(1100000); /* longer than the parent may put off its drops: they must be ours alone by then */
        for (int i = 0; i < AR_HELD; i++) ar_check(&parent.held[i]);
        for (int i = 0; i < AR_HELD / 2; i++) ar_drop(&parent.held[i]);
        _exit(0); /* with the other half held */
    }
    for (int i = 0; i < AR_HELD; i++) ar_drop(&parent.held[i]);
    close(go[0]);
    close(go[1]);
    for (int status; waitpid(pid, &status, WNOHANG) == 0; usleep(5000)) { /* go on making blocks where they were */
        struct ar_actor busy = new_actor(9);
        for (int i = 0; i < AR_HELD; i++) ar_make(&busy, &busy.held[i], 1000u * (unsigned)(1 + i * i));
        ar_drop_all(&busy);
    }
    until_only(before);
}

/* A process that forks all the time still drops what it drops: only forks before a drop can have copied the handle. */
static void fork_often(void) {
    struct ar_actor a = new_actor(11);
    struct hf_block *first = NULL;
    uint64_t uid = 0;
    for (int i = 0; i == 0 || (first->kind != HF_KIND_NONE && first->uid == uid); i++) {
        pid_t pid = fork();
        ar_must(pid >= 0);
        if (pid == 0) _exit(0);
        bury(pid, false);
        ar_make(&a, &a.held[0], 1000);
        if (i == 0) first = hf_block_of(a.held[0].handle.body), uid = first->uid;
        ar_drop(&a.held[0]);
        usleep(20000);
    }
}

/* More members, one after the other, than there are slots, and nobody who sweeps: the survivor only waits. Half of them
 * leave in order; some hold a block, which must not stay. */
static void succeed_each_other(void) {
    uint32_t most = 0;
    for (int i = 0; i < SUCCESSORS; i++) {
        pid_t pid = fork();
        ar_must(pid >= 0);
        if (pid == 0) {
            struct ar_actor a = new_actor((uint64_t)i);
            ar_who(session);
            if (i % 8 == 0) ar_make(&a, &a.held[0], 3000);
            if (i % 2 == 0) hf_leave(session);
            _exit(0);
        }
        bury(pid, false);
    }
    for (unsigned i = 0; i < HF_SLOTS; i++)
        if (session->header->slot[i].generation > most) most = session->header->slot[i].generation;
    ar_must(most > 1);
}

/* ------------------------------------------------------------------------------------------------------------ main */

/* Blocks of all sizes, many at once, each with its pattern. */
static void use_it_all(unsigned n) {
    static struct ar_held held[1000];
    struct ar_actor a = new_actor(77);
    for (unsigned i = 0; i < n; i++) {
        struct ar_held *it = &held[i % 1000];
        if (it->used) ar_drop(it);
        unsigned shift = ar_random(&a, 100) < 90 ? 6 + ar_random(&a, 10) : 16 + ar_random(&a, 3);
        ar_make(&a, it, (1u << shift) + ar_random(&a, 1u << shift));
        ar_must(it->used);
    }
    for (unsigned i = 0; i < 1000; i++)
        if (held[i].used) ar_drop(&held[i]);
}

int main(void) {
    setpgid(0, 0); /* a group of our own, so that a failure ends all of us and nobody else */
    ar_group = true;
    alarm(100);
    mail = mmap(NULL, AR_MAIL * sizeof *mail, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ar_must(mail != MAP_FAILED);
    session = ar_open(512 << 20, 16 << 20);
    survivor = new_actor(3);
    for (int i = 0; i < 300; i++) ar_step(&survivor);

    unsigned deaths = kill_at_random(3);
    until_only(held_by(&survivor));
    unsigned long long repairs = stats_now().repairs;
    printf("ok   stress_death_session: %u deaths at random, %llu repairs\n", deaths, repairs);
    deaths = kill_everywhere();
    until_only(held_by(&survivor));
    printf("ok   stress_death_session: %u at kill points\n", deaths);
    adopt();
    fork_often();
    printf("ok   stress_death_session: forks adopt\n");
    succeed_each_other();
    until_only(held_by(&survivor));
    printf("ok   stress_death_session: %d successors\n", SUCCESSORS);
    use_it_all(10000);
    ar_must(stats_now().blocks == held_by(&survivor));
    ar_drop_all(&survivor);
    until_only(0);
    struct ar_census census = ar_audit(session);
    ar_must(census.blocks == 0 && census.named == 0);
    return 0;
}
