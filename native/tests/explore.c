/* The explorer's scheduler: fibers, decisions, one schedule at a time. See explore.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "explore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define STACK 131072
#define MAX_STEPS 4000 /* a schedule this long does not end */
#define MAX_OPTIONS 16

enum kind { GO, KILL, TICK };
struct option {
    enum kind kind;
    int fiber;
    int price; /* preemptions */
};

struct hx_run hx;
static struct hx_plan *plan;
static int preemptions_left;
static bool loose; /* random mode: sleepers may be killed too */
static unsigned priority[HX_FIBERS]; /* of the random strategy that has some */
static char failure[512];
static jmp_buf home;
static struct {
    ucontext_t context;
    jmp_buf env;
    bool started;
    char *stack;
} body[HX_FIBERS];

void hx_trace(const char *format, ...) {
    if (!hx.trace) return;
    va_list args;
    va_start(args, format);
    if (hx.current >= 0) printf("  %5u  %*s[%d] ", hx.steps, 4 * hx.current, "", hx.current);
    vprintf(format, args);
    printf("\n");
    fflush(stdout);
    va_end(args);
}

void hx_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(failure, sizeof failure, format, args);
    va_end(args);
    hx_trace("FAILED: %s", failure);
    _longjmp(home, 1);
}

const struct hf_who *hx_who(int fiber) {
    static const struct hf_who checker = {NULL, HX_CHECKER, HX_CHECKER};
    return fiber < 0 ? &checker : &hx.fiber[fiber].who;
}

bool hx_dead(int fiber) {
    return hx.fiber[fiber].state == HX_GONE;
}

bool hx_any_dead(void) {
    return hx.deaths != 0;
}

/* ---------------------------------------------------------------------------------------- what may happen next */

static bool can_run(int i) {
    const struct hx_fiber *f = &hx.fiber[i];
    return f->state == HX_RUNNABLE || (f->state == HX_UNTIL && f->when());
}

/* A sleep shorter than the first tick is a deadline of the history's own and may run out in every mode. */
static bool can_tick(int i) {
    const struct hx_fiber *f = &hx.fiber[i];
    if (f->state != HX_PARKED || f->deadline == HF_FOREVER) return false;
    return hx.mode == HX_TICKS || hx.deaths != 0 || f->deadline < hx.now + 4 * HF_MS;
}

static int first_to_tick(void) {
    int first = -1;
    for (int i = 0; i < hx.history->fibers; i++)
        if (can_tick(i) && (first < 0 || hx.fiber[i].deadline < hx.fiber[first].deadline)) first = i;
    return first;
}

/* Nobody can run: those that wait for silence, else whose sleep runs out first, else the other sleepers. */
static int when_silent(struct option *o, bool spend) {
    int n = 0;
    for (int i = 0; i < hx.history->fibers; i++)
        if (hx.fiber[i].state == HX_QUIET) o[n++] = (struct option){GO, i, 0};
    if (n != 0) return n;
    int first = first_to_tick();
    if (first < 0) return 0;
    o[n++] = (struct option){TICK, first, 0};
    for (int i = 0; spend && i < hx.history->fibers; i++)
        if (i != first && can_tick(i)) o[n++] = (struct option){TICK, i, 1};
    return n;
}

/* All that may happen now, the default first; `me` runs, or -1 if it stopped. */
static int options(struct option *o, int me) {
    int n = 0;
    bool spend = preemptions_left != 0;
    if (me >= 0) o[n++] = (struct option){GO, me, 0};
    for (int i = 0; i < hx.history->fibers; i++)
        if (i != me && (me < 0 || spend) && can_run(i)) o[n++] = (struct option){GO, i, me >= 0};
    if (n == 0) n = when_silent(o, spend);
    else
        for (int i = 0; spend && i < hx.history->fibers; i++)
            if (can_tick(i)) o[n++] = (struct option){TICK, i, 1};
    if (hx.mode == HX_DEATH && hx.deaths == 0)
        for (int i = 0; i < hx.history->fibers; i++)
            if (i == me || (loose && hx.fiber[i].state == HX_PARKED)) o[n++] = (struct option){KILL, i, 0};
    return n;
}

/* ---------------------------------------------------------------------------------------- which of it happens */

static unsigned random_below(unsigned n) {
    plan->random ^= plan->random << 13;
    plan->random ^= plan->random >> 7;
    plan->random ^= plan->random << 17;
    return (unsigned)(plan->random >> 33) % n;
}

/* Three strategies, because each alone has a hole: uniform choice, a walk that seldom turns, priorities that
 * change at a few places (PCT: Burckhardt et al., ASPLOS 2010). */
static unsigned by_chance(const struct option *o, unsigned n) {
    unsigned calm = n;
    while (calm > 1 && o[calm - 1].kind != GO) calm--; /* deaths and ticks are rare */
    if (calm < n && random_below(60) == 0) return calm + random_below(n - calm);
    if (plan->strategy == 0) return random_below(calm);
    if (plan->strategy == 1) return random_below(8) == 0 ? random_below(calm) : 0;
    unsigned best = 0;
    for (unsigned i = 1; i < calm; i++)
        if (priority[o[i].fiber] > priority[o[best].fiber]) best = i;
    if (random_below(40) == 0) priority[o[best].fiber] = random_below(100);
    return best;
}

static unsigned decide(const struct option *o, unsigned n) {
    if (n == 1) return 0;
    if (plan->length == plan->capacity) {
        plan->capacity = plan->capacity == 0 ? 1024 : 2 * plan->capacity;
        plan->choice = realloc(plan->choice, plan->capacity * sizeof *plan->choice);
        if (plan->choice == NULL) abort();
    }
    struct hx_choice *c = &plan->choice[plan->length];
    if (plan->length++ >= plan->depth) c->taken = plan->random != 0 ? (unsigned char)by_chance(o, n) : 0;
    if (c->taken >= n) hx_fail("the schedule does not fit the history");
    c->of = (unsigned char)n;
    return c->taken;
}

/* ---------------------------------------------------------------------------------------------- making it so */

static void enter(int i) {
    hx.current = i;
    hx.fiber[i].state = HX_RUNNABLE;
    if (body[i].started) _longjmp(body[i].env, 1);
    body[i].started = true;
    setcontext(&body[i].context);
    abort();
}

static void switch_to(int from, int to) {
    if (from == to) {
        hx.fiber[to].state = HX_RUNNABLE;
        return;
    }
    if (from >= 0 && _setjmp(body[from].env) != 0) return;
    enter(to);
}

static void kill_member(int victim) {
    uint32_t member = hx.fiber[victim].who.member;
    int current = hx.current;
    hx_trace("member %u (fiber %d) dies", member, victim);
    hx.deaths++;
    hx.current = -1; /* what the history looks at now is no step */
    for (int i = 0; i < hx.history->fibers; i++) {
        if (hx.fiber[i].who.member != member || hx.fiber[i].state == HX_ENDED) continue;
        hx.fiber[i].state = HX_GONE;
        if (hx.history->died != NULL) hx.history->died(i);
    }
    hx.current = current;
}

static void end_or_fail(void) {
    char text[256] = "";
    for (int i = 0; i < hx.history->fibers; i++) {
        if (hx.fiber[i].state == HX_ENDED || hx.fiber[i].state == HX_GONE) continue;
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, " %d", i);
    }
    if (text[0] != 0) hx_fail("nobody can go on; asleep for ever: fibers%s%s", text, hx.deaths ? "" : " (lost wake-up)");
    _longjmp(home, 2);
}

/* The running fiber stands before a step (alive), or has stopped (not alive): what happens next? Returns when
 * it is this fiber's turn again; never, if it ended or died. */
static void schedule(bool alive) {
    int me = hx.current;
    for (;;) {
        struct option o[MAX_OPTIONS];
        int n = options(o, alive ? me : -1);
        if (n == 0) end_or_fail();
        const struct option *next = &o[decide(o, (unsigned)n)];
        if (next->kind == KILL) {
            kill_member(next->fiber);
            if (me < 0 || hx.fiber[me].state == HX_GONE) alive = false;
            continue;
        }
        if (preemptions_left > 0) preemptions_left -= next->price;
        if (next->kind == TICK) {
            struct hx_fiber *f = &hx.fiber[next->fiber];
            if (f->deadline > hx.now) hx.now = f->deadline;
            f->result = HF_TIMEOUT;
        }
        switch_to(me, next->fiber);
        if (next->kind == TICK) hx_trace("its sleep runs out (clock %llu us)", (unsigned long long)hx.now / 1000);
        return;
    }
}

void hf_step(const char *file, int line, const volatile void *address) {
    if (hx.current >= 0) {
        if (++hx.steps > MAX_STEPS) hx_fail("no end after %d steps: fibers chase each other", MAX_STEPS);
        schedule(true);
    }
    hx_check_address(address);
    if (!hx.trace || hx.current < 0) return;
    const char *slash = strrchr(file, '/');
    char where[64] = "";
    hx_locate(address, where, sizeof where);
    hx_trace("%s:%d %s", slash != NULL ? slash + 1 : file, line, where);
}

void hx_block(enum hx_state state) {
    hx.fiber[hx.current].state = state;
    schedule(false);
}

void hx_until(bool (*when)(void)) {
    hx.fiber[hx.current].when = when;
    if (!when()) hx_block(HX_UNTIL);
}

void hx_until_quiet(void) {
    hx_block(HX_QUIET);
}

static void run_body(void) {
    hx.history->body(hx.current);
    hx_trace("ends");
    hx.fiber[hx.current].state = HX_ENDED;
    schedule(false);
    abort();
}

static void prepare(const struct hx_history *history, enum hx_mode mode, bool trace) {
    hx = (struct hx_run){.history = history, .mode = mode, .now = 1000 * HF_MS, .current = -1, .trace = trace};
    failure[0] = 0;
    hx_arena_reset();
    for (int i = 0; i < history->fibers; i++) {
        uint32_t member = history->member[i] != 0 ? history->member[i] : (uint32_t)i + 1;
        hx.fiber[i] = (struct hx_fiber){.state = HX_RUNNABLE, .who = {NULL, member, (uint32_t)i + 1}};
        if (body[i].stack == NULL) body[i].stack = malloc(STACK);
        if (body[i].stack == NULL || getcontext(&body[i].context) != 0) abort();
        body[i].started = false;
        body[i].context.uc_stack.ss_sp = body[i].stack;
        body[i].context.uc_stack.ss_size = STACK;
        makecontext(&body[i].context, run_body, 0);
        priority[i] = plan->random != 0 ? random_below(100) : 0;
    }
    history->reset();
}

const char *hx_execute(const struct hx_history *history, enum hx_mode mode, struct hx_plan *the_plan, bool trace) {
    plan = the_plan;
    plan->length = 0;
    preemptions_left = plan->preemptions;
    loose = plan->preemptions < 0;
    prepare(history, mode, trace);
    int how = _setjmp(home);
    if (how == 0) schedule(false);
    if (how == 1) return failure;
    hx.current = -1;
    if (hx.history->check != NULL && _setjmp(home) == 0) hx.history->check();
    return failure[0] != 0 ? failure : NULL;
}
