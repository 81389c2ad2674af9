/* Real deaths: processes over one shared mapping, killed with SIGKILL at random instants while they work. The
 * survivors go on, and in the end nothing is lost but what the dead held in their hands.
 *
 * Who lives is asked of the system here (hf_process_start), through a table of pids in the shared mapping.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "condition.h"
#include "lock.h"
#include "ring.h"
#include "semaphore.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 4
#define MEMBERS 4096
#define CAPACITY 1024
#define ARENA 262144

struct hf_session {
    struct {
        hf_a32 pid;
        hf_a64 start; /* 0: not filled in yet */
    } member[MEMBERS];
    hf_a64 used;
    unsigned char arena[ARENA];
};

static struct shared {
    struct hf_session session;
    hf_a32 stop;
    hf_a64 rounds[WORKERS];
    struct hf_lock lock;
    uint64_t first, second; /* guarded by the lock: equal whenever it is free */
    hf_a64 abandoned;
    struct hf_semaphore semaphore;
    hf_a64 inside; /* who says that it holds a permit: the member, in 16 bits for each worker */
    struct hf_lock mutex;   /* of the condition */
    struct hf_condition condition;
    uint64_t items;
    hf_a64 put, taken;
    union {
        struct hf_ring ring;
        unsigned char room[sizeof(struct hf_ring) + CAPACITY];
    } queue;
} *shared;

enum hf_fate hf_fate(struct hf_session *session, uint32_t member) {
    uint64_t start = hf_load(&session->member[member].start, HF_ACQUIRE);
    if (start == 0) return HF_LIVES;
    int32_t pid = (int32_t)hf_load(&session->member[member].pid, HF_RELAXED);
    return hf_process_start(pid) == start ? HF_LIVES : HF_DIED;
}

void *hf_extend(struct hf_session *session, void *body, uint64_t *link, size_t nbytes) {
    (void)body;
    uint64_t at = hf_add(&session->used, (nbytes + 15) & ~15ull, HF_RELAXED);
    if (at + nbytes > ARENA) return NULL;
    *link = at + 1;
    return session->arena + at;
}

void hf_tidy(struct hf_session *session, const struct hf_who *who) {
    (void)session, (void)who;
}

void *hf_follow(struct hf_session *session, uint64_t link) {
    return link == 0 ? NULL : session->arena + link - 1;
}

/* Nothing here is freed or handed over; queues have a test of their own (stress_death_queue.c). */
void hf_retract(struct hf_session *session, uint64_t link) {
    (void)session, (void)link;
    abort();
}

void hf_consign(struct hf_session *session, uint64_t offset) {
    (void)session, (void)offset;
    abort();
}

void hf_arrive(struct hf_session *session, const struct hf_who *who, uint64_t offset, uint64_t uid) {
    (void)session, (void)who, (void)offset, (void)uid;
    abort();
}

void hf_dispose_block(struct hf_session *session, uint64_t offset, uint64_t uid) {
    (void)session, (void)offset, (void)uid;
    abort();
}

static void fail(const char *what) {
    fprintf(stderr, "FAIL stress_death: %s\n", what);
    kill(0, SIGKILL); /* our own process group: see main */
}
#define check(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) fail(#condition " does not hold, line " HF_TEXT(__LINE__));                        \
    } while (0)
#define HF_TEXT(x) HF_TEXT_OF(x)
#define HF_TEXT_OF(x) #x

/* ------------------------------------------------------------------------------------------------ what they do */

static int take(struct hf_lock *l, const struct hf_who *who) {
    if (hf_lock_try(l, who)) return HF_OK;
    struct hf_patience p = hf_patience(HF_FOREVER, false);
    return hf_lock_wait(l, who, &p);
}

static void count_up(const struct hf_who *who) {
    int r = take(&shared->lock, who);
    check(r == HF_OK || r == HF_ABANDONED);
    if (r == HF_ABANDONED) { /* told: the two may differ, by the dead one's half-done work */
        hf_add(&shared->abandoned, 1, HF_RELAXED);
        shared->second = shared->first;
    }
    check(shared->first == shared->second);
    shared->first++;
    for (volatile int i = 0; i < 50; i++) {}
    shared->second++;
    check(hf_lock_release(&shared->lock) == HF_OK);
}

/* How many lived at the instant of the snapshot: at least those that live now. */
static unsigned living(const struct hf_who *who, uint64_t snapshot) {
    unsigned n = 0;
    for (int i = 0; i < WORKERS; i++) {
        uint32_t member = (uint32_t)(snapshot >> 16 * i) & 0xffff;
        n += member != 0 && (member == who->member || hf_fate(who->session, member) == HF_LIVES);
    }
    return n;
}

static void hold_permit(const struct hf_who *who, int worker, unsigned round) {
    uint64_t mine = (uint64_t)who->member << 16 * worker;
    struct hf_patience p = hf_patience(HF_FOREVER, false);
    check(hf_semaphore_wait(&shared->semaphore, who, &p) == HF_OK);
    uint64_t inside = hf_add(&shared->inside, mine, HF_SEQ_CST) + mine;
    if (round % 16 == 0) check(living(who, inside) <= 2);
    hf_sub(&shared->inside, mine, HF_SEQ_CST);
    check(hf_semaphore_release(&shared->semaphore, who, 1) == HF_OK);
}

static void use_ring(const struct hf_who *who, unsigned round) {
    struct hf_ring *ring = &shared->queue.ring;
    unsigned char bytes[100];
    size_t length = round % sizeof bytes;
    memset(bytes, (int)(round & 255), sizeof bytes);
    if (hf_ring_put(ring, who, round, bytes, length) == HF_OK) hf_add(&shared->put, 1, HF_RELAXED);
    struct hf_record record;
    if (round % 8 == 0) {
        struct hf_patience p = hf_patience(hf_now() + HF_MS, false);
        hf_ring_wait_record(ring, &p);
    }
    if (hf_ring_begin(ring, who, &record) != HF_OK) return;
    check(record.length < sizeof bytes && record.length == record.tag % sizeof bytes);
    hf_ring_copy(ring, &record, bytes);
    for (uint32_t i = 0; i < record.length; i++) check(bytes[i] == (record.tag & 255));
    hf_ring_end(ring, &record, true);
    hf_add(&shared->taken, 1, HF_RELAXED);
}

/* Workers 0 and 1 put items, 2 and 3 wait for them. */
static void use_condition(const struct hf_who *who, int worker) {
    int r = take(&shared->mutex, who);
    check(r == HF_OK || r == HF_ABANDONED);
    if (worker < 2) {
        shared->items++;
        hf_condition_notify(&shared->condition, who, 1);
    } else {
        struct hf_patience p = hf_patience(hf_now() + 20 * HF_MS, false);
        while (shared->items == 0 && r != HF_TIMEOUT) {
            struct hf_entry *e = hf_condition_enter(&shared->condition, who);
            check(e != NULL && hf_lock_release(&shared->mutex) == HF_OK);
            r = hf_condition_wait(&shared->condition, e, who, &p);
            take(&shared->mutex, who);
            hf_condition_leave(&shared->condition, e, who, false);
        }
        if (shared->items != 0) shared->items--;
    }
    check(hf_lock_release(&shared->mutex) == HF_OK);
}

static void work(int worker, uint32_t member) {
    while (hf_load(&shared->session.member[member].start, HF_ACQUIRE) == 0) hf_pause();
    struct hf_who who = {&shared->session, member, hf_thread()};
    hf_and(&shared->inside, ~(0xffffull << 16 * worker), HF_SEQ_CST); /* our predecessor died */
    for (unsigned round = 1; !hf_load(&shared->stop, HF_RELAXED); round++) {
        count_up(&who);
        hold_permit(&who, worker, round);
        use_ring(&who, round);
        use_condition(&who, worker);
        hf_add(&shared->rounds[worker], 1, HF_RELAXED);
    }
    _exit(0);
}

/* ---------------------------------------------------------------------------------------------- life and death */

static uint32_t next_member = 1;

static pid_t spawn(int worker) {
    uint32_t member = next_member++;
    check(member < MEMBERS - 1);
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        hf_forget_thread();
        alarm(60);
        work(worker, member);
    }
    hf_store(&shared->session.member[member].pid, (uint32_t)pid, HF_RELAXED);
    hf_store(&shared->session.member[member].start, hf_process_start(pid), HF_RELEASE);
    return pid;
}

static void bury(pid_t pid, bool killed) {
    int status;
    check(waitpid(pid, &status, 0) == pid);
    check(killed ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* After all have ended: nothing may be stuck, and the books must balance. */
static void audit(unsigned deaths) {
    struct hf_who who = {&shared->session, MEMBERS - 1, hf_thread()};
    count_up(&who);
    hf_semaphore_reap(&shared->semaphore, &who);
    check(hf_load(&shared->semaphore.value, HF_RELAXED) == 2);
    struct hf_record record;
    struct hf_ring *ring = &shared->queue.ring;
    while (hf_ring_begin(ring, &who, &record) == HF_OK) {
        hf_ring_end(ring, &record, true);
        hf_add(&shared->taken, 1, HF_RELAXED);
    }
    uint64_t put = hf_load(&shared->put, HF_RELAXED), taken = hf_load(&shared->taken, HF_RELAXED);
    check(put <= taken + deaths && taken <= put + deaths); /* each death: at most one record unaccounted for */
    check(hf_load(&shared->abandoned, HF_RELAXED) <= deaths);
    hf_condition_notify(&shared->condition, &who, UINT32_MAX);
    check(hf_condition_count(&shared->condition, &who) == 0);
}

int main(void) {
    setpgid(0, 0); /* a group of our own, so that a failure ends all of us and nobody else */
    alarm(60);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(shared != MAP_FAILED);
    hf_lock_init(&shared->lock, false);
    hf_lock_init(&shared->mutex, false);
    hf_condition_init(&shared->condition, 0);
    hf_semaphore_init(&shared->semaphore, 2, true);
    hf_ring_init(&shared->queue.ring, CAPACITY);
    const char *scale = getenv("HF_STRESS_SCALE");
    uint64_t end = hf_now() + (uint64_t)(3e9 * (scale != NULL ? atof(scale) : 1));
    pid_t pid[WORKERS];
    for (int i = 0; i < WORKERS; i++) pid[i] = spawn(i);
    unsigned deaths = 0;
    for (uint64_t r = 88172645463325252ull; hf_now() < end; deaths++) {
        r ^= r << 13, r ^= r >> 7, r ^= r << 17;
        usleep((useconds_t)(r % 8000)); /* the random instant; nothing is ordered by it */
        int victim = (int)((r >> 32) % WORKERS);
        kill(pid[victim], SIGKILL);
        bury(pid[victim], true);
        pid[victim] = spawn(victim);
    }
    /* the survivors must still get somewhere, each of them */
    for (int i = 0; i < WORKERS; i++) {
        uint64_t seen = hf_load(&shared->rounds[i], HF_RELAXED);
        while (hf_load(&shared->rounds[i], HF_RELAXED) < seen + 10) usleep(500);
    }
    hf_store(&shared->stop, 1, HF_RELAXED);
    for (int i = 0; i < WORKERS; i++) bury(pid[i], false);
    audit(deaths);
    printf("ok   stress_death: %u deaths, %llu told of by a lock, %llu records\n", deaths,
           (unsigned long long)hf_load(&shared->abandoned, HF_RELAXED),
           (unsigned long long)hf_load(&shared->taken, HF_RELAXED));
    return 0;
}
