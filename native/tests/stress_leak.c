/* Nothing leaks: every function of the arena that a process calls, called thousands of times after a warm-up, leaves
 * the arena's books, this process's private memory and its open files as they were.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "arena.h"
#include "fifo.h"
#include "semaphore.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__ /* it keeps what is freed for a while, and looks for leaks itself */
#define TIMES 2000
#define SLACK (1u << 30)
#else
#define TIMES 10000
#define SLACK (512u << 10) /* bytes of private memory that the C library may come and go with */
#endif

#ifdef HF_TINY_SEGMENTS /* what fits the largest segment of a queue */
#define LONGEST_ITEM 1500
#else
#define LONGEST_ITEM 20000
#endif

static struct hf_session *session;
static struct hf_who who;
static struct hf_handle kept; /* a block that lives throughout */

static void make(uint64_t nbytes, const char *name, int mode, struct hf_handle *h, int expected) {
    struct hf_new how = {.kind = HF_KIND_BLOCK, .nbytes = nbytes, .name = name, .mode = mode,
                         .name_length = name != NULL ? (uint32_t)strlen(name) : 0};
    ar_must(hf_make(session, &who, &how, h) == expected);
}

static void make_small(unsigned i) {
    struct hf_handle h;
    make(1 + 97 * i % 32000, NULL, 0, &h, HF_OK);
    hf_drop(session, &h);
}

static void make_run(unsigned i) {
    struct hf_handle h;
    make(40000 + 4099 * i % 1000000, NULL, 0, &h, HF_OK);
    hf_drop(session, &h);
}

static void make_large(unsigned i) {
    struct hf_handle h;
    make((5 << 20) + i, NULL, 0, &h, HF_OK);
    hf_drop(session, &h);
}

static void make_too_large(unsigned i) {
    struct hf_handle h;
    make((40 << 20) + i, NULL, 0, &h, HF_NOMEM);
}

static void make_named(unsigned i) {
    struct hf_handle first, second;
    char name[32];
    snprintf(name, sizeof name, "name %u", i % 3000);
    make(i % 50000, name, 2, &first, HF_CLOSED);
    make(i % 50000, name, i % 2 != 0, &first, HF_OK);
    make(i % 50000, name, 1, &second, HF_WRONG);
    make(i % 50000, name, 2, &second, HF_BUSY);
    if (i % 3 == 0) ar_must(hf_unname(session, &who, hf_block_of(first.body)));
    hf_drop(session, &first);
    hf_drop(session, &second);
}

static void init_queue(void *body, const void *how) {
    hf_queue_init(body, how);
}

static void attach(unsigned i) {
    struct hf_handle h;
    (void)i;
    ar_must(hf_attach(session, &who, HF_KIND_BLOCK, kept.offset, kept.uid, &h) == HF_OK);
    hf_drop(session, &h);
}

static void attach_wrong(unsigned i) {
    struct hf_handle h;
    ar_must(hf_attach(session, &who, HF_KIND_LOCK, kept.offset, kept.uid, &h) == HF_CLOSED);
    ar_must(hf_attach(session, &who, HF_KIND_BLOCK, kept.offset, kept.uid + 1, &h) == HF_CLOSED);
    ar_must(hf_attach(session, &who, HF_KIND_BLOCK, kept.offset + i, kept.uid - (i == 0), &h) == HF_CLOSED);
    ar_must(hf_attach(session, &who, HF_KIND_BLOCK, i * 7919ull * 256, kept.uid + 1, &h) == HF_CLOSED);
    ar_must(hf_attach(session, &who, HF_KIND_BLOCK, UINT64_MAX - i, kept.uid, &h) == HF_CLOSED);
}

static void extend(unsigned i) {
    struct hf_handle h;
    uint64_t link = 0;
    make(300, NULL, 0, &h, HF_OK);
    for (unsigned n = 0; n <= i % 4; n++) {
        void *child = hf_extend(session, h.body, &link, 100 + i);
        ar_must(child != NULL && hf_follow(session, link) == child);
    }
    hf_drop(session, &h);
}

/* Children freed before their parent: from both ends of the chain and its middle, small ones and runs. */
static void retract(unsigned i) {
    struct hf_handle h;
    uint64_t link[4];
    make(300, NULL, 0, &h, HF_OK);
    for (unsigned n = 0; n < 4; n++) ar_must(hf_extend(session, h.body, &link[n], i % 8 == 0 ? 100000 : 100 + i) != NULL);
    for (unsigned n = 0; n < i % 5; n++) hf_retract(session, link[(n * 3 + i) % 4]);
    hf_drop(session, &h);
}

/* A queue that grows, is read out to the half, shrinks or not, and goes with what is in it. */
static void use_queue(unsigned i) {
    static unsigned char bytes[LONGEST_ITEM];
    struct hf_handle h, block;
    struct hf_queue_config config = {.flavour = HF_FIFO, .max_bytes = 1 << 20, .nbytes = 3000};
    struct hf_new how = {.kind = HF_KIND_QUEUE, .nbytes = config.nbytes, .init = init_queue, .how = &config};
    ar_must(hf_make(session, &who, &how, &h) == HF_OK);
    for (unsigned n = 0; n < 12; n++) {
        struct hf_item item = {.data = bytes, .length = (n * 7919 + i) % sizeof bytes};
        uint32_t put;
        if (n % 4 == 1) {
            make(40000, NULL, 0, &block, HF_OK);
            item.block = block.offset, item.block_uid = block.uid, item.outside = 40000;
        }
        ar_must(hf_fifo_put(h.body, &who, &item, 1, &put, -1) == HF_OK);
        if (item.block != 0) hf_drop(session, &block);
    }
    struct hf_seat seat = {0};
    struct hf_cursor c;
    struct hf_found f;
    for (unsigned n = 0; n < i % 14 && hf_fifo_begin(h.body, &who, &seat, &c) == HF_OK; n++) {
        ar_must(hf_fifo_look(&c, &f) && hf_fifo_pass(&c, &f));
        hf_fifo_end(h.body, &who, &seat, &c);
    }
    hf_drop(session, &h);
}

static void hold(unsigned i) {
    (void)i;
    hf_enter(session, &who);
    ar_must(hf_hold(session, &who, &kept));
    hf_exit(session);
}

static void manage(unsigned i) {
    struct hf_stats stats;
    hf_trim(session, &who, i % 2 != 0 ? 0 : 1 << 20);
    hf_sweep(session, &who);
    hf_sweep_if_due(session, &who);
    hf_session_stats(session, &who, &stats);
    if (i % 16 == 0) make_run(i);
}

static void open_and_close(unsigned i) { /* seldom joining: a slot is free again only a second after its member left */
    struct hf_session *other = ar_again(session);
    ar_must(hf_slot_of(other, who.member)->label[0] != 0);
    if (i % 128 == 0) ar_must(ar_who(other).member != who.member);
    hf_session_close(other);
    if (i % 4 == 0) hf_session_close(ar_open(1 << 20, 0));
}

/* To the last byte, and back. */
static void exhaust(unsigned i) {
    static struct hf_handle h[4000];
    unsigned n = 0;
    struct hf_new how = {.kind = HF_KIND_BLOCK, .nbytes = 20000 + 100000 * (i % 3)};
    while (hf_make(session, &who, &how, &h[n]) == HF_OK) n++;
    ar_must(n > 40 && n < 4000);
    while (n > 0) hf_drop(session, &h[--n]);
}

/* A child takes over what we hold, and dies holding it. */
static void fork_and_die(unsigned i) {
    pid_t pid = fork();
    ar_must(pid >= 0);
    if (pid == 0) {
        uint32_t parent = who.member;
        who = ar_who(session);
        if (i % 2 == 0) make_small(i);
        else hf_leave(session);
        _exit(who.member == parent);
    }
    int status;
    ar_must(waitpid(pid, &status, 0) == pid && status == 0);
}

static uint64_t private_bytes(void) {
    unsigned long long kb = 0;
    char line[200];
    FILE *f = fopen("/proc/self/status", "r");
    ar_must(f != NULL);
    while (fgets(line, sizeof line, f) != NULL) sscanf(line, "RssAnon: %llu", &kb);
    fclose(f);
    return kb << 10;
}

static unsigned open_files(void) {
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    ar_must(d != NULL);
    while (readdir(d) != NULL) n++;
    closedir(d);
    return n;
}

static void run(const char *name, void (*f)(unsigned), unsigned times) {
    struct hf_stats before, after;
    snprintf(ar_about, sizeof ar_about, ", %s", name);
    for (unsigned i = 0; i < times / 10; i++) f(i);
    hf_trim(session, &who, 0);
    hf_session_stats(session, &who, &before);
    uint64_t private = private_bytes();
    unsigned files = open_files();
    for (unsigned i = 0; i < times; i++) f(i);
    hf_trim(session, &who, 0);
    hf_session_stats(session, &who, &after);
    ar_must(after.blocks == before.blocks && after.bytes_used == before.bytes_used);
    ar_must(after.repairs == 0 && before.bytes_idle == 0 && after.bytes_idle == 0);
    ar_must(after.bytes_committed <= before.bytes_committed + HF_CLASSES * HF_CHUNK);
    ar_must(private_bytes() <= private + SLACK);
    ar_must(open_files() == files);
    ar_audit(session);
}

int main(void) {
    alarm(100);
    session = ar_open(32 << 20, 4 << 20);
    who = ar_who(session);
    make(1000, NULL, 0, &kept, HF_OK);
    static const struct {
        const char *name;
        void (*f)(unsigned);
        unsigned times;
    } all[] = {
        {"small blocks", make_small, TIMES},
        {"runs", make_run, TIMES},
        {"large runs", make_large, TIMES / 10},
        {"no room", make_too_large, TIMES},
        {"names", make_named, TIMES},
        {"attach", attach, TIMES},
        {"attach in vain", attach_wrong, TIMES},
        {"extend", extend, TIMES},
        {"retract", retract, TIMES},
        {"queues", use_queue, TIMES / 4},
        {"hold", hold, TIMES},
        {"trim, sweep, stats", manage, TIMES},
        {"open and close", open_and_close, TIMES},
        {"exhaust", exhaust, 30},
        {"fork", fork_and_die, 400},
    };
    unsigned long calls = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        run(all[i].name, all[i].f, all[i].times);
        calls += all[i].times;
    }
    printf("ok   stress_leak: %zu functions, %lu calls\n", sizeof all / sizeof *all, calls);
    return 0;
}
