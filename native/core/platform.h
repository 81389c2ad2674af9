/* What the core asks of the operating system; one file per system implements it (platform_linux.c).
 * The schedule explorer and the native tests may supply their own. */
#ifndef HF_PLATFORM_H
#define HF_PLATFORM_H

#include "atomics.h"

enum hf_result {
    HF_OK = 0,        /* done */
    HF_TIMEOUT = 1,   /* the deadline passed; nothing was changed */
    HF_INTR = 2,      /* a signal may be pending: run handlers, then call again */
    HF_ABANDONED = 3, /* done, and taken from a dead owner */
    HF_BROKEN = 4,    /* cannot be done until somebody repairs it */
    HF_BUSY = 5,      /* would have to wait */
    HF_CLOSED = 6,    /* closed by somebody */
    HF_NOMEM = 7,     /* no shared memory left */
    HF_TICK = 8,      /* time to look whether somebody died */
    HF_WRONG = 9,     /* wrong use: not the owner, too often, too large */
    HF_FULL = 10,     /* no slot left in a table of fixed size */
    HF_BELL = 11      /* call again with the descriptor that has to be rung */
};

#define HF_FOREVER UINT64_MAX
#define HF_MS 1000000ull

/* Nanoseconds on the monotonic clock. */
uint64_t hf_now(void);
/* The processor this thread runs on; HF_NO_CPU where that is unknown. */
#define HF_NO_CPU UINT32_MAX
uint32_t hf_cpu(void);
/* Kernel id of this thread, cached per thread and forgotten in a forked child. */
uint32_t hf_thread(void);
void hf_forget_thread(void);
/* Is this the thread in which the interpreter runs signal handlers? */
bool hf_is_main_thread(void);

/* Sleep while *word == expected, until `deadline` (hf_now clock). HF_OK: woken, changed or spurious. */
int hf_park(hf_a32 *word, uint32_t expected, uint64_t deadline);
/* Wake up to n sleepers on word; the number woken. */
int hf_wake(hf_a32 *word, int n);
#define HF_ALL 0x7fffffff

/* Start time of a process in ticks since boot; 0 if it is dead or a zombie; HF_CANNOT_TELL if nothing could be
 * learnt (no file descriptor left, say) and the pid is in use. */
#define HF_CANNOT_TELL UINT64_MAX
uint64_t hf_process_start(int32_t pid);

/* Reserve [at, at + length) of the file; 0, or -1 with errno. */
int hf_file_commit(int fd, uint64_t at, uint64_t length);
/* Give the memory of [at, at + length) back; the bytes read as zero afterwards. */
int hf_file_punch(int fd, uint64_t at, uint64_t length);

/* Make a descriptor readable (one byte), and no longer readable. Neither blocks. */
void hf_bell_ring(int fd);
void hf_bell_hush(int fd);

static inline void hf_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

#endif
