/* A small schedule explorer for the C core (built with -DHF_EXPLORE).
 *
 * The threads of a history are fibers of one system thread. Every atomic access of the core calls hf_step, which
 * may hand the processor to another fiber, let a sleeper's time run out, or stop the running fiber's member for
 * ever: owner death at any step. A depth-first search walks through all such decisions with a bounded number of
 * preemptions; a seeded random walk goes where the search cannot. Memory is sequentially consistent here: weak
 * orders are the business of the stress tests under ThreadSanitizer.
 *
 * A schedule is data: the list of decisions that were not the default one. A failure prints it, and
 * `explore_x --replay "<history>.<mode> <schedule>"` runs it again with a trace.
 *
 * May live here: the scheduler, its face to histories, the modelled platform (platform_explore.c). Must not know:
 * what any primitive does.
 */
#ifndef HF_TESTS_EXPLORE_H
#define HF_TESTS_EXPLORE_H

#include "who.h"

#define HX_FIBERS 4

/* What may happen besides switching between fibers. */
enum hx_mode {
    HX_PLAIN = 1, /* nothing: all fibers asleep is a lost wake-up */
    HX_TICKS = 2, /* a timed sleep may run out at any time */
    HX_DEATH = 4  /* one member dies at some step; from then on timed sleeps may run out */
};

struct hx_history {
    const char *name;
    int fibers;
    unsigned modes;             /* those to explore */
    int preemptions[3];         /* bound in each mode: plain, ticks, death */
    void (*reset)(void);        /* new objects; called before each schedule */
    void (*body)(int me);       /* what fiber `me` does */
    void (*died)(int me);       /* once per fiber of the member that died, at the very step; may be NULL */
    void (*check)(void);        /* after the last fiber ended; runs as member HX_CHECKER, alone; may be NULL */
    uint32_t member[HX_FIBERS]; /* 0: a member of its own */
};

#define HX_CHECKER 900u

/* ---- for histories ---- */

const struct hf_who *hx_who(int fiber); /* fiber -1: the checker */
bool hx_dead(int fiber);
bool hx_any_dead(void);
/* A decision of the history's own: stands before an access to plain data. */
#define hx_step() hf_step(__FILE__, __LINE__, NULL)
/* Be silent until `when()` holds. Not part of what is tested: no step, no wake-up needed. */
void hx_until(bool (*when)(void));
/* Be silent until nobody else can run. */
void hx_until_quiet(void);
#define hx_assert(condition)                                                                                 \
    do {                                                                                                     \
        if (!(condition)) hx_fail("%s:%d: %s does not hold", __FILE__, __LINE__, #condition);                \
    } while (0)
void hx_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Addresses in [at, at + size) are shown as name+offset. */
void hx_name(const void *at, size_t size, const char *name);

/* Shared memory: blocks made by hf_extend and not freed; touching a freed one is a failure. Payload blocks are numbers
 * from 1 on, each its own uid: does it live on in a queue? And is the bell rung? */
#define HX_PAYLOADS 32
unsigned hx_extents(void);
bool hx_consigned(uint64_t offset);
extern bool hx_rung;

/* Runs what the command line asks for; the histories end with one whose name is NULL. The exit status. */
int hx_main(int argc, char **argv, const struct hx_history *histories);

/* ---- between explore.c, explore_main.c and platform_explore.c ---- */

enum hx_state { HX_ENDED, HX_RUNNABLE, HX_PARKED, HX_UNTIL, HX_QUIET, HX_GONE };

struct hx_fiber {
    enum hx_state state;
    struct hf_who who;
    hf_a32 *word;        /* parked on */
    uint64_t deadline;   /* of that sleep */
    uint64_t since;      /* order of falling asleep: first in, first out */
    int result;          /* of that sleep */
    bool (*when)(void);  /* HX_UNTIL */
};

struct hx_run {
    const struct hx_history *history;
    enum hx_mode mode;
    uint64_t now;     /* virtual clock, ns */
    uint64_t sleeps;  /* so far */
    unsigned steps;
    int current;      /* -1: the checker */
    int deaths;
    bool trace;
    struct hx_fiber fiber[HX_FIBERS];
};
extern struct hx_run hx;

void hx_block(enum hx_state state); /* the current fiber stops here until its state is HX_RUNNABLE again */
void hx_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
void hx_arena_reset(void);
void hx_check_address(const volatile void *address); /* fails if it lies in freed memory */
/* The name of an address for the trace, with the number that lies there; empty if it has none. */
void hx_locate(const volatile void *address, char *text, size_t size);

/* How decisions are made: default (0) from `depth` on, or at random. */
struct hx_plan {
    unsigned depth;     /* decisions given in `choice` */
    unsigned length;    /* out: decisions made */
    unsigned capacity;
    struct hx_choice {
        unsigned char taken, of;
    } *choice;
    int preemptions;    /* bound; -1: none */
    uint64_t random;    /* state of the generator; 0: depth-first */
    int strategy;       /* of the random walk */
};
/* One schedule. NULL if all was well, else what went wrong. */
const char *hx_execute(const struct hx_history *history, enum hx_mode mode, struct hx_plan *plan, bool trace);

#endif
