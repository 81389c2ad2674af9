/* The explorer's command line: search every history in every mode, or replay one schedule.
 *
 *   explore_x                         all histories; exit status 1 if one fails
 *   explore_x --only <history>[.<mode>]
 *   explore_x --random <n> [--seed s] n random schedules per history and mode besides the search (default 2000)
 *   explore_x --replay "<history>.<mode> <schedule>"
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIMIT 1000000 /* schedules of one search; what lies beyond is not explored, and the report says so */

static const char *const mode_names[] = {"plain", "ticks", "death"};

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_schedule(const char *program, const struct hx_history *h, int mode, const struct hx_plan *p) {
    printf("    replay: %s --replay \"%s.%s%s ", program, h->name, mode_names[mode], p->preemptions < 0 ? "!" : "");
    if (p->preemptions >= 0) printf("b%d", p->preemptions);
    for (unsigned i = 0; i < p->length; i++)
        if (p->choice[i].taken != 0) printf(",%u:%u", i, p->choice[i].taken);
    printf("\"\n");
}

/* "b2,17:1,30:2": bound 2, decision 17 is option 1, decision 30 option 2, all others the default. */
static void read_schedule(const char *text, struct hx_plan *p) {
    p->capacity = 65536;
    p->choice = calloc(p->capacity, sizeof *p->choice);
    if (p->choice == NULL) abort();
    if (*text == 'b') p->preemptions = (int)strtol(text + 1, NULL, 10);
    else p->preemptions = -1;
    for (const char *at = strchr(text, ','); at != NULL; at = strchr(at + 1, ',')) {
        unsigned where, what;
        if (sscanf(at, ",%u:%u", &where, &what) != 2 || where >= p->capacity) continue;
        p->choice[where].taken = (unsigned char)what;
        p->depth = where + 1;
    }
}

/* The next schedule in depth-first order; false: that was the last. */
static bool advance(struct hx_plan *p) {
    while (p->length > 0) {
        struct hx_choice *c = &p->choice[p->length - 1];
        if (c->taken + 1 < c->of) {
            c->taken++;
            p->depth = p->length;
            return true;
        }
        p->length--;
    }
    return false;
}

static bool report(const char *program, const struct hx_history *h, int mode, struct hx_plan *p, const char *what) {
    printf("FAIL %s.%s: %s\n", h->name, mode_names[mode], what);
    print_schedule(program, h, mode, p);
    if (hx.steps > 300) return false; /* too long to read here; the replay prints it */
    struct hx_plan again = *p;
    again.depth = p->length;
    printf("    the history:\n");
    hx_execute(h, (enum hx_mode)(1 << mode), &again, true);
    p->choice = again.choice; /* it may have grown */
    return false;
}

/* All schedules with at most `bound` preemptions, or LIMIT of them. */
static bool search(const char *program, const struct hx_history *h, int mode, int bound, unsigned *count, bool *whole) {
    struct hx_plan p = {.preemptions = bound};
    bool good = true;
    unsigned n = 0;
    do {
        const char *what = hx_execute(h, (enum hx_mode)(1 << mode), &p, false);
        if (what != NULL) good = report(program, h, mode, &p, what);
        *whole = ++n < LIMIT;
    } while (good && *whole && advance(&p));
    *count += n;
    free(p.choice);
    return good;
}

static bool wander(const char *program, const struct hx_history *h, int mode, unsigned n, uint64_t seed) {
    struct hx_plan p = {.preemptions = -1};
    bool good = true;
    for (unsigned i = 0; good && i < n; i++) {
        p.random = (seed + i) * 0x9e3779b97f4a7c15ull | 1;
        p.strategy = (int)(i % 3);
        const char *what = hx_execute(h, (enum hx_mode)(1 << mode), &p, false);
        if (what != NULL) good = report(program, h, mode, &p, what);
    }
    free(p.choice);
    return good;
}

/* One bound after the other, so that what is found is found with as few preemptions as it takes. */
static bool explore(const char *program, const struct hx_history *h, int mode, unsigned n, uint64_t seed) {
    double start = seconds();
    unsigned count = 0;
    int bound = 0;
    bool whole = true;
    while (whole && bound <= h->preemptions[mode])
        if (!search(program, h, mode, bound++, &count, &whole)) return false;
    if (!wander(program, h, mode, n, seed)) return false;
    printf("ok   %s.%s: %u schedules: all with at most %d preemptions%s; %u at random (%.1f s)\n", h->name,
           mode_names[mode], count, whole ? bound - 1 : bound - 2, whole ? "" : ", some with one more", n,
           seconds() - start);
    fflush(stdout);
    return true;
}

static int replay(const char *program, const struct hx_history *all, const char *text) {
    for (const struct hx_history *h = all; h->name != NULL; h++) {
        for (int mode = 0; mode < 3; mode++) {
            char name[96];
            int n = snprintf(name, sizeof name, "%s.%s", h->name, mode_names[mode]);
            if (strncmp(text, name, (size_t)n) != 0 || (text[n] != ' ' && text[n] != '!')) continue;
            struct hx_plan p = {0};
            read_schedule(text + n + (text[n] == '!' ? 2 : 1), &p);
            const char *what = hx_execute(h, (enum hx_mode)(1 << mode), &p, true);
            printf("%s %s\n", what != NULL ? "FAIL" : "ok", what != NULL ? what : name);
            return what != NULL;
        }
    }
    fprintf(stderr, "%s: no such history: %s\n", program, text);
    return 2;
}

int hx_main(int argc, char **argv, const struct hx_history *histories) {
    const char *only = NULL;
    unsigned n = 2000;
    uint64_t seed = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--replay") == 0) return replay(argv[0], histories, argv[i + 1]);
        if (strcmp(argv[i], "--only") == 0) only = argv[i + 1];
        if (strcmp(argv[i], "--random") == 0) n = (unsigned)strtoul(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--seed") == 0) seed = strtoull(argv[i + 1], NULL, 10);
    }
    alarm(120); /* a watchdog: the explorer itself must not hang */
    bool good = true;
    for (const struct hx_history *h = histories; h->name != NULL; h++) {
        for (int mode = 0; mode < 3; mode++) {
            char name[96];
            snprintf(name, sizeof name, "%s.%s", h->name, mode_names[mode]);
            if (!(h->modes & 1u << mode)) continue;
            if (only != NULL && strcmp(only, h->name) != 0 && strcmp(only, name) != 0) continue;
            good = explore(argv[0], h, mode, n, seed) && good;
        }
    }
    return good ? 0 : 1;
}
