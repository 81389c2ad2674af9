/* Linux: futex, /proc, rseq, fallocate. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t hf_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* glibc >= 2.35 keeps the current processor in thread-local memory (rseq); the symbols are weak, so that an
 * older libc falls back to the vDSO call. */
#if defined(__GLIBC__) && defined(__x86_64__)
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

uint32_t hf_cpu(void) {
    if (&__rseq_size != NULL && __rseq_size != 0) {
        const char *self;
        __asm__("mov %%fs:0, %0" : "=r"(self));
        uint32_t cpu;
        memcpy(&cpu, self + __rseq_offset + 4, sizeof cpu); /* struct rseq: cpu_id_start, cpu_id */
        if ((int32_t)cpu >= 0) return cpu;
    }
    int cpu = sched_getcpu();
    return cpu < 0 ? HF_NO_CPU : (uint32_t)cpu;
}
#else
uint32_t hf_cpu(void) {
    int cpu = sched_getcpu();
    return cpu < 0 ? HF_NO_CPU : (uint32_t)cpu;
}
#endif

static _Thread_local uint32_t cached_thread __attribute__((tls_model("initial-exec")));

uint32_t hf_thread(void) {
    if (HF_UNLIKELY(cached_thread == 0)) cached_thread = (uint32_t)syscall(SYS_gettid);
    return cached_thread;
}

void hf_forget_thread(void) {
    cached_thread = 0;
}

bool hf_is_main_thread(void) {
    return hf_thread() == (uint32_t)getpid();
}

int hf_park(hf_a32 *word, uint32_t expected, uint64_t deadline) {
    struct timespec t = {(time_t)(deadline / 1000000000ull), (long)(deadline % 1000000000ull)};
    long r = syscall(SYS_futex, (uint32_t *)(void *)word, FUTEX_WAIT_BITSET, expected,
                     deadline == HF_FOREVER ? NULL : &t, NULL, FUTEX_BITSET_MATCH_ANY);
    if (r == 0 || errno == EAGAIN) return HF_OK;
    return errno == ETIMEDOUT ? HF_TIMEOUT : errno == EINTR ? HF_INTR : HF_OK;
}

int hf_wake(hf_a32 *word, int n) {
    long r = syscall(SYS_futex, (uint32_t *)(void *)word, FUTEX_WAKE, n, NULL, NULL, 0);
    return r < 0 ? 0 : (int)r;
}

/* The text of /proc/<pid>/stat after the command name, which may itself hold spaces and parentheses. NULL: see errno. */
static const char *read_stat(int32_t pid, char *text, size_t size) {
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    ssize_t n = read(fd, text, size - 1);
    int why = errno;
    close(fd);
    errno = n < 0 ? why : EIO;
    if (n <= 0) return NULL;
    text[n] = 0;
    const char *end = strrchr(text, ')');
    return end != NULL && end[1] == ' ' ? end + 2 : NULL;
}

/* /proc did not say. Dead for certain is only what the kernel does not know by its pid. */
static uint64_t without_proc(int32_t pid, int why) {
    if (why == ENOENT || why == ESRCH) return 0;
    return kill(pid, 0) != 0 && errno == ESRCH ? 0 : HF_CANNOT_TELL;
}

uint64_t hf_process_start(int32_t pid) {
    char text[1024];
    if (pid <= 0) return 0;
    const char *field = read_stat(pid, text, sizeof text);
    if (field == NULL) return without_proc(pid, errno);
    bool ended = *field == 'Z' || *field == 'X' || *field == 'x'; /* at least its first thread */
    for (int i = 3; i < 22; i++) { /* field 3 is the state, field 22 the start time */
        if (i == 20 && ended && strtol(field, NULL, 10) <= 1) return 0; /* and no other thread is left */
        field = strchr(field, ' ');
        if (field == NULL) return 0;
        field++;
    }
    return strtoull(field, NULL, 10);
}

int hf_file_commit(int fd, uint64_t at, uint64_t length) {
    int r;
    do r = fallocate(fd, 0, (off_t)at, (off_t)length);
    while (r != 0 && errno == EINTR);
    return r;
}

int hf_file_punch(int fd, uint64_t at, uint64_t length) {
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)length);
}

/* A full pipe is readable too. */
void hf_bell_ring(int fd) {
    while (write(fd, "", 1) < 0 && errno == EINTR) {}
}

void hf_bell_hush(int fd) {
    char rest[256];
    for (;;) {
        ssize_t n = read(fd, rest, sizeof rest);
        if (n <= 0 && !(n < 0 && errno == EINTR)) return;
    }
}
