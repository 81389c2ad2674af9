/* Real deaths around a queue in a real arena: processes that put and take are killed with SIGKILL, at every kill point
 * of the queue and of what it calls, and at random instants. What was put and not taken is there, whole and in order;
 * the counts are exact; and when the queue is gone, read out or not, no block is left: segments, payload blocks, rosters.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "arena.h"
#include "fifo.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 4
#define FIRST_BYTES 2300
#define LONGEST 20000
#define BATCH 4u

static struct hf_session *session;
static struct shared {
    hf_a32 stop;
    hf_a64 put, taken, rounds[WORKERS];
} *shared;

static void bury(pid_t pid, bool killed) {
    int status;
    pid_t r;
    do r = waitpid(pid, &status, 0);
    while (r < 0 && errno == EINTR);
    ar_must(r == pid);
    if (killed) ar_must(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    else ar_must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---------------------------------------------------------------------------------------------------------- a queue */

static void init(void *body, const void *how) {
    hf_queue_init(body, how);
}

static struct hf_queue *make_queue(struct hf_handle *h) {
    struct hf_who who = ar_who(session);
    struct hf_queue_config config = {.flavour = HF_FIFO, .max_bytes = 4 << 20,
                                     .nbytes = HF_QUEUE_STORE_AT + sizeof(struct hf_segment) + FIRST_BYTES};
    struct hf_new how = {.kind = HF_KIND_QUEUE, .nbytes = config.nbytes, .init = init, .how = &config};
    ar_must(hf_make(session, &who, &how, h) == HF_OK);
    return h->body;
}

/* Item n: its length and bytes follow from n; every seventh has a payload block. */
static uint32_t length_of(uint32_t n) {
    return n % 5 == 0 ? n * 7919 % LONGEST : n * 31 % 300;
}

static bool has_block(uint32_t n) {
    return n % 7 == 3;
}

static uint64_t block_bytes(uint32_t n) {
    return 1000 + n * 9973ull % 200000;
}

static struct hf_item wrap(uint32_t n, unsigned char *bytes, struct hf_handle *h) {
    struct hf_item item = {.data = bytes, .length = length_of(n), .kind = n};
    memset(bytes, (int)(n & 255), item.length);
    if (!has_block(n)) return item;
    struct hf_who who = ar_who(session);
    struct hf_new how = {.kind = HF_KIND_BLOCK, .nbytes = block_bytes(n)};
    ar_must(hf_make(session, &who, &how, h) == HF_OK);
    memcpy(h->body, &n, sizeof n);
    memcpy((char *)h->body + how.nbytes - sizeof n, &n, sizeof n);
    item.block = h->offset;
    item.block_uid = h->uid;
    item.outside = how.nbytes;
    return item;
}

/* Items n, n + 1, ...: how many went in. */
static uint32_t put(struct hf_queue *q, uint32_t n, uint32_t many) {
    static unsigned char bytes[BATCH][LONGEST];
    struct hf_who who = ar_who(session);
    struct hf_handle h[BATCH];
    struct hf_item items[BATCH];
    uint32_t done = 0;
    for (uint32_t i = 0; i < many; i++) items[i] = wrap(n + i, bytes[i], &h[i]);
    int r = hf_fifo_put(q, &who, items, many, &done, -1);
    ar_must(r == HF_OK ? done == many : r == HF_BUSY || r == HF_CLOSED);
    for (uint32_t i = 0; i < many; i++)
        if (has_block(n + i)) hf_drop(session, &h[i]);
    return done;
}

static void check_item(const struct hf_cursor *c, const struct hf_found *f) {
    static unsigned char bytes[LONGEST];
    ar_must(f->length == length_of(f->kind) && (f->block != 0) == has_block(f->kind));
    hf_fifo_copy(c, f, bytes);
    for (uint32_t i = 0; i < f->length; i++) ar_must(bytes[i] == (f->kind & 255));
}

static void open_block(const struct hf_found *f, struct hf_handle *h) {
    struct hf_who who = ar_who(session);
    uint32_t first, last;
    ar_must(hf_share(session, &who, HF_KIND_BLOCK, f->block, f->block_uid, h) == HF_OK);
    memcpy(&first, h->body, sizeof first);
    memcpy(&last, (char *)h->body + block_bytes(f->kind) - sizeof last, sizeof last);
    ar_must(f->outside == block_bytes(f->kind) && first == f->kind && last == f->kind);
}

/* Take at most `most` and finish them; how many. *next: the number the first must have, then that of the one after the
 * last; NULL: any. */
static uint32_t take(struct hf_queue *q, uint32_t most, uint32_t *next) {
    static struct hf_seat seat;
    struct hf_who who = ar_who(session);
    struct hf_handle h = {.body = NULL};
    struct hf_cursor c;
    struct hf_found f;
    int r = hf_fifo_begin(q, &who, &seat, &c);
    ar_must(r == HF_OK || r == HF_BUSY || r == HF_CLOSED);
    if (r != HF_OK) return 0;
    while (c.n < most && hf_fifo_look(&c, &f) && hf_fifo_pass(&c, &f)) {
        if (c.n == 1) memset(&h, 0, sizeof h);
        struct hf_cursor here = c;
        check_item(&here, &f);
        if (f.block != 0) open_block(&f, &h);
        if (next != NULL) ar_must(*next == UINT32_MAX || f.kind == *next);
        if (next != NULL) *next = f.kind + 1;
    }
    hf_fifo_end(q, &who, &seat, &c);
    if (h.body != NULL) hf_drop(session, &h);
    for (uint32_t i = 0; i < c.n; i++) ar_must(hf_queue_done(q, &who, &seat) == HF_OK);
    seat = (struct hf_seat){0}; /* of this queue; the next call may be for another */
    return c.n;
}

/* All that is there, in order; then nothing may be open. */
static uint64_t read_out(struct hf_queue *q, bool ordered) {
    struct hf_who who = ar_who(session);
    struct hf_loss loss;
    uint32_t next = UINT32_MAX;
    uint64_t n = 0;
    hf_queue_settle(q, &who, &loss);
    uint64_t queued = hf_queue_size(q);
    ar_must(hf_queue_unfinished(q) == queued);
    for (uint32_t k; (k = take(q, BATCH, ordered ? &next : NULL)) != 0;) n += k;
    ar_must(n == queued && hf_queue_bytes(q) == 0 && hf_queue_unfinished(q) == 0);
    ar_must(hf_load(&q->put.intent, HF_RELAXED) == 0 && hf_load(&q->take.intent, HF_RELAXED) == 0);
    return n;
}

/* The dead are swept a second after they were seen dead, our own references a second after the last fork. */
static void until_nothing(void) {
    struct hf_who who = ar_who(session);
    struct hf_stats stats;
    uint64_t end = hf_now() + 8000 * HF_MS;
    do {
        usleep(20000);
        hf_sweep(session, &who);
        struct hf_handle h; /* makes the session drop what it put off */
        struct hf_new how = {.kind = HF_KIND_BLOCK, .nbytes = 100};
        ar_must(hf_make(session, &who, &how, &h) == HF_OK);
        hf_drop(session, &h);
        hf_session_stats(session, &who, &stats);
        ar_must(hf_now() < end); /* a block that nobody holds stays */
    } while (session->graves != NULL || stats.members != 1 || stats.blocks != 0);
    ar_must(ar_audit(session).blocks == 0);
}

/* ----------------------------------------------------------------------------------------------------- kill points */

static bool starts(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* Put, take, finish, settle, and close a queue of our own with items in it, until the armed point is reached. */
static void live_and_die(struct hf_queue *q, const char *point, long skip) {
    struct hf_handle own;
    struct hf_loss loss;
    alarm(30);
    struct hf_who who = ar_who(session);
    bool freeing = starts(point, "free_") || starts(point, "ref_");
    struct hf_queue *mine = make_queue(&own);
    for (uint32_t n = 0; n < 40; n++) put(mine, n, 1);
    ar_must(hf_kill_arm(point, skip) == 0);
    if (freeing) hf_drop(session, &own); /* unread, with payload blocks and segments */
    for (uint32_t n = 0, round = 1; round < 600; round++) {
        n += put(q, n, 1 + round % BATCH);
        if (round % 100 > 60) while (take(q, round % BATCH + 1, NULL) != 0 && round % 10 == 0) {}
        if (round % 16 == 0) hf_queue_settle(q, &who, &loss);
    }
    if (!freeing) hf_queue_shut(mine, &who, 2);
    ar_fail(__FILE__, __LINE__, point); /* still alive: the point was not reached */
}

static unsigned kill_at(const char *point) {
    static const long skips[] = {0, 1, 3, 20};
    unsigned deaths = 0;
    bool rare = strcmp(point, "queue_shut") == 0;
    for (size_t i = 0; i < sizeof skips / sizeof *skips; i++) {
        if (rare && i > 0) break;
        struct hf_handle h;
        struct hf_queue *q = make_queue(&h);
        snprintf(ar_about, sizeof ar_about, ", after a death at %s:%ld", point, skips[i]);
        pid_t pid = fork();
        ar_must(pid >= 0);
        if (pid == 0) live_and_die(q, point, skips[i]);
        bury(pid, true);
        deaths++;
        ar_audit(session); /* enters, and so repairs */
        if (i % 2 == 0) read_out(q, true);
        if (i % 2 == 0) ar_must(put(q, 1, 2) == 2 && take(q, 9, NULL) == 2);
        hf_drop(session, &h); /* unread every second time */
    }
    return deaths;
}

static unsigned kill_everywhere(void) {
    static const char *const parts[] = {"fifo_", "queue_", "mutex_", "alloc_popped", "alloc_run", "free_", "ref_"};
    unsigned deaths = 0;
    for (int i = 0; i < HF_K_COUNT; i++)
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
            if (starts(hf_kill_name(i), parts[k])) deaths += kill_at(hf_kill_name(i));
    ar_about[0] = 0;
    return deaths;
}

/* ------------------------------------------------------------------------------------------------ random instants */

static pid_t spawn_worker(struct hf_queue *q, int worker) {
    pid_t pid = fork();
    ar_must(pid >= 0);
    if (pid != 0) return pid;
    alarm(60);
    struct hf_who who = ar_who(session);
    struct hf_loss loss;
    for (uint32_t n = 0; !hf_load(&shared->stop, HF_RELAXED);) {
        struct hf_patience p = hf_patience(hf_now() + HF_MS, false);
        uint32_t many = worker < 2 && hf_queue_size(q) < 300 ? put(q, n, 1 + n % BATCH) : 0;
        n += many;
        hf_add(&shared->put, many, HF_RELAXED);
        if (worker >= 2 || n % 3 == 0) hf_add(&shared->taken, take(q, 1 + n % BATCH, NULL), HF_RELAXED);
        if (worker >= 2) hf_queue_wait_item(q, &p);
        if (n % 64 == 0) hf_queue_settle(q, &who, &loss);
        hf_add(&shared->rounds[worker], 1, HF_RELAXED);
    }
    _exit(0);
}

static unsigned kill_at_random(struct hf_queue *q, double seconds) {
    uint64_t end = hf_now() + (uint64_t)(seconds * 1e9 * ar_scale());
    pid_t pid[WORKERS];
    unsigned deaths = 0;
    for (int i = 0; i < WORKERS; i++) pid[i] = spawn_worker(q, i);
    for (uint64_t r = 88172645463325252ull; hf_now() < end; deaths++) {
        r ^= r << 13, r ^= r >> 7, r ^= r << 17;
        usleep((useconds_t)(r % 8000)); /* the random instant; nothing is ordered by it */
        int victim = (int)((r >> 32) % WORKERS);
        kill(pid[victim], SIGKILL);
        bury(pid[victim], true);
        pid[victim] = spawn_worker(q, victim);
    }
    for (int i = 0; i < WORKERS; i++) { /* the survivors must still get somewhere, each of them */
        uint64_t seen = hf_load(&shared->rounds[i], HF_RELAXED);
        while (hf_load(&shared->rounds[i], HF_RELAXED) < seen + 10) usleep(500);
    }
    hf_store(&shared->stop, 1, HF_RELAXED);
    for (int i = 0; i < WORKERS; i++) bury(pid[i], false);
    return deaths;
}

int main(void) {
    setpgid(0, 0); /* a group of our own, so that a failure ends all of us and nobody else */
    ar_group = true;
    alarm(100);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ar_must(shared != MAP_FAILED);
    session = ar_open(512 << 20, 16 << 20);
    unsigned deaths = kill_everywhere();
    until_nothing();
    printf("ok   stress_death_queue: %u deaths at kill points\n", deaths);
    struct hf_handle h;
    struct hf_queue *q = make_queue(&h);
    deaths = kill_at_random(q, 3);
    uint64_t left = read_out(q, false);
    uint64_t put_in = hf_load(&shared->put, HF_RELAXED), taken = hf_load(&shared->taken, HF_RELAXED) + left;
    /* each death: at most one batch that was put or taken and not counted here */
    ar_must(put_in <= taken + BATCH * deaths && taken <= put_in + BATCH * deaths);
    hf_drop(session, &h);
    until_nothing();
    printf("ok   stress_death_queue: %u deaths at random, %llu items\n", deaths, (unsigned long long)taken);
    return 0;
}
